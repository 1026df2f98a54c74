import { useSignal } from "@preact/signals";
import { marketNow } from "../../market/time.ts";
import { clockTime, span } from "../../parts/format.ts";
import { Note } from "../../parts/note.tsx";
import { Panel } from "../../parts/panel.tsx";
import { plantDelete, plantPost, poll, server } from "../../wire/plant.ts";
import { desk } from "./desk.ts";
import { ProblemNote, Prose } from "./kind_form.tsx";
import {
  failures,
  inOrder,
  nextChange,
  progressAt,
  type Scenario,
  type ScenariosPage,
  startableFirst,
} from "./scenario.ts";

const SCENARIOS = "/plant/v1/scenarios";
const EVERY_MS = 2_000;
const MOST_OVER = 3;

const scenarios = () => poll(SCENARIOS, EVERY_MS);

/** Scenarios: timed changes of the market and of what clients get. */
export function ScenariosPanel() {
  const { data: page, error } = scenarios().state.value;
  const { on, over } = inOrder(page ?? { scenarios: [], library: [] });
  return (
    <Panel
      title={`Scenarios${on.length > 0 ? `: ${on.length} on` : ""}`}
      tools={
        <button
          type="button"
          disabled={on.length === 0}
          onClick={() =>
            void desk
              .carryOut({
                place: "scenarios",
                run: () => plantDelete(SCENARIOS),
                said: () => "All scenarios are stopped.",
              })
              .then(() => scenarios().refresh())
          }
        >
          Stop all
        </button>
      }
    >
      <div class="control-text">
        {page === undefined && error && <Note kind="error">{error.message}</Note>}
        <ProblemNote place="scenarios" />
        {[...on, ...over.slice(0, MOST_OVER)].map((each) => (
          <Run key={each.id} scenario={each} />
        ))}
        {page && <Library page={page} />}
        {page && <OwnScenario />}
      </div>
    </Panel>
  );
}

function stop(id: string, place: string): Promise<void> {
  return desk
    .carryOut({
      place,
      run: () => plantDelete(`${SCENARIOS}/{id}`, { id }),
      said: () => `Stopped: scenario ${id}. What it changed is taken back.`,
    })
    .then(() => scenarios().refresh());
}

function start(place: string, body: Readonly<Record<string, string>>): Promise<boolean> {
  return desk
    .carryOut({
      place,
      run: () => plantPost(SCENARIOS, body),
      said: (scenario) => {
        const { id, title, start_ms, end_ms } = scenario;
        const next = nextChange(scenario);
        const then = next ? ` Next in ${span(next.time_ms - start_ms)}: ${next.text}.` : "";
        return `Started: ${title} (${id}), ${span(end_ms - start_ms)} of market time.${then}`;
      },
      undo: ({ id }) => ({ label: "Stop", run: () => stop(id, id) }),
    })
    .finally(() => scenarios().refresh());
}

/** A scenario that was started. */
function Run(props: { readonly scenario: Scenario }) {
  const { scenario } = props;
  const { id, title, state, stopped, done, to_come, start_ms, end_ms } = scenario;
  const nowMs = marketNow();
  const next = nextChange(scenario);
  const isOver = state === "over";
  const ending = stopped ? "stopped" : "over";
  return (
    <article class="control-run" data-testid="scenario" data-id={id} data-state={state}>
      <header>
        <strong>{title}</strong> <span class="quiet">{id}</span>{" "}
        <span class="control-run-state">{isOver ? ending : state}</span>
        {!isOver && (
          <button
            type="button"
            aria-label={`Stop ${title}`}
            disabled={desk.isBusy(id)}
            onClick={() => void stop(id, id)}
          >
            Stop
          </button>
        )}
      </header>
      <progress max={1} value={progressAt(scenario, nowMs)} aria-label={`Progress of ${title}`} />
      <p class="quiet">
        {clockTime(start_ms)}–{clockTime(end_ms)}, {done} of {done + to_come} changes made
      </p>
      {!isOver && next && (
        <p>
          Next in {span(Math.max(0, next.time_ms - nowMs))}: <code>{next.text}</code>
        </p>
      )}
      {!isOver && !next && (
        <p>All changes are made; it ends in {span(Math.max(0, end_ms - nowMs))} of market time.</p>
      )}
      {failures(scenario).map((each) => (
        <Note key={`${each.time_ms} ${each.text}`} kind="warning">
          {each.text}: {each.reason}
        </Note>
      ))}
      <ProblemNote place={id} />
    </article>
  );
}

function Library(props: { readonly page: ScenariosPage }) {
  const isSimulated = server.value?.controls.levers ?? false;
  const library = startableFirst(props.page.library, isSimulated);
  return (
    <ul class="control-cards">
      {library.map((each) => {
        const place = `scenario ${each.name}`;
        const isBarred = each.needs_simulation && !isSimulated;
        return (
          <li key={each.name}>
            <header>
              <button
                type="button"
                class="control-main"
                aria-label={`Start ${each.title}`}
                data-testid={`start-${each.name}`}
                disabled={isBarred || desk.isBusy(place)}
                onClick={() => void start(place, { scenario: each.name })}
              >
                {each.title}
              </button>
              <span class="quiet">{span(each.duration_ms)}</span>
            </header>
            <p class="quiet">
              <Prose text={each.here} />
            </p>
            {isBarred && (
              <p class="quiet">It changes the market: only a simulated one can be changed.</p>
            )}
            <ProblemNote place={place} />
          </li>
        );
      })}
    </ul>
  );
}

/** A scenario of one's own, as the text of its file. */
function OwnScenario() {
  const toml = useSignal("");
  return (
    <details>
      <summary>A scenario of your own</summary>
      <form
        class="control-own-scenario"
        onSubmit={(event) => {
          event.preventDefault();
          void start("own scenario", { toml: toml.value, name: "window.toml" });
        }}
      >
        <textarea
          aria-label="The scenario, TOML"
          rows={8}
          spellcheck={false}
          placeholder={
            'title = "A quiet cut"\n\n[[change]]\nat = "10s"\nfault = { kind = "reset" }'
          }
          value={toml.value}
          onInput={(event) => {
            toml.value = event.currentTarget.value;
            desk.forgive("own scenario");
          }}
        />
        <button type="submit" class="control-main" disabled={toml.value.trim() === ""}>
          Start
        </button>
        <ProblemNote place="own scenario" />
      </form>
    </details>
  );
}
