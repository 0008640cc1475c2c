/** The transports of the contract: each turns a step into its own request, or says that it cannot express it. */
import { type Cache, CacheError, connect } from "../../src/client/client";
import { type Fields, request, type Reply } from "../support/frames";
import type { TestServer } from "../support/server";
import { type Call, curlOver, fetchOver } from "../support/http-calls";
import { WireClient } from "../support/wire-client";
import type { Expected, Step } from "./cases";

export interface Transport {
  readonly name: string;
  open(server: TestServer): Promise<void>;
  /** What came of the step; null when this transport cannot say it. `version` is the number that the step's version or token means. */
  run(step: Step, version: number): Promise<Expected | null>;
  close(): void;
}

const OPS = {
  get: 1,
  put: 2,
  delete: 3,
  touch: 4,
  add: 5,
  append: 6,
  info: 7,
  scan: 8,
  clear: 9,
  ping: 10,
  lease: 0x12,
  fill: 2,
  release: 0x13,
  getdelete: 0x14,
  gettouch: 0x15,
} as const;
const FILL = 0x80;

const ERRORS: Record<number, NonNullable<Expected["kind"]>> = {
  0x80: "MALFORMED",
  0x82: "BAD_KEY",
  0x83: "VALUE_TOO_LARGE",
  0x84: "NOT_A_NUMBER",
};
/** Certificates of test servers are signed by themselves. */
const TLS = { rejectUnauthorized: false };
const NO_TTL = 0xffff_ffff_ffff_ffffn;

export class BinaryFrames implements Transport {
  readonly name = "binary frames";
  private client!: WireClient;

  async open(server: TestServer): Promise<void> {
    this.client = await WireClient.connect(server.ws, { tls: TLS });
  }

  close(): void {
    this.client.close();
  }

  async run(step: Step, version: number): Promise<Expected | null> {
    if (step.verb === "scan") return this.scan(step.key ?? "");
    const fields: Fields = { op: OPS[step.verb], key: step.key ?? "" };
    if (step.value !== undefined) fields.value = Buffer.from(step.value as string);
    if (step.ttl !== undefined) fields.ttlMs = BigInt(step.ttl);
    if (step.version !== undefined || step.token !== undefined) fields.version = BigInt(version);
    if (step.verb === "fill") fields.flags = FILL;
    if (step.when !== undefined) fields.flags = step.when === "absent" ? 0x08 : 0x10;
    if (step.delta !== undefined) {
      fields.value = Buffer.alloc(8);
      fields.value.writeBigInt64LE(step.delta);
    }
    const [reply] = await this.client.ask(request(fields));
    return fromReply(reply!);
  }

  private async scan(prefix: string): Promise<Expected> {
    const keys = new Set<string>();
    for (let cursor = Buffer.alloc(0); ;) {
      const [page] = await this.client.ask(request({ op: OPS.scan, key: prefix, value: cursor }));
      if (page?.status !== "SCAN_PAGE") return fromReply(page!);
      for (const key of page.keys) keys.add(key.toString());
      if (page.cursor === 0n) return { status: "OK", keys: [...keys].sort() };
      cursor = Buffer.alloc(8);
      cursor.writeBigUInt64LE(page.cursor);
    }
  }
}

function fromReply(reply: Reply): Expected {
  switch (reply.status) {
    case "VALUE":
    case "META_VALUE":
      return { status: "OK", value: reply.value };
    case "NUMBER":
      return { status: "OK", number: reply.number };
    case "META":
      return { status: "OK", length: reply.length, hasTtl: reply.ttlMs !== NO_TTL };
    case "LEASED":
      return { status: "LEASED", token: Number(reply.token) };
    case "ERROR":
      return { status: "ERROR", kind: ERRORS[reply.code]! };
    case "SCAN_PAGE":
      return { status: "OK", keys: reply.keys.map(String) };
    default:
      return { status: reply.status };
  }
}

/** What text messages and POST /batch share: request objects in, answer objects out. */
abstract class JsonObjects implements Transport {
  abstract readonly name: string;
  abstract open(server: TestServer): Promise<void>;
  abstract close(): void;
  protected abstract ask(request: unknown): Promise<any>;

  async run(step: Step, version: number): Promise<Expected | null> {
    const { verb } = step;
    const message: Record<string, unknown> = { op: verb === "fill" ? "put" : verb };
    if (verb === "scan" || verb === "clear") message.prefix = step.key;
    else if (verb !== "ping") message.key = step.key;
    if (step.value !== undefined) {
      const isText = typeof step.value === "string";
      message.value = isText ? step.value : (step.value as Buffer).toString("base64");
      if (!isText) message.encoding = "base64";
    }
    if (step.ttl !== undefined) message.ttl = step.ttl;
    if (step.when !== undefined) message.if = step.when;
    if (step.version !== undefined) message[verb === "get" ? "version" : "ifVersion"] = version;
    if (step.token !== undefined) message[verb === "fill" ? "lease" : "token"] = version;
    if (step.delta !== undefined) message.delta = String(step.delta);
    if (verb === "scan") return this.scan(message);
    const answer = await this.ask(message);
    return this.fromAnswer(step, answer);
  }

