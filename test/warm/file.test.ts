/** The file as the system has it: whose it may be, what may lie in its place, and what happens where there is no room. */
import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { CacheFile, KeptRefusal, KeptUnusable } from "../../src/warm/file";
import { fileBytesOf } from "../../src/warm/header";
import { openKept, type Plan } from "../../src/warm/kept";
import { fill, isFilled, newPlan, pathOf, SHAPE } from "../support/kept";
import { missingMounts, testThatNeeds } from "../support/needs";
import { runOpener, runOpenersBehind, startOpener } from "../support/opener";

const NOW = Date.now();
const FLOOR = 77;
const NOBODY = 65_534;
const ROOT = process.getuid!() === 0 ? [] : ["root"];

/** A directory with the memory of a server that has ended. */
function leftBehind(): Plan {
  const plan = newPlan();
  const kept = openKept(plan, NOW);
  fill(kept);
  kept.beat(NOW, NOW, FLOOR);
  kept.close(NOW, NOW, FLOOR);
  return plan;
}

/** Of what openKept throws. */
function refusalOf(plan: Plan): string {
  return messageOf(plan, KeptRefusal);
}

function messageOf(plan: Plan, kind: typeof KeptRefusal | typeof KeptUnusable): string {
  try {
    openKept(plan, NOW).abandon();
  } catch (error) {
    expect(error).toBeInstanceOf(kind);
    return (error as Error).message;
  }
  throw new Error("it was opened");
}

const modeOf = (path: string) => (statSync(path).mode & 0o7777).toString(8);

describe("a second server", () => {
  const inUse = (plan: Plan) =>
    `${pathOf(plan)} is in use by another server; stop that one or choose another --data-dir`;

  test("is refused until the first has ended", async () => {
    const plan = newPlan();
    const first = startOpener({ plan, acts: ["open", "beat", "wait", "close"] });
    expect(await first.next()).toEqual({ kind: "cold", reason: null });
    expect(await first.next()).toBeNull();
    expect(refusalOf(plan)).toBe(inUse(plan));
    await first.goOn();
    const second = openKept(plan, Date.now());
    expect(second.beginning).toMatchObject({ kind: "warm", isClean: true });
    expect(runOpener({ plan, acts: ["open"] }).results).toEqual([
      { name: "KeptRefusal", message: inUse(plan) },
    ]);
    second.abandon();
  });

  test("is not held up by what the first has started", async () => {
    const plan = newPlan();
    const kept = openKept(plan, NOW);
    const { stdout } = Bun.spawnSync(["ls", "-l", "/proc/self/fd"]);
    expect(stdout.toString()).toContain("/proc/");
    expect(stdout.toString()).not.toContain("breadbox.cache");
    kept.abandon();
  });
});

describe("whose it is", () => {
  test("the directory is made for its owner alone, and the file is made private whatever it was", () => {
    const plan = leftBehind();
    expect([modeOf(plan.directory), modeOf(pathOf(plan))]).toEqual(["700", "600"]);
    chmodSync(pathOf(plan), 0o644);
    openKept(plan, NOW).abandon();
    expect(modeOf(pathOf(plan))).toBe("600");
  });

  testThatNeeds(ROOT, "a file or directory of another user is refused", async () => {
    const plan = leftBehind();
    const bytes = readFileSync(pathOf(plan));
    const problem = `belongs to another user (${NOBODY}); choose another --data-dir or remove it`;
    chownSync(pathOf(plan), NOBODY, NOBODY);
    expect(refusalOf(plan)).toBe(`${pathOf(plan)} ${problem}`);
    chownSync(pathOf(plan), 0, 0);
    chownSync(plan.directory, NOBODY, NOBODY);
    expect(refusalOf(plan)).toBe(`${plan.directory} ${problem}`);
    expect(readFileSync(pathOf(plan))).toEqual(bytes);
  });

  testThatNeeds(ROOT, "a directory of root is as good as one's own where one may write", async () => {
    const plan = { ...newPlan(), directory: `/dev/shm/breadbox-test-${process.pid}` };
    const openAsNobody = () => runOpener({ plan, acts: ["open"], user: NOBODY }).results[0];
    mkdirSync(plan.directory, { mode: 0o700 });
    try {
      const problem = `${pathOf(plan)} cannot be looked at: permission denied (EACCES)`;
      expect(openAsNobody()).toEqual({ name: "KeptUnusable", message: problem });
      chmodSync(plan.directory, 0o755);
      expect(openAsNobody().message).toBe(`${pathOf(plan)} cannot be opened: permission denied (EACCES)`);
      chmodSync(plan.directory, 0o1777);
      expect(openAsNobody()).toEqual({ kind: "cold", reason: null });
      expect(statSync(pathOf(plan)).uid).toBe(NOBODY);
    } finally {
      rmSync(plan.directory, { recursive: true });
    }
  });
});

