/** breadbox repl: at a pseudo-terminal as a person uses it, and with lines from a pipe as scripts do. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Cache, connect } from "../../src/client/client";
import { inputless, LINE_BYTES_MAX, programOver, runLine } from "../../src/cli/repl/line";
import { HostileServer } from "../client/hostile-server";
import { missingCommands, testThatNeeds } from "../support/needs";
import { startServer, type TestServer } from "../support/server";
import { temporaryFile, temporaryPath } from "../support/temporary";
import { PseudoTerminal } from "./pseudo-terminal";
import { BREADBOX, breadboxAt, NOWHERE, shellAt } from "./run";

const CTRL_C = "\x03";
const CTRL_D = "\x04";
const CTRL_Z = "\x1a";
const UP = "\x1b[A";
let server: TestServer;
let cache: Cache;

beforeAll(async () => {
  server = await startServer();
  cache = await connect(server.ws);
});

afterAll(async () => {
  await cache.close();
  expect(await server.stop()).toBe(0);
});

/** A prompt that is ready, and what it shows before each line. */
async function start(options: { url?: string; args?: string[]; state?: string } = {}) {
  const { url = server.http, args = [], state = temporaryPath(`state-${crypto.randomUUID()}`) } = options;
  const terminal = new PseudoTerminal([...BREADBOX, ...args], { BREADBOX_URL: url, XDG_STATE_HOME: state });
  const ready = `${new URL(url).host}> `;
  await terminal.shows(ready);
  return {
    terminal,
    ready,
    history: join(state, "breadbox/history"),
    /** Types a line; what the screen shows until the next prompt. */
    async enter(line: string): Promise<string> {
      terminal.type(line);
      await terminal.shows(line.slice(-1));
      const from = terminal.screen.length;
      terminal.type("\r");
      await terminal.shows("\n");
      await terminal.shows(ready);
      const shown = terminal.screen.slice(from).replaceAll("\r", "");
      return shown.slice(shown.indexOf("\n") + 1, shown.lastIndexOf("\x1b[1G\x1b[0J"));
    },
    async leave(): Promise<void> {
      terminal.type(CTRL_D);
      expect(await terminal.exited).toBe(0);
    },
  };
}

