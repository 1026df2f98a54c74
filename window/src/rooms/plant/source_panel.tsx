import { useStore } from "../../frame.ts";
import { Note } from "../../parts/note.tsx";
import { Panel } from "../../parts/panel.tsx";
import { needsToken, server } from "../../wire/plant.ts";
import { Facts } from "./facts.tsx";
import { clock, ready, traffic } from "./polls.ts";
import { Problem } from "./problem.tsx";
import { progress, sourceFacts, sourceState, sourceTitle } from "./source.ts";

/** Where the market comes from, and how that goes. */
export function SourcePanel() {
  useStore(traffic);
  const here = server.value;
  const { data: state, error } = ready.state.value;
  if (here === undefined) {
    return (
      <Panel title="Source">
        <p class="plant-text quiet">
          {needsToken.value
            ? "The server says what it is when it has its token: enter it above."
            : "The server has not said yet what it is."}
        </p>
      </Panel>
    );
  }
  const time = here.controls.clock ? clock.state.value.data : undefined;
  const { isWell, text } = sourceState(state, time);
  const done = progress(time);
  return (
    <Panel title="Source">
      <p class="plant-text">
        <strong data-testid="source">{sourceTitle(here)}</strong>{" "}
        <span class={isWell ? "up" : "down"} data-testid="source-state">
          <span aria-hidden="true">{isWell ? "●" : "▲"}</span> {text}
        </span>
      </p>
      <Problem what="The state" error={error} isKnown={state !== undefined} />
      {done !== undefined && (
        <progress class="plant-progress" aria-label="Position of the replay" value={done} max={1} />
      )}
      {state?.warnings.map((each) => (
        <Note key={each} kind="warning">
          {each}
        </Note>
      ))}
      <Facts facts={sourceFacts(here, time, traffic.samples)} />
    </Panel>
  );
}
