/** Entry of the server: `bun src/main.ts [flags]`. */
import { serve } from "./serve";

await serve({ args: process.argv.slice(2) });
