import "./control.css";
import { useEffect } from "preact/hooks";
import { marks } from "../../market/marks.ts";
import { Guard } from "../../parts/guard.tsx";
import { Note } from "../../parts/note.tsx";
import { go } from "../../route.ts";
import { server } from "../../wire/plant.ts";
import { ClockPanel } from "./clock_panel.tsx";
import { type Done, desk } from "./desk.ts";
import { FaultsPanel } from "./faults_panel.tsx";
import { LeversPanel } from "./levers_panel.tsx";
import { ScenariosPanel } from "./scenarios_panel.tsx";

/** The control room: the clock, and what goes wrong or changes on demand. */
export function ControlRoom() {
  // What is turned on and off again here has to be remembered for the chart.
  useEffect(() => marks.subscribe(() => {}), []);
  const here = server.value;
  const startedMs = here?.started_ms ?? 0;
  useEffect(() => {
    if (startedMs > 0) desk.serve(startedMs);
  }, [startedMs]);
  if (here === undefined) {
    return <Note kind="info">The server has not said yet what can be controlled.</Note>;
  }
  const { faults, scenarios, levers } = here.controls;
  return (
    <div class="control-room">
      <Guard>
        <ClockPanel />
        <DoneList />
      </Guard>
      <div class="control-columns">
        <Guard>
          {faults && <FaultsPanel />}
          {levers && <LeversPanel />}
        </Guard>
      </div>
      <Guard>{scenarios && <ScenariosPanel />}</Guard>
      {!levers && (
        <p class="control-note quiet">
          This market has no levers: only a simulated one can be changed,{" "}
          <code>tickerplant simulate</code>.
        </p>
      )}
    </div>
  );
}

/** What was done here, with what takes it back. */
function DoneList() {
  const { done } = desk;
  return (
    <ul class="control-done" aria-live="polite" aria-label="What was done">
      {done.value.map((each) => (
        <DoneRow key={each.id} done={each} />
      ))}
    </ul>
  );
}

function DoneRow(props: { readonly done: Done }) {
  const { id, text, undo } = props.done;
  return (
    <li data-testid="done">
      <span>
        <span aria-hidden="true">✓</span> {text}
      </span>
      {undo && (
        <button
          type="button"
          onClick={() => {
            desk.dismiss(id);
            void desk.carryOut({ place: `undo ${id}`, run: undo.run, said: () => "" });
          }}
        >
          {undo.label}
        </button>
      )}
      <button type="button" onClick={() => go({ room: "market" })}>
        Show in the chart
      </button>
      <button type="button" aria-label="Remove this line" onClick={() => desk.dismiss(id)}>
        ✕
      </button>
    </li>
  );
}
