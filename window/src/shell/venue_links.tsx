import { server } from "../wire/plant.ts";

const TITLES: Readonly<Record<string, string>> = { usdm: "USDⓈ-M", coinm: "COIN-M" };

/** The venue of the page, and the way to the other one where its port can be reached. */
export function VenueLinks() {
  const known = server.value;
  if (known === undefined) return null;
  return (
    <span class="venues">
      {Object.entries(TITLES).map(([name, title]) => {
        if (name === known.venue) {
          return (
            <strong key={name} aria-current="true">
              {title}
            </strong>
          );
        }
        const href = addressOf(known.addresses[known.venue], known.addresses[name]);
        return href ? (
          <a key={name} href={href}>
            {title}
          </a>
        ) : null;
      })}
    </span>
  );
}

/** Return the address of the other port; empty if the page is not at the server's own port. */
function addressOf(own: string | undefined, other: string | undefined): string {
  const portOf = (address: string): string => address.slice(address.lastIndexOf(":") + 1);
  if (!own || !other || portOf(own) !== location.port) return "";
  return `${location.protocol}//${location.hostname}:${portOf(other)}/`;
}
