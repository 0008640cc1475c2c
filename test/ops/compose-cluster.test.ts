/** compose.cluster.yaml: the limits of compose.yaml, and everything that it says is really run, without an engine for containers. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { FLAG_NAMES, variableOf } from "../../src/config/flags";
import { freePorts, until, withFreePorts } from "../support/engine";
import { startServer, type TestServer } from "../support/server";
import { temporaryPath } from "../support/temporary";

const ROOT = new URL("../../", import.meta.url).pathname;
const TEXT = readFileSync(join(ROOT, "ops/compose.cluster.yaml"), "utf8");
const ALONE = (Bun.YAML.parse(readFileSync(join(ROOT, "ops/compose.yaml"), "utf8")) as any).services.breadbox;
const ENGINES = ["valkey-1", "valkey-2", "valkey-3", "valkey-4", "valkey-5", "valkey-6"];
const NODES = ["breadbox-1", "breadbox-2"];
const ENGINE_PORTS = ["7001", "7002", "7003", "7004", "7005", "7006"];
/** As startServer has it. */
const WORKERS = 2;
/** The buses are 10,000 above, and so still below what the system gives to outgoing connections. */
const PORT_END = 22_000;

interface Service {
  command: string[];
  environment: Record<string, string>;
  healthcheck: { test: string[] };
  [name: string]: unknown;
}

/** What compose makes of the file: variables in place of `${…}`, and `$$` as `$`. */
function servicesOf(text: string, variables: Record<string, string> = {}): Record<string, Service> {
  const valueOf = (name: string) => variables[name] ?? "";
  const fill = (text: string) =>
    text
      .replaceAll(/\$\{(\w+)\}/g, (_, name) => valueOf(name))
      .replaceAll(/\$\{(\w+):\+([^}]*)\}/g, (_, name, then) => (valueOf(name) === "" ? "" : then))
      .replaceAll(/\$\{(\w+):-([^}]*)\}/g, (_, name, otherwise) => valueOf(name) || otherwise)
      .replaceAll("$$", "$");
  const { services } = Bun.YAML.parse(text) as any;
  return JSON.parse(JSON.stringify(services), (_, value) =>
    typeof value === "string" ? fill(value) : value,
  );
}

const SERVICES = servicesOf(TEXT);

describe("it says", () => {
  test("of Breadbox what compose.yaml says, apart from the name, the port and the origin", () => {
    const { container_name: _, environment, build, ...limits } = ALONE;
    const compose = (Bun.YAML.parse(TEXT) as any).services;
    for (const name of NODES) {
      const { container_name, depends_on, environment: own, build: _, ...rest } = compose[name];
      expect({ name, rest }).toEqual({ name, rest: limits });
      const { BREADBOX_PORT, BREADBOX_ORIGIN, ...others } = own;
      expect({ container_name, others }).toEqual({ container_name: name, others: environment });
      expect(depends_on).toEqual({ cluster: { condition: "service_completed_successfully" } });
      const known = FLAG_NAMES.map(variableOf);
      expect(Object.keys(own).filter((name) => !known.includes(name))).toEqual([]);
    }
    expect(NODES.map((name) => compose[name].build)).toEqual([build, undefined]);
    expect(NODES.map((name) => compose[name].environment.BREADBOX_PORT)).toEqual(["7171", "7172"]);
    expect(readFileSync(join(ROOT, "Dockerfile"), "utf8")).toContain("\nHEALTHCHECK ");
  });

  test("of the servers that they are confined, bounded, pinned, on loopback, and keep what they have", () => {
    const volumes = Object.keys((Bun.YAML.parse(TEXT) as any).volumes);
    expect(volumes).toEqual(ENGINES);
    for (const name of ENGINES) {
      const service = SERVICES[name]!;
      expect(service).toMatchObject({
        image: expect.stringMatching(/^valkey\/valkey:\d+\.\d+\.\d+-alpine$/),
        user: "valkey",
        network_mode: "host",
        working_dir: "/data",
        volumes: [`${name}:/data`],
        read_only: true,
        cap_drop: ["ALL"],
        security_opt: ["no-new-privileges"],
        mem_limit: service.memswap_limit,
      });
      for (const option of [
        "--bind 127.0.0.1",
        "--appendonly yes",
        "--maxmemory-policy ",
        "--cluster-node-timeout ",
      ])
        expect(service.command[2]).toContain(option);
    }
    expect(ENGINES.map((name) => SERVICES[name]!.environment["PORT"]!)).toEqual(ENGINE_PORTS);
  });

  test("of the creation that it waits for all servers, and runs once", () => {
    const { depends_on, restart } = SERVICES["cluster"]!;
    expect(Object.keys(depends_on as object)).toEqual(ENGINES);
    expect(new Set(Object.values(depends_on as object).map(({ condition }) => condition))).toEqual(
      new Set(["service_healthy"]),
    );
    expect(restart).toBe("no");
  });

  test("a password only where there is one", () => {
    const originOf = (services: Record<string, Service>) =>
      services["breadbox-2"]!.environment["BREADBOX_ORIGIN"];
    const nodes = "127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003";
    expect(originOf(SERVICES)).toBe(`redis://${nodes}`);
    expect(originOf(servicesOf(TEXT, { ORIGIN_PASSWORD: "secret" }))).toBe(`redis://:secret@${nodes}`);
  });
});

