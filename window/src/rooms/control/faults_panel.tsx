import { marketNow } from "../../market/time.ts";
import { clockTime, span } from "../../parts/format.ts";
import { Note } from "../../parts/note.tsx";
import { Panel } from "../../parts/panel.tsx";
import { plantDelete, plantPost, poll } from "../../wire/plant.ts";
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
  const ids: string[] = [];
  const remove = async (): Promise<void> => {
    await removeAll(ids);
  };
  return desk
    .carryOut({
      place,
      run: async () => {
        const texts: string[] = [];
        for (const rule of rules) {
          const added = await plantPost(FAULTS, rule);
          ids.push(added.id);
          texts.push(added.text);
        }
        return texts;
      },
      said: (texts) => `${title || "A fault is on"}: ${texts.join(", ")} (${ids.join(", ")}).`,
      undo: () => ({ label: "Turn off", run: remove }),
    })
    .finally(() => faults().refresh());
}

async function removeAll(ids: readonly string[]): Promise<void> {
  const present = new Set((await plantGetRules()).map(({ id }) => id));
  for (const id of ids) if (present.has(id)) await plantDelete(`${FAULTS}/{id}`, { id });
  faults().refresh();
}

async function plantGetRules(): Promise<FaultsPage["rules"]> {
  return faults().state.peek().data?.rules ?? [];
}

function OneClicks(props: { readonly page: FaultsPage }) {
  return (
    <ul class="one-clicks">
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
        class="main"
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
    <table aria-label="Faults" class="rules">
      <thead>
        <tr>
          <th>Fault</th>
          <th>State</th>
          <th class="number">Hits</th>
          <th>When</th>
          <th>
            <span class="unseen">Turn off</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {[...on, ...over.reverse()].map((rule) => (
          <tr key={rule.id} data-testid="fault" data-id={rule.id} data-state={rule.state}>
            <td class="rule-text">
              <span class="quiet">{rule.id}</span> <code>{rule.text}</code>
            </td>
            <td>{rule.state}</td>
            <td class="number">{rule.hits.toLocaleString("en")}</td>
            <td>{windowText(rule)}</td>
            <td>
              {rule.state !== "over" && (
                <button
                  type="button"
                  aria-label={`Turn off ${rule.id}`}
                  disabled={desk.isBusy(rule.id)}
                  onClick={() =>
                    void desk
                      .carryOut({
                        place: rule.id,
                        run: () => plantDelete(`${FAULTS}/{id}`, { id: rule.id }),
                        said: () => `Off: ${rule.text} (${rule.id}).`,
                      })
                      .then(() => faults().refresh())
                  }
                >
                  Turn off
                </button>
              )}
              <ProblemNote place={rule.id} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function windowText(rule: FaultsPage["rules"][number]): string {
  const nowMs = marketNow();
  const { state, opens_ms, ends_ms } = rule;
  if (state === "waiting") return `in ${span(opens_ms - nowMs)}`;
  const since = `since ${clockTime(opens_ms)}`;
  if (state === "over") return clockTime(opens_ms);
  return ends_ms === null ? since : `${since}, ${span(Math.max(0, ends_ms - nowMs))} left`;
}
