/** The load's process as the bench sees it: one order at a time, one answer each. */
import { pinned } from "./cpu";
import type { FromLoad, RoundResult, ToLoad } from "./orders";

const LOAD = new URL("./load.ts", import.meta.url).pathname;

export class LoadProcess {
  private readonly child: Bun.Subprocess;
  private waiting: { resolve: (answer: FromLoad) => void; reject: (error: Error) => void } | null = null;

  constructor(cores: readonly number[] | null) {
    this.child = Bun.spawn(pinned(cores, [process.execPath, LOAD]), {
      stdin: "ignore",
      stdout: "inherit",
      stderr: "inherit",
      ipc: (answer: FromLoad) => {
        if (answer.type === "failed") this.waiting?.reject(new Error(`load: ${answer.message}`));
        else this.waiting?.resolve(answer);
      },
      onExit: (_child, code) => this.waiting?.reject(new Error(`the load's process ended (${code})`)),
    });
  }

  async open(order: Omit<Extract<ToLoad, { type: "open" }>, "type">): Promise<void> {
    await this.ask({ type: "open", ...order });
  }

  async round(name: string, warmupMs: number, measureMs: number): Promise<RoundResult> {
    const answer = await this.ask({ type: "round", name, warmupMs, measureMs });
    if (answer.type !== "result") throw new Error("load: no result");
    return answer.result;
  }

  async close(name: string): Promise<void> {
    await this.ask({ type: "close", name });
  }

  async end(): Promise<void> {
    this.waiting = null;
    this.child.kill();
    await this.child.exited;
  }

  private ask(order: ToLoad): Promise<FromLoad> {
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
      this.child.send(order);
    });
  }
}