describe("at a terminal", () => {
  test("breadbox alone is the prompt: verbs over one connection, errors do not end it", async () => {
    const before = (await cache.stats()).connectionsTotal as number;
    const { enter, leave, terminal } = await start();
    expect(terminal.screen).toContain("help lists the commands, Ctrl-D ends");
    expect(await enter("put 'repl key' \"a b\"")).toBe("");
    expect(await enter("get repl\\ key")).toBe("a b\n");
    expect(await enter("append 'repl key' $'\\n'")).toBe("");
    expect(await enter("get 'repl key'")).toBe("a b\n");
    expect(await enter("incr repl:n -5")).toBe("-5\n");
    expect(await enter("get nothing")).toBe('there is no entry "nothing"\n');
    expect(await enter("incr 'repl key'")).toStartWith("incr: ");
    expect(await enter("get 'open")).toBe("the quote ' is not closed\n");
    expect(await enter("expire a 5")).toBe(
      'unknown command "expire" (here it is touch KEY --ttl TIME); help lists them\n',
    );
    expect(await enter("get a --url http://elsewhere")).toStartWith("get: unknown option --url;");
    expect(await enter("put a -")).toBe(
      "put: standard input has the lines here; a value may come from --file\n",
    );
    expect(await enter("bench")).toStartWith('unknown command "bench"');
    expect(await enter("")).toBe("");
    expect((await cache.stats()).connectionsTotal).toBe(before + 1);
    await leave();
  });

  test("values do not move the cursor: control characters are shown", async () => {
    await cache.put("escapes", "\x1b[2Jtext\x9b");
    await cache.put("bytes", new Uint8Array([65, 255]));
    const { enter, leave } = await start();
    expect(await enter("get escapes")).toBe("\\x1b[2Jtext\\u009b\n");
    expect(await enter("get bytes")).toBe("A\\xff\n");
    expect(await enter("get bytes escapes --null")).toBe("A\\xff\\x00\\x1b[2Jtext\\xc2\\x9b\\x00\n");
    await leave();
  });

  test("Ctrl-D while a line runs is the end behind it, and Ctrl-C still ends the line", async () => {
    const { terminal } = await start();
    terminal.type("watch ended:\r");
    await terminal.shows('watching "ended:"');
    terminal.type(CTRL_D);
    terminal.interrupt();
    expect(await terminal.exited).toBe(0);
  });

  test("help for all, for one, and quit", async () => {
    const { enter, terminal } = await start({ args: ["repl"] });
    const help = await enter("help");
    for (const name of ["get", "watch-stats", "quit"]) expect(help).toContain(`  ${name} `);
    const about = await enter("help put");
    expect(about).toContain("Usage: put KEY [VALUE | -] [options]");
    expect(about).toContain("  put name Breadbox --ttl 60s --if absent\n");
    expect(about).not.toContain("breadbox put");
    expect(about).not.toContain("--url");
    expect(await enter("put --help")).toBe(about);
    terminal.type("quit\r");
    expect(await terminal.exited).toBe(0);
  });

  test("Tab completes a verb and a key, quoted", async () => {
    await cache.put("tab key", "found it");
    const { terminal, ready, leave } = await start();
    terminal.type("ge\t");
    await terminal.shows("t ");
    terminal.type("tab\t");
    await terminal.shows("\\ key ");
    terminal.type("\r");
    await terminal.shows("found it");
    await terminal.shows(ready);
    await leave();
  });

  test("Ctrl-C drops the line that is typed", async () => {
    const { terminal, ready, enter, leave } = await start();
    terminal.type("put dropped x");
    await terminal.shows("x");
    terminal.type(CTRL_C);
    await terminal.shows("^C");
    await terminal.shows(ready);
    expect(await enter("get dropped")).toBe('there is no entry "dropped"\n');
    await leave();
  });

  test("Ctrl-C ends what runs: a request without an answer, live figures, a question", async () => {
    let received = Promise.withResolvers<void>();
    await using silent = new HostileServer([{ received: () => received.resolve() }]);
    const asking = await start({ url: silent.url.replace("ws", "http") });
    for (const [line, said] of [
      ["get a", ""],
      ["put a b", "put: interrupted; the write may have happened"],
    ] as const) {
      received = Promise.withResolvers();
      asking.terminal.type(`${line}\r`);
      await received.promise;
      asking.terminal.type(CTRL_C);
      await asking.terminal.shows(said);
      await asking.terminal.shows(asking.ready);
    }
    asking.terminal.type("quit\r");
    await asking.terminal.exited;

    const { terminal, ready, leave } = await start();
    terminal.type("watch-stats --interval 1h\r");
    await terminal.shows("expirations");
    terminal.type(CTRL_C);
    await terminal.shows(ready);
    await cache.put("asked", "x");
    terminal.type("clear asked\r");
    await terminal.shows("[y/N] ");
    terminal.type(CTRL_C);
    await terminal.shows("nothing was removed");
    await terminal.shows(ready);
    terminal.type("clear asked\r");
    await terminal.shows("[y/N] ");
    terminal.type("y\r");
    await terminal.shows(ready);
    expect(await cache.get("asked")).toBeNull();
    await leave();
  });

  test("a connection that breaks is shown, and made again", async () => {
    const sockets: Bun.ServerWebSocket[] = [];
    await using broken = new HostileServer([{ opened: (socket) => void sockets.push(socket) }]);
    const { terminal, ready, leave } = await start({ url: broken.url.replace("ws", "http") });
    terminal.type("get half");
    await terminal.shows("half");
    sockets[0]!.close(1012, "restart\x1b[2J");
    await terminal.shows("the connection broke (1012: restart\\x1b[2J); it is being made again");
    await terminal.shows("connected again");
    await terminal.shows(`${ready}get half`);
    expect(terminal.screen).toContain(`${ready.slice(0, -2)} (not connected)> get half`);
    terminal.type(CTRL_C);
    await leave();
  });

  test("a token that is taken away ends it with exit code 77", async () => {
    const sockets: Bun.ServerWebSocket[] = [];
    await using guarded = new HostileServer([{ opened: (socket) => void sockets.push(socket) }]);
    const { terminal } = await start({ url: guarded.url.replace("ws", "http") });
    sockets[0]!.close(4401, "the token has expired");
    await terminal.shows("the connection has ended (4401: the token has expired)");
    expect(await terminal.exited).toBe(77);
  });

  test("a line that is too long is refused", async () => {
    const said: string[] = [];
    const terminal = {
      write: async () => {},
      say: (text: string) => void said.push(text),
      input: inputless,
      confirm: null,
      hasKeyboard: true,
      isInteractive: true,
      saysToTerminal: true,
      interrupted: new AbortController().signal,
    };
    const line = `put too-long ${"x".repeat(LINE_BYTES_MAX)}`;
    expect(await runLine(line, programOver(cache, ""), terminal, [10])).toBe(64);
    expect(said).toEqual([`a line has at most ${LINE_BYTES_MAX} bytes; a value may come from --file`]);
    expect(await cache.get("too-long")).toBeNull();
  });

  test("nobody there: exit code 69, and where to go from here", async () => {
    const terminal = new PseudoTerminal([...BREADBOX], { BREADBOX_URL: NOWHERE });
    await terminal.shows("breadbox: repl: no connection to ");
    await terminal.shows("breadbox help lists the commands");
    expect(await terminal.exited).toBe(69);
  });

  testThatNeeds(missingCommands("bash"), "Ctrl-Z stops it, and fg goes on with the line", async () => {
    const shell = new PseudoTerminal(["bash", "--norc", "-i"], {
      PS1: "shell$ ",
      BREADBOX_URL: server.http,
      BREADBOX_HISTORY: temporaryPath("stopped-history"),
    });
    await shell.shows("shell$ ");
    shell.type(`${BREADBOX.join(" ")}\n`);
    await shell.shows("> ");
    shell.type(`get a${CTRL_Z}`);
    await shell.shows("Stopped");
    await shell.shows("shell$ ");
    shell.type("fg\n");
    await shell.shows("> get a");
    shell.type("b\r");
    await shell.shows('there is no entry "ab"');
    shell.type(CTRL_D);
    await shell.shows("shell$ ");
    shell.type("exit 7\n");
    expect(await shell.exited).toBe(7);
  });
});

