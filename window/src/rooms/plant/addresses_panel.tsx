import { clockTime, fixed, UNKNOWN } from "../../parts/format.ts";
import { Meter } from "../../parts/meter.tsx";
import { Note } from "../../parts/note.tsx";
import { Panel } from "../../parts/panel.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import type { Got } from "../../wire/plant.ts";
import { limits } from "./polls.ts";
import { Problem } from "./problem.tsx";

type AddressUse = Got<"/plant/v1/limits">["addresses"][string];
type Row = AddressUse & { readonly address: string };

const COLUMNS: readonly Column<Row>[] = [
  { id: "address", title: "Address", cell: (row) => row.address },
  {
    id: "weight",
    title: "Weight this minute",
    isNumber: true,
    hint: "Request weight, REST and WebSocket API together",
    cell: (row) => <Weight row={row} />,
  },
  {
    id: "highest",
    title: "Peak",
    isNumber: true,
    hint: "The most weight in one minute",
    cell: (row) => fixed(row.limits.requestWeight?.highest ?? 0, 0),
  },
  {
    id: "open",
    title: "Open",
    isNumber: true,
    hint: "WebSocket connections open now",
    cell: (row) => fixed(row.limits.connections?.used ?? 0, 0),
  },
  {
    id: "exceeded",
    title: "Over limits",
    isNumber: true,
    hint: "How often it exceeded any limit, whether refused or only counted",
    cell: (row) => <Exceeded row={row} />,
  },
  {
    id: "refused",
    title: "429, 418",
    isNumber: true,
    hint: "Requests refused because of too many requests, and because of a ban",
    cell: (row) => `${fixed(row.refused["429"], 0)}, ${fixed(row.refused["418"], 0)}`,
  },
  {
    id: "banned",
    title: "Banned until, UTC",
    cell: (row) => (row.bannedUntil ? clockTime(row.bannedUntil) : UNKNOWN),
  },
];

function Weight(props: { readonly row: Row }) {
  const use = props.row.limits.requestWeight;
  const [used, most] = [use?.used ?? 0, use?.limit ?? 0];
  return (
    <>
      {most > 0 && <Meter label="Request weight" value={used} most={most} />} {fixed(used, 0)}
      {most > 0 && ` of ${fixed(most, 0)}`}
    </>
  );
}

function Exceeded(props: { readonly row: Row }) {
  const over = Object.entries(props.row.limits).filter(([, use]) => use.exceeded > 0);
  const sum = over.reduce((all, [, use]) => all + use.exceeded, 0);
  const which = over.map(([name, use]) => `${name} ${use.exceeded} times`).join(", ");
  return <span title={which}>{fixed(sum, 0)}</span>;
}

/** What each address has used of its request weight. */
export function AddressesPanel() {
  const { data, error } = limits.state.value;
  const rows = Object.entries(data?.addresses ?? {}).map(([address, use]) => ({ ...use, address }));
  return (
    <Panel title="Request weight by address">
      <Problem what="The request weight" error={error} isKnown={data !== undefined} />
      {data && !data.enforced && (
        <Note kind="info">The limits of the exchange are only counted here: --limits off.</Note>
      )}
      {data && (
        <p class="plant-text quiet">
          {data.sharedBudget
            ? "Both venues share one budget."
            : `Of ${data.venue === "usdm" ? "USDⓈ-M" : "COIN-M"}; the other venue counts apart.`}
        </p>
      )}
      {data && rows.length === 0 && (
        <p class="plant-text quiet">
          No address has sent a request with weight or opened a WebSocket.
        </p>
      )}
      {rows.length > 0 && (
        <Table
          label="Request weight by address"
          columns={COLUMNS}
          rows={rows}
          keyOf={(row) => row.address}
          rowAttributes={(row) => ({ "data-testid": "address-row", "data-address": row.address })}
        />
      )}
    </Panel>
  );
}
