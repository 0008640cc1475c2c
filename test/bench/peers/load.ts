/**
 * The load's process: opens targets and loads them for a while when told to, one after the other. It reads the servers'
 * CPU clocks itself, at the moment it counts their answers.
 */
import { cpuSeconds } from "./cpu";
import type { FromLoad, ProtocolName, RoundResult, ToLoad } from "./orders";
import { httpJson, httpRaw } from "./protocols/http";
import { memcache } from "./protocols/memcache";
import type { Protocol } from "./protocols/protocol";
import { resp } from "./protocols/resp";
import { wire } from "./protocols/wire";
import { Target } from "./target";
import { Values } from "./values";

const PROTOCOLS: Record<ProtocolName, Protocol> = { wire, resp, memcache, httpJson, httpRaw };

const targets = new Map<string, { target: Target; pid: number }>();
const valuesOf = new Map<number, Values>();

async function open(order: Extract<ToLoad, { type: "open" }>): Promise<void> {
  const values = valuesOf.get(order.keys) ?? new Values(order.keys);
  valuesOf.set(order.keys, values);
  const target = await Target.open(order, PROTOCOLS[order.protocol], values);
  targets.set(order.name, { target, pid: order.pid });
  if (order.preload) await target.preload();
}

async function round({
  name,
  warmupMs,
  measureMs,
}: Extract<ToLoad, { type: "round" }>): Promise<RoundResult> {
  const { target, pid } = targets.get(name)!;
  const running = target.start();
  await Promise.race([Bun.sleep(warmupMs), running]);
  const before = {
    ...target.tally,
    at: performance.now(),
    cpu: cpuSeconds(pid),
    ownCpu: cpuSeconds(process.pid),
  };
  await Promise.race([Bun.sleep(measureMs), running]);
  const seconds = (performance.now() - before.at) / 1000;
  const result: RoundResult = {
    operations: target.tally.done - before.done,
    seconds,
    cpuSeconds: cpuSeconds(pid) - before.cpu,
    loadCpuSeconds: cpuSeconds(process.pid) - before.ownCpu,
    faults: 0,
    problem: null,
  };
  target.stop();
  await running;
  // Counted over everything since the beginning: storing first and warming up are checked as well.
  const { misses, wrong, refused, problem } = target.tally;
  return { ...result, faults: misses + wrong + refused, problem };
}

process.on("message", async (order: ToLoad) => {
  const say = (answer: FromLoad) => process.send!(answer);
  try {
    if (order.type === "open") {
      await open(order);
      say({ type: "done" });
    } else if (order.type === "round") say({ type: "result", result: await round(order) });
    else {
      targets.get(order.name)!.target.close();
      targets.delete(order.name);
      say({ type: "done" });
    }
  } catch (error) {
    say({ type: "failed", message: (error as Error).message });
  }
});
