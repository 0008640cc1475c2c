/** The command `breadbox`, which bin/breadbox and the compiled program run: the server under `serve`, everything else is the command line. */
import { runCommand } from "./cli/cli";
import { terminal } from "./cli/terminal";
import { serve } from "./serve";

const args = process.argv.slice(2);
if (args[0] === "serve") await serve({ args: args.slice(1), program: "breadbox serve" });
else process.exitCode = await runCommand(args, process.env, terminal());
