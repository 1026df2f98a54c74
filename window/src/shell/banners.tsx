import { useEffect, useState } from "preact/hooks";
import { Note } from "../parts/note.tsx";
import { otherBuild } from "../wire/plant.ts";
import { pausedUntilMs } from "../wire/rest.ts";
import { feed } from "../wire/socket.ts";
import { contractsProblem, missingSymbol } from "./server_state.ts";

/** Seconds from now to a time, counted down while it is to come. */
function useSecondsTo(timeMs: number): number {
  const [, redraw] = useState(0);
  const left = Math.max(0, Math.ceil((timeMs - Date.now()) / 1_000));
  useEffect(() => {
    if (left === 0) return;
    const timer = setTimeout(() => redraw((count) => count + 1), 500);
    return () => clearTimeout(timer);
  });
  return left;
}

function FeedBanner() {
  const { phase, reason, retryAtMs } = feed.state.value;
  const left = useSecondsTo(retryAtMs);
  if (phase === "unsupported") {
    return (
      <Note kind="error">
        {reason} The page cannot show the market live; REST answers, such as past candles, are
        shown.
      </Note>
    );
  }
  if (phase === "waiting") {
    return (
      <Note kind="error">
        Disconnected: {reason}. What is shown is as it was. Next attempt{" "}
        {left > 0 ? `in ${left} s` : "now"}.{" "}
        <button type="button" onClick={() => feed.retry()}>
          Try now
        </button>
      </Note>
    );
  }
  if (phase === "connecting" && reason) {
    return (
      <Note kind="error">
        Disconnected: {reason}. What is shown is as it was. Connecting again …
      </Note>
    );
  }
  if (phase === "over") {
    return (
      <Note kind="info">
        The streams are over: {reason}. What is shown is the end; requests are still answered while
        the server runs.
      </Note>
    );
  }
  if (phase === "open" && reason) return <Note kind="warning">{reason}</Note>;
  return null;
}

/** What everybody who looks at the page should know now. */
export function Banners() {
  const pausedS = useSecondsTo(pausedUntilMs.value);
  return (
    <div class="banners" data-testid="banner">
      <FeedBanner />
      {otherBuild.value && (
        <Note kind="warning">
          The server has another version of this page now.{" "}
          <button type="button" onClick={() => location.reload()}>
            Reload
          </button>
        </Note>
      )}
      {pausedS > 0 && (
        <Note kind="warning">
          This address has used up its request weight: requests wait for {pausedS} s. Streams go on.
        </Note>
      )}
      {contractsProblem.value && (
        <Note kind="error">The contracts cannot be loaded: {contractsProblem.value}.</Note>
      )}
      {missingSymbol.value && (
        <Note kind="warning">
          This server has no contract {missingSymbol.value}; another one is shown.{" "}
          <button
            type="button"
            onClick={() => {
              missingSymbol.value = "";
            }}
          >
            Close
          </button>
        </Note>
      )}
    </div>
  );
}
