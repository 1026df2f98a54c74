/** What this page calls itself in the address of its connection, so that it can be told from others. */
export const windowName: string = [...crypto.getRandomValues(new Uint8Array(4))]
  .map((each) => each.toString(16).padStart(2, "0"))
  .join("");
