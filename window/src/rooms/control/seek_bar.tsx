import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { explain } from "../../keys.ts";
import { clockTime, dateTime, span } from "../../parts/format.ts";
import {
  type Bar,
  barOf,
  type Clock,
  type Coverage,
  type DrawnHole,
  drawnHoles,
  keyTarget,
  shareAt,
  timeAt,
} from "./clock.ts";
import { seek } from "./follow.ts";

/** Without another key for so long, the position that was chosen with keys is gone to. */
const KEYS_REST_MS = 350;
/** Characters of a reason, and reasons of a place, that are shown at once. */
const LONGEST_REASON = 160;
const MOST_REASONS = 3;

interface BarProps {
  readonly clock: Clock;
  readonly coverage: Coverage | undefined;
  readonly isThin?: boolean;
}

/** Where a market is between its beginning and its end. */
export function SeekBar(props: BarProps) {
  const { clock, isThin = false } = props;
  const isOpen = !clock.isReplay && clock.toMs === null;
  return isOpen ? <OpenBar clock={clock} isThin={isThin} /> : <SliderBar {...props} />;
}

/** The positions of a market as a slider, with what its recordings do not have. */
function SliderBar(props: BarProps) {
  const { clock, coverage, isThin = false } = props;
  const track = useRef<HTMLDivElement>(null);
  const preview = useSignal<number | undefined>(undefined);
  const chosen = useSignal<number | undefined>(undefined);
  const keyTimer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const bar = barOf(clock, coverage);
  const holes = useHoles(bar, coverage);
  const isHeld = useRef(false);
  useEffect(() => explain("← →", "Back, or on, while the seek bar has the focus"), []);
  const shown = (timeMs: number): string => dateTime(timeMs + clock.shiftMs);
  const timeUnder = (event: PointerEvent): number => {
    const box = track.current?.getBoundingClientRect();
    return timeAt(bar, box ? (event.clientX - box.left) / box.width : 0);
  };
  const goTo = (timeMs: number): void => {
    chosen.value = timeMs;
    void seek(timeMs, shown(timeMs)).finally(() => {
      chosen.value = undefined;
      preview.value = undefined;
    });
  };
  const handleMs = chosen.value ?? (isHeld.current ? preview.value : undefined) ?? bar.positionMs;
  const under = preview.value;
  return (
    <div class={isThin ? "seek seek-thin" : "seek"}>
      <div
        ref={track}
        class="seek-track"
        role="slider"
        tabIndex={0}
        data-testid="seek"
        aria-label="Position of the market"
        aria-valuemin={Math.round(bar.leastMs)}
        aria-valuemax={Math.round(bar.mostMs)}
        aria-valuenow={Math.round(handleMs)}
        aria-valuetext={`${shown(handleMs)}${holeWords(holes, handleMs)}`}
        onPointerDown={(event) => {
          if (event.button !== 0) return;
          event.currentTarget.setPointerCapture(event.pointerId);
          isHeld.current = true;
          preview.value = timeUnder(event);
        }}
        onPointerMove={(event) => {
          preview.value = timeUnder(event);
        }}
        onPointerUp={(event) => {
          if (!isHeld.current) return;
          isHeld.current = false;
          goTo(timeUnder(event));
        }}
        onPointerCancel={() => {
          isHeld.current = false;
          preview.value = undefined;
        }}
        onPointerLeave={() => {
          if (!isHeld.current) preview.value = undefined;
        }}
        onKeyDown={(event) => {
          if (event.key === "Escape" && preview.value !== undefined) {
            clearTimeout(keyTimer.current);
            isHeld.current = false;
            preview.value = undefined;
            chosen.value = undefined;
            event.preventDefault();
            return;
          }
          const target = keyTarget(bar, chosen.value ?? bar.positionMs, event.key);
          if (target === undefined) return;
          event.preventDefault();
          event.stopPropagation();
          chosen.value = target;
          preview.value = target;
          clearTimeout(keyTimer.current);
          keyTimer.current = setTimeout(() => goTo(target), KEYS_REST_MS);
        }}
      >
        {(coverage?.spans ?? [[bar.fromMs * 1e6, bar.toMs * 1e6]]).map(([from, to]) => {
          const left = shareAt(bar, from / 1e6);
          const width = shareAt(bar, to / 1e6) - left;
          return <i key={from} class="seek-span" style={{ left: pc(left), width: pc(width) }} />;
        })}
        <i class="seek-played" style={{ width: pc(shareAt(bar, bar.positionMs)) }} />
        {holes.map((each) => (
          <i
            key={`${each.isWhole} ${each.fromMs}`}
            class={each.isWhole ? "seek-hole seek-hole-whole" : "seek-hole"}
            style={{ left: pc(each.left), width: pc(each.width) }}
          />
        ))}
        <i class="seek-handle" style={{ left: pc(shareAt(bar, handleMs)) }} />
        {under !== undefined && (
          <div
            aria-hidden="true"
            class={shareAt(bar, under) > 0.5 ? "seek-preview seek-preview-left" : "seek-preview"}
            style={{ left: pc(shareAt(bar, under)) }}
          >
            {shown(under)}
            {reasonsAt(holes, under, bar).map((each) => (
              <span key={each}>{each}</span>
            ))}
          </div>
        )}
      </div>
      {!isThin && (
        <div class="seek-scale quiet">
          <span>{shown(bar.fromMs)}</span>
          <span>
            {bar.isEndKnown ? shown(bar.toMs) : `${shown(bar.toMs)} or later: the end is not known`}
          </span>
        </div>
      )}
    </div>
  );
}

