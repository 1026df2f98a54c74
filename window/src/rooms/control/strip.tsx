/** The clock in the header, where the server has one. */
export function ClockStrip() {
  return null;
}
