import "./plant.css";
import { useEffect } from "preact/hooks";
import { Guard } from "../../parts/guard.tsx";
import { AddressesPanel } from "./addresses_panel.tsx";
import { ClientsPanel } from "./clients_panel.tsx";
import { ClosedPanel } from "./closed_panel.tsx";
import { CountsPanel } from "./counts_panel.tsx";
import { LatencyPanel } from "./latency_panel.tsx";
import { NodesPanel } from "./nodes_panel.tsx";
import { follow } from "./polls.ts";
import { SourcePanel } from "./source_panel.tsx";
import { TrafficPanel } from "./traffic_panel.tsx";

/** The plant room: where the market comes from, what is sent, and who gets it. */
export function PlantRoom() {
  useEffect(follow, []);
  return (
    <div class="plant-room">
      <div class="plant-columns">
        <Guard>
          <SourcePanel />
          <TrafficPanel />
          <LatencyPanel />
        </Guard>
      </div>
      <Guard>
        <ClientsPanel />
        <NodesPanel />
        <ClosedPanel />
      </Guard>
      <div class="plant-columns">
        <Guard>
          <AddressesPanel />
          <CountsPanel />
        </Guard>
      </div>
    </div>
  );
}
