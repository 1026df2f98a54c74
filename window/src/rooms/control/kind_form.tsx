import { useSignal } from "@preact/signals";
import { useId } from "preact/hooks";
import { Note } from "../../parts/note.tsx";
import { desk } from "./desk.ts";
import type { FieldGroup, FormField, Values } from "./forms.ts";

/** What the server refused to a place of the page, unless a field of it shows that. */
export function ProblemNote(props: {
  readonly place: string;
  readonly fields?: readonly FormField[];
}) {
  const problem = desk.problem(props.place);
  if (problem === undefined) return null;
  if (props.fields?.some(({ name }) => name === problem.field)) return null;
  return <Note kind="error">{problem.message}</Note>;
}

/** A form of what there are kinds of: choose one, fill in its fields, send it. */
export function KindForm(props: {
  readonly place: string;
  /** What it makes: `fault`. */
  readonly noun: string;
  readonly verb: string;
  readonly kinds: readonly { readonly name: string; readonly doc: string }[];
  readonly groupsOf: (name: string) => readonly FieldGroup[];
  readonly send: (name: string, groups: readonly FieldGroup[], values: Values) => Promise<boolean>;
}) {
  const { place, noun, kinds } = props;
  const name = useSignal(kinds[0]?.name ?? "");
  const values = useSignal<Values>({});
  const id = useId();
  const kind = kinds.find((each) => each.name === name.value) ?? kinds[0];
  if (kind === undefined) return null;
  const groups = props.groupsOf(kind.name);
  const fields = groups.flatMap((group) => group.fields);
  const isLacking = fields.some((each) => each.isRequired && !values.value[each.name]?.trim());
  return (
    <form
      class="kind-form"
      aria-label={`A ${noun}`}
      onSubmit={(event) => {
        event.preventDefault();
        void props.send(kind.name, groups, values.value);
      }}
    >
      <label for={id}>Kind</label>
      <select
        id={id}
        value={kind.name}
        onChange={(event) => {
          name.value = event.currentTarget.value;
          desk.forgive(place);
        }}
      >
        {kinds.map((each) => (
          <option key={each.name} value={each.name}>
            {each.name}
          </option>
        ))}
      </select>
      <p class="kind-doc">
        <Prose text={kind.doc} />
      </p>
      {groups.map((group) => (
        <Group
          key={group.title}
          group={group}
          place={place}
          values={values.value}
          onInput={(field, text) => {
            values.value = { ...values.value, [field]: text };
            desk.forgive(place);
          }}
        />
      ))}
      <div class="kind-send">
        <button type="submit" class="control-main" disabled={isLacking || desk.isBusy(place)}>
          {props.verb}
        </button>
        {isLacking && <span class="quiet">Fields with * are needed.</span>}
      </div>
      <ProblemNote place={place} fields={fields} />
    </form>
  );
}

function Group(props: {
  readonly group: FieldGroup;
  readonly place: string;
  readonly values: Values;
  readonly onInput: (field: string, text: string) => void;
}) {
  const { group, place, values } = props;
  const problem = desk.problem(place);
  const isNeeded = group.fields.some((each) => each.isRequired || each.name === problem?.field);
  const isFilled = group.fields.some((each) => values[each.name]?.trim());
  return (
    <details open={group.title === "Parameters" || isNeeded || isFilled}>
      <summary>{group.title}</summary>
      {group.fields.map((each) => (
        <Field
          key={each.name}
          field={each}
          value={values[each.name] ?? ""}
          problem={problem?.field === each.name ? problem.message : ""}
          onInput={(text) => props.onInput(each.name, text)}
        />
      ))}
    </details>
  );
}

function Field(props: {
  readonly field: FormField;
  readonly value: string;
  readonly problem: string;
  readonly onInput: (text: string) => void;
}) {
  const { field, value, problem } = props;
  const id = useId();
  const shared = {
    id,
    value,
    "aria-invalid": problem !== "",
    "aria-describedby": `${id}-doc`,
    "aria-required": field.isRequired,
  };
  return (
    <div class="kind-field">
      <label for={id}>
        {field.name}
        {field.isRequired ? " *" : ""}
      </label>
      {field.choices.length > 0 ? (
        <select {...shared} onChange={(event) => props.onInput(event.currentTarget.value)}>
          <option value="">{field.expected}</option>
          {field.choices.map((each) => (
            <option key={each} value={each}>
              {each}
            </option>
          ))}
        </select>
      ) : (
        <input
          {...shared}
          placeholder={field.expected}
          autocomplete="off"
          spellcheck={false}
          onInput={(event) => props.onInput(event.currentTarget.value)}
        />
      )}
      <p id={`${id}-doc`} class="quiet">
        <Prose text={field.doc} />
      </p>
      {problem && <Note kind="error">{problem}</Note>}
    </div>
  );
}

/** A sentence of the server, in which names stand between backticks. */
export function Prose(props: { readonly text: string }) {
  return (
    <>
      {props.text
        .split("`")
        .map((part, number) =>
          number % 2 === 1 ? <code key={`${number} ${part}`}>{part}</code> : part,
        )}
    </>
  );
}
