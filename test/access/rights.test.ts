/**
 * Who may do what: every kind of token × every verb × every transport × keys inside and outside of a prefix, against a
 * real server. A request that is forbidden changes nothing and ends no connection.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Cache, CacheError, connect } from "../../src/client/client";
import { type Fields, request } from "../support/frames";
import { scopedToken, SECRET } from "../support/scoped";
import { startServer, type TestServer } from "../support/server";
import { temporaryFile } from "../support/temporary";
import { WireClient } from "../support/wire-client";

const VERBS = [
  "get",
  "put",
  "delete",
  "touch",
  "add",
  "append",
  "info",
  "scan",
  "clear",
  "ping",
  "stats",
] as const;
type Verb = (typeof VERBS)[number];
type Place = "inside" | "outside";
type Outcome = "done" | "forbidden" | "unauthorized";

const KEYS: Record<Place, string> = { inside: "user:42:k", outside: "user:4" };
const WITHOUT_KEY: readonly Verb[] = ["ping", "stats"];
const CONTENT = "7";

interface Grant {
  name: string;
  token: string;
  verbs: readonly Verb[];
  prefix?: true;
}

const but = (...without: Verb[]) => VERBS.filter((verb) => !without.includes(verb));
const GRANTS: Grant[] = [
  { name: "a token for everything", token: "all-token", verbs: VERBS },
  { name: "another, of the file", token: "file-all-token", verbs: VERBS },
  { name: "a token for reading", token: "read-token", verbs: ["get", "info", "scan", "stats"] },
  {
    name: "another for reading, of the file",
    token: "file-read-token",
    verbs: ["get", "info", "scan", "stats"],
  },
  {
    name: "a scoped token for get and put",
    token: scopedToken("user:42:", ["get", "put"]),
    verbs: ["get", "put", "info", "ping"],
    prefix: true,
  },
  {
    name: "a scoped token for all it can be given",
    token: scopedToken("user:42:", but("clear")),
    verbs: but("clear"),
    prefix: true,
  },
  { name: "a scoped token for every key", token: scopedToken("", ["scan"]), verbs: ["scan", "info", "ping"] },
];

let server: TestServer;
let root: Cache;

beforeAll(async () => {
  server = await startServer({
    flags: [
      ...["--token", "all-token", "--read-token", "read-token"],
      ...["--token-file", temporaryFile("rights", "all file-all-token\nread file-read-token\n")],
      ...["--token-secret-file", temporaryFile("rights-secrets", `# one\n${SECRET}\n`)],
    ],
  });
  root = await connect(server.http, { token: "all-token" });
});

afterAll(async () => {
  await root.close();
  expect(await server.stop()).toBe(0);
  for (const { token } of GRANTS) expect(server.log()).not.toContain(token);
});

interface Transport {
  name: string;
  open(token: string): Promise<void>;
  /** Outcomes of each way to say the verb; none where the transport can't. */
  run(verb: Verb, key: string): Promise<Outcome[]>;
  close(): void;
}

function outcomeOf(code: string | undefined): Outcome {
  return code === undefined ? "done" : code === "FORBIDDEN" ? "forbidden" : (code as Outcome);
}

function bearer(token: string): string[] {
  return ["breadbox.v1", `bearer.${Buffer.from(token).toString("base64url")}`];
}

function jsonOf(verb: Verb, key: string): Record<string, unknown> {
  if (verb === "scan" || verb === "clear") return { op: verb, prefix: key };
  if (WITHOUT_KEY.includes(verb)) return { op: verb };
  if (verb === "put" || verb === "append") return { op: verb, key, value: CONTENT };
  return verb === "add" ? { op: verb, key, delta: 1 } : { op: verb, key };
}

