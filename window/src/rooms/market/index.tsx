import "./market.css";
import type { ComponentChildren } from "preact";
import { Guard } from "../../parts/guard.tsx";
import { go, route } from "../../route.ts";
import { Chart } from "./chart.tsx";
import { DepthChart } from "./depth_chart.tsx";
import { Facts } from "./facts.tsx";
import { HeatMap } from "./heat_map.tsx";
import { Ladder } from "./ladder.tsx";
import { width } from "./layout.ts";
import { Tape } from "./tape.tsx";
import { WatchList } from "./watch_list.tsx";

/** A part of the room that may share its place with others. */
interface Part {
  readonly id: string;
  readonly text: string;
  readonly show: () => ComponentChildren;
}

/** The market room: what is shown of it depends on the room there is. */
export function MarketRoom() {
  const { symbol, interval } = route.value;
  const facts = (
    <Guard>
      <Facts symbol={symbol} interval={interval} />
    </Guard>
  );
  const chart: Part = {
    id: "chart",
    text: "Chart",
    show: () => <Chart symbol={symbol} interval={interval} />,
  };
  const list: Part = {
    id: "list",
    text: "List",
    show: () => <WatchList symbol={symbol} onChoose={closeList} />,
  };
  const book: Part = {
    id: "book",
    text: "Book",
    show: () => symbol && <Ladder key={symbol} symbol={symbol} />,
  };
  const tape: Part = {
    id: "trades",
    text: "Trades",
    show: () => symbol && <Tape key={symbol} symbol={symbol} />,
  };
  const depth: Part = {
    id: "depth",
    text: "Depth",
    show: () => symbol && <DepthChart key={symbol} symbol={symbol} />,
  };
  const heat: Part = {
    id: "heat",
    text: "Heat map",
    show: () => symbol && <HeatMap key={symbol} symbol={symbol} />,
  };
  if (width.value === "phone") {
    const parts = [chart, book, tape, depth, heat, list];
    return (
      <div class="market market-phone">
        {facts}
        <Places name="tab" label="Parts of the market" parts={parts} />
      </div>
    );
  }
  const middle = (
    <div class="market-middle">
      {facts}
      <Guard>{chart.show()}</Guard>
      <div class="market-below">
        <Places name="panel" label="Below the chart" parts={[heat, depth]} />
      </div>
    </div>
  );
  if (width.value === "medium") {
    return (
      <div class="market market-medium">
        {middle}
        <div class="market-side">
          <Places name="side" label="Beside the chart" parts={[book, tape, list]} />
        </div>
      </div>
    );
  }
  return (
    <div class="market market-wide">
      <Guard>{list.show()}</Guard>
      {middle}
      <div class="market-side">
        <div class="market-ladder">
          <Guard>{book.show()}</Guard>
        </div>
        <div class="market-tape">
          <Guard>{tape.show()}</Guard>
        </div>
      </div>
    </div>
  );
}

/** On a phone, a contract that was chosen is shown in place of the list. */
function closeList(): void {
  if (width.value === "phone") go({ params: { tab: "" } });
}

/** Parts in one place: the route tells by a parameter which one is shown. */
function Places(props: {
  readonly name: string;
  readonly label: string;
  readonly parts: readonly Part[];
}) {
  const { name, label, parts } = props;
  const [first] = parts;
  const shown = parts.find(({ id }) => id === route.value.params[name]) ?? first;
  if (shown === undefined) return null;
  return (
    <Tabs
      label={label}
      chosen={shown.id}
      tabs={parts}
      onChoose={(id) => go({ params: { [name]: id === first?.id ? "" : id } })}
    >
      <Guard key={shown.id}>{shown.show()}</Guard>
    </Tabs>
  );
}

/** Parts of which one is shown. */
function Tabs<T extends string>(props: {
  readonly label: string;
  readonly chosen: T;
  readonly tabs: readonly { readonly id: T; readonly text: string }[];
  readonly onChoose: (id: T) => void;
  readonly children: ComponentChildren;
}) {
  const { label, chosen, tabs, onChoose } = props;
  const step = (event: KeyboardEvent): void => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    const at = tabs.findIndex(({ id }) => id === chosen);
    const next = tabs[(at + by + tabs.length) % tabs.length];
    if (next === undefined) return;
    onChoose(next.id);
    document.getElementById(`tab-${next.id}`)?.focus();
  };
  return (
    <div class="tabs">
      <div role="tablist" aria-label={label} onKeyDown={step}>
        {tabs.map(({ id, text }) => (
          <button
            key={id}
            id={`tab-${id}`}
            type="button"
            role="tab"
            aria-selected={id === chosen}
            aria-controls={`panel-of-${id}`}
            tabIndex={id === chosen ? 0 : -1}
            onClick={() => onChoose(id)}
          >
            {text}
          </button>
        ))}
      </div>
      <div role="tabpanel" id={`panel-of-${chosen}`} aria-labelledby={`tab-${chosen}`}>
        {props.children}
      </div>
    </div>
  );
}
