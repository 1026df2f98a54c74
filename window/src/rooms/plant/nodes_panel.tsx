import { bytes, fixed, span } from "../../parts/format.ts";
import { Note } from "../../parts/note.tsx";
import { Panel } from "../../parts/panel.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import type { Got } from "../../wire/plant.ts";
import { nodes } from "./polls.ts";
import { Problem } from "./problem.tsx";

type Node = Got<"/plant/v1/nodes">["plant"];

const COLUMNS: readonly Column<Node>[] = [
  { id: "id", title: "Process", cell: (node) => node.id },
  { id: "host", title: "Host, pid", cell: (node) => `${node.host}, ${node.pid}` },
  {
    id: "address",
    title: "Listens at",
    cell: (node) => Object.values(node.address).join(", ") || "nowhere",
  },
  {
    id: "connections",
    title: "Clients",
    isNumber: true,
    cell: (node) => fixed(node.connections, 0),
  },
  { id: "streams", title: "Streams", isNumber: true, cell: (node) => fixed(node.streams, 0) },
  { id: "messages", title: "Messages", isNumber: true, cell: (node) => fixed(node.messages, 0) },
  { id: "bytes", title: "Bytes", isNumber: true, cell: (node) => bytes(node.bytes) },
  { id: "unsent", title: "Unsent", isNumber: true, cell: (node) => bytes(node.unsent_bytes) },
  {
    id: "lag",
    title: "Lag",
    isNumber: true,
    hint: "Of an edge: from the plant to here. Of the plant: of its source",
    cell: (node) => `${fixed(node.lag_ms, 1)} ms`,
  },
  {
    id: "seen",
    title: "Heard of",
    isNumber: true,
    cell: (node) => (node.seen_ms ? `${span(node.seen_ms)} ago` : "now"),
  },
];

/** The processes of the server and what joins them; nothing where one serves alone. */
export function NodesPanel() {
  const { data, error } = nodes.state.value;
  if (data === undefined) return null;
  if (data.edges.length === 0 && data.bus == null) return null;
  return (
    <Panel title="Workers, edges and their bus">
      <Problem what="The list" error={error} isKnown />
      {data.bus && !data.bus.connected && (
        <Note kind="error">The plant is not connected to the bus at {data.bus.address}.</Note>
      )}
      {data.bus?.connected && (
        <p class="plant-text quiet">
          The bus at {data.bus.address} is connected; the plant is {data.bus.plant} there.
        </p>
      )}
      {data.edges.length === 0 && <Note kind="warning">No worker or edge has joined.</Note>}
      <Table
        label="Processes"
        columns={COLUMNS}
        rows={[data.plant, ...data.edges]}
        keyOf={(node) => node.id}
        rowAttributes={(node) => ({ "data-testid": "node-row", "data-id": node.id })}
      />
    </Panel>
  );
}