/** Everything of the file as processes: on other ports, and with Redis's programs under the names of Valkey's. */
class Composed {
  private readonly services: Record<string, Service>;
  private readonly children: Subprocess[] = [];
  private readonly logs: string[] = [];
  private readonly programs = mkdtempSync(temporaryPath("programs-"));
  readonly nodes: TestServer[] = [];

  constructor(ports: readonly number[], password: string) {
    const text = ENGINE_PORTS.reduce((text, port, i) => text.replaceAll(port, String(ports[i])), TEXT);
    this.services = servicesOf(text, { ORIGIN_PASSWORD: password, ORIGIN_MEMORY: "64mb" });
    for (const tool of ["server", "cli"])
      symlinkSync(Bun.which(`redis-${tool}`)!, join(this.programs, `valkey-${tool}`));
  }

  /** In the order of depends_on. */
  async up(): Promise<void> {
    for (const name of ENGINES) this.startEngine(name);
    for (const [i, name] of ENGINES.entries())
      await until(`${name} is healthy`, async () => {
        if (this.children[i]!.exitCode !== null) throw new Error(readFileSync(this.logs[i]!, "utf8"));
        return (await this.check(name)) === 0;
      });
    expect(await this.create()).toEqual({
      code: 0,
      output: expect.stringContaining("[OK] All 16384 slots covered."),
    });
    for (const name of NODES) this.nodes.push(await this.startNode(name));
  }

  /** The service that ends by itself. */
  async create(): Promise<{ code: number; output: string }> {
    const child = this.spawn("cluster", this.services["cluster"]!.command, "pipe");
    const [output, code] = await Promise.all([new Response(child.stdout).text(), child.exited]);
    return { code, output };
  }

  async ask(engine: string, ...args: string[]): Promise<string> {
    const { environment } = this.services[engine]!;
    const child = this.spawn(engine, ["valkey-cli", "-p", environment["PORT"]!, ...args], "pipe");
    return (await new Response(child.stdout).text()).trim();
  }

  async down(): Promise<number[]> {
    const codes = await Promise.all(this.nodes.map((node) => node.stop()));
    this.children.forEach((child) => child.kill("SIGTERM"));
    return [...codes, ...(await Promise.all(this.children.map((child) => child.exited)))];
  }

  kill(): void {
    this.children.forEach((child) => child.kill("SIGKILL"));
  }

