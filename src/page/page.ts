/**
 * The page: finds out whether a token is needed, connects, and keeps what is shown up to date. What is out of sight is not drawn; readings
 * are taken all the same, so that the charts have no gap.
 */
import { setText, the } from "./dom";
import { duration } from "./format";
import { Keys } from "./keys";
import { Overview } from "./overview";
import { pollStats } from "./poll";
import { type About, askAbout, Session, TokenRefused } from "./session";
import { Shards } from "./shards";
import { Readings, type Stats, type Step } from "./stats";
import { Tabs } from "./tabs";
import { showSnippets } from "./try-it";

type State = "connecting" | "open" | "closed";
const LOOK_EVERY_MS = 1000;
const TRY_AGAIN_MS = 2000;

function tell(state: State, text: string): void {
  const place = the(HTMLElement, "state");
  place.dataset.state = state;
  setText(place, text);
}

/** @param error null where there is none any more */
function showProblem(error: unknown): void {
  setText(the(HTMLElement, "problem"), error === null ? "" : messageOf(error));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Tries until it works; only a refused token is the caller's. */
async function insist<T>(attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (error instanceof TokenRefused) throw error;
      tell("connecting", `Not connected: ${messageOf(error)}`);
      await new Promise((resolve) => setTimeout(resolve, TRY_AGAIN_MS));
    }
  }
}

/** Asks until the server takes a token. */
/** What can stand in a header; longer ones no server has, scoped ones included. */
const TOKEN = /^[\x21-\x7e]{1,4096}$/;
const NO_TOKEN =
  "That can be no token: tokens have no blanks, no other characters than ASCII, and at most 4096 of them.";

function signIn(): Promise<Session> {
  const place = the(HTMLElement, "sign-in");
  const token = the(HTMLInputElement, "token");
  const problem = the(HTMLElement, "token-problem");
  tell("connecting", "Waiting for a token");
  place.hidden = false;
  token.focus();
  return new Promise((resolve) => {
    the(HTMLFormElement, "token-form").addEventListener("submit", async (event) => {
      event.preventDefault();
      setText(problem, "");
      try {
        const text = token.value.trim();
        if (!TOKEN.test(text)) throw new Error(NO_TOKEN);
        const session = await insist(() => Session.open(text));
        token.value = "";
        place.hidden = true;
        resolve(session);
      } catch (error) {
        setText(problem, messageOf(error));
        token.select();
      }
    });
  });
}

function followConnection({ cache, hasToken }: Session): void {
  const again = the(HTMLButtonElement, "forget");
  again.hidden = !hasToken;
  // All that the page knows is in its memory.
  again.addEventListener("click", () => location.reload());
  tell("open", "Connected");
  cache.on("open", () => tell("open", "Connected"));
  cache.on("reconnecting", ({ attempt }) => {
    if (attempt > 1) tell("connecting", "Connecting again…");
  });
  cache.on("close", ({ reason, willReconnect }) => {
    if (willReconnect) return tell("connecting", "Connection lost");
    tell("closed", `Closed: ${reason}`);
    setText(again, "Sign in again");
    again.hidden = false;
  });
}

/** What is known of the server, and what of it is in sight. */
class Display {
  private readonly overview = new Overview();
  private readonly shards = new Shards();
  private readonly readings = new Readings();
  private last: { stats: Stats; step: Step | null } | null = null;
  private panel = "";

  constructor(private readonly about: About) {}

  take(stats: Stats, at: number): void {
    const step = this.readings.step(stats, at);
    this.last = { stats, step };
    this.overview.take(stats, step, at);
    this.draw();
  }

  show(panel: string): void {
    this.panel = panel;
    this.draw();
  }

  draw(): void {
    if (this.last === null || document.hidden) return;
    const { stats, step } = this.last;
    setText(
      the(HTMLElement, "server"),
      `${stats.version} on ${location.host}, up ${duration(stats.uptime * 1000)}`,
    );
    const isOld = stats.version !== this.about.version;
    setText(
      the(HTMLElement, "notice"),
      isOld ? "The server is another version now: load this page again." : "",
    );
    if (this.panel === "overview") this.overview.draw(stats, step);
    if (this.panel === "shards" && step !== null) this.shards.draw(step);
  }
}

/** Without the right to the stats, these sections have nothing to show, and say so. */
function explain(reason: string): void {
  for (const panel of ["overview", "shards"]) {
    for (const part of the(HTMLElement, panel).children) (part as HTMLElement).hidden = true;
    const notice = the(HTMLElement, `${panel}-notice`);
    notice.hidden = false;
    setText(notice, `${reason} These figures need a token that does.`);
  }
}

function run(session: Session, about: About): void {
  the(HTMLElement, "signed-in").hidden = false;
  followConnection(session);
  showSnippets(session, showProblem);
  const reason = session.rights.against("stats");
  const display = new Display(about);
  const keys = new Keys(session, showProblem);
  let panel = "";
  const tabs = new Tabs((shown) => {
    panel = shown;
    display.show(shown);
    if (shown === "keys") keys.begin();
  });
  tabs.showFirst(reason === null ? "overview" : "keys");
  document.addEventListener("visibilitychange", () => display.draw());
  setInterval(() => {
    if (panel === "keys" && !document.hidden) void keys.look();
  }, LOOK_EVERY_MS);
  if (reason === null) void pollStats(session.cache, (stats, at) => display.take(stats, at));
  else explain(reason);
}

const about = await insist(askAbout);
setText(the(HTMLElement, "server"), `${about.version} on ${location.host}`);
document.title = `Breadbox on ${location.host}`;
run(about.needsToken ? await signIn() : await insist(() => Session.open(null)), about);
