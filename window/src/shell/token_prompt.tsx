import { useState } from "preact/hooks";
import { Note } from "../parts/note.tsx";
import { route } from "../route.ts";
import { needsToken, setToken } from "../wire/plant.ts";

/** Asks for the token of the control plane, where a room cannot do without. */
export function TokenPrompt() {
  const [token, change] = useState("");
  if (!needsToken.value || route.value.room === "market") return null;
  return (
    <form
      class="token"
      onSubmit={(event) => {
        event.preventDefault();
        setToken(token.trim());
      }}
    >
      <Note kind="warning">
        This server asks for a token: the one of --control-token, or that it printed when it
        started.
      </Note>
      <label>
        Token{" "}
        <input
          type="password"
          autocomplete="off"
          value={token}
          onInput={(event) => change(event.currentTarget.value)}
        />
      </label>{" "}
      <button type="submit">Use it</button>
    </form>
  );
}
