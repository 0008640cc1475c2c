/**
 * Alerts, scrape configuration and dashboard: valid for the tools that read them, about metrics that the server has, and fed by
 * a real Prometheus from a real server.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { request } from "../support/frames";
import { type Exposition, metricsOf } from "../support/exposition";
import { missingCommands, testThatNeeds } from "../support/needs";
import { startServer, type TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";

const OPS = new URL("../../ops/", import.meta.url).pathname;
const read = (path: string) => readFileSync(join(OPS, path), "utf8");
const [ALERTS, TESTS, SCRAPE] = ["alerts", "alerts.test", "scrape"].map((name) =>
  read(`prometheus/${name}.yaml`),
) as [string, string, string];
const DASHBOARD = JSON.parse(read("grafana/breadbox.json"));
const TOKEN = "token-of-prometheus";
const MISSING = missingCommands("promtool", "prometheus");
const GRID_WIDTH = 24;

interface Rule {
  alert: string;
  expr: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}
const RULES: Rule[] = (Bun.YAML.parse(ALERTS) as any).groups.flatMap((group: any) => group.rules);
const PANELS: any[] = DASHBOARD.panels.filter(({ type }: any) => type !== "row");
const EXPRESSIONS: string[] = PANELS.flatMap(({ targets }) => targets.map(({ expr }: any) => expr));
const VARIABLES: any[] = DASHBOARD.templating.list;

let server: TestServer;
let metrics: Exposition;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "breadbox-monitoring-"));
  server = await startServer({
    // Nobody is there: it has the metrics of an origin all the same.
    flags: ["--protect-metrics", "--origin", "redis://127.0.0.1:1"],
    env: { BREADBOX_READ_TOKEN: TOKEN, BREADBOX_TOKEN: "w" },
  });
  metrics = await metricsOf(server.http, { Authorization: `Bearer ${TOKEN}` });
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  expect(await server.stop()).toBe(0);
});

const namesIn = (text: string) => new Set([...text.matchAll(/\bbreadbox_[a-z_]+/g)].map(([name]) => name));

test("every metric that alerts, their tests and the dashboard name is one that the server has", () => {
  const known = new Set(metrics.samples.map(({ name }) => name));
  for (const [where, text, least] of [
    ["alerts", RULES.map(({ expr }) => expr).join("\n"), 15],
    ["tests of alerts", TESTS, 15],
    ["dashboard", [...EXPRESSIONS, JSON.stringify(VARIABLES)].join("\n"), 30],
  ] as const) {
    const named = namesIn(text);
    expect(named.size).toBeGreaterThan(least);
    expect({ where, unknown: [...named].filter((name) => !known.has(name)) }).toEqual({ where, unknown: [] });
  }
});

test("ops/README.md lists every metric once, with its type, and no other", () => {
  const rows = [
    ...read("README.md").matchAll(/^\| `(breadbox_[a-z_]+)`[^|]*\| (counter|gauge|histogram) +\|/gm),
  ];
  const listed = rows.map(([, name, type]) => `${name} ${type}`).sort();
  expect(listed).toEqual([...metrics.types].map(([name, type]) => `${name} ${type}`).sort());
});

describe("alerts", () => {
  testThatNeeds(MISSING, "are valid for Prometheus, and fire as their tests say", async () => {
    for (const [command, file] of [
      ["check", "alerts.yaml"],
      ["test", "alerts.test.yaml"],
    ] as const) {
      const run = Bun.spawnSync(["promtool", command, "rules", join(OPS, "prometheus", file)]);
      const output = run.stdout.toString() + run.stderr.toString();
      expect({ command, code: run.exitCode, output }).toEqual({
        command,
        code: 0,
        output: expect.stringContaining("SUCCESS"),
      });
    }
  });

  testThatNeeds(MISSING, "a threshold that is wrong is found by their tests", async () => {
    writeFileSync(join(folder, "alerts.yaml"), ALERTS.replace("lag_seconds > 0.25", "lag_seconds > 25"));
    writeFileSync(join(folder, "alerts.test.yaml"), TESTS);
    const { exitCode, stderr, stdout } = Bun.spawnSync([
      "promtool",
      "test",
      "rules",
      join(folder, "alerts.test.yaml"),
    ]);
    expect({ exitCode, output: stderr.toString() + stdout.toString() }).toEqual({
      exitCode: 1,
      output: expect.stringContaining("BreadboxEventLoopLate"),
    });
  });

  test("each says what it is, what it means and what to do", () => {
    expect(RULES.length).toBeGreaterThan(10);
    for (const { alert, labels, annotations } of RULES) {
      expect({ alert, severity: labels["severity"] }).toEqual({
        alert,
        severity: expect.stringMatching(/^(info|warning|critical)$/),
      });
      expect({ alert, said: Object.keys(annotations) }).toEqual({
        alert,
        said: ["summary", "description", "action"],
      });
      for (const text of Object.values(annotations)) expect(text.length).toBeGreaterThan(20);
    }
  });

  test("each is tested where it fires, and where all is well", () => {
    const { tests } = Bun.YAML.parse(TESTS) as any;
    const names = RULES.map(({ alert }) => alert).sort();
    const [well, ...others] = tests;
    expect(well.name).toBe("all is well");
    expect(well.alert_rule_test.map(({ alertname }: any) => alertname).sort()).toEqual(names);
    expect(well.alert_rule_test.every(({ exp_alerts }: any) => exp_alerts === undefined)).toBe(true);
    const firing = others.flatMap(({ promql_expr_test = [] }: any) =>
      promql_expr_test
        .filter(({ exp_samples }: any) => exp_samples.length === 1)
        .map(({ expr }: any) => /alertname="(\w+)"/.exec(expr)![1]!),
    );
    expect([...new Set(firing)].sort()).toEqual(names);
  });
});

describe("the dashboard", () => {
  test("is of a recent schema, asks the data source that is chosen, and its panels do not lie over each other", () => {
    expect(DASHBOARD).toMatchObject({
      uid: "breadbox",
      title: "Breadbox",
      id: null,
    });
    expect(DASHBOARD.schemaVersion).toBeGreaterThanOrEqual(39);
    const [source, ...others] = VARIABLES;
    expect(source).toMatchObject({ name: "datasource", type: "datasource", query: "prometheus" });
    const chosen = { type: "prometheus", uid: "${datasource}" };
    for (const { name, datasource } of others)
      expect({ name, datasource }).toEqual({ name, datasource: chosen });
    const ids = DASHBOARD.panels.map(({ id }: any) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const cells = new Set<string>();
    for (const { title, gridPos, ...panel } of DASHBOARD.panels) {
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(GRID_WIDTH);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect({ title, x, y, isTaken: cells.has(`${x} ${y}`) }).toEqual({ title, x, y, isTaken: false });
          cells.add(`${x} ${y}`);
        }
      if (panel.type === "row") continue;
      expect({ title, type: panel.type }).toEqual({
        title,
        type: expect.stringMatching(/^(stat|timeseries)$/),
      });
      expect(panel.datasource).toEqual(chosen);
      expect(panel.description.length).toBeGreaterThan(5);
      for (const target of panel.targets) expect(target.datasource).toEqual(chosen);
      const refs = panel.targets.map(({ refId }: any) => refId);
      expect(new Set(refs).size).toBe(refs.length);
    }
  });

  test("shows what operators ask for first", () => {
    const all = EXPRESSIONS.join("\n");
    for (const name of [
      "commands_total",
      "keyspace_hits_total",
      "memory_used_bytes",
      "evicted_keys_total",
      "expired_keys_total",
      "connected_clients",
      "event_streams",
      "pushed_resets_total",
      "waiting_tickets",
      "access_refused_total",
      "service_seconds_bucket",
      "event_loop_lag_seconds",
      "worker_restarts_total",
      "shards_lost_total",
      "origin_up",
      "origin_calls_total",
      "origin_call_seconds",
      "origin_errors_total",
      "origin_open_circuits",
      "origin_tracked_masters",
      "origin_invalidations_total",
      "origin_epochs_raised_total",
    ])
      expect(all).toContain(`breadbox_${name}{`);
  });
});

/** scrape.yaml as a user would change it: the server's address and the token's file; and at a pace that suits a test. */
function configuration(): string {
  const token = join(folder, "token");
  writeFileSync(token, `${TOKEN}\n`);
  writeFileSync(join(folder, "alerts.yaml"), ALERTS);
  const file = join(folder, "prometheus.yml");
  const changes: [from: string, to: string][] = [
    ["localhost:7171", new URL(server.http).host],
    ["/etc/prometheus/breadbox.token", token],
    ["scrape_interval: 15s", "scrape_interval: 250ms\n  scrape_timeout: 250ms\n  evaluation_interval: 250ms"],
  ];
  const text = changes.reduce((text, [from, to]) => {
    expect(text.split(from)).toHaveLength(2);
    return text.replace(from, to);
  }, SCRAPE);
  writeFileSync(file, text);
  return file;
}

