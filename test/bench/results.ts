/** RESULTS.md as a program writes it: one section replaced, all others untouched. */
import { readFileSync, writeFileSync } from "node:fs";

const FILE = new URL("RESULTS.md", import.meta.url);

/** Puts `body` under the heading; at the end where there is no such section yet. */
export function writeSection(title: string, body: string): void {
  const text = readFileSync(FILE, "utf8");
  const section = `## ${title}\n\n${body.trim()}\n`;
  const start = text.indexOf(`\n## ${title}\n`);
  if (start < 0) return writeFileSync(FILE, `${text.trimEnd()}\n\n${section}`);
  const next = text.indexOf("\n## ", start + 1);
  writeFileSync(FILE, text.slice(0, start + 1) + section + (next < 0 ? "" : text.slice(next)));
}

/** A table in Markdown, its columns as wide as they have to be; numbers to the right. */
export function markdownTable(header: string[], rows: string[][]): string {
  const widths = header.map((_, i) => Math.max(...[header, ...rows].map((row) => row[i]!.length)));
  const line = (row: string[]) =>
    `| ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(" | ")} |`;
  const rule = `| ${widths.map((width, i) => (i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`;
  return [line(header), rule, ...rows.map(line)].join("\n");
}
