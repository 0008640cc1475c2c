/** Elements of the document: found by their ids, and made. Text goes in as text, never as markup. */

/** The element with this id, which index.html has; `kind` is its class. */
export function the<E extends Element>(kind: abstract new () => E, id: string): E {
  const element = document.getElementById(id);
  if (element instanceof kind) return element;
  throw new TypeError(`the page has no ${kind.name} #${id}`);
}

export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  className = "",
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  if (className !== "") element.className = className;
  element.append(...children);
  return element;
}

/** Sets a text only where it is another one, so that nobody is told the same again. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Fills the body of a table: in each row a head and its cells. Cells that are there stay, so that whoever reads them is not thrown out
 * each second.
 */
export function fillTable(body: HTMLTableSectionElement, rows: readonly (readonly string[])[]): void {
  while (body.rows.length > rows.length) body.rows[0]!.remove();
  for (const [i, texts] of rows.entries()) {
    const row = body.rows[i] ?? body.appendChild(newRow(texts.length));
    for (const [at, text] of texts.entries()) setText(row.cells[at]!, text);
  }
}

function newRow(cells: number): HTMLTableRowElement {
  const head = make("th");
  head.scope = "row";
  return make("tr", "", head, ...Array.from({ length: cells - 1 }, () => make("td")));
}

/** Terms and what is said of them. */
export function describe(list: Element, facts: readonly (readonly [term: string, text: string])[]): void {
  list.replaceChildren(...facts.flatMap(([term, text]) => [make("dt", "", term), make("dd", "", text)]));
}

/** Says why a control cannot be used, or that it can. @param reason null where it can */
export function allow(control: HTMLButtonElement, reason: string | null, place: Element): void {
  control.disabled = reason !== null;
  control.title = reason ?? "";
  if (reason === null) control.removeAttribute("aria-describedby");
  else control.setAttribute("aria-describedby", place.id);
}
