import "./style/tokens.css";
import "./style/base.css";
import { render } from "preact";
import { followTime } from "./market/time.ts";
import { App } from "./shell/app.tsx";
import { follow } from "./shell/server_state.ts";
import { feed } from "./wire/socket.ts";

const root = document.getElementById("window");
if (root !== null) {
  root.replaceChildren();
  render(<App />, root);
  followTime();
  follow();
  document.addEventListener("visibilitychange", () => feed.show(!document.hidden));
  window.addEventListener("online", () => feed.retry());
  feed.start();
}
