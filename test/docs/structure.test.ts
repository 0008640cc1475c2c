/** ARCHITECTURE.md is the map of src/: it names every file once, room by room, and imports go only as it says. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { Glob } from "bun";

const ROOT = new URL("../../", import.meta.url).pathname;
const SRC = join(ROOT, "src");
const FILES = [...new Glob("**/*.ts").scanSync(SRC)].sort();
const PAGE_HTML = "page/index.html";
const PAGE_ENTRY = "page/page.ts";
/** These know nothing of the others. */
const BOTTOM = ["protocol", "store", "system"];

interface Room {
  /** Folder within src/, "" for src/ itself. */
  readonly folder: string;
  /** Paths within src/. */
  readonly files: readonly string[];
}

/** The rooms of the map, from the top down. */
const ROOMS: Room[] = roomsOf(readFileSync(join(ROOT, "ARCHITECTURE.md"), "utf8"));

function roomsOf(text: string): Room[] {
  const map = text.split(/^## /m).find((section) => section.startsWith("Rooms\n"))!;
  return map
    .split(/^### /m)
    .slice(1)
    .map((section) => {
      const folder = /^`src\/(.*?)\/?`/.exec(section)![1]!;
      const names = [...section.matchAll(/^\| `([a-z0-9/-]+\.ts)`/gm)].map(([, name]) => name!);
      return { folder, files: names.map((name) => join(folder, name)) };
    });
}

const roomOf = (file: string) => ROOMS.findIndex(({ files }) => files.includes(file));

/** What a file imports of src/, types included. */
function importsOf(file: string): string[] {
  const source = readFileSync(join(SRC, file), "utf8");
  return (
    [...source.matchAll(/(?:\bfrom|\bimport|import\() ?"(\.[^"]+)"/g)]
      .map(([, path]) => normalize(join(dirname(file), path!)))
      .filter((path) => !path.startsWith(".."))
      // The page is imported by its HTML, which begins with its entry.
      .map((path) => (path === PAGE_HTML ? PAGE_ENTRY : `${path}.ts`))
  );
}

const IMPORTS = new Map(FILES.map((file) => [file, importsOf(file)]));

test("the map names every file of src/ once, and no other", () => {
  expect(ROOMS.flatMap(({ files }) => files).sort()).toEqual(FILES);
});

test("every file is in the room of its folder", () => {
  for (const { folder, files } of ROOMS)
    for (const file of files) {
      const [first] = file.split("/");
      expect({ file, folder: file.includes("/") ? first! : "" }).toEqual({ file, folder });
    }
});

describe("imports", () => {
  test("are all found", () => {
    const imports = [...IMPORTS.values()].flat();
    expect(imports.length).toBeGreaterThan(FILES.length);
    expect(imports.filter((file) => !FILES.includes(file))).toEqual([]);
  });

  test("go down the rooms only", () => {
    const upward = FILES.flatMap((file) =>
      IMPORTS.get(file)!
        .filter((imported) => roomOf(imported) < roomOf(file))
        .map((imported) => `${file} imports ${imported}`),
    );
    expect(upward).toEqual([]);
  });

  test("of the rooms at the bottom stay within their room, the client imports the numbers of the protocol alone, the adapters and the page the client", () => {
    const roomNames = (file: string) => file.split("/")[0]!;
    for (const [file, imports] of IMPORTS) {
      const outside = imports.filter((imported) => roomNames(imported) !== roomNames(file));
      if (BOTTOM.includes(roomNames(file))) expect({ file, outside }).toEqual({ file, outside: [] });
      if (roomNames(file) === "page")
        expect({ file, others: outside.filter((name) => name !== "client/client.ts") }).toEqual({
          file,
          others: [],
        });
      if (roomNames(file) === "client")
        expect({ file, others: outside.filter((name) => name !== "protocol/wire.ts") }).toEqual({
          file,
          others: [],
        });
      // So that the package has the client once: dist/keyv.js imports dist/client.js.
      if (roomNames(file) === "adapters")
        expect({ file, others: outside.filter((name) => name !== "client/client.ts") }).toEqual({
          file,
          others: [],
        });
    }
  });

  test("have no cycles", () => {
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (file: string, path: readonly string[]) => {
      if (path.includes(file)) return void cycles.push([...path.slice(path.indexOf(file)), file].join(" → "));
      if (done.has(file)) return;
      for (const imported of IMPORTS.get(file)!) visit(imported, [...path, file]);
      done.add(file);
    };
    for (const file of FILES) visit(file, []);
    expect(cycles).toEqual([]);
  });
});

describe("documents", () => {
  const DOCUMENTS = [
    ...["README.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md", "ops/README.md"],
    ...[...new Glob("src/**/*.md").scanSync(ROOT)],
  ];
  const read = (document: string) => readFileSync(join(ROOT, document), "utf8");

  test("name no test that is not there, and say where it is", () => {
    const named = DOCUMENTS.flatMap((document) =>
      [...read(document).matchAll(/`([a-z0-9/-]*\.test\.ts|test\/[a-z0-9/.-]+)`/g)].map(([, path]) => ({
        document,
        path: path!,
      })),
    );
    expect(named.length).toBeGreaterThan(25);
    const missing = named.filter(
      ({ document, path }) =>
        !existsSync(join(ROOT, path)) && !existsSync(join(ROOT, dirname(document), path)),
    );
    expect(missing).toEqual([]);
  });

  test("name no file of src/ that is not there", () => {
    const [, ...walks] = read("ARCHITECTURE.md").split(/^## (?=Walk)/m);
    const named = [...walks.join("").matchAll(/`(?:src\/)?([a-z]+\/[a-z0-9/-]+\.ts)/g)].map(
      ([, path]) => path!,
    );
    expect(named.length).toBeGreaterThan(15);
    expect(named.filter((path) => !FILES.includes(path) && !path.startsWith("test/"))).toEqual([]);
  });

  test("link to files and headings that are there", () => {
    const anchorOf = (heading: string) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
        .replaceAll(" ", "-");
    const broken = DOCUMENTS.flatMap((document) =>
      [...read(document).matchAll(/\]\(([^)\s]+)\)/g)]
        .map(([, link]) => link!)
        .filter((link) => !/^[a-z]+:/.test(link))
        .filter((link) => {
          const [path, anchor] = link.split("#");
          const target = path === "" ? document : normalize(join(dirname(document), path!));
          if (!existsSync(join(ROOT, target))) return true;
          if (anchor === undefined) return false;
          const headings = [...read(target).matchAll(/^#+ (.+)$/gm)].map(([, heading]) => anchorOf(heading!));
          return !headings.includes(anchor);
        })
        .map((link) => `${document}: ${link}`),
    );
    expect(broken).toEqual([]);
  });
});