class Frames implements Transport {
  name = "binary frames";
  private client!: WireClient;
  async open(token: string): Promise<void> {
    this.client = await WireClient.connect(server.ws, { headers: { Authorization: `Bearer ${token}` } });
  }
  async run(verb: Verb, key: string): Promise<Outcome[]> {
    const fields: Fields = { op: VERBS.indexOf(verb) + 1, key: WITHOUT_KEY.includes(verb) ? "" : key };
    if (verb === "put" || verb === "append") fields.value = Buffer.from(CONTENT);
    if (verb === "add") fields.value = Buffer.from("0100000000000000", "hex");
    if (verb === "scan") fields.value = Buffer.alloc(0);
    const [reply] = await this.client.ask(request(fields));
    if (reply!.status === "ERROR" && reply!.code !== 0x85) throw new Error(reply!.message);
    return [reply!.status === "ERROR" ? "forbidden" : "done"];
  }
  close(): void {
    this.client.close();
  }
}

class Text implements Transport {
  name = "text messages";
  private client!: WireClient;
  async open(token: string): Promise<void> {
    this.client = await WireClient.connect(server.ws, { protocols: bearer(token) });
  }
  async run(verb: Verb, key: string): Promise<Outcome[]> {
    return [outcomeOf((await this.client.askJson(jsonOf(verb, key))).code)];
  }
  close(): void {
    this.client.close();
  }
}

class Http implements Transport {
  name = "HTTP";
  private token = "";
  async open(token: string): Promise<void> {
    this.token = token;
  }
  async run(verb: Verb, key: string): Promise<Outcome[]> {
    const outcomes: Outcome[] = [];
    for (const [path, init] of this.requests(verb, key)) {
      const response = await fetch(server.http + path, {
        ...init,
        headers: { Authorization: `Bearer ${this.token}` },
      });
      const text = await response.text();
      if (path === "/batch") outcomes.push(outcomeOf(JSON.parse(text)[0].code));
      else if (response.status === 403) outcomes.push("forbidden");
      else if (response.ok || response.status === 404) outcomes.push("done");
      else throw new Error(`${path}: ${response.status} ${text}`);
    }
    return outcomes;
  }
  private requests(verb: Verb, key: string): [path: string, init: RequestInit][] {
    const name = encodeURIComponent(key);
    const put = (body: object): [string, RequestInit] => [
      "/put",
      { method: "POST", body: JSON.stringify(body) },
    ];
    const batch: [string, RequestInit] = [
      "/batch",
      { method: "POST", body: JSON.stringify([jsonOf(verb, key)]) },
    ];
    switch (verb) {
      case "get":
        return [batch, [`/get?key=${name}`, {}], [`/kv/${name}`, {}], [`/kv/${name}`, { method: "HEAD" }]];
      case "put":
        return [
          batch,
          put({ key, value: CONTENT }),
          put({ key, value: CONTENT, ttl: 60_000 }),
          [`/kv/${name}`, { method: "PUT", body: CONTENT }],
        ];
      case "delete":
        return [batch, [`/kv/${name}`, { method: "DELETE" }]];
      case "stats":
        return [batch, ["/stats", {}]];
      default:
        return [batch];
    }
  }
  close(): void {}
}

class Client implements Transport {
  name = "the client";
  private cache!: Cache;
  async open(token: string): Promise<void> {
    this.cache = await connect(server.http, { token });
  }
  async run(verb: Verb, key: string): Promise<Outcome[]> {
    const { cache } = this;
    const calls: Record<Verb, () => Promise<unknown>> = {
      get: () => cache.get(key),
      put: () => cache.put(key, CONTENT),
      delete: () => cache.delete(key),
      touch: () => cache.touch(key),
      add: () => cache.add(key),
      append: () => cache.append(key, CONTENT),
      info: () => cache.info(key),
      scan: () => Array.fromAsync(cache.scan(key)),
      clear: () => cache.clear(key),
      ping: () => cache.ping(),
      stats: () => cache.stats(),
    };
    try {
      await calls[verb]();
      return ["done"];
    } catch (error) {
      if (error instanceof CacheError && error.code === "forbidden") return ["forbidden"];
      throw error;
    }
  }
  close(): void {
    void this.cache.close();
  }
}

