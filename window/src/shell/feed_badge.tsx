import { span } from "../parts/format.ts";
import { BEHIND_MS, type FeedState, feed } from "../wire/socket.ts";

/** Return the state of the connection in a word or two, with a sign. */
function said(state: FeedState): { sign: string; text: string; level: "good" | "fair" | "bad" } {
  if (state.phase !== "open") {
    const texts = {
      connecting: "connecting",
      waiting: "disconnected",
      hidden: "resting",
      over: "over",
      unsupported: "no WebSocket",
    };
    const isBad = state.phase === "waiting" || state.phase === "unsupported";
    return { sign: isBad ? "✕" : "○", text: texts[state.phase], level: isBad ? "bad" : "fair" };
  }
  if (state.isSilent) return { sign: "▲", text: "silent", level: "fair" };
  if (state.lagMs >= BEHIND_MS) {
    return { sign: "▲", text: `${span(state.lagMs)} behind`, level: "fair" };
  }
  if (state.isConflated) return { sign: "▲", text: "latest only", level: "fair" };
  return { sign: "●", text: "live", level: "good" };
}

/** The state of the connection to the streams. */
export function FeedBadge() {
  const state = feed.state.value;
  const { sign, text, level } = said(state);
  const perS = Math.round(state.messagesPerS);
  // A room that needs hardly any stream is live too.
  const rate = state.phase === "open" && perS > 0 ? `${perS}/s` : "";
  const merged = state.isConflated ? " The page was behind: the server merges what waits." : "";
  const silent = state.isSilent ? " Nothing comes, and the server does not answer." : "";
  return (
    <output
      class={`badge badge-${level}`}
      data-testid="feed-state"
      data-phase={state.phase}
      data-conflated={state.isConflated}
      title={`${state.reason || "Connected to the streams."}${silent}${merged}`}
    >
      <span aria-hidden="true">{sign}</span> {text} <span class="quiet rate">{rate}</span>
    </output>
  );
}
