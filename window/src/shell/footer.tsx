import { httpUrl } from "../base.ts";
import { server } from "../wire/plant.ts";

/** The version, and what the page is made of. */
export function Footer() {
  return (
    <footer class="footer quiet">
      <span>
        {server.value && `Tickerplant ${server.value.version}, profile ${server.value.profile}`}
      </span>
      <span>
        Charts by{" "}
        <a href="https://www.tradingview.com/" rel="noreferrer">
          TradingView Lightweight Charts™
        </a>
        ; <a href={httpUrl("window/licences.txt").href}>licences</a>
      </span>
    </footer>
  );
}