  private async scan(message: Record<string, unknown>): Promise<Expected> {
    const keys = new Set<string>();
    for (let cursor = "0"; ;) {
      const page = await this.ask({ ...message, cursor });
      for (const key of page.keys) keys.add(key);
      cursor = page.cursor;
      if (cursor === "0") return { status: "OK", keys: [...keys].sort() };
    }
  }

  private fromAnswer(step: Step, answer: any): Expected {
    if (answer.status === "ERROR") return { status: "ERROR", kind: answer.code };
    const result: Expected = { status: answer.status };
    if (answer.token !== undefined) result.token = answer.token;
    if (answer.number !== undefined) result.number = BigInt(answer.number);
    if (answer.value !== undefined) result.value = Buffer.from(answer.value, answer.encoding ?? "utf8");
    if (step.verb === "info" && answer.status === "OK") {
      result.length = answer.length;
      result.hasTtl = answer.ttl !== null;
    }
    return result;
  }
}

class TextMessages extends JsonObjects {
  readonly name = "text messages";
  private client!: WireClient;
  async open(server: TestServer): Promise<void> {
    this.client = await WireClient.connect(server.ws, { protocols: ["breadbox.v1"] });
  }
  close(): void {
    this.client.close();
  }
  protected ask(request: unknown): Promise<any> {
    return this.client.askJson(request);
  }
}

class Batch extends JsonObjects {
  readonly name: string;
  private url = "";
  constructor(private readonly call: Call) {
    super();
    this.name = `POST /batch, ${call.version}`;
  }
  async open(server: TestServer): Promise<void> {
    this.url = `${server.http}/batch`;
  }
  close(): void {}
  protected async ask(request: unknown): Promise<any> {
    const response = await this.call(this.url, { method: "POST", body: JSON.stringify([request]) });
    if (response.status !== 200) throw new Error(`POST /batch: ${response.status}`);
    return ((await response.json()) as unknown[])[0];
  }
}

/** The error codes of HTTP.md for a kind. */
const HTTP_CODES: Record<NonNullable<Expected["kind"]>, number[]> = {
  MALFORMED: [400],
  BAD_KEY: [400, 413],
  VALUE_TOO_LARGE: [413],
  NOT_A_NUMBER: [400],
};

function fromCode(step: Step, code: number): Expected {
  if (code === 412) return { status: "REFUSED" };
  if (code === 404) return { status: "MISS" };
  const kind = step.expect.kind;
  if (kind !== undefined && HTTP_CODES[kind].includes(code)) return { status: "ERROR", kind };
  throw new Error(`HTTP ${code} means nothing here`);
}

class PutAndGet implements Transport {
  readonly name: string;
  private url = "";
  constructor(private readonly call: Call) {
    this.name = `/put and /get, ${call.version}`;
  }
  async open(server: TestServer): Promise<void> {
    this.url = server.http;
  }
  close(): void {}

  async run(step: Step, version: number): Promise<Expected | null> {
    if (step.verb === "get") {
      if (step.version !== undefined) return null;
      const response = await this.call(`${this.url}/get?key=${encodeURIComponent(step.key!)}`);
      const answer = (await response.json()) as any;
      if (response.status !== 200) return fromCode(step, response.status);
      if (answer.key !== step.key) throw new Error(`the answer names key ${answer.key}`);
      return { status: "OK", value: Buffer.from(answer.value, answer.encoding ?? "utf8") };
    }
    if (step.verb !== "put") return null;
    const body: Record<string, unknown> = { key: step.key };
    if (typeof step.value === "string") body.value = step.value;
    else Object.assign(body, { value: step.value!.toString("base64"), encoding: "base64" });
    if (step.ttl !== undefined) body.ttl = step.ttl;
    if (step.when !== undefined) body.if = step.when;
    if (step.version !== undefined) body.ifVersion = version;
    const response = await this.call(`${this.url}/put`, { method: "POST", body: JSON.stringify(body) });
    const text = await response.text();
    if (response.status !== 200) return fromCode(step, response.status);
    if (text !== '{"status":"OK","message":"Key inserted/updated successfully."}') throw new Error(text);
    return { status: "OK" };
  }
}

class RawValues implements Transport {
  readonly name: string;
  private url = "";
  constructor(private readonly call: Call) {
    this.name = `/kv/{key}, ${call.version}`;
  }
  async open(server: TestServer): Promise<void> {
    this.url = `${server.http}/kv/`;
  }
  close(): void {}

