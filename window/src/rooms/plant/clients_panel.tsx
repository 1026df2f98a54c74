import { useSignal } from "@preact/signals";
import { wsUrl } from "../../base.ts";
import { useStore } from "../../frame.ts";
import { bytes, fixed, span, UNKNOWN } from "../../parts/format.ts";
import { Meter } from "../../parts/meter.tsx";
import { Note } from "../../parts/note.tsx";
import { Panel } from "../../parts/panel.tsx";
import { orderText, sortingOf } from "../../parts/sorting.ts";
import { type Column, Table } from "../../parts/table.tsx";
import { go, route } from "../../route.ts";
import { PlantError, plantDelete } from "../../wire/plant.ts";
import { type Client, type Connection, matching } from "./clients.ts";
import { clients, connections } from "./polls.ts";
import { Problem, reason } from "./problem.tsx";

const PLANT = "plant";

/** Who is connected, what they get, and what they suffer. */
export function ClientsPanel() {
  useStore(clients);
  const said = useSignal<{ readonly kind: "info" | "error"; readonly text: string } | undefined>(
    undefined,
  );
  const { find = "", order = "" } = route.value.params;
  const shown = matching(clients.clients, find);
  const close = async ({ connection }: Client): Promise<void> => {
    const { id, worker } = connection;
    try {
      await plantDelete("/plant/v1/connections/{id}", { id, worker });
      said.value = { kind: "info", text: `${id} is closed: its client was told so.` };
    } catch (error) {
      const problem = error instanceof PlantError ? error : new PlantError(0, String(error));
      said.value = { kind: "error", text: `${id} is not closed: ${reason(problem)}.` };
    }
    connections.refresh();
  };
  return (
    <Panel
      title="Clients"
      class="plant-clients plant-cards"
      tools={
        <>
          <span class="quiet" data-testid="client-count">
            {countText(shown.length)}
          </span>
          <input
            type="search"
            class="plant-client-filter"
            aria-label="Find clients"
            placeholder="Find: address, stream, agent …"
            value={find}
            onInput={(event) => go({ params: { find: event.currentTarget.value } })}
          />
        </>
      }
    >
      <Problem what="The list" error={connections.state.value.error} isKnown={clients.isKnown} />
      {said.value && <Note kind={said.value.kind}>{said.value.text}</Note>}
      {clients.isKnown && clients.isAlone && <HowToConnect isEmpty={clients.total === 0} />}
      {shown.length === 0 && clients.total > 0 && (
        <p class="plant-text quiet">No listed client has “{find}” in any of its fields.</p>
      )}
      {shown.length > 0 && (
        <Table
          label="Clients"
          columns={columns(close)}
          rows={shown}
          keyOf={(client) => client.key}
          sorting={sortingOf(order)}
          onSort={(sorting) => go({ params: { order: orderText(sorting) } })}
          rowAttributes={({ connection, isOwn }) => ({
            "data-testid": "client-row",
            "data-id": connection.id,
            class: isOwn ? "plant-own-client" : "",
          })}
        />
      )}
    </Panel>
  );
}

function countText(shown: number): string {
  const { total, clients: listed, isKnown } = clients;
  if (!isKnown) return "asking the server …";
  const open = total === 1 ? "1 connection" : `${fixed(total, 0)} connections`;
  if (listed.length < total) {
    return `${open}, ${fixed(shown, 0)} shown of the ${listed.length} for which most waits`;
  }
  return shown < total ? `${fixed(shown, 0)} of ${open}` : open;
}

function HowToConnect(props: { readonly isEmpty: boolean }) {
  return (
    <p class="plant-text">
      {props.isEmpty ? "No client is connected" : "Only this window is connected"}: connect a client
      to <code>{wsUrl("ws/btcusdt@trade").href}</code>
    </p>
  );
}

