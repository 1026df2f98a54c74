import { marketNow } from "../../market/time.ts";
import { clockTime, span } from "../../parts/format.ts";
import { Note } from "../../parts/note.tsx";
import { Panel } from "../../parts/panel.tsx";
import { plantDelete, plantPost, poll } from "../../wire/plant.ts";
import { desk } from "./desk.ts";
import { bodyOf, type LeversPage, leverFields } from "./forms.ts";
import { KindForm, ProblemNote } from "./kind_form.tsx";

const LEVERS = "/plant/v1/levers";
const EVERY_MS = 2_000;

type Lever = LeversPage["levers"][number];

const levers = () => poll(LEVERS, EVERY_MS);

/** Levers: what changes the simulated market. */
export function LeversPanel() {
  const { data: page, error } = levers().state.value;
  const pulled = page?.levers ?? [];
  return (
    <Panel
      title={`Levers${pulled.length > 0 ? `: ${pulled.length} pulled` : ""}`}
      tools={
        <button
          type="button"
          disabled={pulled.length === 0}
          onClick={() =>
            void desk
              .carryOut({
                place: "levers",
                run: () => plantDelete(LEVERS),
                said: () => "All levers are released.",
              })
              .then(() => levers().refresh())
          }
        >
          Release all
        </button>
      }
    >
      <div class="control-text">
        {page === undefined && error && <Note kind="error">{error.message}</Note>}
        <ProblemNote place="levers" />
        {page && <Pulled page={page} />}
        {page && (
          <KindForm
            place="lever"
            noun="lever"
            verb="Pull"
            kinds={page.kinds}
            groupsOf={(name) => {
              const kind = page.kinds.find((each) => each.name === name);
              return kind ? leverFields(kind) : [];
            }}
            send={(market, groups, values) =>
              desk
                .carryOut({
                  place: "lever",
                  run: () => plantPost(LEVERS, { market, ...bodyOf(groups, values) }),
                  said: ({ id }) => `Pulled: ${market} (${id}).`,
                  undo: ({ id }) => ({ label: "Release", run: () => release(id) }),
                })
                .finally(() => levers().refresh())
            }
          />
        )}
      </div>
    </Panel>
  );
}

function release(id: string): Promise<void> {
  return desk
    .carryOut({
      place: id,
      run: () => plantDelete(`${LEVERS}/{id}`, { id }),
      said: () => `Released: lever ${id}.`,
    })
    .then(() => levers().refresh());
}

function Pulled(props: { readonly page: LeversPage }) {
  if (props.page.levers.length === 0) return <p class="quiet">No lever is pulled.</p>;
  return (
    <ul aria-label="Levers" class="control-rules">
      {props.page.levers.map((lever) => (
        <LeverRow key={lever.id} lever={lever} />
      ))}
    </ul>
  );
}

function LeverRow(props: { readonly lever: Lever }) {
  const { id, market, state, symbols, since_ms, until_ms } = props.lever;
  const left = until_ms === null ? "" : `, ${span(Math.max(0, until_ms - marketNow()))} left`;
  return (
    <li data-testid="lever" data-id={id} data-state={state}>
      <div>
        <span class="quiet">{id}</span>{" "}
        <code>{[market, ...parameters(props.lever), ...symbols].join(" ")}</code>
        <p class="quiet">
          {state}, since {clockTime(since_ms)}
          {left}
        </p>
      </div>
      {state !== "releasing" && (
        <button
          type="button"
          aria-label={`Release ${id}`}
          disabled={desk.isBusy(id)}
          onClick={() => void release(id)}
        >
          Release
        </button>
      )}
      <ProblemNote place={id} />
    </li>
  );
}

function parameters(lever: Lever): readonly string[] {
  return Object.entries(lever.parameters).map(([name, value]) => `${name}=${value}`);
}
