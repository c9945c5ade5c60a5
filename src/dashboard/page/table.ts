/**
 * Tables whose rows come again each second: cells are changed in place, so that focus, selection and scrolling stay where they
 * are.
 */

import { make, setText } from './dom.js';

export interface Column<Row> {
  name: string;
  /** What it means, for a pointer that rests on it. */
  title?: string;
  /** Text, or what fills the cell anew where the text is not all. */
  text(row: Row): string;
  /** Numbers are set to the right. */
  number?: boolean;
  /** Called after the text was set. */
  decorate?(cell: HTMLElement, row: Row): void;
}

export class Table<Row> {
  readonly #columns: readonly Column<Row>[];
  readonly #body: HTMLTableSectionElement;

  constructor(table: HTMLTableElement, columns: readonly Column<Row>[]) {
    this.#columns = columns;
    const head = make('tr');
    for (const { name, title, number } of columns) {
      const cell = make('th', number ? 'number' : '', name);
      cell.scope = 'col';
      if (title !== undefined) cell.title = title;
      head.append(cell);
    }
    table.createTHead().append(head);
    this.#body = table.createTBody();
  }

  show(rows: readonly Row[]): void {
    while (this.#body.rows.length > rows.length) this.#body.deleteRow(-1);
    for (const [i, row] of rows.entries()) {
      const line = this.#body.rows[i] ?? this.#addLine();
      for (const [at, column] of this.#columns.entries()) {
        const cell = line.cells[at];
        if (column.decorate === undefined) setText(cell, column.text(row));
        else column.decorate(cell, row);
      }
    }
  }

  #addLine(): HTMLTableRowElement {
    const line = this.#body.insertRow();
    for (const [at, { number }] of this.#columns.entries()) {
      // The first cell says whose row it is.
      const cell = make(at === 0 ? 'th' : 'td', number ? 'number' : '');
      if (at === 0) (cell as HTMLTableCellElement).scope = 'row';
      line.append(cell);
    }
    return line;
  }
}
