import { useEffect, useRef } from "preact/hooks";

/** What a picture is drawn with; lengths are CSS pixels. */
export interface Area {
  readonly context: CanvasRenderingContext2D;
  readonly width: number;
  readonly height: number;
  /** Returns the value of a colour token, such as `--up`. */
  readonly colour: (token: string) => string;
}

/** Draws; a component asks for it again by `redraw`. */
export interface Drawing {
  /** Draw all: the size or the colours have changed. */
  readonly draw: (area: Area) => void;
  /** Takes what asks for a drawing from now on; returns what ends that. */
  readonly follow?: (redraw: () => void) => () => void;
}

/** A picture in device pixels, drawn again when its size or the colour scheme changes. */
export function Canvas(props: {
  readonly label: string;
  readonly class?: string;
  readonly drawing: Drawing;
}) {
  const element = useRef<HTMLCanvasElement>(null);
  const { drawing } = props;
  useEffect(() => {
    const canvas = element.current;
    const context = canvas?.getContext("2d");
    if (!canvas || !context) return;
    let isPlanned = 0;
    const redraw = (): void => {
      isPlanned ||= requestAnimationFrame(() => {
        isPlanned = 0;
        const { clientWidth: width, clientHeight: height } = canvas;
        if (width === 0 || height === 0) return;
        const style = getComputedStyle(canvas);
        const ratio = devicePixelRatio;
        const [pixelsWide, pixelsHigh] = [Math.round(width * ratio), Math.round(height * ratio)];
        if (canvas.width !== pixelsWide) canvas.width = pixelsWide;
        if (canvas.height !== pixelsHigh) canvas.height = pixelsHigh;
        context.setTransform(ratio, 0, 0, ratio, 0, 0);
        drawing.draw({
          context,
          width,
          height,
          colour: (token) => style.getPropertyValue(token).trim(),
        });
      });
    };
    const sizes = new ResizeObserver(redraw);
    sizes.observe(canvas);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", redraw);
    const end = drawing.follow?.(redraw);
    redraw();
    return () => {
      cancelAnimationFrame(isPlanned);
      sizes.disconnect();
      scheme.removeEventListener("change", redraw);
      end?.();
    };
  }, [drawing]);
  return <canvas ref={element} class={props.class ?? ""} role="img" aria-label={props.label} />;
}
