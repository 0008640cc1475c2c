#!/usr/bin/env bun
/** The package's `breadbox`: the server under `serve`, everything else is the command line. */
import { runCommand } from "./cli/cli";
import { serve } from "./serve";

const args = process.argv.slice(2);
if (args[0] === "serve") await serve({ args: args.slice(1), command: "breadbox serve" });
else {
  const interruption = new AbortController();
  process.once("SIGINT", () => interruption.abort());
  process.exitCode = await runCommand(args, process.env, {
    write: async (data) => void (await Bun.write(Bun.stdout, data as Uint8Array<ArrayBuffer>)),
    say: (text) => void process.stderr.write(`${text}\n`),
    readInput: () => Bun.stdin.bytes(),
    isInteractive: process.stdout.isTTY === true,
    saysToTerminal: process.stderr.isTTY === true,
    interrupted: interruption.signal,
  });
}
