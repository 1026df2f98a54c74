import { useStore } from "../../frame.ts";
import { fixed } from "../../parts/format.ts";
import { Panel } from "../../parts/panel.tsx";
import { go } from "../../route.ts";
import { totalBy } from "../../wire/metrics.ts";
import { traffic } from "./polls.ts";

interface Counts {
  readonly title: string;
  readonly metric: string;
  readonly label: string;
}

const GROUPS: readonly Counts[] = [
  { title: "Closed connections", metric: "connections_closed_total", label: "reason" },
  { title: "Refused handshakes", metric: "handshakes_refused_total", label: "code" },
  { title: "Error replies", metric: "control_errors_total", label: "code" },
  { title: "Silent subscriptions", metric: "silent_subscriptions_total", label: "reason" },
  { title: "Limits exceeded", metric: "limits_exceeded_total", label: "limit" },
  { title: "Problems in the log", metric: "complaints_total", label: "kind" },
];

/** What went wrong since the server was started, on demand and otherwise. */
export function CountsPanel() {
  useStore(traffic);
  const faults = counted("faults_total", "fault");
  const shorted = new Map(counted("fault_overflows_total", "fault"));
  const groups = GROUPS.map((group) => ({ ...group, counts: counted(group.metric, group.label) }));
  const isQuiet = groups.every(({ counts }) => counts.length === 0);
  return (
    <Panel title="Counted since the start">
      <div class="plant-counts">
        <section>
          <h3>Faults on demand</h3>
          {faults.length === 0 ? (
            <p class="quiet">
              No fault has happened.{" "}
              <button type="button" onClick={() => go({ room: "control" })}>
                Turn one on in the control room
              </button>
            </p>
          ) : (
            <CountList
              counts={faults}
              note={(name) =>
                shorted.has(name) ? `, ${shorted.get(name)} times less than it says` : ""
              }
            />
          )}
        </section>
        {groups.map(
          ({ title, counts }) =>
            counts.length > 0 && (
              <section key={title}>
                <h3>{title}</h3>
                <CountList counts={counts} />
              </section>
            ),
        )}
      </div>
      {isQuiet && <p class="plant-text quiet">Nothing else is counted yet.</p>}
    </Panel>
  );
}

type Count = readonly [string, number];

/** Return the counts of a metric that are not 0, the largest first. */
function counted(metric: string, label: string): readonly Count[] {
  const counts = [...totalBy(traffic.samples, `tickerplant_${metric}`, label)];
  return counts.filter(([, count]) => count > 0).sort(([, a], [, b]) => b - a);
}

function CountList(props: {
  readonly counts: readonly Count[];
  readonly note?: (name: string) => string;
}) {
  return (
    <dl class="plant-facts">
      {props.counts.map(([name, count]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            {fixed(count, 0)}
            {props.note?.(name)}
          </dd>
        </div>
      ))}
    </dl>
  );
}