describe("in the file's place", () => {
  test("a file that is not ours is refused, whatever it holds, and not touched", () => {
    const text = "key,value\n";
    const contents = ["\x89", "\x89BRDBOX", "\x89BRDBOX\r\n", "\0".repeat(4096), text, text.repeat(1000)];
    for (const content of contents) {
      const plan = newPlan();
      mkdirSync(plan.directory);
      writeFileSync(pathOf(plan), content, { encoding: "latin1", mode: 0o644 });
      const before = statSync(pathOf(plan));
      expect(refusalOf(plan)).toBe(
        `${pathOf(plan)} is not a Breadbox cache; choose another --data-dir or remove it`,
      );
      expect(readFileSync(pathOf(plan), "latin1")).toBe(content);
      const { mode, mtimeMs, ctimeMs } = statSync(pathOf(plan));
      expect({ mode, mtimeMs, ctimeMs }).toEqual({
        mode: before.mode,
        mtimeMs: before.mtimeMs,
        ctimeMs: before.ctimeMs,
      });
    }
  });

  test.each<[string, (path: string, elsewhere: string) => void]>([
    ["a symbolic link", (path, elsewhere) => symlinkSync(elsewhere, path)],
    ["a symbolic link to nothing", (path, elsewhere) => symlinkSync(`${elsewhere}-none`, path)],
    ["a directory", (path) => mkdirSync(path)],
    ["a pipe", (path) => void Bun.spawnSync(["mkfifo", path])],
    ["a device", (path) => symlinkSync("/dev/null", path)],
  ])("%s is refused", (_, make) => {
    const elsewhere = leftBehind();
    const bytes = readFileSync(pathOf(elsewhere));
    const plan = newPlan();
    mkdirSync(plan.directory);
    make(pathOf(plan), pathOf(elsewhere));
    expect(refusalOf(plan)).toBe(
      `${pathOf(plan)} is not a regular file; choose another --data-dir or remove it`,
    );
    expect(readFileSync(pathOf(elsewhere))).toEqual(bytes);
    expect(existsSync(`${pathOf(elsewhere)}-none`)).toBe(false);
  });

  test("an empty file is as good as none", () => {
    const plan = newPlan();
    mkdirSync(plan.directory);
    writeFileSync(pathOf(plan), "");
    const kept = openKept(plan, NOW);
    expect(kept.beginning).toEqual({ kind: "cold", reason: null });
    kept.abandon();
  });
});

describe("in the directory's place", () => {
  test("a file is refused; a link to a directory is followed", () => {
    const plan = newPlan();
    writeFileSync(plan.directory, "");
    expect(refusalOf(plan)).toBe(
      `${plan.directory} is not a directory; choose another --data-dir or remove it`,
    );
    const linked = newPlan();
    symlinkSync(leftBehind().directory, linked.directory);
    const kept = openKept(linked, NOW);
    expect(kept.beginning.kind).toBe("warm");
    kept.abandon();
  });

  test("nothing, where the directory above is missing or a file: none of them is made", () => {
    const { directory } = newPlan();
    const below = { ...newPlan(), directory: `${directory}/data` };
    const missing = `${below.directory} cannot be made: no such file or directory (ENOENT)`;
    expect(messageOf(below, KeptUnusable)).toBe(missing);
    expect(existsSync(directory)).toBe(false);
    writeFileSync(directory, "");
    expect(messageOf(below, KeptUnusable)).toBe(
      `${below.directory} cannot be made: not a directory (ENOTDIR)`,
    );
  });
});

