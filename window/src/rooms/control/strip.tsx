import "./control.css";
import { useEffect } from "preact/hooks";
import { bind } from "../../keys.ts";
import { dateTime } from "../../parts/format.ts";
import { route } from "../../route.ts";
import { server } from "../../wire/plant.ts";
import { type Clock, phaseText, speedText } from "./clock.ts";
import { clock, coverage, step, togglePause } from "./follow.ts";
import { ProblemNote } from "./kind_form.tsx";
import { SeekBar } from "./seek_bar.tsx";

/** Where what was refused to the strip is kept. */
const PLACES = ["clock", "step", "seek"];

/** The clock in the header, where the server has one. */
export function ClockStrip() {
  const hasClock = server.value?.controls.clock ?? false;
  useEffect(() => {
    if (!hasClock) return;
    const ends = [
      bind(" ", "Pause, or go on", togglePause),
      bind(".", "Step by a second", () => void step("1s")),
    ];
    return () => {
      for (const end of ends) end();
    };
  }, [hasClock]);
  // The control room shows all of it.
  if (!hasClock || route.value.room === "control") return null;
  const now = clock.value;
  if (now === undefined) return null;
  return (
    <section class="clock-strip" aria-label="Clock">
      <PauseButton clock={now} />
      <time data-testid="clock-time" data-time-ms={Math.round(now.timeMs)}>
        {dateTime(now.timeMs)}
      </time>
      <span class="quiet" data-testid="clock-state">
        {now.phase === "playing" && !now.isPending ? speedText(now.speed) : phaseText(now)}
      </span>
      <SeekBar clock={now} coverage={coverage.value} isThin />
      {PLACES.map((place) => (
        <ProblemNote key={place} place={place} />
      ))}
    </section>
  );
}

/** Pauses the market, or lets it go on; plays a recording again that is over. */
export function PauseButton(props: { readonly clock: Clock }) {
  const { isPaused, isReplay, phase } = props.clock;
  const isOver = phase === "over";
  const label = isOver ? "Play again" : isPaused ? "Go on" : "Pause";
  return (
    <button
      type="button"
      class="control-pause"
      data-testid="pause"
      aria-label={label}
      title={`${label} (space)`}
      aria-keyshortcuts="Space"
      disabled={isOver && !isReplay}
      onClick={togglePause}
    >
      <span aria-hidden="true">{isOver ? "↻" : isPaused ? "▶" : "❚❚"}</span>
    </button>
  );
}
