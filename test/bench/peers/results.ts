/** Replaces one benchmark's section of RESULTS.md, between its markers; the rest of the file is somebody else's. */
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { coresAllowed } from "./cpu";

const FILE = new URL("../RESULTS.md", import.meta.url);

/** Writes `## title` and the lines behind it into the file, where the section was or at the end. */
export function writeSection(name: string, title: string, lines: readonly string[]): void {
  writeFileSync(FILE, withSection(readFileSync(FILE, "utf8"), name, [`## ${title}`, "", ...lines]));
}

export function withSection(text: string, name: string, lines: readonly string[]): string {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`];
  const section = [begin, "", ...lines, "", end].join("\n");
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < from) return `${text.trimEnd()}\n\n${section}\n`;
  return text.slice(0, from) + section + text.slice(to + end.length);
}

/** The machine in a line. */
export function machineLine(): string {
  const cores = coresAllowed().length;
  const gibibytes = Math.round(totalmem() / 2 ** 30);
  return `${cores} cores (${cpus()[0]?.model.trim() ?? "unknown"}), ${gibibytes} GiB, Linux ${release()}, Bun ${Bun.version}`;
}