function expected({ verbs, prefix }: Grant, verb: Verb, place: Place): Outcome {
  if (!verbs.includes(verb)) return "forbidden";
  const isHeld = prefix === true && !WITHOUT_KEY.includes(verb);
  return isHeld && place === "outside" ? "forbidden" : "done";
}

for (const transport of [new Frames(), new Text(), new Http(), new Client()]) {
  describe(transport.name, () => {
    for (const grant of GRANTS) {
      test(grant.name, async () => {
        await transport.open(grant.token);
        for (const place of ["inside", "outside"] as const) {
          for (const verb of VERBS) {
            const key = KEYS[place];
            await root.put(key, CONTENT);
            const before = await root.info(key);
            const outcomes = await transport.run(verb, key);
            const wanted = expected(grant, verb, place);
            expect({ verb, place, outcomes }).toEqual({ verb, place, outcomes: outcomes.map(() => wanted) });
            expect(outcomes.length).toBeGreaterThan(0);
            // Nothing has changed: not even the version.
            if (wanted === "forbidden") expect(await root.info(key)).toEqual(before);
          }
        }
        transport.close();
      });
    }
  });
}

describe("where the token of an upgrade is", () => {
  const opens = (headers: Record<string, string>, protocols: string[]) =>
    WireClient.connect(server.ws, { headers, protocols }).then(
      (client) => {
        client.close();
        return true;
      },
      () => false,
    );
  test("the header counts, and the subprotocol where the header holds no bearer", async () => {
    const scoped = scopedToken("a", ["get"]);
    for (const token of ["all-token", "read-token", scoped]) {
      expect(await opens({ Authorization: `bearer ${token}` }, ["breadbox.v1"])).toBe(true);
      expect(await opens({}, bearer(token))).toBe(true);
      expect(await opens({ Authorization: "Basic YTpi" }, bearer(token))).toBe(true);
      expect(await opens({ Authorization: `Basic ${btoa(`a:${token}`)}` }, ["breadbox.v1"])).toBe(true);
      expect(await opens({ Authorization: "Bearer wrong" }, bearer(token))).toBe(false);
      expect(await opens({}, ["breadbox.v1", `bearer.${token}`])).toBe(false);
      expect(await opens({ Authorization: "Basic YTpi" }, ["breadbox.v1"])).toBe(false);
    }
    expect(await opens({}, ["breadbox.v1"])).toBe(false);
  });
});

describe("a prefix is a prefix of bytes", () => {
  const inside = (bytes: string | Buffer) => request({ op: 1, key: bytes });
  const ask = async (prefix: string, key: string | Buffer) => {
    const client = await WireClient.connect(server.ws, { protocols: bearer(scopedToken(prefix, ["get"])) });
    const [reply] = await client.ask(inside(key));
    client.close();
    return reply!.status === "ERROR" ? reply!.code : reply!.status;
  };

  test("shorter, equal, longer, and bytes that are no text", async () => {
    expect(await ask("é:", "é:")).toBe("MISS");
    expect(await ask("é:", "é:x")).toBe("MISS");
    expect(await ask("é:", "é")).toBe(0x85);
    expect(await ask("é", Buffer.from([0xc3]))).toBe(0x85);
    expect(await ask("é", Buffer.from([0xc3, 0xa8]))).toBe(0x85);
    expect(await ask("é", Buffer.from([0xc3, 0xa9, 0xff]))).toBe("MISS");
    // The same letter in another form is another key.
    expect(await ask("é", "e\u0301")).toBe(0x85);
    expect(await ask("User:", "user:1")).toBe(0x85);
  });

  test("no spelling of a key gets around it", async () => {
    const token = scopedToken("user:42:", ["get", "put"]);
    const headers = { Authorization: `Bearer ${token}` };
    const status = async (path: string, init: RequestInit = {}) =>
      (await fetch(server.http + path, { ...init, headers })).status;
    const put = (body: string) => status("/put", { method: "POST", body });
    await root.put("victim", "safe");
    expect(await status("/kv/%75ser%3A42%3Ax")).toBe(404);
    expect(await status("/kv/user:42:%2F..%2Fvictim")).toBe(404);
    expect(await status("/get?key=user:42:x&key=victim")).toBe(400);
    expect(await status("/get?key=victim&key=user:42:x")).toBe(400);
    expect(await status("/get?key=vic%74im")).toBe(403);
    expect(await put('{"key":"\\u0075ser:42:a","value":"x"}')).toBe(200);
    expect(await put('{"key":"user:42:a","value":"x","key":"victim"}')).toBe(403);
    expect(await put('{"key":"user:42:a","key":"victim","value":"x"}')).toBe(403);
    expect(await put('{"key":"victi\\u006d","value":"x"}')).toBe(403);
    expect(await root.get("victim")).toBe("safe");
  });
});