function columns(close: (client: Client) => Promise<void>): readonly Column<Client>[] {
  return [
    {
      id: "id",
      title: "Client",
      cell: ({ connection, isOwn }) => (
        <>
          {connection.id}
          {isOwn && <span class="plant-tag">this window</span>}
          {connection.worker !== PLANT && <span class="quiet"> at {connection.worker}</span>}
        </>
      ),
      sortBy: ({ connection }) => Number(connection.id.replace(/\D/g, "")),
    },
    {
      id: "venue",
      title: "Venue",
      cell: ({ connection }) => (connection.venue === "usdm" ? "USDⓈ-M" : "COIN-M"),
      sortBy: ({ connection }) => connection.venue,
    },
    {
      id: "address",
      title: "Address",
      cell: ({ connection }) => connection.address,
      sortBy: ({ connection }) => connection.address,
    },
    {
      id: "agent",
      title: "User agent",
      cell: ({ connection }) => <Cut text={connection.user_agent} />,
      sortBy: ({ connection }) => connection.user_agent,
    },
    {
      id: "path",
      title: "Path",
      cell: ({ connection }) => <Cut text={connection.path} />,
      sortBy: ({ connection }) => connection.path,
    },
    {
      id: "streams",
      title: "Streams",
      isNumber: true,
      hint: "Subscriptions, of the most that one connection may have",
      cell: ({ connection }) => <Streams connection={connection} />,
      sortBy: ({ connection }) => connection.stream_count,
    },
    {
      id: "messages",
      title: "Msg/s",
      isNumber: true,
      hint: "Messages sent to it per second, replies included",
      cell: ({ messagesPerS }) => rate(messagesPerS),
      sortBy: ({ messagesPerS }) => messagesPerS,
    },
    {
      id: "bytes",
      title: "kB/s",
      isNumber: true,
      cell: ({ bytesPerS }) => rate(bytesPerS / 1_000),
      sortBy: ({ bytesPerS }) => bytesPerS,
    },
    {
      id: "sent",
      title: "Sent",
      isNumber: true,
      hint: "Messages sent to it since it was opened",
      cell: ({ connection }) => (
        <span title={bytes(connection.bytes)}>{fixed(connection.messages, 0)}</span>
      ),
      sortBy: ({ connection }) => connection.messages,
    },
    {
      id: "unsent",
      title: "Unsent",
      isNumber: true,
      hint: "Bytes written to it that the network has not taken",
      cell: ({ connection }) => (
        <span class={connection.unsent_bytes > 0 ? "plant-behind" : ""}>
          {connection.unsent_bytes > 0 && <span aria-hidden="true">▲ </span>}
          {bytes(connection.unsent_bytes)}
        </span>
      ),
      sortBy: ({ connection }) => connection.unsent_bytes,
    },
    {
      id: "waiting",
      title: "Waiting",
      isNumber: true,
      hint: "Messages that wait because the client is behind",
      cell: ({ connection }) => (
        <span title={bytes(connection.waiting_bytes)} class={connection.held ? "plant-behind" : ""}>
          {connection.held && "held, "}
          {fixed(connection.waiting_messages, 0)}
        </span>
      ),
      sortBy: ({ connection }) => connection.waiting_bytes,
    },
    {
      id: "lost",
      title: "Conflated, dropped",
      isNumber: true,
      hint: "Messages that were replaced by a later one or merged into it, and messages that were dropped because too many waited",
      cell: ({ connection }) =>
        `${fixed(connection.conflated, 0)}, ${fixed(connection.dropped, 0)}`,
      sortBy: ({ connection }) => connection.conflated + connection.dropped,
    },
    {
      id: "requests",
      title: "Requests",
      isNumber: true,
      hint: "Messages that the client sent, of the most at once; the rate limit gives them back. Of the WebSocket API: pings and pongs",
      cell: ({ connection: { limits } }) =>
        limits.messages ? (
          <>
            <Meter
              label="Messages of the client"
              value={limits.messages.used}
              most={limits.messages.limit}
            />{" "}
            {limits.messages.used}/{limits.messages.limit}
          </>
        ) : (
          UNKNOWN
        ),
      sortBy: ({ connection }) => connection.limits.messages?.used ?? -1,
    },
    {
      id: "delivery",
      title: "Delivery",
      hint: "What happens to its messages while the client is behind",
      cell: ({ connection }) =>
        connection.kind === "api"
          ? "WebSocket API"
          : `${connection.delivery}${connection.stamps ? ", stamps" : ""}`,
      sortBy: ({ connection }) => connection.delivery,
    },
    {
      id: "age",
      title: "Age",
      isNumber: true,
      hint: "Of the most that a connection may live",
      cell: ({ connection: { limits } }) => (
        <>
          <Meter
            label="Age in seconds"
            value={Math.round(limits.age_ms.used / 1_000)}
            most={Math.round(limits.age_ms.limit / 1_000)}
          />{" "}
          {span(limits.age_ms.used)}
        </>
      ),
      sortBy: ({ connection }) => connection.limits.age_ms.used,
    },
    {
      id: "close",
      title: "",
      cell: (client) => <CloseButton client={client} onClose={close} />,
    },
  ];
}

function rate(perS: number): string {
  return fixed(perS, perS < 100 ? 1 : 0);
}

/** Text of a client, whatever it is, in little room. */
function Cut(props: { readonly text: string }) {
  const { text } = props;
  return (
    <span class="plant-cut" title={text}>
      {text || UNKNOWN}
    </span>
  );
}

function Streams(props: { readonly connection: Connection }) {
  const { limits, stream_count: count, streams } = props.connection;
  if (limits.streams == null) return <>{UNKNOWN}</>;
  const meter = <Meter label="Streams" value={count} most={limits.streams.limit} />;
  if (count === 0) return <>{meter} 0</>;
  const more = count - streams.length;
  return (
    <details class="plant-streams">
      <summary>
        {meter} {fixed(count, 0)}
      </summary>
      <ul>
        {streams.map((each) => (
          <li key={each}>{each}</li>
        ))}
        {more > 0 && <li class="quiet">and {fixed(more, 0)} more</li>}
      </ul>
    </details>
  );
}

function CloseButton(props: {
  readonly client: Client;
  readonly onClose: (client: Client) => Promise<void>;
}) {
  const { client, onClose } = props;
  const isAsking = useSignal(false);
  const { id } = client.connection;
  if (!isAsking.value) {
    return (
      <button
        type="button"
        aria-label={`Close ${id}`}
        onClick={() => {
          isAsking.value = true;
        }}
      >
        Close
      </button>
    );
  }
  const keep = (): void => {
    isAsking.value = false;
  };
  return (
    <span class="plant-confirm">
      Close {id}?{" "}
      <button
        type="button"
        class="plant-danger"
        ref={focus}
        onKeyDown={(event) => {
          if (event.key === "Escape") keep();
        }}
        onClick={() => {
          keep();
          void onClose(client);
        }}
      >
        Close it
      </button>{" "}
      <button type="button" onClick={keep}>
        Keep it
      </button>
    </span>
  );
}

function focus(element: HTMLElement | null): void {
  element?.focus();
}
