/** The load's process as the bench sees it: one order at a time, one answer each. */
import { tied } from "./children";
import { pinned } from "./cpu";
import type { Faults, FromLoad, LatencyResult, Order, RoundResult, ToLoad } from "./orders";

const LOAD = new URL("./load.ts", import.meta.url).pathname;

/** A server that answered wrongly: no figure of it counts. */
export class WrongAnswers extends Error {}

type Answer<T extends FromLoad["type"]> = Extract<FromLoad, { type: T }>;

export class LoadProcess {
  private readonly child: Bun.Subprocess;
  private waiting: { resolve: (answer: FromLoad) => void; reject: (error: Error) => void } | null = null;

  constructor(cores: readonly number[] | null) {
    this.child = tied(
      Bun.spawn(pinned(cores, [process.execPath, LOAD]), {
        stdin: "ignore",
        stdout: "inherit",
        stderr: "inherit",
        ipc: (answer: FromLoad) => {
          if (answer.type === "failed") this.waiting?.reject(new Error(`load: ${answer.message}`));
          else this.waiting?.resolve(answer);
        },
        onExit: (_child, code) => this.waiting?.reject(new Error(`the load's process ended (${code})`)),
      }),
    );
  }

  async open(order: Order<"open">): Promise<void> {
    await this.ask({ type: "open", ...order }, "done");
  }

  /** Throws WrongAnswers. */
  async round(order: Order<"round">): Promise<RoundResult> {
    const { result } = await this.ask({ type: "round", ...order }, "round");
    return checked(order.name, result);
  }

  /** Throws WrongAnswers. */
  async latency(order: Order<"latency">): Promise<LatencyResult> {
    const { result } = await this.ask({ type: "latency", ...order }, "latency");
    return checked(order.name, result);
  }

  async close(name: string): Promise<void> {
    await this.ask({ type: "close", name }, "done");
  }

  async end(): Promise<void> {
    this.waiting = null;
    this.child.kill();
    await this.child.exited;
  }

  private async ask<T extends FromLoad["type"]>(order: ToLoad, type: T): Promise<Answer<T>> {
    const answer = await new Promise<FromLoad>((resolve, reject) => {
      this.waiting = { resolve, reject };
      this.child.send(order);
    });
    if (answer.type !== type) throw new Error(`load: answered ${answer.type} to ${order.type}`);
    return answer as Answer<T>;
  }
}

function checked<R extends Faults>(name: string, result: R): R {
  const { faults, problem } = result;
  if (faults > 0) throw new WrongAnswers(`${name}: ${faults} wrong answers; the first: ${problem}`);
  return result;
}