describe("SCAN of a scoped token", () => {
  test("without a prefix it sees what the token may name, over many pages, and nothing else", async () => {
    const mine = Array.from({ length: 2500 }, (_, i) => `mine:${i}`).sort();
    await Promise.all([...mine, "min", "mine", "other:1"].map((key) => root.put(key, "")));
    const cache = await connect(server.http, { token: scopedToken("mine:", ["scan"]) });
    expect([...new Set(await Array.fromAsync(cache.scan()))].sort()).toEqual(mine);
    expect(await Array.fromAsync(cache.scan("mine:77"))).toSatisfy((keys) => new Set(keys).size === 11);
    await cache.close();
    const client = await WireClient.connect(server.ws, { protocols: bearer(scopedToken("mine:", ["scan"])) });
    const page = await client.askJson({ op: "scan" });
    expect(page.keys.length).toBeGreaterThan(0);
    expect(page.keys.every((key: string) => key.startsWith("mine:"))).toBe(true);
    for (const prefix of ["m", "mine", "other:"])
      expect((await client.askJson({ op: "scan", prefix })).code).toBe("FORBIDDEN");
    client.close();
  });
});

describe("/metrics with --protect-metrics", () => {
  test("is for those who may see the stats; /healthz stays open", async () => {
    const closed = await startServer({
      flags: ["--token-secret-file", temporaryFile("metrics-secrets", SECRET), "--token", "all-token"],
      env: { BREADBOX_PROTECT_METRICS: "true", BREADBOX_READ_TOKEN: "reader-1 reader-2" },
    });
    const status = async (path: string, token?: string) => {
      const headers: Record<string, string> = token === undefined ? {} : { Authorization: `Bearer ${token}` };
      return (await fetch(closed.http + path, { headers })).status;
    };
    expect(await status("/healthz")).toBe(200);
    expect(await status("/metrics")).toBe(401);
    expect(await status("/metrics", "wrong")).toBe(401);
    for (const token of ["all-token", "reader-1", "reader-2", scopedToken("a", ["stats"])])
      expect(await status("/metrics", token)).toBe(200);
    expect(await status("/metrics", scopedToken("a", ["get"]))).toBe(403);
    await closed.stop();
  });
});

describe("HTTP Basic", () => {
  test("gives what the token in the password's place gives, and a 401 asks for Bearer alone", async () => {
    const basic = (token: string) => ({ Authorization: `Basic ${btoa(`anybody:${token}`)}` });
    const put = (token: string) =>
      fetch(`${server.http}/kv/user:42:basic`, { method: "PUT", headers: basic(token), body: "1" });
    expect((await put("all-token")).status).toBe(204);
    expect((await put("read-token")).status).toBe(403);
    expect((await put(scopedToken("user:42:", ["put"]))).status).toBe(204);
    expect((await put(scopedToken("user:43:", ["put"]))).status).toBe(403);
    const wrong = await put("no-token");
    expect([wrong.status, wrong.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
    const url = server.http.replace("//", "//anybody:read-token@");
    expect(await (await fetch(`${url}/kv/user:42:basic`)).text()).toBe("1");
  });
});