/** The time of a simulation without an end: it cannot go back, and there is nothing to drag to. */
function OpenBar(props: { readonly clock: Clock; readonly isThin: boolean }) {
  const { clock, isThin } = props;
  if (isThin) return null;
  return (
    <div class="seek">
      <div class="seek-track seek-open" aria-hidden="true">
        <i class="seek-span" style={{ left: 0, width: "100%" }} />
        <i class="seek-played" style={{ width: "100%" }} />
        <i class="seek-handle" style={{ left: "100%" }} />
      </div>
      <div class="seek-scale quiet">
        <span>{dateTime(clock.fromMs)}</span>
        <span>now: a simulation goes forward only, and has no end</span>
      </div>
    </div>
  );
}

/** The holes as a list: for those who do not point at the bar. */
export function HoleList(props: { readonly clock: Clock; readonly coverage: Coverage }) {
  const { clock, coverage } = props;
  const bar = barOf(clock, coverage);
  const shown = coverage.holes.slice(0, 100);
  if (shown.length === 0) {
    return coverage.complete ? <p class="quiet">The recording has no known holes.</p> : null;
  }
  const more = coverage.holes.length - shown.length;
  return (
    <details class="control-holes">
      <summary>
        {coverage.holes.length} {coverage.holes.length === 1 ? "hole" : "holes"} in the recording
        {coverage.truncated ? ", and shorter ones that are not listed" : ""}
      </summary>
      <ul>
        {shown.map((hole) => {
          const [fromMs, toMs] = [hole.from_ns / 1e6, hole.to_ns / 1e6];
          const beforeMs = timeAt(bar, shareAt(bar, fromMs - 2_000));
          return (
            <li key={`${hole.from_ns} ${hole.to_ns} ${hole.reason}`}>
              <button
                type="button"
                title="Go to two seconds before it"
                disabled={beforeMs > fromMs}
                onClick={() => void seek(beforeMs, dateTime(beforeMs + clock.shiftMs))}
              >
                {dateTime(fromMs + clock.shiftMs)}
              </button>{" "}
              {toMs > fromMs ? span(toMs - fromMs) : "at this moment"}, {hole.streams} of{" "}
              {coverage.streams} streams: {hole.reason}
            </li>
          );
        })}
      </ul>
      {more > 0 && <p class="quiet">and {more} more</p>}
    </details>
  );
}

/** Return the holes of a bar; they are placed anew only when the bar has other bounds. */
function useHoles(bar: Bar, coverage: Coverage | undefined): readonly DrawnHole[] {
  const known = useRef<{ key: unknown[]; holes: readonly DrawnHole[] }>({ key: [], holes: [] });
  const key = [coverage, bar.fromMs, bar.toMs];
  if (key.some((each, number) => each !== known.current.key[number])) {
    known.current = { key, holes: drawnHoles(bar, coverage) };
  }
  return known.current.holes;
}

function holesAt(holes: readonly DrawnHole[], timeMs: number, slackMs = 0): DrawnHole["holes"] {
  return holes
    .flatMap((each) => each.holes)
    .filter(
      (each) => each.from_ns / 1e6 - slackMs <= timeMs && timeMs <= each.to_ns / 1e6 + slackMs,
    );
}

function reasonsAt(holes: readonly DrawnHole[], timeMs: number, bar: Bar): readonly string[] {
  const near = holesAt(holes, timeMs, (bar.toMs - bar.fromMs) / 300);
  const shown = near.slice(0, MOST_REASONS).map((each) => {
    const [fromMs, toMs] = [each.from_ns / 1e6, each.to_ns / 1e6];
    const length = toMs > fromMs ? ` for ${span(toMs - fromMs)}` : "";
    const streams = each.streams === 1 ? "1 stream" : `${each.streams} streams`;
    return `${clockTime(fromMs)}${length}, ${streams}: ${each.reason.slice(0, LONGEST_REASON)}`;
  });
  const more = near.length - shown.length;
  return more > 0 ? [...shown, `and ${more} more`] : shown;
}

function holeWords(holes: readonly DrawnHole[], timeMs: number): string {
  const [first] = holesAt(holes, timeMs);
  return first === undefined ? "" : `, in a hole: ${first.reason.slice(0, LONGEST_REASON)}`;
}

function pc(share: number): string {
  return `${(100 * share).toFixed(3)}%`;
}
