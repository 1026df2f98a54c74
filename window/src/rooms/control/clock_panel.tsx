import { useSignal } from "@preact/signals";
import { Choice } from "../../parts/choice.tsx";
import { dateTime, span } from "../../parts/format.ts";
import { Note } from "../../parts/note.tsx";
import { Panel } from "../../parts/panel.tsx";
import { server } from "../../wire/plant.ts";
import { type Clock, parseSpeed, phaseText, quietOf, speedText } from "./clock.ts";
import { desk } from "./desk.ts";
import { clock, coverage, seek, setSpeed, stay, step } from "./follow.ts";
import { ProblemNote } from "./kind_form.tsx";
import { HoleList, SeekBar } from "./seek_bar.tsx";
import { PauseButton } from "./strip.tsx";

const SPEEDS = [0.1, 0.5, 1, 2, 10, 60, 0];
const STEPS = ["1s", "10s", "1m"];
const AHEAD = ["+1m", "+10m", "+1h"];

/** The clock of the market: where it is, how fast it goes, and where it is to go. */
export function ClockPanel() {
  const here = server.value;
  if (here === undefined) return null;
  if (!here.controls.clock) {
    return (
      <Panel title="Clock">
        <p class="control-note">
          A relay has no clock: it passes on the market of another server as it comes. A replay and
          a simulation have one, <code>tickerplant replay RECORDING</code> and{" "}
          <code>tickerplant simulate</code>.
        </p>
      </Panel>
    );
  }
  const now = clock.value;
  return (
    <Panel title="Clock" class="clock-panel">
      {now === undefined ? (
        <p class="control-note quiet">Asking the server …</p>
      ) : (
        <Face now={now} />
      )}
    </Panel>
  );
}

function Face(props: { readonly now: Clock }) {
  const { now } = props;
  const covered = coverage.value;
  const isOver = now.phase === "over";
  return (
    <div class="control-text">
      <div class="clock-face">
        <PauseButton clock={now} />
        <time class="clock-time" data-testid="clock-time" data-time-ms={Math.round(now.timeMs)}>
          {dateTime(now.timeMs)} UTC
        </time>
        <span
          class={`clock-phase clock-${now.phase.replace(" ", "-")}`}
          data-testid="clock-state"
          role="status"
        >
          {phaseText(now)}, {speedText(now.speed)}
          {now.loops ? ", in a loop" : ""}
        </span>
      </div>
      <SeekBar clock={now} coverage={covered} />
      <PendingNote now={now} />
      <QuietNote now={now} />
      {isOver && (
        <Note kind="info">
          {now.isReplay
            ? "The recording is over; the last state of the market stays. Go back to play it again."
            : "The simulation is over."}
        </Note>
      )}
      <Places now={now} />
      {now.isReplay && covered && !covered.complete && (
        <p class="quiet">The recording is still being looked through for holes.</p>
      )}
      {now.isReplay && covered && <HoleList clock={now} coverage={covered} />}
      <p class="quiet">
        {now.messages.toLocaleString("en")} {now.isReplay ? "messages played" : "events"}
        {now.shiftMs ? `; all times are ${span(now.shiftMs)} later than they were recorded` : ""}
        {now.recordings.length > 0 ? `; ${now.recordings.join(", ")}` : ""}
      </p>
    </div>
  );
}

/** Where the market is on its way to. */
function PendingNote(props: { readonly now: Clock }) {
  const { isPending, isReplay, targetMs, shiftMs, timeMs } = props.now;
  if (!isPending) return null;
  const way = isReplay ? "What comes before is played and not sent" : "Now at";
  return (
    <Note kind="info">
      On the way{targetMs === null ? "" : ` to ${dateTime(targetMs + shiftMs)}`}. {way}:{" "}
      {dateTime(timeMs)}.{" "}
      <button type="button" disabled={desk.isBusy("stay")} onClick={stay}>
        Stay here
      </button>
    </Note>
  );
}