describe("history", () => {
  test("over sessions: no values, no lines that were no right usage, none after a blank", async () => {
    const state = temporaryPath("history-state");
    const first = await start({ state });
    for (const line of [
      "put secret hunter2",
      "append secret hunter3",
      "set secret hunter4",
      "get secret --token hunter5",
      "get 'hunter6",
      " get hunter7",
      "# get hunter8",
      "incr kept 5",
      "get kept",
    ])
      await first.enter(line);
    await first.leave();
    expect(readFileSync(first.history, "utf8")).toBe("incr kept 5\nget kept\n");
    const second = await start({ state });
    second.terminal.type(UP);
    await second.terminal.shows("get kept");
    second.terminal.type(UP);
    await second.terminal.shows("incr kept 5");
    second.terminal.type("\r");
    await second.terminal.shows("10\r\n");
    await second.terminal.shows(second.ready);
    await second.leave();
  });

  test("within a session also lines with values; in no file when there is to be none", async () => {
    const { terminal, enter, leave, ready } = await start({ args: ["repl", "--history", ""] });
    await enter("put again 1");
    terminal.type(UP);
    await terminal.shows("put again 1");
    terminal.type("\r");
    await terminal.shows(ready);
    await leave();
  });
});

describe("lines from a pipe", () => {
  const script = async (lines: string) => {
    const { code, stdout, stderr } = await breadboxAt(server.http, ["repl"], { input: lines });
    return { code, stdout: stdout.toString("latin1"), stderr };
  };

  test("run one after the other; output is exact, with a line break where there is none", async () => {
    expect(
      await script(
        "# a comment\n\nput p:1 $'a\\u0001'\r\nincr p:2\nincr p:2 41\nget p:1\nget p:1 --null\nscan p:1",
      ),
    ).toEqual({ code: 0, stdout: "1\n42\na\x01\na\x01\0p:1\n", stderr: "" });
    expect(await script("")).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  test("a miss goes on, and is the exit code in the end", async () => {
    expect(await script("get p:none\nincr p:3\n")).toEqual({
      code: 1,
      stdout: "1\n",
      stderr: 'there is no entry "p:none"\n',
    });
  });

  test("the first line that fails is the last, with its exit code and number", async () => {
    await cache.put("p:word", "x");
    for (const [line, code, message] of [
      ["fly", 64, 'unknown command "fly"; help lists them'],
      ["get 'a", 64, "the quote ' is not closed"],
      ["get -", 64, "get: standard input has the lines here; a value may come from --file"],
      ["clear p:", 64, "clear: it asks first, and there is no terminal to ask at; --yes answers for it"],
      [`put p:4 ${"x".repeat(9 << 20)}`, 64, null],
    ] as const) {
      const ran = await script(`get p:none\n${line}\nput p:after x\n`);
      expect({ line: line.slice(0, 20), code: ran.code, stdout: ran.stdout }).toEqual({
        line: line.slice(0, 20),
        code,
        stdout: "",
      });
      if (message !== null) expect(ran.stderr).toEndWith(`\nbreadbox: line 2: ${message}\n`);
      expect(await cache.get("p:after")).toBeNull();
    }
  });

  test("quit ends it, and nothing after it runs", async () => {
    expect(await script("put p:quit 1\nquit\nput p:quit 2\n")).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(await cache.get("p:quit")).toBe("1");
  });

  test("a line that is too long, or no text, is refused", async () => {
    expect((await script(`put p:5 ${"x".repeat(LINE_BYTES_MAX)}\n`)).stderr).toBe(
      `breadbox: repl: standard input: line 1 is longer than ${LINE_BYTES_MAX} bytes\n`,
    );
    const { code, stderr } = await breadboxAt(server.http, ["repl"], {
      input: Buffer.from("get a\nget \xff\n", "latin1"),
    });
    expect(code).toBe(64);
    expect(stderr).toEndWith("breadbox: repl: standard input: line 2 is not UTF-8\n");
  });

  test("nobody reads the output any more: exit code 141", async () => {
    const file = temporaryFile("script", "stats\n".repeat(3000));
    const { stderr } = await shellAt(
      server.http,
      `{ breadbox repl < ${file}; echo "exit $?" >&2; } | head -c1 > /dev/null`,
    );
    expect(stderr).toBe("exit 141\n");
  });

  test("Ctrl-C ends it with exit code 130", async () => {
    const waiting = Promise.withResolvers<void>();
    await using silent = new HostileServer([{ received: () => waiting.resolve() }]);
    const child = Bun.spawn([...BREADBOX, "repl", "--url", silent.url], {
      stdin: new Blob(["get a\nget b\n"]),
    });
    await waiting.promise;
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
  });

  test("breadbox alone is no prompt without a terminal: the help, exit code 64", async () => {
    const { code, stdout } = await breadboxAt(server.http, [], { input: "get a\n" });
    expect({ code, help: stdout.toString().includes("Usage: breadbox COMMAND") }).toEqual({
      code: 64,
      help: true,
    });
  });
});
