import "./market.css";
import type { ComponentChildren } from "preact";
import { go, route } from "../../route.ts";
import { Chart } from "./chart.tsx";
import { Facts } from "./facts.tsx";
import { width } from "./layout.ts";
import { WatchList } from "./watch_list.tsx";

type Tab = "chart" | "list";
const TABS: readonly { id: Tab; text: string }[] = [
  { id: "chart", text: "Chart" },
  { id: "list", text: "List" },
];

/** The market room: what is shown of it depends on the room there is. */
export function MarketRoom() {
  const { symbol, interval, params } = route.value;
  const list = (
    <WatchList
      symbol={symbol}
      onChoose={() => width.value === "phone" && go({ params: { tab: "" } })}
    />
  );
  const facts = <Facts symbol={symbol} interval={interval} />;
  const chart = <Chart symbol={symbol} interval={interval} />;
  if (width.value === "phone") {
    const tab = TABS.find((each) => each.id === params.tab)?.id ?? "chart";
    return (
      <div class="market market-phone">
        {facts}
        <Tabs
          label="Parts of the market"
          chosen={tab}
          tabs={TABS}
          onChoose={(id) => go({ params: { tab: id === "chart" ? "" : id } })}
        >
          {tab === "chart" && chart}
          {tab === "list" && list}
        </Tabs>
      </div>
    );
  }
  return (
    <div class={`market market-${width.value}`}>
      {list}
      <div class="market-middle">
        {facts}
        {chart}
      </div>
    </div>
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
