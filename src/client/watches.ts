/**
 * The prefixes that are watched, each by one or more iterations.
 *
 *   asked ──(OK)──▶ told ──(the connection broke)──▶ asked again ──(OK: a reset for its watches)──▶ told
 */
import { Op } from "../protocol/wire";
import { isOk, type Reply } from "./codec";
import type { Connection, Fate } from "./connection";
import { CacheError } from "./errors";
import { checkOptions, type RequestOptions } from "./options";
import { Signals, throwIfAborted } from "./signals";
import { type Change, Watch } from "./watch";

interface Watched {
  readonly prefix: string;
  readonly watches: Set<Watch>;
  phase: "asked" | "told";
  /** It was told before, on a connection that broke: changes may have been missed. */
  hasGap: boolean;
}

export class Watches {
  private readonly byPrefix = new Map<string, Watched>();
  private readonly signals = new Signals<Watch>((watches) => {
    for (const watch of watches) watch.fail(new CacheError("aborted", "aborted by its signal"));
  });

  constructor(private readonly link: Connection) {}

  /**
   * An iteration that begins with its first `next`.
   * @param cut characters at the beginning of each key that it does not tell
   */
  open(prefix: string, options: RequestOptions, cut: number): Watch {
    // What is no object is refused when it begins.
    const signal = options?.signal;
    const watch: Watch = new Watch(prefix, cut, {
      begin: () => {
        checkOptions("watch", options);
        throwIfAborted(signal);
        if (signal !== undefined) this.signals.add(signal, watch);
        this.join(watch, options.timeoutMs);
      },
      end: () => {
        if (signal !== undefined) this.signals.remove(signal, watch);
        this.leave(watch);
      },
    });
    return watch;
  }

  changed(key: string, version: number): void {
    for (const { prefix, watches } of this.byPrefix.values())
      if (key.startsWith(prefix)) push(watches, { key, version });
  }

  reset(prefix: string): void {
    for (const { prefix: watched, watches } of this.byPrefix.values())
      if (watched.startsWith(prefix)) push(watches, { reset: watched });
      else if (prefix.startsWith(watched)) push(watches, { reset: prefix });
  }

  /** What was only asked for is asked again as any read is. */
  broken(): void {
    for (const watched of this.byPrefix.values()) {
      if (watched.phase === "asked") continue;
      watched.phase = "asked";
      watched.hasGap = true;
      this.ask(watched);
    }
  }

  ended({ code, message }: Fate): void {
    for (const { watches } of this.byPrefix.values())
      for (const watch of watches)
        if (code === "closed") watch.finish();
        else watch.fail(new CacheError(code, message));
  }

  private join(watch: Watch, timeoutMs: number | undefined): void {
    const { prefix } = watch;
    let watched = this.byPrefix.get(prefix);
    if (watched === undefined) {
      watched = { prefix, watches: new Set(), phase: "asked", hasGap: false };
      this.byPrefix.set(prefix, watched);
      this.ask(watched, timeoutMs);
    }
    watched.watches.add(watch);
  }

  /** With the last watch the server is asked to tell no more. If that fails, what it still tells is ignored. */
  private leave(watch: Watch): void {
    const { prefix } = watch;
    const watched = this.byPrefix.get(prefix);
    if (!watched?.watches.delete(watch) || watched.watches.size > 0) return;
    this.byPrefix.delete(prefix);
    this.link.ask({ op: Op.UNWATCH, key: prefix }, isOk, false, { waits: true }).catch(() => {});
  }

  /** As what it is for, this outlives connections, and waits for the next one in any case. */
  private ask(watched: Watched, timeoutMs?: number): void {
    const { prefix, watches } = watched;
    const told = (reply: Reply) => {
      isOk(reply);
      watched.phase = "told";
      if (watched.hasGap) push(watches, { reset: prefix });
    };
    this.link
      .ask({ op: Op.WATCH, key: prefix }, told, true, { timeoutMs, waits: true })
      .catch((error: CacheError) => this.failed(watched, error));
  }

  private failed(watched: Watched, error: CacheError): void {
    // One that has held before holds until the server says otherwise.
    if (watched.hasGap && error.code === "timeout" && watched.watches.size > 0) return this.ask(watched);
    for (const watch of watched.watches) watch.fail(error);
  }
}

function push(watches: Iterable<Watch>, change: Change): void {
  for (const watch of watches) watch.push(change);
}
