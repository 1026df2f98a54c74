import { useStore } from "../../frame.ts";
import { clockTime, span, UNKNOWN } from "../../parts/format.ts";
import { Panel } from "../../parts/panel.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { type Closed, keyOf } from "./clients.ts";
import { clients } from "./polls.ts";

const COLUMNS: readonly Column<Closed>[] = [
  { id: "at", title: "Closed, UTC", cell: (each) => clockTime(each.closed_ms) },
  { id: "id", title: "Client", cell: (each) => each.id },
  {
    id: "reason",
    title: "Why",
    cell: (each) => (
      <div class="plant-why">
        <strong>{each.reason}</strong> {each.explanation.replaceAll("`", "")}
      </div>
    ),
  },
  { id: "lasted", title: "Lasted", cell: (each) => span(each.closed_ms - each.opened_ms) },
  { id: "address", title: "Address", cell: (each) => each.address },
  {
    id: "agent",
    title: "User agent",
    cell: (each) => (
      <span class="plant-cut" title={each.user_agent}>
        {each.user_agent || UNKNOWN}
      </span>
    ),
  },
  {
    id: "path",
    title: "Path",
    cell: (each) => (
      <span class="plant-cut" title={each.path}>
        {each.path}
      </span>
    ),
  },
];

/** The connections that were closed last, and why. */
export function ClosedPanel() {
  useStore(clients);
  return (
    <Panel title="Recently closed" class="plant-closed plant-cards">
      {clients.closed.length === 0 ? (
        <p class="plant-text quiet">
          {clients.isKnown ? "No connection was closed yet." : "Asking the server …"}
        </p>
      ) : (
        <Table
          label="Recently closed connections"
          columns={COLUMNS}
          rows={clients.closed}
          keyOf={keyOf}
          rowAttributes={({ id, reason }) => ({
            "data-testid": "closed-row",
            "data-id": id,
            "data-reason": reason,
          })}
        />
      )}
    </Panel>
  );
}
