/** breadbox repl: a prompt at a terminal, with the verbs of the command line over one connection; elsewhere, lines of a script. */
import type { Cache } from "../../client/client";
import { type Command, OutputError, type Terminal } from "../command";
import { Exit } from "../exit";
import { LINE_BREAK, NULL_BYTE, records } from "../records";
import { CommandUsageError, DEFAULT_URL, type Parsed, SERVER_OPTIONS } from "../usage";
import { VERBS } from "../verbs";
import { completions } from "./completion";
import { History, historyFile } from "./history";
import { inputless, LINE_BYTES_MAX, programOver, runLine } from "./line";
import { printable } from "./printable";
import { Prompt } from "./prompt";
import { split } from "./words";

export const repl: Command = {
  summary:
    "a prompt with these verbs, as breadbox alone at a terminal; elsewhere it runs lines of standard input",
  synopsis: "",
  examples: [
    "breadbox repl",
    "breadbox repl --url http://cache:7171",
    "printf 'put visits 41\\nincr visits\\n' | breadbox repl",
  ],
  options: {
    ...SERVER_OPTIONS,
    history: {
      value: "FILE",
      help: "keeps lines without values for the next time (~/.local/state/breadbox/history), '' for none; also BREADBOX_HISTORY",
      variables: ["BREADBOX_HISTORY"],
    },
  },
  positionals: [0, 0],
  run: (parsed, terminal, withCache) => {
    const isPrompt = terminal.hasKeyboard && terminal.isInteractive;
    if (!isPrompt && parsed.given.has("history"))
      throw new CommandUsageError("--history is for the prompt, and there is no terminal");
    return withCache(parsed, (cache) =>
      isPrompt ? converse(cache, parsed, terminal) : runScript(cache, terminal),
    );
  },
};

/** Runs lines until one fails. A miss is no failure, but the exit code of a script that had one and no failure. */
async function runScript(cache: Cache, terminal: Terminal): Promise<number> {
  const bounds = { end: LINE_BREAK, bytesMax: LINE_BYTES_MAX, what: "line" };
  const own = { ...terminal, input: inputless, confirm: null };
  let number = 0;
  let result: number = Exit.OK;
  for await (const lines of records(terminal.input(), bounds))
    for (const line of lines) {
      number++;
      const program = programOver(cache, `breadbox: line ${number}: `);
      const code = await runLine(line, program, own, [LINE_BREAK, NULL_BYTE]);
      if (code === null) return result;
      if (code === Exit.MISS) result = code;
      else if (code !== Exit.OK) return code;
    }
  return result;
}

/** Runs what a person types, until the end of input, or until the server does not take the token any more. */
async function converse(cache: Cache, { values }: Parsed, terminal: Terminal): Promise<number> {
  const host = new URL(values.url ?? DEFAULT_URL).host;
  const history = new History(values.history ?? historyFile(process.env), terminal.say);
  const prompt = new Prompt({
    input: process.stdin,
    output: process.stdout,
    label: `${host}> `,
    history: history.lines,
    complete: (text) => completions(text, cache),
  });
  let result: number = Exit.OK;
  const listening = [
    cache.on("close", ({ code, reason, willReconnect }) => {
      const why = reason === "" ? `${code}` : `${code}: ${printable(reason)}`;
      if (willReconnect)
        return prompt.tell(
          `the connection broke (${why}); it is being made again`,
          `${host} (not connected)> `,
        );
      prompt.tell(`the connection has ended (${why})`);
      result = Exit.NO_PERMISSION;
      prompt.close();
    }),
    cache.on("open", () => prompt.tell("connected again", `${host}> `)),
  ];
  const program = programOver(cache, "");
  prompt.tell(`connected to ${host}; help lists the commands, Ctrl-D ends`);
  try {
    for (let line = await prompt.read(); line !== null; line = await prompt.read()) {
      const code = await prompt.run((interrupted) =>
        runLine(line!, program, lineTerminal(prompt, interrupted, terminal), [LINE_BREAK]),
      );
      if (code === null) break;
      if (code !== Exit.USAGE && mayBeKept(line)) history.add(line);
    }
  } finally {
    for (const stop of listening) stop();
    prompt.close();
    history.close();
  }
  return result;
}

/**
 * A terminal whose lines come from the prompt, and on which what is stored is shown and not obeyed. Ctrl-C comes from the prompt, and
 * once that has met the end of its input, as a signal.
 */
function lineTerminal(prompt: Prompt, ctrlC: AbortSignal, terminal: Terminal): Terminal {
  const interrupted = AbortSignal.any([ctrlC, terminal.interrupted]);
  return {
    ...terminal,
    write: (data) => show(printable(data)),
    say: (text) => terminal.say(printable(text)),
    input: inputless,
    confirm: (question) => prompt.confirm(printable(question), interrupted),
    // Nothing is drawn anew where lines stand above.
    isInteractive: false,
    interrupted,
  };
}

/** Through the stream that readline draws on, so that both stay in order. */
function show(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error?: NodeJS.ErrnoException | null) =>
      error ? reject(new OutputError(error.code ?? "", error.message)) : resolve(),
    );
  });
}

/** Values may be secrets, so may what no verb begins, and a blank before a line says that it is one. */
function mayBeKept(line: string): boolean {
  const [name = ""] = split(line).words;
  return !line.startsWith(" ") && Object.hasOwn(VERBS, name) && VERBS[name]!.hasValue !== true;
}
