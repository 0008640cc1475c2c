/** The schemas of the dialects, loaded when the first is needed: a server that speaks none of them never waits for that. */
import type * as Schemas from "./schemas";

let loaded: typeof Schemas | undefined;

export function dialectSchemas(): typeof Schemas {
  return (loaded ??= require("./schemas") as typeof Schemas);
}
