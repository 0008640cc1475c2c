/**
 * Leases over HTTP: GET /kv/{key}?lease=MS[&wait=MS]. The caller gets the value; or 404 with `Lease: "TOKEN"`, to compute it and PUT it
 * with ?lease=TOKEN; or 404 with Retry-After, where somebody else has the lease. With `wait` that last answer is put off until the
 * value is there, the lease is free, or the time is over.
 *
 * An HTTP connection is nobody who could hold a lease: these end with their time, a write of the key, or RELEASE.
 */
import type { Server } from "bun";
import type { Access } from "../commands/access";
import { type HashedKey, type LeaseAsk, Outcome } from "../commands/commands";
import { RequestError } from "../protocol/errors";
import type { Feed, FeedOwner } from "../streaming/feed";
import { callAt } from "../system/expiry";
import type { Session } from "../ws/session";
import type { HttpContext, WaitingRequest } from "./context";
import { LEASE_TOKEN, ttlOf } from "./query";
import { afterWait, errorResponse, responseFor } from "./respond";
import { SCRATCH_AT, scratchValue } from "./scratch";

/** A request that waits is ended by Bun's own clock so much later, if at all. */
const TIMEOUT_MARGIN_S = 10;
const WAIT_MS_MAX = 60_000;
const NOT_FOUND = "Key not found.";
const WITHDRAWN = "the token is no longer valid";

export interface LeaseQuery {
  readonly lease: string;
  readonly wait: string | undefined;
}

/** What a request for a lease is asked on. */
export interface LeaseRequest {
  readonly request: Request;
  readonly access: Access;
  readonly server: Server<Session>;
  /** Makes the answer of the value that was read into the scratch. */
  readonly found: () => Response;
}

/** @param key in bytes of its own */
export function answerLease(
  context: HttpContext,
  key: HashedKey,
  { lease, wait }: LeaseQuery,
  asked: LeaseRequest,
): Response | Promise<Response> {
  const { commands, streams } = context;
  const ask = commands.leaseAsk(ttlOf(lease, "lease"), 0);
  const waitMs = wait === undefined ? 0 : Math.min(ttlOf(wait, "wait"), WAIT_MS_MAX);
  scratchValue.at = SCRATCH_AT;
  commands.refreshClock();
  const wish = { access: asked.access, withMeta: true, waits: waitMs > 0 };
  if (!wish.waits) return answerOf(commands.lease(wish, key, ask, scratchValue), ask, asked);
  const waiter = new Waiter(context, asked);
  streams.serve(waiter.feed);
  try {
    const outcome = commands.lease(wish, key, ask, scratchValue);
    if (outcome === Outcome.PENDING) return waiter.wait(ask.leftMs, waitMs);
    waiter.close();
    return answerOf(outcome, ask, asked);
  } catch (error) {
    waiter.close();
    throw error;
  } finally {
    streams.serve(null);
  }
}

/** A request that waits for a value. */
class Waiter implements FeedOwner, WaitingRequest {
  readonly feed: Feed;
  private answer: ((response: Response) => void) | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private deadline = 0;
  private startedAt = 0;
  private stopExpiry = () => {};

  constructor(
    private readonly context: HttpContext,
    private readonly asked: LeaseRequest,
  ) {
    this.feed = context.streams.newFeed(this);
    this.feed.holdsLeases = false;
  }

  wait(leftMs: number, waitMs: number): Promise<Response> {
    const { request, server } = this.asked;
    server.timeout(request, Math.ceil(waitMs / 1000) + TIMEOUT_MARGIN_S);
    this.startedAt = performance.now();
    this.deadline = this.startedAt + leftMs;
    this.timer = setTimeout(() => this.giveUp(), waitMs);
    request.signal.addEventListener("abort", () => this.close());
    this.context.waiters.add(this);
    return new Promise((resolve) => {
      this.answer = resolve;
      const { expiresAt } = this.asked.access;
      if (expiresAt !== Infinity) this.stopExpiry = callAt(expiresAt, () => this.withdraw());
    });
  }

  get access(): Access {
    return this.asked.access;
  }

  /** Its token has expired, or was taken away: it is given nothing more. */
  withdraw(): void {
    this.end(errorResponse(401, WITHDRAWN));
  }

  /** The ticket may have its answer. */
  onNews(): void {
    const { commands, streams, onFault } = this.context;
    const ticket = this.feed.due.shift();
    if (ticket === undefined || this.answer === null) return;
    streams.serve(this.feed);
    try {
      commands.refreshClock();
      scratchValue.at = SCRATCH_AT;
      const { outcome, ask } = commands.settle(ticket, scratchValue);
      if (outcome === Outcome.PENDING) this.deadline = performance.now() + ask.leftMs;
      else this.end(answerOf(outcome, ask, this.asked));
    } catch (error) {
      this.end(responseFor(error, onFault));
    } finally {
      streams.serve(null);
    }
  }

  /** It watches nothing, so there are no pushes. */
  makeRoom(): boolean {
    return true;
  }

  /** Time is over, or the server shuts down: the caller may try again. */
  giveUp(): void {
    this.end(retryLater(this.deadline - performance.now()));
  }

  close(): void {
    clearTimeout(this.timer);
    this.stopExpiry();
    this.answer = null;
    this.context.waiters.delete(this);
    this.context.streams.close(this.feed);
  }

  private end(response: Response): void {
    this.answer?.(afterWait(performance.now() - this.startedAt, response));
    this.close();
  }
}

function answerOf(outcome: Outcome, ask: LeaseAsk, { found }: LeaseRequest): Response {
  switch (outcome) {
    case Outcome.DONE:
      return found();
    case Outcome.LEASED: {
      const response = errorResponse(404, "Key not found. Compute it, and PUT it with ?lease=TOKEN.");
      response.headers.set("Lease", `"${ask.token}"`);
      return response;
    }
    case Outcome.PENDING:
      return retryLater(ask.leftMs);
    default:
      return errorResponse(404, NOT_FOUND);
  }
}

function retryLater(leftMs: number): Response {
  const response = errorResponse(404, "Key not found. It is being computed; try again.");
  response.headers.set("Retry-After", String(Math.max(1, Math.ceil(leftMs / 1000))));
  return response;
}

/** The token of ?lease=TOKEN, with or without the quotes that the header has. */
export function tokenOf(text: string): number {
  const digits = LEASE_TOKEN.exec(text)?.[1];
  const token = Number(digits);
  if (!Number.isSafeInteger(token))
    throw new RequestError("MALFORMED", "lease: must be the token of a Lease header");
  return token;
}
