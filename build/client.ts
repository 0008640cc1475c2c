/**
 * Builds what programs import of the package: for each entry one minified module in dist/, and its declarations in
 * dist/types/. `bun run build:client` installs the compiler before it.
 */
import type { BunPlugin } from "bun";
import { mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";

const ROOT = join(import.meta.dir, "..");
const DIST = join(ROOT, "dist");
const TYPES = join(DIST, "types");
/** Where the compiler puts the declarations of all files, also of those that no entry shows. */
const ALL_TYPES = join(DIST, "all-types");
/** Paths below src/, without their endings. */
const ENTRIES = ["client/client", "adapters/keyv", "adapters/unstorage"];
/** Of the adapters: they import the client's module as it is published, so that a program has it once. */
const CLIENT_APART: BunPlugin = {
  name: "client apart",
  setup: (build) =>
    void build.onResolve({ filter: /\/client\/client$/ }, () => ({ path: "./client.js", external: true })),
};

await Promise.all(ENTRIES.map(buildModule));
await buildDeclarations();

async function buildModule(entry: string): Promise<void> {
  await Bun.build({
    entrypoints: [join(ROOT, "src", `${entry}.ts`)],
    outdir: DIST,
    naming: "[name].js",
    minify: true,
    target: "browser",
    format: "esm",
    packages: "external",
    plugins: entry.startsWith("adapters/") ? [CLIENT_APART] : [],
  });
}

async function buildDeclarations(): Promise<void> {
  rmSync(TYPES, { recursive: true, force: true });
  const compiler = Bun.spawn([join(ROOT, "node_modules/.bin/tsc"), "-p", "tsconfig.client.json"], {
    cwd: ROOT,
    stdout: "inherit",
    stderr: "inherit",
  });
  if ((await compiler.exited) !== 0) process.exit(1);
  const taken = new Set<string>();
  for (const entry of ENTRIES) await takeDeclarations(entry, taken);
  rmSync(ALL_TYPES, { recursive: true });
}

/** Takes a file's declarations, and those that they need. */
async function takeDeclarations(path: string, taken: Set<string>): Promise<void> {
  if (taken.has(path)) return;
  taken.add(path);
  const text = await Bun.file(join(ALL_TYPES, `${path}.d.ts`)).text();
  const needed: string[] = [];
  // Node's way of finding modules, which TypeScript follows, wants their whole names.
  const whole = text.replaceAll(/((?:from|import\() ?")(\.[^"]+)(?=")/g, (_, before, relative) => {
    needed.push(join(dirname(path), relative));
    return `${before}${relative}.js`;
  });
  const file = join(TYPES, `${path}.d.ts`);
  mkdirSync(dirname(file), { recursive: true });
  await Bun.write(file, whole);
  for (const other of needed) await takeDeclarations(other, taken);
}
