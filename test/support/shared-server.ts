/** One server for all tests of a file, and connections that end with their test. */
import { afterAll, afterEach, beforeAll, expect } from "bun:test";
import { startServer, type TestServer } from "./server";
import { WireClient } from "./wire-client";

export class SharedServer {
  private server!: TestServer;
  private readonly open: WireClient[] = [];
  private named = 0;

  /** To be made at the top of the file. */
  constructor(flags: string[]) {
    beforeAll(async () => {
      this.server = await startServer({ flags });
    });
    afterEach(async () => {
      for (const client of this.open.splice(0)) {
        client.close();
        await client.closed;
      }
    });
    afterAll(async () => {
      expect(await this.server.stop()).toBe(0);
    });
  }

  get http(): string {
    return this.server.http;
  }

  async connections(count: number): Promise<WireClient[]> {
    const clients = await Promise.all(
      Array.from({ length: count }, () => WireClient.connect(this.server.ws)),
    );
    this.open.push(...clients);
    return clients;
  }

  /** A prefix that no other test has. */
  fresh(name = "k"): string {
    return `${name}:${this.named++}:`;
  }
}
