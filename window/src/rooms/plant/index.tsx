/** The plant room. */
export function PlantRoom() {
  return <p>Plant</p>;
}
