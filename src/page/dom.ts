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

/** A row of a table: a head and cells. */
export function row(head: string, cells: readonly string[]): HTMLTableRowElement {
  const th = make("th", "", head);
  th.scope = "row";
  return make("tr", "", th, ...cells.map((cell) => make("td", "", cell)));
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
