/** Examples of documents and doc comments as programs: what their comments say of a line's value is checked when they run. */

const ROOT = new URL("../../", import.meta.url).pathname;

/** What the entries of the package are made of, below src/. */
const SOURCES: Record<string, string> = {
  client: "client/client",
  keyv: "adapters/keyv",
  unstorage: "adapters/unstorage",
};

/** An example as it stands there. */
export interface Example {
  /** Where it stands, for who reads a failure. */
  readonly name: string;
  readonly code: string;
}

/** `expression; // value`, and after the value a comma or semicolon and some words. */
const CLAIM = /^(\s*)(?!const |let |for |if |return |\/\/)(\S.*?); \/\/ (.+)$/gm;
const VALUE = /^(-?\d[\d_]*n?|"(?:[^"\\]|\\.)*"|true|false|null|\[.*\]|\{.*\})(?=$|[,;] )/;

const CHECK = `
function check<Got>(got: Got, wanted: unknown): Got {
  if (!Bun.deepEquals(got, wanted)) throw new Error(\`got \${Bun.inspect(got)} instead of \${Bun.inspect(wanted)}\`);
  return got;
}
`;

/** How many values an example claims. */
export function claimsOf({ code }: Example): number {
  return [...code.matchAll(CLAIM)].filter(([, , , words]) => VALUE.test(words!)).length;
}

/** The example as a module: connected to a server, its claims checked, closed in the end. */
export function moduleOf({ code }: Example, url: string): string {
  const checked = code.replaceAll(CLAIM, (line, indent, expression, words) => {
    const value = VALUE.exec(words)?.[1];
    return value === undefined ? line : `${indent}check(${expression}, ${value});`;
  });
  const isWhole = code.includes("import ");
  const before = isWhole ? "" : PRELUDE;
  const after = isWhole ? "" : "\nawait cache.close();\n";
  return (before + checked + after + CHECK)
    .replaceAll(/@breadbox\/server\/(client|keyv|unstorage)/g, (_, entry) => `${ROOT}src/${SOURCES[entry]}`)
    .replaceAll("ws://localhost:7171", url);
}

const PRELUDE = `import { CacheError, connect, open } from "@breadbox/server/client";
const cache = await connect("ws://localhost:7171");
void [CacheError, open];
`;

/** Code blocks of a language in a document. */
export function blocksOf(document: string, language: string): string[] {
  return [...document.matchAll(new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``, "g"))].map(
    ([, code]) => code!,
  );
}

/** A declaration with its doc comment. */
export interface Documented {
  readonly name: string;
  readonly comment: string;
}

/** Everything that a file exports, and the methods of its classes, with what its comment says; "" where there is none. */
export function documentedIn(source: string): Documented[] {
  const found: Documented[] = [];
  const declaration =
    /((?:^[ \t]*\/\*\*[^]*?\*\/\n)?)^(?:export (?:default )?(?:async )?(?:function|class|interface|type) (\w+)|  (?!private|readonly|constructor|for |if |return |const |let )(?:async )?(\*?\[?\w+\]?)(?:<[^\n]*?)?\([^\n]*)/gm;
  for (const [, comment, exported, method] of source.matchAll(declaration))
    found.push({ name: (exported ?? method)!, comment: comment!.replaceAll(/^\s*(\/\*\*|\*\/|\*) ?/gm, "") });
  return found;
}

/** The examples of a doc comment. */
export function examplesOf({ name, comment }: Documented): Example[] {
  return comment
    .split(/^@example\n/m)
    .slice(1)
    .map((code) => ({ name, code: code.split(/^@\w/m)[0]! }));
}
