/**
 * The load's process: opens targets and loads them for a while when told to, one after the other. It reads the servers'
 * CPU clocks itself, at the moment it counts their answers.
 */
import { cpuSeconds } from "./cpu";
import type { FromLoad, LatencyResult, ProtocolName, RoundResult, ToLoad } from "./orders";
import { httpJson, httpRaw } from "./protocols/http";
import { memcache, memcacheMulti } from "./protocols/memcache";
import type { Protocol } from "./protocols/protocol";
import { resp } from "./protocols/resp";
import { wire } from "./protocols/wire";
import { Target } from "./target";
import { Histogram } from "../../../src/cli/histogram";
import { Values } from "./values";

const PROTOCOLS: Record<ProtocolName, Protocol> = { wire, resp, memcache, memcacheMulti, httpJson, httpRaw };

const STALL_MS_MAX = 30_000;
const targets = new Map<string, { target: Target; pid: number }>();
const valuesOf = new Map<number, Values>();

async function open(order: Extract<ToLoad, { type: "open" }>): Promise<void> {
  const values = valuesOf.get(order.keys) ?? new Values(order.keys);
  valuesOf.set(order.keys, values);
  const target = await Target.open(order, PROTOCOLS[order.protocol], values);
  targets.set(order.name, { target, pid: order.pid });
  await target.preload();
}

async function round(order: Extract<ToLoad, { type: "round" }>): Promise<RoundResult> {
  const { target, pid } = targets.get(order.name)!;
  const { driver, ended } = target.loadFully();
  await Promise.race([Bun.sleep(order.warmupMs), ended]);
  const done = target.tally.done;
  const at = performance.now();
  const [cpu, ownCpu] = [cpuSeconds(pid), cpuSeconds(process.pid)];
  await Promise.race([Bun.sleep(order.measureMs), ended]);
  const result = {
    operations: target.tally.done - done,
    seconds: (performance.now() - at) / 1000,
    cpuSeconds: cpuSeconds(pid) - cpu,
    loadCpuSeconds: cpuSeconds(process.pid) - ownCpu,
  };
  driver.stop();
  await answered(order.name, ended);
  return { ...result, ...faultsOf(target) };
}

async function latency(order: Extract<ToLoad, { type: "latency" }>): Promise<LatencyResult> {
  const { target } = targets.get(order.name)!;
  const { driver, ended } = target.loadPaced(order.perSecond);
  await Promise.race([Bun.sleep(order.warmupMs), ended]);
  driver.latencies = new Histogram();
  await Promise.race([Bun.sleep(order.measureMs), ended]);
  driver.stop();
  await answered(order.name, ended);
  const { counts, maxNs, total } = driver.latencies;
  return { latencies: { counts: [...counts], maxNs, total }, ...faultsOf(target) };
}

/** All that was sent is answered; a server that stops answering must not stop the bench. */
async function answered(name: string, ended: Promise<void>): Promise<void> {
  const stalled = Bun.sleep(STALL_MS_MAX).then(() => {
    throw new Error(`${name} left requests unanswered for ${STALL_MS_MAX} ms`);
  });
  await Promise.race([ended, stalled]);
}

/** Over everything since the beginning: storing first and warming up are checked as well. */
function faultsOf({ tally: { misses, wrong, refused, problem } }: Target) {
  return { faults: misses + wrong + refused, problem };
}

async function obey(order: ToLoad): Promise<FromLoad> {
  switch (order.type) {
    case "open":
      await open(order);
      return { type: "done" };
    case "round":
      return { type: "round", result: await round(order) };
    case "latency":
      return { type: "latency", result: await latency(order) };
    case "close":
      targets.get(order.name)!.target.close();
      targets.delete(order.name);
      return { type: "done" };
  }
}

process.on("message", async (order: ToLoad) => {
  try {
    process.send!(await obey(order));
  } catch (error) {
    process.send!({ type: "failed", message: (error as Error).message } satisfies FromLoad);
  }
});
