import { effect } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { type Area, Canvas } from "../../parts/canvas.tsx";
import { traffic } from "./polls.ts";
import { type Point, SHOWN_MS } from "./traffic.ts";

const TOP = 14;
const BOTTOM = 14;
/** Points that are further apart are not joined: nothing was measured between them. */
const GAP_MS = 15_000;

/** One number of the traffic over the last minutes. */
export function LineChart(props: {
  readonly label: string;
  readonly value: (point: Point) => number;
  readonly text: (value: number) => string;
}) {
  const { label, value, text } = props;
  const drawing = useMemo(
    () => ({
      draw: (area: Area) => draw(area, traffic.points, value, text),
      follow: (redraw: () => void) =>
        effect(() => {
          void traffic.version.value;
          redraw();
        }),
    }),
    [value, text],
  );
  const last = traffic.points.at(-1);
  const said = last ? text(value(last)) : "not measured yet";
  return (
    <figure class="plant-line-chart">
      <figcaption>
        {label} <strong>{said}</strong>
      </figcaption>
      <Canvas label={`${label} over the last five minutes, now ${said}`} drawing={drawing} />
    </figure>
  );
}

function draw(
  area: Area,
  points: readonly Point[],
  value: (point: Point) => number,
  text: (value: number) => string,
): void {
  const { context, width, height, colour } = area;
  context.clearRect(0, 0, width, height);
  const bottom = height - BOTTOM;
  context.strokeStyle = colour("--line");
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(0, bottom + 0.5);
  context.lineTo(width, bottom + 0.5);
  context.stroke();
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = colour("--quiet");
  context.textBaseline = "bottom";
  context.textAlign = "left";
  context.fillText("5 min ago", 0, height);
  context.textAlign = "right";
  context.fillText("now", width, height);
  const newest = points.at(-1);
  if (newest === undefined) return;
  const most = Math.max(...points.map(value));
  context.textBaseline = "top";
  context.textAlign = "left";
  context.fillText(`most ${text(most)}`, 0, 0);
  const x = (point: Point): number => width * (1 - (newest.atMs - point.atMs) / SHOWN_MS);
  const y = (point: Point): number => bottom - ((bottom - TOP) * value(point)) / (most || 1);
  context.strokeStyle = colour("--accent");
  context.lineWidth = 1.5;
  context.beginPath();
  let before: Point | undefined;
  for (const point of points) {
    if (before === undefined || point.atMs - before.atMs > GAP_MS)
      context.moveTo(x(point), y(point));
    else context.lineTo(x(point), y(point));
    before = point;
  }
  context.stroke();
  context.fillStyle = colour("--accent");
  context.beginPath();
  context.arc(Math.min(x(newest), width - 2), y(newest), 2, 0, 2 * Math.PI);
  context.fill();
}