  private startEngine(name: string): void {
    const log = temporaryPath(`${name}-${this.services[name]!.environment["PORT"]}.log`);
    this.logs.push(log);
    this.children.push(this.spawn(name, this.services[name]!.command, Bun.file(log)));
  }

  private async check(name: string): Promise<number> {
    const [kind, command] = this.services[name]!.healthcheck.test;
    expect(kind).toBe("CMD-SHELL");
    return await this.spawn(name, ["sh", "-c", command!], "ignore").exited;
  }

  /** With the settings of the file, but for the port, less memory, and more time for a busy machine. */
  private async startNode(name: string): Promise<TestServer> {
    const { BREADBOX_PORT: _, BREADBOX_MEMORY, ...env } = this.services[name]!.environment;
    expect(BREADBOX_MEMORY).toBe("60%");
    const node = await startServer({ env: { ...env, BREADBOX_ORIGIN_TIMEOUT: "10s" } });
    await node.loggedTimes("origin: connected to 3 masters", WORKERS);
    return node;
  }

  private spawn<Out extends "pipe" | "ignore" | Bun.BunFile>(name: string, command: string[], stdout: Out) {
    return Bun.spawn(command, {
      cwd: mkdtempSync(temporaryPath("data-")),
      env: {
        PATH: `${this.programs}:${process.env["PATH"]}`,
        ...this.services[name]!.environment,
      },
      stdin: "ignore",
      stdout,
      stderr: "ignore",
    });
  }
}

async function enginePorts(): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < ENGINES.length)
    ports.push(
      ...(await freePorts(ENGINES.length)).filter((port) => port < PORT_END && !ports.includes(port)),
    );
  return ports.slice(0, ENGINES.length);
}

for (const [how, password] of [
  ["with a password", "0123456789abcdef"],
  ["without a password", ""],
] as const)
  describe(`what it says, run ${how}`, () => {
    let composed: Composed;
    beforeAll(async () => {
      composed = await withFreePorts(1, async () => {
        const started = new Composed(await enginePorts(), password);
        try {
          await started.up();
          return started;
        } catch (error) {
          started.kill();
          throw error;
        }
      });
    }, 60_000);
    afterAll(() => composed.kill());

    test("a value that is put through one node is got through the other", async () => {
      const [one, other] = composed.nodes;
      const { http } = other!;
      const put = await fetch(`${one!.http}/kv/greeting`, { method: "PUT", body: "hello" });
      expect(put.status).toBe(204);
      expect(await (await fetch(`${http}/kv/greeting`)).text()).toBe("hello");
      expect(await (await fetch(`${http}/healthz`)).json()).toMatchObject({ status: "OK" });
    });

    test("each master has a replica, and all do as the file says", async () => {
      const roles = await Promise.all(ENGINES.map((name) => composed.ask(name, "ROLE")));
      expect(roles.map((role) => role.split("\n")[0]).sort()).toEqual([
        ...Array(3).fill("master"),
        ...Array(3).fill("slave"),
      ]);
      for (const [name, value] of [
        ["maxmemory", String(64 << 20)],
        ["maxmemory-policy", "allkeys-lru"],
        ["maxmemory-clients", "10%"],
        ["cluster-node-timeout", "5000"],
        ["cluster-require-full-coverage", "no"],
        ["appendonly", "yes"],
        ["requirepass", password],
        ["masterauth", password],
      ])
        expect(await composed.ask("valkey-1", "CONFIG", "GET", name!)).toBe(`${name}\n${value}`.trim());
    });

    test("the creation does nothing the second time, and ends well", async () => {
      const before = await composed.ask("valkey-1", "CLUSTER", "MYID");
      expect(await composed.create()).toEqual({ code: 0, output: "the cluster exists\n" });
      expect(await composed.ask("valkey-1", "CLUSTER", "MYID")).toBe(before);
    });

    test("all of it ends well on SIGTERM", async () => {
      expect(await composed.down()).toEqual(Array(ENGINES.length + NODES.length).fill(0));
    });
  });
