/** The script, the compose file and the service start the same server with the same limits. */
import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FLAG_NAMES, variableOf } from "../../src/config/flags";
import { missingCommands, testThatNeeds } from "../support/needs";

const OPS = new URL("../../ops/", import.meta.url).pathname;

function inTemporaryFolder<Result>(run: (folder: string) => Result): Result {
  const folder = mkdtempSync(join(tmpdir(), "breadbox-ops-"));
  try {
    return run(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What the script would run: arguments of the engine, one a line. */
function dockerRun(args: string[], environment: Record<string, string> = {}) {
  return inTemporaryFolder((folder) => {
    const engine = join(folder, "engine");
    writeFileSync(engine, `#!/bin/sh\nprintf '%s\\n' "$@"\nenv | grep ^BREADBOX_ | sed 's/^/set /'\n`);
    chmodSync(engine, 0o755);
    const run = Bun.spawnSync([join(OPS, "docker-run.sh"), ...args], {
      env: { PATH: process.env["PATH"], ENGINE: engine, ...environment },
    });
    return {
      code: run.exitCode,
      lines: run.stdout.toString().trim().split("\n"),
      stderr: run.stderr.toString(),
    };
  });
}

const README = readFileSync(join(OPS, "README.md"), "utf8");
const SERVICE = readFileSync(join(OPS, "breadbox.service"), "utf8");
const COMPOSE = (Bun.YAML.parse(readFileSync(join(OPS, "compose.yaml"), "utf8")) as any).services.breadbox;

/** Drop-ins that ops/README.md shows. */
const DROP_INS = [...README.matchAll(/^```ini\n([^]*?)^```$/gm)].map(([, text]) => text!);

test("docker-run.sh: every limit, and settings by name only", () => {
  const { code, lines, stderr } = dockerRun(["--log-level", "warn"], {
    BREADBOX_TOKEN: "secret-token",
    NAME: "other",
    IMAGE: "breadbox:test",
  });
  expect(code).toBe(0);
  const args = lines.slice(0, lines.indexOf("breadbox:test") + 3);
  for (const option of [
    "--network=host",
    "nofile=1048576:1048576",
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "other",
    "4g",
    "BREADBOX_TOKEN",
    "BREADBOX_MEMORY",
  ])
    expect(args).toContain(option);
  expect(args.slice(-3)).toEqual(["breadbox:test", "--log-level", "warn"]);
  expect(args.join(" ")).not.toContain("secret-token");
  expect(lines).toContain("set BREADBOX_MEMORY=60%");
  expect(lines).toContain("set BREADBOX_TOKEN=secret-token");
  expect(stderr).toMatch(/^docker-run\.sh: what it says: \S+ logs other\n$/);
});

test("docker-run.sh: --help, and --port where the health check would not see it", () => {
  expect(dockerRun(["--help"]).lines[0]).toStartWith("Usage: ");
  for (const args of [["--port", "8080"], ["--port=8080"]]) {
    const { code, stderr } = dockerRun(args);
    expect({ code, stderr }).toEqual({ code: 64, stderr: expect.stringContaining("BREADBOX_PORT") });
  }
});

test("compose.yaml asks for the same", () => {
  const { lines } = dockerRun([]);
  expect(COMPOSE).toMatchObject({
    network_mode: "host",
    ulimits: { nofile: { soft: 1048576, hard: 1048576 } },
    read_only: true,
    cap_drop: ["ALL"],
    security_opt: ["no-new-privileges"],
    mem_limit: "4g",
    memswap_limit: "4g",
    restart: "unless-stopped",
    stop_grace_period: "15s",
  });
  for (const [name, value] of Object.entries<string>(COMPOSE.environment)) {
    const fallback = /^\$\{(\w+):-(.*)\}$/.exec(value)!;
    expect(fallback[1]).toBe(name);
    if (fallback[2] !== "") expect(lines).toContain(`set ${name}=${fallback[2]}`);
  }
  for (const line of lines.filter((line) => line.startsWith("set ")))
    expect(Object.keys(COMPOSE.environment)).toContain(line.slice(4).split("=")[0]!);
});

describe("a cache that outlives its container", () => {
  const WARM = Bun.YAML.parse(readFileSync(join(OPS, "compose.warm.yaml"), "utf8")) as any;
  const DATA_DIR = "/data";

  test("docker-run.sh mounts a directory of the host, or a volume, and gives the end more time", () => {
    for (const [data, mount] of [
      ["/srv/breadbox", "type=bind,source=/srv/breadbox,target=/data"],
      ["breadbox-data", "type=volume,source=breadbox-data,target=/data"],
    ] as const) {
      const { code, lines } = dockerRun(["--log-level", "warn"], { DATA: data });
      expect(code).toBe(0);
      const at = lines.indexOf("--mount");
      expect(lines[at + 1]).toBe(mount);
      expect(at).toBeLessThan(lines.indexOf("breadbox", at));
      expect(lines).toContain("--stop-timeout=60");
      expect(lines).toContain("BREADBOX_DATA_DIR");
      expect(lines).toContain(`set BREADBOX_DATA_DIR=${DATA_DIR}`);
    }
    const without = dockerRun([]).lines;
    expect(without).toContain("--stop-timeout=15");
    expect(without).not.toContain("--mount");
    expect(without.join()).not.toContain("BREADBOX_DATA_DIR");
  });

  test("docker-run.sh refuses a directory that would be the container's own", () => {
    for (const [args, environment] of [
      [[], { BREADBOX_DATA_DIR: "/kept" }],
      [["--data-dir", "/kept"], { DATA: "/kept" }],
      [["--data-dir=/kept"], {}],
    ] as [string[], Record<string, string>][]) {
      const { code, stderr } = dockerRun(args, environment);
      expect({ code, stderr }).toEqual({ code: 64, stderr: expect.stringContaining("set DATA instead of") });
    }
  });

  test("compose.warm.yaml adds the same, and nothing else", () => {
    expect(WARM).toEqual({
      services: {
        breadbox: {
          stop_grace_period: "60s",
          environment: {
            BREADBOX_DATA_DIR: DATA_DIR,
            BREADBOX_DATA_MAX_AGE: "${BREADBOX_DATA_MAX_AGE:-5m}",
          },
          volumes: [`\${DATA:-data}:${DATA_DIR}`],
        },
      },
      volumes: { data: null },
    });
  });

  test("the image has the directory, for its user alone", () => {
    const dockerfile = readFileSync(join(OPS, "../Dockerfile"), "utf8");
    const [, user, group] = /^USER (\d+):(\d+)$/m.exec(dockerfile)!;
    expect(dockerfile).toContain(`install -d -m 0700 /kept${DATA_DIR}\n`);
    expect(dockerfile).toContain(`\nCOPY --from=build --chown=${user}:${group} /kept /\n`);
    expect(README).toContain(`uid=${user},gid=${group},mode=0700`);
  });

  test("drop-ins that keep it are not undone by what the unit cleans up", () => {
    const keeping = DROP_INS.filter((text) => text.includes("BREADBOX_DATA_DIR="));
    expect(keeping.map((text) => /BREADBOX_DATA_DIR=(\S+)/.exec(text)![1]!)).toEqual([
      "/run/breadbox",
      "/dev/shm/breadbox",
      "/var/lib/breadbox",
    ]);
    const [run, shm, disk] = keeping.map((text) => text.split("\n"));
    expect(run).toContain("RuntimeDirectoryPreserve=yes");
    // DynamicUser implies RemoveIPC, which empties /dev/shm of what is the user's.
    expect(SERVICE).toContain("\nRemoveIPC=yes\n");
    for (const line of ["DynamicUser=no", "RemoveIPC=no"]) expect(shm).toContain(line);
    for (const line of ["StateDirectory=breadbox", "TimeoutStopSec=60"]) expect(disk).toContain(line);
  });
});

test("breadbox.service has the same limits and settings", () => {
  expect(SERVICE).toContain("\nLimitNOFILE=1048576\n");
  expect(SERVICE).toContain("\nMemoryMax=4G\n");
  for (const line of dockerRun([]).lines.filter((line) => line.startsWith("set ")))
    expect(SERVICE).toContain(line.slice(4).replace("%", "%%"));
});

test("breadbox.service hands over the files that only root may read, and has them read again on reload", () => {
  expect(SERVICE).toContain("\nDynamicUser=yes\n");
  expect(SERVICE).toContain("\nLoadCredential=tokens:/etc/breadbox/tokens\n");
  expect(SERVICE).toContain("\nEnvironment=BREADBOX_TOKEN_FILE=%d/tokens\n");
  expect(SERVICE).toContain("\nExecReload=/bin/kill -HUP $MAINPID\n");
});

test("every setting that the unit and its drop-ins make is one of the server's", () => {
  const names = [SERVICE, ...DROP_INS].flatMap((text) => text.match(/BREADBOX_[A-Z_]+(?==)/g) ?? []);
  expect(names).toContain("BREADBOX_TLS_KEY");
  const known = FLAG_NAMES.map(variableOf);
  expect(names.filter((name) => !known.includes(name))).toEqual([]);
});

for (const [name, dropIns] of [
  ["breadbox.service", []],
  ["breadbox.service with each drop-in of ops/README.md", DROP_INS],
] as const)
  testThatNeeds(missingCommands("systemd-analyze"), `${name} is a valid unit`, async () => {
    for (const dropIn of dropIns.length === 0 ? [""] : dropIns) expect(verify(dropIn)).toEqual([0, ""]);
  });

/** Exit code of systemd-analyze, and what it has to say. */
function verify(dropIn: string): [number, string] {
  return inTemporaryFolder((folder) => {
    const unit = join(folder, "breadbox.service");
    writeFileSync(unit, SERVICE.replaceAll("/usr/local/bin/bun", process.execPath));
    mkdirSync(`${unit}.d`);
    writeFileSync(join(`${unit}.d`, "override.conf"), dropIn);
    const { exitCode, stderr } = Bun.spawnSync(["systemd-analyze", "verify", "--man=no", unit]);
    return [exitCode, stderr.toString()];
  });
}
