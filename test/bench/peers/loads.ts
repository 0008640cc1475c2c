/** The load of one work: as many processes as it takes to keep the servers busy, their figures put together. */
import { LoadProcess } from "./load-process";
import type { Order, RoundResult } from "./orders";

export class Loads {
  private readonly loads: readonly LoadProcess[];

  /** @param cores for all of them together; null for any */
  constructor(count: number, cores: readonly number[] | null) {
    this.loads = Array.from({ length: count }, () => new LoadProcess(cores));
  }

  /** The connections are shared out among the processes. */
  async open(order: Order<"open">): Promise<void> {
    const connections = Math.ceil(order.connections / this.loads.length);
    await this.each((load) => load.open({ ...order, connections }));
  }

  /** Throws WrongAnswers. The server's and the load's CPU time are those of one process's round: all run at the same time. */
  async round(order: Order<"round">): Promise<RoundResult> {
    const results = await this.each((load) => load.round(order));
    const mean = (of: (result: RoundResult) => number) =>
      results.reduce((sum, result) => sum + of(result), 0) / results.length;
    return {
      operations: mean(({ operations }) => operations) * results.length,
      seconds: mean(({ seconds }) => seconds),
      cpuSeconds: mean(({ cpuSeconds }) => cpuSeconds),
      loadCpuSeconds: mean(({ loadCpuSeconds }) => loadCpuSeconds),
      faults: 0,
      problem: null,
    };
  }

  async close(name: string): Promise<void> {
    await this.each((load) => load.close(name));
  }

  async end(): Promise<void> {
    await this.each((load) => load.end());
  }

  private each<T>(ask: (load: LoadProcess) => Promise<T>): Promise<T[]> {
    return Promise.all(this.loads.map(ask));
  }
}
