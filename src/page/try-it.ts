/** The section with lines to try, each with a button that copies it. */
import { make, setText, the } from "./dom";
import type { Session } from "./session";
import { type Snippet, snippets } from "./snippets";

export function showSnippets(session: Session, onProblem: (error: unknown) => void): void {
  the(HTMLElement, "try-token").hidden = !session.hasToken;
  const all = snippets({ origin: location.origin, hasToken: session.hasToken, rights: session.rights });
  the(HTMLElement, "snippets").replaceChildren(...all.map((snippet) => article(snippet, onProblem)));
}

function article({ title, about, text }: Snippet, onProblem: (error: unknown) => void): HTMLElement {
  const button = make("button", "", "Copy");
  button.type = "button";
  button.setAttribute("aria-label", `Copy the lines for ${title}`);
  const said = make("p", "hint", about);
  said.setAttribute("role", "status");
  const code = make("pre", "", make("code", "", text));
  code.tabIndex = 0;
  button.addEventListener("click", () => {
    copy(text).then(() => setText(said, "Copied."), onProblem);
  });
  return make("section", "card snippet", make("h2", "", title), button, said, code);
}

/** Without TLS, on another machine, browsers lend no clipboard to pages. */
async function copy(text: string): Promise<void> {
  if (!window.isSecureContext)
    throw new Error("This browser lets no page copy that came without TLS: select the lines and copy them.");
  await navigator.clipboard.writeText(text);
}
