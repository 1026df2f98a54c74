import { marketNow } from "../../market/time.ts";
import { clockTime, span } from "../../parts/format.ts";
import { Note } from "../../parts/note.tsx";
import { Panel } from "../../parts/panel.tsx";
import { PlantError, plantDelete, plantPost, poll } from "../../wire/plant.ts";
import { desk } from "./desk.ts";
import {
  bodyOf,
  type FaultsPage,
  faultFields,
  ONE_CLICKS,
  type OneClick,
  rulesOf,
} from "./forms.ts";
import { KindForm, ProblemNote } from "./kind_form.tsx";

const FAULTS = "/plant/v1/faults";
const EVERY_MS = 2_000;
/** Rules that are over and still shown. */
const MOST_OVER = 5;

type Rule = FaultsPage["rules"][number];

const faults = () => poll(FAULTS, EVERY_MS);

/** Faults: what goes wrong on demand, and what turns it on and off. */
export function FaultsPanel() {
  const { data: page, error } = faults().state.value;
  const on = page?.rules.filter(({ state }) => state !== "over") ?? [];
  return (
    <Panel
      title={`Faults${on.length > 0 ? `: ${on.length} on` : ""}`}
      tools={
        <button
          type="button"
          disabled={on.length === 0}
          data-testid="clear-faults"
          onClick={() =>
            void desk
              .carryOut({
                place: "faults",
                run: () => plantDelete(FAULTS),
                said: () => "All faults are off.",
              })
              .then(() => faults().refresh())
          }
        >
          Turn all off
        </button>
      }
    >
      <div class="control-text">
        {page === undefined && error && <Note kind="error">{error.message}</Note>}
        <ProblemNote place="faults" />
        {page && <OneClicks page={page} />}
        {page && <Rules page={page} />}
        {page && (
          <details>
            <summary>Another fault</summary>
            <KindForm
              place="fault"
              noun="fault"
              verb="Turn on"
              kinds={page.kinds ?? []}
              groupsOf={(name) => {
                const kind = page.kinds?.find((each) => each.name === name);
                return kind ? faultFields(page, kind) : [];
              }}
              send={(kind, groups, values) =>
                add("fault", [{ kind, ...bodyOf(groups, values) }], "")
              }
            />
          </details>
        )}
      </div>
    </Panel>
  );
}

/** Turn faults on together; what was turned on can be taken back together. */
function add(
  place: string,
  rules: readonly Readonly<Record<string, unknown>>[],
  title: string,
): Promise<boolean> {
  return desk
    .carryOut({
      place,
      run: async () => {
        const added: Rule[] = [];
        for (const rule of rules) added.push(await plantPost(FAULTS, rule));
        return added;
      },
      said: (added) => {
        const texts = added.map(({ id, text }) => `${text} (${id})`);
        return `${title || "A fault is on"}: ${texts.join(", ")}.`;
      },
      undo: (added) => {
        const ids = added.filter(({ state }) => state !== "over").map(({ id }) => id);
        return ids.length > 0 ? { label: "Turn off", run: () => removeAll(ids) } : undefined;
      },
    })
    .finally(() => faults().refresh());
}

/** Turn rules off; those that somebody else removed are none the worse. */
async function removeAll(ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    await plantDelete(`${FAULTS}/{id}`, { id }).catch((error: unknown) => {
      if (!(error instanceof PlantError) || error.status !== 404) throw error;
    });
  }
  faults().refresh();
}

function OneClicks(props: { readonly page: FaultsPage }) {
  return (
    <ul class="control-one-clicks">
      {ONE_CLICKS.map((click) => (
        <OneClickRow key={click.id} click={click} on={rulesOf(click, props.page)} />
      ))}
    </ul>
  );
}

function OneClickRow(props: { readonly click: OneClick; readonly on: readonly string[] }) {
  const { click, on } = props;
  const place = `one click ${click.id}`;
  const isOn = on.length > 0;
  return (
    <li>
      <button
        type="button"
        class="control-main"
        aria-pressed={isOn}
        data-testid={`break-${click.id}`}
        disabled={desk.isBusy(place)}
        onClick={() => {
          if (!isOn) void add(place, click.rules, click.title);
          else {
            void desk.carryOut({
              place,
              run: () => removeAll(on),
              said: () => `Off: ${click.title}.`,
            });
          }
        }}
      >
        {isOn ? `Turn off: ${click.title}` : click.title}
      </button>
      <p class="quiet">{click.words}</p>
      <ProblemNote place={place} />
    </li>
  );
}

function Rules(props: { readonly page: FaultsPage }) {
  const { rules } = props.page;
  const on = rules.filter(({ state }) => state !== "over");
  const over = rules.filter(({ state }) => state === "over").slice(-MOST_OVER);
  if (on.length + over.length === 0) return <p class="quiet">No fault is on.</p>;
  return (
    <ul aria-label="Faults" class="control-rules">
      {[...on, ...over.reverse()].map((rule) => (
        <RuleRow key={rule.id} rule={rule} />
      ))}
    </ul>
  );
}

function RuleRow(props: { readonly rule: Rule }) {
  const { id, text, state, hits } = props.rule;
  return (
    <li data-testid="fault" data-id={id} data-state={state} data-hits={hits}>
      <div>
        <span class="quiet">{id}</span> <code>{text}</code>
        <p class="quiet">
          {state}, {hits.toLocaleString("en")} {hits === 1 ? "hit" : "hits"},{" "}
          {windowText(props.rule)}
        </p>
      </div>
      {state !== "over" && (
        <button
          type="button"
          aria-label={`Turn off ${id}`}
          disabled={desk.isBusy(id)}
          onClick={() =>
            void desk
              .carryOut({
                place: id,
                run: () => plantDelete(`${FAULTS}/{id}`, { id }),
                said: () => `Off: ${text} (${id}).`,
              })
              .then(() => faults().refresh())
          }
        >
          Turn off
        </button>
      )}
      <ProblemNote place={id} />
    </li>
  );
}

function windowText(rule: Rule): string {
  const nowMs = marketNow();
  const { state, opens_ms, ends_ms } = rule;
  if (state === "waiting") return `in ${span(opens_ms - nowMs)}`;
  const since = `since ${clockTime(opens_ms)}`;
  if (state === "over") return clockTime(opens_ms);
  return ends_ms === null ? since : `${since}, ${span(Math.max(0, ends_ms - nowMs))} left`;
}