/** What a replay does where nothing was recorded. */
function QuietNote(props: { readonly now: Clock }) {
  const { now } = props;
  const quiet = quietOf(now);
  if (quiet === undefined) return null;
  const until = dateTime(quiet.untilMs + now.shiftMs);
  const waits = quiet.waitMs
    ? `the replay ${now.isPaused ? "would wait" : "waits"} ${span(quiet.waitMs)} at ${speedText(now.speed)}`
    : "at full speed the replay goes on there at once";
  return (
    <Note kind="info">
      Nothing was recorded until {until}: {waits}.{" "}
      <button type="button" onClick={() => void seek(Math.ceil(quiet.untilMs), until)}>
        Skip it
      </button>
    </Note>
  );
}

/** Speed, steps, and where to go. */
function Places(props: { readonly now: Clock }) {
  const { now } = props;
  const speedEntry = useSignal("");
  const speedProblem = useSignal("");
  const target = useSignal("");
  const count = useSignal("1");
  const known = SPEEDS.includes(now.speed) ? now.speed : Number.NaN;
  const messages = Number(count.value);
  const isOver = now.phase === "over";
  return (
    <div class="clock-places">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          try {
            const speed = parseSpeed(speedEntry.value);
            speedProblem.value = "";
            void setSpeed(speed).then((isSet) => {
              if (isSet) speedEntry.value = "";
            });
          } catch (error) {
            speedProblem.value = `Speed: expected ${(error as Error).message}.`;
          }
        }}
      >
        <span class="place-name">Speed</span>
        <Choice
          label="Speed"
          value={known}
          options={SPEEDS.map((value) => ({ value, text: value ? `${value}×` : "full" }))}
          onChoose={(speed) => void setSpeed(speed)}
        />
        <input
          class="control-short"
          aria-label="Another speed"
          placeholder={Number.isNaN(known) ? speedText(now.speed) : "other"}
          inputMode="decimal"
          value={speedEntry.value}
          onInput={(event) => {
            speedEntry.value = event.currentTarget.value;
            speedProblem.value = "";
          }}
        />
        <button type="submit" disabled={speedEntry.value === ""}>
          Set
        </button>
        {speedProblem.value && <Note kind="error">{speedProblem.value}</Note>}
        <ProblemNote place="speed" />
      </form>
      <div>
        <span class="place-name">Step</span>
        {STEPS.map((each) => (
          <button
            key={each}
            type="button"
            title={`Pause, and go on by ${each} of market time${each === "1s" ? " (.)" : ""}`}
            disabled={isOver || desk.isBusy("step")}
            onClick={() => void step(each)}
          >
            {each}
          </button>
        ))}
        {now.isReplay && (
          <>
            <input
              class="control-short"
              type="number"
              min={1}
              max={1_000_000}
              aria-label="Messages of a step"
              value={count.value}
              onInput={(event) => {
                count.value = event.currentTarget.value;
              }}
            />
            <button
              type="button"
              disabled={
                isOver || !Number.isInteger(messages) || messages < 1 || desk.isBusy("step")
              }
              onClick={() => void step(messages)}
            >
              {messages === 1 ? "message" : "messages"}
            </button>
          </>
        )}
        <ProblemNote place="step" />
      </div>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void seek(target.value, target.value, "go").then((isDone) => {
            if (isDone) target.value = "";
          });
        }}
      >
        <span class="place-name">Go to</span>
        {(now.isReplay ? ["-1m", "-10s", ...AHEAD.slice(0, 2)] : AHEAD).map((each) => (
          <button
            key={each}
            type="button"
            disabled={desk.isBusy("go") || (isOver && each.startsWith("+"))}
            onClick={() => void seek(each, each, "go")}
          >
            {each.replace("-", "−")}
          </button>
        ))}
        <input
          aria-label="Where to go: a time or an offset"
          placeholder={`${dateTime(now.positionMs).replace(" ", "T")} or +90s`}
          value={target.value}
          onInput={(event) => {
            target.value = event.currentTarget.value;
            desk.forgive("go");
          }}
        />
        <button type="submit" disabled={target.value.trim() === "" || desk.isBusy("go")}>
          Go
        </button>
        <ProblemNote place="go" />
        {now.isReplay ? null : (
          <p class="quiet">
            What comes before the target is simulated and not sent; it cannot go back.
          </p>
        )}
      </form>
      <ProblemNote place="clock" />
      <ProblemNote place="seek" />
    </div>
  );
}
