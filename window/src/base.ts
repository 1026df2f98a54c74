/** Addresses of the server, relative to the page: the page may be behind a proxy, at any path. */

/** Return the URL of a path of the server, such as `fapi/v1/klines`. */
export function httpUrl(path: string, base: string = document.baseURI): URL {
  return new URL(path.replace(/^\//, ""), withoutHash(base));
}

/** Return the WebSocket URL of a path of the server, such as `stream`. */
export function wsUrl(path: string, base: string = document.baseURI): URL {
  const url = httpUrl(path, base);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url;
}

function withoutHash(base: string): string {
  const url = new URL(base);
  url.hash = "";
  url.search = "";
  return url.href;
}
