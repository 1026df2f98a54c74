import "./shell.css";
import { useEffect } from "preact/hooks";
import { bind } from "../keys.ts";
import { Guard } from "../parts/guard.tsx";
import { ControlRoom } from "../rooms/control/index.tsx";
import { ClockStrip } from "../rooms/control/strip.tsx";
import { MarketRoom } from "../rooms/market/index.tsx";
import { PlantRoom } from "../rooms/plant/index.tsx";
import { go, type Room, route } from "../route.ts";
import { Banners } from "./banners.tsx";
import { FeedBadge } from "./feed_badge.tsx";
import { Footer } from "./footer.tsx";
import { Help, toggleHelp } from "./help.tsx";
import { TokenPrompt } from "./token_prompt.tsx";
import { VenueLinks } from "./venue_links.tsx";

const ROOMS: readonly { room: Room; text: string; key: string }[] = [
  { room: "market", text: "Market", key: "1" },
  { room: "plant", text: "Plant", key: "2" },
  { room: "control", text: "Control", key: "3" },
];

/** The whole page. */
export function App() {
  useEffect(() => {
    const ends = ROOMS.map(({ room, text, key }) => bind(key, `${text} room`, () => go({ room })));
    ends.push(bind("?", "Show the keys", toggleHelp));
    return () => {
      for (const end of ends) end();
    };
  }, []);
  const { room } = route.value;
  return (
    <div class="app">
      <header class="bar">
        <h1>Tickerplant</h1>
        <Guard>
          <VenueLinks />
        </Guard>
        <nav aria-label="Rooms">
          {ROOMS.map((each) => (
            <button
              key={each.room}
              type="button"
              aria-pressed={each.room === room}
              aria-keyshortcuts={each.key}
              onClick={() => go({ room: each.room })}
            >
              {each.text}
            </button>
          ))}
        </nav>
        <Guard>
          <ClockStrip />
        </Guard>
        <FeedBadge />
        <button
          type="button"
          class="help-button"
          aria-label="Keys"
          title="Keys (?)"
          onClick={toggleHelp}
        >
          ?
        </button>
      </header>
      <Guard>
        <Banners />
      </Guard>
      <TokenPrompt />
      <div class="room">
        <Guard key={room}>
          {room === "market" && <MarketRoom />}
          {room === "plant" && <PlantRoom />}
          {room === "control" && <ControlRoom />}
        </Guard>
      </div>
      <Guard>
        <Footer />
      </Guard>
      <Help />
    </div>
  );
}
