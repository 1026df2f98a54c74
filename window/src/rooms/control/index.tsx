/** The control room. */
export function ControlRoom() {
  return <p>Control</p>;
}