  async run(step: Step, version: number): Promise<Expected | null> {
    const url = this.url + encodeURIComponent(step.key ?? "");
    const headers: Record<string, string> = {};
    if (step.when === "absent") headers["If-None-Match"] = "*";
    if (step.when === "present") headers["If-Match"] = "*";
    if (step.version !== undefined)
      headers[step.verb === "get" ? "If-None-Match" : "If-Match"] = `"${version}"`;
    if (step.verb === "get" || step.verb === "lease") {
      const response = await this.call(step.verb === "get" ? url : `${url}?lease=10s`, { headers });
      const value = Buffer.from(await response.arrayBuffer());
      const token = response.headers.get("lease");
      if (token !== null) return { status: "LEASED", token: Number(token.slice(1, -1)) };
      if (response.status === 404 && response.headers.has("retry-after")) return { status: "PENDING" };
      if (response.status === 304) return { status: "CURRENT" };
      if (response.status !== 200) return fromCode(step, response.status);
      if (!/^"[1-9][0-9]*"$/.test(response.headers.get("etag") ?? "")) throw new Error("no ETag");
      return { status: "OK", value };
    }
    if (step.verb !== "put" && step.verb !== "fill" && step.verb !== "delete") return null;
    const query =
      step.verb === "fill" ? `?lease=${version}` : step.ttl === undefined ? "" : `?ttl=${step.ttl}`;
    const response =
      step.verb !== "delete"
        ? await this.call(url + query, {
            method: "PUT",
            body: Buffer.from(step.value as string) as Buffer<ArrayBuffer>,
            headers,
          })
        : await this.call(url, { method: "DELETE", headers });
    return response.status === 204 ? { status: "OK" } : fromCode(step, response.status);
  }
}

/** The TypeScript client, in this process. */
class Client implements Transport {
  readonly name = "the client";
  private cache!: Cache;

  async open(server: TestServer): Promise<void> {
    this.cache = await connect(server.http);
  }

  close(): void {
    void this.cache.close();
  }

  async run(step: Step, version: number): Promise<Expected | null> {
    try {
      return await this.call(step, version);
    } catch (error) {
      if (!(error instanceof CacheError)) throw error;
      return {
        status: "ERROR",
        kind: error.code.toUpperCase().replaceAll("-", "_") as NonNullable<Expected["kind"]>,
      };
    }
  }

  private async call(step: Step, version: number): Promise<Expected | null> {
    const { cache } = this;
    const key = step.key ?? "";
    const ttl = step.ttl === undefined ? {} : { ttlMs: step.ttl };
    const ifVersion = step.version === undefined ? {} : { ifVersion: version };
    switch (step.verb) {
      case "get": {
        if (step.version !== undefined) return null;
        return fromBytes(await cache.getBytes(key));
      }
      case "put": {
        const options = { ...ttl, ...ifVersion, ...(step.when === "present" && { ifPresent: true }) };
        const stored = await cache.put(
          key,
          step.value!,
          step.when === "absent" ? { ...ttl, ifAbsent: true } : options,
        );
        return { status: stored === null ? "REFUSED" : "OK" };
      }
      case "delete":
        if (step.version !== undefined) return null;
        return { status: (await cache.delete(key)) ? "OK" : "MISS" };
      case "touch":
        return { status: (await cache.touch(key, ttl)) ? "OK" : "MISS" };
      case "getdelete":
        return fromBytes(await cache.getBytesAndDelete(key));
      case "gettouch":
        return fromBytes(await cache.getBytesAndTouch(key, ttl));
      case "add":
        return { status: "OK", number: await cache.add(key, step.delta!, ttl) };
      case "append":
        return { status: (await cache.append(key, step.value!)) ? "OK" : "MISS" };
      case "info": {
        const info = await cache.info(key);
        return info === null
          ? { status: "MISS" }
          : { status: "OK", length: info.length, hasTtl: info.ttlMs !== null };
      }
      case "scan": {
        const keys = new Set<string>();
        for await (const found of cache.scan(key)) keys.add(found);
        return { status: "OK", keys: [...keys].sort() };
      }
      case "clear":
        return { status: "OK", number: BigInt(await cache.clear(key)) };
      case "ping":
      case "lease":
      case "fill":
      case "release":
        return null;
    }
  }
}

function fromBytes(value: Uint8Array | null): Expected {
  return value === null ? { status: "MISS" } : { status: "OK", value: Buffer.from(value) };
}

const over = (call: Call): Transport[] => [new Batch(call), new PutAndGet(call), new RawValues(call)];

/** For a server without TLS. */
export const TRANSPORTS: Transport[] = [
  new Client(),
  new BinaryFrames(),
  new TextMessages(),
  ...over(fetchOver("HTTP/1.1")),
  new PutAndGet(curlOver("HTTP/2 without TLS", "--http2-prior-knowledge")),
  new RawValues(curlOver("HTTP/2 without TLS", "--http2-prior-knowledge")),
];

/** For a server with TLS, --http2 and --http3. */
export const TLS_TRANSPORTS: Transport[] = [
  ...over(fetchOver("HTTP/2")),
  ...over(fetchOver("HTTP/3")),
  new RawValues(curlOver("HTTP/2", "--http2")),
];