testThatNeeds(MISSING, "scrape.yaml is a valid configuration", async () => {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["promtool", "check", "config", configuration()]);
  expect({ exitCode, output: stdout.toString() + stderr.toString() }).toEqual({
    exitCode: 0,
    output: expect.stringContaining(`${RULES.length} rules found`),
  });
});

/** A Prometheus of the test's own, on a port that was free; ended by its id. */
async function startPrometheus(config: string) {
  const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const address = `127.0.0.1:${probe.port}`;
  probe.stop(true);
  const child = Bun.spawn(
    [
      "prometheus",
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(folder, "data")}`,
      `--web.listen-address=${address}`,
    ],
    { stdout: "ignore", stderr: "pipe" },
  );
  const decoder = new TextDecoder();
  let log = "";
  const reader = child.stderr.getReader();
  while (!log.includes("Server is ready to receive web requests")) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`prometheus ended:\n${log}`);
    log += decoder.decode(value, { stream: true });
  }
  reader.releaseLock();
  void child.stderr.pipeTo(new WritableStream()).catch(() => {});
  const ask = async (path: string) =>
    ((await (await fetch(`http://${address}/api/v1/${path}`)).json()) as any).data;
  return {
    ask,
    /** The values that an expression has now. */
    query: async (expression: string): Promise<any[]> => {
      const answer = await fetch(`http://${address}/api/v1/query?query=${encodeURIComponent(expression)}`);
      const { status, data, error } = (await answer.json()) as any;
      if (status !== "success") throw new Error(`${expression}: ${error}`);
      return data.result;
    },
    stop: async () => {
      child.kill();
      await child.exited;
    },
  };
}

testThatNeeds(
  MISSING,
  "Prometheus reads a server by scrape.yaml, and every expression has values",
  async () => {
    const prometheus = await startPrometheus(configuration());
    try {
      const client = await WireClient.connect(server.ws, { headers: { Authorization: "Bearer w" } });
      await client.ask(request({ op: 2, key: "a", value: Buffer.from("1") }), request({ op: 1, key: "a" }));
      client.close();
      while ((await prometheus.query("sum_over_time(up[1h]) >= 3")).length === 0) await Bun.sleep(50);
      const { host } = new URL(server.http);
      expect(await prometheus.query("up")).toMatchObject([{ metric: { job: "breadbox", instance: host } }]);
      for (const expression of EXPRESSIONS) {
        const asked = expression
          .replaceAll("$job", "breadbox")
          .replaceAll("$instance", RegExp.escape(host).replaceAll("\\", "\\\\"))
          .replaceAll(/\$__(rate_interval|range)/g, "1m");
        const values = await prometheus.query(asked);
        expect({ asked, hasValues: values.length > 0 }).toEqual({ asked, hasValues: true });
      }
      const rulesNow = async () => (await prometheus.ask("rules")).groups[0].rules as any[];
      while ((await rulesNow()).some(({ health }) => health === "unknown")) await Bun.sleep(50);
      for (const { name, health, lastError } of await rulesNow())
        expect({ name, health, lastError }).toEqual({ name, health: "ok", lastError: undefined });
      expect((await rulesNow()).map(({ name }) => name).sort()).toEqual(
        RULES.map(({ alert }) => alert).sort(),
      );
    } finally {
      await prometheus.stop();
    }
  },
);
