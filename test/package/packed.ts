/** The package as npm publishes it: packed in a fresh checkout, and installed in a project that has nothing else. */
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { run } from "../support/command";
import { temporaryPath } from "../support/temporary";

export const ROOT = join(import.meta.dir, "../..");
export const MANIFEST = await Bun.file(join(ROOT, "package.json")).json();
/** What a clone does not have. */
const MADE = ["node_modules", "dist", "coverage", ".git"];

export interface Packed {
  /** Path of the tarball. */
  readonly tarball: string;
  /** Its size. */
  readonly bytes: number;
  readonly files: readonly { path: string; mode: number }[];
}

/** `npm pack` in a copy of this checkout in which nothing was installed or built: it installs and builds what it needs. */
export async function pack(): Promise<Packed> {
  const checkout = temporaryPath("checkout");
  cpSync(ROOT, checkout, { recursive: true, filter: (path) => !MADE.includes(basename(path)) });
  const [{ filename, size, files }] = JSON.parse(await run(["npm", "pack", "--json"], { cwd: checkout }));
  return { tarball: join(checkout, filename), bytes: size, files };
}

/** An empty project that npm installs these into; its directory. */
export async function projectWith(...packages: string[]): Promise<string> {
  const directory = temporaryPath(`project-${crypto.randomUUID()}`);
  mkdirSync(directory);
  writeFileSync(
    join(directory, "package.json"),
    JSON.stringify({ name: "user", private: true, type: "module" }),
  );
  await run(["npm", "install", "--no-audit", "--no-fund", ...packages], { cwd: directory });
  return directory;
}
