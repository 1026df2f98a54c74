import { type ComponentChildren, Fragment, h, toChildArray } from "preact";
import { useErrorBoundary } from "preact/hooks";
import { Note } from "./note.tsx";

/** Shows a sentence in place of each child that cannot be drawn, so that the others stay. */
export function Guard(props: { readonly children: ComponentChildren }) {
  const guarded = toChildArray(props.children).map((child) => h(Guarded, null, child));
  return h(Fragment, null, ...guarded);
}

function Guarded(props: { readonly children?: ComponentChildren }) {
  const [error, retry] = useErrorBoundary();
  if (error === undefined || error === null) return <>{props.children}</>;
  return (
    <Note kind="error">
      This part cannot be shown: {String(error)}.{" "}
      <button type="button" onClick={retry}>
        Try again
      </button>
    </Note>
  );
}
