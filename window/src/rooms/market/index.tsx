/** The market room. */
export function MarketRoom() {
  return <p>Market</p>;
}
