/** What the handlers of a worker share, and what a handler is. */
import type { Server } from "bun";
import type { Access } from "../commands/access";
import type { Commands } from "../commands/commands";
import type { Garbage } from "../commands/garbage";
import type { Quota } from "../commands/quota";
import type { Tally } from "../commands/tally";
import type { Traffic } from "../commands/traffic";
import type { Turns } from "../commands/turns";
import type { Throttle } from "../access/throttle";
import type { Session } from "../ws/session";
import type { Streams } from "../streaming/streams";
import type { BodyLimit } from "./body";
import type { DialectName } from "./dialects/names";
import type { EventStreams } from "./event-streams";
import type { Guard } from "./guard";
import type { Hosts } from "./host";
import type { Origins } from "./origin";
import type { RefusalLog } from "./refusal-log";
import type { Unsent } from "./unsent";

/** A request that waits for a value which somebody else computes. */
export interface WaitingRequest {
  readonly access: Access;
  /** It is answered that it may try again. */
  giveUp(): void;
  /** Its token is no longer valid. */
  withdraw(): void;
}

export interface HttpContext {
  readonly commands: Commands;
  readonly streams: Streams;
  readonly quota: Quota;
  readonly turns: Turns;
  readonly garbage: Garbage;
  readonly unsent: Unsent;
  readonly guard: Guard;
  readonly throttle: Throttle;
  readonly hosts: Hosts;
  readonly origins: Origins;
  readonly refusals: RefusalLog;
  /** Whether the metrics are for those who may see the stats only. */
  readonly protectMetrics: boolean;
  /** Whether browsers get a page at `/`. */
  readonly servesPage: boolean;
  /** The dialects that are spoken. */
  readonly dialects: readonly DialectName[];
  readonly tally: Tally;
  readonly traffic: Traffic;
  readonly version: string;
  /** Open WebSockets over all workers; further ones are refused. */
  readonly connectionsMax: number;
  /** Bodies that are JSON, and those that are a value. */
  readonly messageBody: BodyLimit;
  readonly valueBody: BodyLimit;
  readonly eventStreams: EventStreams;
  readonly waiters: Set<WaitingRequest>;
  readonly speaksHttp2: boolean;
  readonly isReady: () => boolean;
  readonly onFault: (error: unknown) => void;
  readonly newSession: (access: Access) => Session;
}

/** Undefined once the request has become a WebSocket. */
export type Answer = Response | undefined | Promise<Response | undefined>;

/** Handles a request that was let in. What it throws becomes an error's answer. */
export type Handler = (
  context: HttpContext,
  request: Request,
  access: Access,
  server: Server<Session>,
) => Answer;
