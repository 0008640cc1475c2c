/** The adapters of the installed package, with the libraries that they are for: in Node and in Bun, and for compilers. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { installClients, NODE_22 } from "../compat/clients";
import { run, runAny } from "../support/command";
import { startServer, type TestServer } from "../support/server";
import { MANIFEST, pack, type Packed, projectWith, ROOT } from "./packed";

const NAME: string = MANIFEST.name;
const MAY_TAKE_MS = 120_000;
const UNSTORAGE = "unstorage@1.17.6";
let packed: Packed;
let server: TestServer;

beforeAll(async () => {
  packed = await pack();
  await installClients();
  server = await startServer();
}, MAY_TAKE_MS);

afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

/** A program that uses both adapters, over one client, too: the package has the client's module once. */
const program = (url: string) => `
  import { connect } from "${NAME}/client";
  import KeyvBreadbox, { createKeyv } from "${NAME}/keyv";
  import breadboxDriver from "${NAME}/unstorage";
  import { Keyv } from "keyv";
  import { createStorage } from "unstorage";

  const url = ${JSON.stringify(url)};
  const client = await connect(url);
  await client.clear();
  const keyv = createKeyv(url, { namespace: "k" });
  await keyv.set("a", { deep: [1] }, 60_000);
  const shared = new Keyv({ store: new KeyvBreadbox(client, { namespace: "s" }), useKeyPrefix: false });
  shared.namespace = "s";
  await shared.setMany([{ key: "b", value: 2 }]);
  const storage = createStorage({ driver: breadboxDriver({ client, base: "u" }) });
  const told = Promise.withResolvers();
  await storage.watch((...change) => told.resolve(change));
  await storage.setItem("c:d", 3);
  const seen = [await keyv.get("a"), await shared.get("b"), await storage.getItem("c/d"), await told.promise];
  const keys = [];
  for await (const key of client.scan()) keys.push(key);
  const rows = [];
  for await (const row of keyv.iterator()) rows.push(row);
  await Promise.all([keyv.disconnect(), storage.dispose()]);
  await client.close();
  console.log(JSON.stringify({ seen, keys: keys.sort(), rows }));
`;
const FOUND = {
  seen: [{ deep: [1] }, 2, 3, ["update", "c:d"]],
  keys: ["k::a", "s::b", "u:c:d"],
  rows: [["a", { deep: [1] }]],
};

for (const keyv of ["keyv@5.6.0", "keyv@6.1.0"])
  describe(`with ${keyv}`, () => {
    let project: string;

    beforeAll(async () => {
      project = await projectWith(packed.tarball, keyv, UNSTORAGE);
    }, MAY_TAKE_MS);

    for (const [runtime, command] of [
      ["Node 22", NODE_22],
      ["Bun", process.execPath],
    ] as const)
      test(`they work in ${runtime}`, async () => {
        writeFileSync(join(project, "use.mjs"), program(server.ws));
        expect(JSON.parse(await run([command, "use.mjs"], { cwd: project }))).toEqual(FOUND);
      });

    test("their types are those that the libraries take", async () => {
      const code = `
        import KeyvBreadbox, { createKeyv } from "${NAME}/keyv";
        import breadboxDriver from "${NAME}/unstorage";
        import { Keyv } from "keyv";
        import { createStorage, type Driver } from "unstorage";
        const store = new KeyvBreadbox({ url: "ws://localhost", namespace: "n", token: "t" });
        export const keyvs: Keyv[] = [new Keyv({ store }), new Keyv(store), createKeyv("ws://localhost")];
        export const driver: Driver = breadboxDriver({ base: "b", ttl: 5 });
        export const storage = createStorage({ driver });
        // @ts-expect-error: there is no such option
        breadboxDriver({ ttlMs: "1" });
        // @ts-expect-error: a separator is text
        createKeyv("ws://localhost", { keyPrefixSeparator: 1 });
      `;
      writeFileSync(join(project, "use.ts"), code);
      const strict = { strict: true, noEmit: true, types: [], lib: ["esnext", "dom"], target: "esnext" };
      // The declarations of the libraries are not ours to check.
      const compilerOptions = { ...strict, skipLibCheck: true, module: "nodenext" };
      writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["use.ts"] }));
      const tsc = join(ROOT, "node_modules/.bin/tsc");
      expect(await runAny([tsc, "-p", project])).toEqual({ code: 0, stdout: "", stderr: "" });
    });
  });

test("without its library an adapter says what is missing, and the client works", async () => {
  const project = await projectWith(packed.tarball);
  const load = (entry: string) =>
    runAny([NODE_22, "--input-type=module", "-e", `await import("${NAME}/${entry}")`], { cwd: project });
  expect((await load("keyv")).stderr).toContain("Cannot find package 'keyv'");
  // It makes what unstorage takes, and needs nothing of it.
  for (const entry of ["client", "unstorage"])
    expect(await load(entry)).toEqual({ code: 0, stdout: "", stderr: "" });
});
