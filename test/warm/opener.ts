/**
 * Another process that opens the kept memory: does what its order says, one line of JSON for each act, and can be killed
 * before any call that changes the file.
 */
import { statSync, writeSync } from "node:fs";
import { CacheFile } from "../../src/warm/file";
import { type Kept, openKept, type Plan } from "../../src/warm/kept";
import { fill, pathOf } from "../support/kept";

export interface Order {
  plan: Plan;
  acts: ("open" | "fill" | "beat" | "beat on" | "close" | "size" | "wait")[];
  /** The user to be. */
  user?: number;
  /** The call before which it kills itself, from 1; none by default. */
  killBefore?: number;
}

const CALLS = ["makePrivate", "write", "sync", "truncate", "reserve", "map", "close"] as const;

const { plan, acts, user, killBefore = Infinity } = JSON.parse(process.argv[2]!) as Order;
let calls = 0;
let kept!: Kept;

for (const name of CALLS) {
  const call = CacheFile.prototype[name] as (...args: unknown[]) => unknown;
  Object.assign(CacheFile.prototype, {
    [name](this: CacheFile, ...args: unknown[]) {
      if (++calls === killBefore) endHere();
      return call.apply(this, args);
    },
  });
}

if (user !== undefined) {
  process.setgroups!([]);
  process.setegid!(user);
  process.seteuid!(user);
}

for (const act of acts) say(await perform(act));

async function perform(act: Order["acts"][number]): Promise<unknown> {
  switch (act) {
    case "open":
      return open();
    case "fill":
      return fill(kept);
    case "beat":
      return kept.beat(Date.now(), Date.now(), calls);
    case "beat on":
      for (let beat = 1; ; beat++) {
        kept.beat(Date.now(), Date.now(), beat);
        say(beat);
      }
    case "close":
      return kept.close(Date.now(), Date.now(), calls);
    case "size":
      return statSync(pathOf(plan)).size;
    case "wait":
      return await new Promise((resolve) => process.stdin.once("end", resolve).resume());
  }
}

function open(): unknown {
  try {
    kept = openKept(plan, Date.now());
    return kept.beginning;
  } catch (error) {
    const { name, message } = error as Error;
    return { name, message };
  }
}

function say(result: unknown): void {
  // At once: what was said before it is killed is heard.
  writeSync(1, `${JSON.stringify(result ?? null)}\n`);
}

function endHere(): never {
  process.kill(process.pid, "SIGKILL");
  for (;;);
}
