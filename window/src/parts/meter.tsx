/** How much of a limit is used. */
export function Meter(props: {
  readonly label: string;
  readonly value: number;
  readonly most: number;
}) {
  const { label, value, most } = props;
  const said = `${label}: ${value.toLocaleString("en")} of ${most.toLocaleString("en")}`;
  return (
    <meter
      aria-label={said}
      title={said}
      value={value}
      min={0}
      max={most}
      low={most * 0.6}
      high={most * 0.9}
      optimum={0}
    />
  );
}
