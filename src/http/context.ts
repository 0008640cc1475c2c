/** What the handlers of a worker share. */
import type { Throttle } from "../access/throttle";
import type { Access } from "../commands/access";
import type { Commands } from "../commands/commands";
import type { Tally } from "../commands/tally";
import type { Session } from "../ws/session";
import type { Guard } from "./guard";
import type { Hosts } from "./host";
import type { Reply } from "./message/reply";
import type { Origins } from "./origin";

export interface HttpContext {
  readonly commands: Commands;
  readonly guard: Guard;
  readonly throttle: Throttle;
  readonly hosts: Hosts;
  readonly origins: Origins;
  /** Whether the metrics are for those who may see the stats only. */
  readonly protectMetrics: boolean;
  readonly tally: Tally;
  readonly version: string;
  /** Open WebSockets over all workers; what comes beyond is refused. */
  readonly connectionsMax: number;
  readonly isReady: () => boolean;
  readonly onFault: (error: unknown) => void;
  readonly newSession: (access: Access) => Session;
}

/** Null when the answer is written already. */
export type Answer = Reply | null | Promise<Reply>;
