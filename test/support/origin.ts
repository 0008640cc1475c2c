/** The data path to a store of record, for tests: an Engine on servers that the test has started, and a log that can be read. */
import { parseAddress } from "../../src/origin/address";
import { Engine, type EngineOptions, type OriginState } from "../../src/origin/engine";
import { createLog } from "../../src/system/log";
import { until } from "./engine";

export const NAMESPACE = "bb";

export interface OpenedOrigin {
  readonly origin: Engine;
  /** Lines so far, without their time. */
  readonly lines: string[];
}

type Options = Partial<Omit<EngineOptions, "address" | "log">>;

/** Begins to connect. The deadline is longer than the server's, because the tests' machine may be busy. */
export async function openOrigin(url: string, options: Options = {}): Promise<OpenedOrigin> {
  const lines: string[] = [];
  const log = createLog("debug", (line) => lines.push(line.slice(line.indexOf(" ") + 1).trimEnd()));
  const origin = await Engine.open({
    address: parseAddress(url),
    namespace: NAMESPACE,
    timeoutMs: 2000,
    log,
    ...options,
  });
  return { origin, lines };
}

/** Resolves when the origin says that it is in this state. */
export function reaches(origin: Engine, status: OriginState["status"]): Promise<OriginState> {
  return until(`the origin is ${status}`, () => {
    const state = origin.state();
    return state.status === status && state;
  });
}

/** The same, and opens it. */
export async function connectOrigin(url: string, options: Options = {}): Promise<OpenedOrigin> {
  const opened = await openOrigin(url, options);
  await reaches(opened.origin, "connected");
  return opened;
}
