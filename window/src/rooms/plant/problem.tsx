import { Note } from "../../parts/note.tsx";
import type { PlantError } from "../../wire/plant.ts";

/** Why something of the server cannot be shown, where it would be shown. */
export function Problem(props: {
  readonly what: string;
  readonly error: PlantError | undefined;
  /** Whether it is shown as it was before. */
  readonly isKnown: boolean;
}) {
  const { error, isKnown, what } = props;
  if (error === undefined) return null;
  return (
    <Note kind="error">
      {what} cannot be {isKnown ? "brought up to date" : "shown"}: {reason(error)}.
    </Note>
  );
}

/** Return why a request failed, without a full stop. */
export function reason(error: PlantError): string {
  if (error.status === 401) return "the server wants its token, enter it above";
  return error.message;
}
