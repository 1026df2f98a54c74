import type { ComponentChildren } from "preact";
import { type Sorting, sorted } from "./sorting.ts";

export interface Column<R> {
  readonly id: string;
  readonly title: string;
  readonly cell: (row: R) => ComponentChildren;
  /** What rows are sorted by; the column cannot be sorted by if it is missing. */
  readonly sortBy?: (row: R) => number | string;
  readonly isNumber?: boolean;
  readonly hint?: string;
}

function keyOfSorting<R>(columns: readonly Column<R>[], sorting: Sorting | undefined) {
  return columns.find((each) => each.id === sorting?.column)?.sortBy;
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
        {sorted(props.rows, keyOfSorting(columns, sorting), sorting?.descending).map((row) => (
          <tr key={props.keyOf(row)} {...props.rowAttributes?.(row)}>
            {columns.map((column) => (
              <td key={column.id} class={column.isNumber ? "number" : ""} data-title={column.title}>
                {column.cell(row)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
