/** Runs every case through every transport that can express it, against a real server process with two workers. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { request } from "../support/frames";
import { startServer, type TestServer } from "../support/server";
import { WireClient } from "../support/wire-client";
import { CASES, type Expected, LIMIT_FLAGS, type Step } from "./cases";
import { BinaryFrames, type Transport } from "./transports";

const CLEAR = request({ op: 9 });
const STALE = 12_345;

/** Values as bytes, so that text and Buffers compare. */
function comparable({ value, token: _, ...rest }: Expected): unknown {
  return value === undefined ? rest : { ...rest, value: Buffer.from(value as string).toString("hex") };
}

export function runContract(
  name: string,
  flags: () => Promise<string[]>,
  transports: readonly Transport[],
  after = async (): Promise<void> => {},
): void {
  describe(name, () => {
    let server: TestServer;
    let helper: WireClient;
    /** Does the steps that a transport cannot express. */
    const others = new BinaryFrames();

    beforeAll(async () => {
      server = await startServer({ flags: [...LIMIT_FLAGS, ...(await flags())] });
      helper = await WireClient.connect(server.ws, { tls: { rejectUnauthorized: false } });
      await others.open(server);
    });

    afterAll(async () => {
      helper.close();
      others.close();
      expect(await server.stop()).toBe(0);
      expect(server.log()).not.toContain("error");
      await after();
    });

    /** The version or the token that a step means. */
    async function numberFor(step: Step, lastToken: number): Promise<number> {
      if (step.token === "last") return lastToken;
      if (step.version !== "now") return STALE;
      const [info] = await helper.ask(request({ op: 7, key: step.key! }));
      if (info?.status !== "META") throw new Error(`no version of ${step.key}`);
      return Number(info.version);
    }

    for (const transport of transports) {
      describe(transport.name, () => {
        beforeAll(() => transport.open(server));
        afterAll(() => transport.close());
        for (const { name, steps } of CASES) {
          test(name, async () => {
            await helper.ask(CLEAR);
            let lastToken = 0;
            for (const step of steps) {
              const number = await numberFor(step, lastToken);
              const result = (await transport.run(step, number)) ?? (await others.run(step, number));
              lastToken = result!.token ?? lastToken;
              expect(comparable(result!)).toEqual(comparable(step.expect));
            }
          });
        }
      });
    }
  });
}
