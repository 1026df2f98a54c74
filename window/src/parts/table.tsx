import type { ComponentChildren } from "preact";

export interface Column<R> {
  readonly id: string;
  readonly title: string;
  readonly cell: (row: R) => ComponentChildren;
  /** What rows are sorted by; the column cannot be sorted by if it is missing. */
  readonly sortBy?: (row: R) => number | string;
  readonly isNumber?: boolean;
  readonly hint?: string;
}

export interface Sorting {
  readonly column: string;
  readonly descending: boolean;
}

/** Return `rows` in the order that is asked for; rows that are equal stay in their order. */
export function sorted<R>(
  rows: readonly R[],
  columns: readonly Column<R>[],
  sorting: Sorting | undefined,
): readonly R[] {
  const key = columns.find((each) => each.id === sorting?.column)?.sortBy;
  if (key === undefined || sorting === undefined) return rows;
  const sign = sorting.descending ? -1 : 1;
  return rows
    .map((row) => ({ row, value: key(row) }))
    .sort((a, b) => sign * compare(a.value, b.value))
    .map(({ row }) => row);
}

/** What is not known comes last when the largest come first. */
function compare(a: number | string, b: number | string): number {
  if (typeof a === "string" || typeof b === "string") return String(a).localeCompare(String(b));
  return (Number.isNaN(a) ? -Infinity : a) - (Number.isNaN(b) ? -Infinity : b) || 0;
}

/** A table whose columns can be sorted by. */
export function Table<R>(props: {
  readonly label: string;
  readonly columns: readonly Column<R>[];
  readonly rows: readonly R[];
  readonly keyOf: (row: R) => string;
  readonly sorting?: Sorting | undefined;
  readonly onSort?: (sorting: Sorting) => void;
  /** Attributes of the element of a row. */
  readonly rowAttributes?: (row: R) => Record<string, unknown>;
}) {
  const { columns, sorting, onSort } = props;
  const sortBy = (column: Column<R>): void => {
    const again = sorting?.column === column.id;
    onSort?.({ column: column.id, descending: again ? !sorting.descending : !!column.isNumber });
  };
  return (
    <table aria-label={props.label}>
      <thead>
        <tr>
          {columns.map((column) => {
            const isSorted = sorting?.column === column.id;
            const direction = sorting?.descending ? "descending" : "ascending";
            return (
              <th
                key={column.id}
                scope="col"
                class={column.isNumber ? "number" : ""}
                title={column.hint}
                aria-sort={isSorted ? direction : "none"}
              >
                {column.sortBy && onSort ? (
                  <button type="button" onClick={() => sortBy(column)}>
                    {column.title}
                    <span aria-hidden="true">
                      {isSorted ? (sorting.descending ? " ▾" : " ▴") : ""}
                    </span>
                  </button>
                ) : (
                  column.title
                )}
              </th>
            );
          })}
        </tr>
      </thead>
      <tbody>
        {sorted(props.rows, columns, sorting).map((row) => (
          <tr key={props.keyOf(row)} {...props.rowAttributes?.(row)}>
            {columns.map((column) => (
              <td key={column.id} class={column.isNumber ? "number" : ""}>
                {column.cell(row)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