describe("a file of another length", () => {
  const BYTES = fileBytesOf(SHAPE);

  test.each([8, 100, 1024, 4095, 4096, 4097, BYTES - 1, BYTES + 1])("%d bytes: made anew", (bytes) => {
    const plan = leftBehind();
    truncateSync(pathOf(plan), bytes);
    const kept = openKept(plan, NOW);
    const reason = bytes < 4096 ? "its header is cut short" : `it has ${bytes} bytes instead of ${BYTES}`;
    expect(kept.beginning).toEqual({ kind: "cold", reason });
    kept.invariants();
    expect(isFilled(kept)).toBe(false);
    kept.abandon();
  });

  test("with holes: they get their places on the disk before somebody stores into them", () => {
    const plan = leftBehind();
    truncateSync(pathOf(plan), 4096);
    truncateSync(pathOf(plan), BYTES);
    expect(statSync(pathOf(plan)).blocks * 512).toBeLessThan(BYTES);
    openKept(plan, NOW).abandon();
    expect(statSync(pathOf(plan)).blocks * 512).toBeGreaterThanOrEqual(BYTES);
  });
});

describe("where there is no room", () => {
  /** Its blocks take 4 MiB. */
  const LARGE = { ...SHAPE, shardBytes: 2 ** 20 };
  const UNUSABLE = (message: string) => ({ name: "KeptUnusable", message });

  testThatNeeds(
    missingMounts(),
    "on a full file system: said, nothing is left, and the next one fits",
    async () => {
      const small = newPlan();
      const large = { ...small, shape: LARGE };
      mkdirSync(small.directory);
      const tooSmall = UNUSABLE(
        `${small.directory} has no room for the 4mb of the cache: no space left on device (ENOSPC)`,
      );
      const results = runOpenersBehind(`mount -t tmpfs -o size=64k tmpfs "${small.directory}"`, [
        { plan: large, acts: ["open", "size"] },
        { plan: small, acts: ["open", "fill", "beat", "close"] },
        { plan: large, acts: ["open", "size"] },
        { plan: small, acts: ["open", "beat", "close"] },
        { plan: small, acts: ["open"] },
      ]);
      expect(results).toEqual([
        ...[tooSmall, 0],
        ...[{ kind: "cold", reason: null }, null, null, null],
        // What was there is dropped: it would be stale after a server that went on without it.
        ...[tooSmall, 4096],
        ...[{ kind: "cold", reason: "it was made with --memory 4mb, now it is 10kb" }, null, null],
        { kind: "warm", isClean: true, awayMs: expect.any(Number), clock: expect.any(Number) },
      ]);
    },
  );

  testThatNeeds(
    missingMounts(),
    "on a file system without a byte left: said, and the file stays empty",
    async () => {
      const plan = newPlan();
      mkdirSync(plan.directory);
      const mounts = `mount -t tmpfs -o size=64k tmpfs "${plan.directory}"; head -c 64k /dev/zero >"${plan.directory}/other"`;
      expect(runOpenersBehind(mounts, [{ plan, acts: ["open", "size"] }])).toEqual([
        UNUSABLE(`${pathOf(plan)} cannot be used: no space left on device (ENOSPC)`),
        0,
      ]);
    },
  );

  testThatNeeds(
    missingMounts(),
    "on a read-only file system: said, with or without a directory and file",
    async () => {
      const [without, left] = [newPlan(), leftBehind()];
      const above = without.directory.replace(/\/data$/, "");
      const mounts = [above, left.directory].map(
        (path) => `mount --bind "${path}" "${path}"; mount -o remount,bind,ro "${path}"`,
      );
      const orders = [without, left].map((plan) => ({ plan, acts: ["open" as const] }));
      expect(runOpenersBehind(mounts.join("; "), orders)).toEqual([
        UNUSABLE(`${without.directory} cannot be made: read-only file system (EROFS)`),
        UNUSABLE(`${pathOf(left)} cannot be opened: read-only file system (EROFS)`),
      ]);
    },
  );

  test("for a file of the process (ulimit -f): said, and nothing is left", () => {
    const plan = newPlan();
    const order = JSON.stringify({ plan: { ...plan, shape: LARGE }, acts: ["open", "size"] });
    const opener = new URL("./opener.ts", import.meta.url).pathname;
    const shell = ["sh", "-c", 'ulimit -f 100; exec "$@"', "sh", process.execPath, opener, order];
    const lines = Bun.spawnSync(shell).stdout.toString().trim().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      UNUSABLE(`${plan.directory} has no room for the 4mb of the cache: file too large (EFBIG)`),
      0,
    ]);
  });

  test("in the address space: said", () => {
    const file = CacheFile.open(newPlan().directory);
    expect(() => file.map(2 ** 62)).toThrow(`${file.path} cannot be mapped: not enough memory (ENOMEM)`);
    file.close();
  });
});
