/** The prompt's phases: lines that come early, Ctrl-C at each moment, and the end of input. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { PassThrough } from "node:stream";
import { Prompt } from "../../src/cli/repl/prompt";

const CTRL_C = "\x03";
const CTRL_D = "\x04";
let keyboard: PassThrough;
let screen: string;
let prompt: Prompt;

beforeEach(() => {
  keyboard = new PassThrough();
  screen = "";
  const output = new PassThrough();
  output.on("data", (bytes) => (screen += String(bytes)));
  const complete = async () => [[], ""] as [string[], string];
  prompt = new Prompt({ input: keyboard, output, label: "here> ", history: ["old"], complete });
});

afterEach(() => prompt.close());

/** Types, and lets what was typed arrive. */
async function type(text: string): Promise<void> {
  const arrived = new Promise((resolve) => keyboard.once("data", resolve));
  keyboard.write(text);
  await arrived;
  prompt.invariants();
}

test("a line, one after the other, and the end", async () => {
  for (const line of ["get a", "  ", ""]) {
    const read = prompt.read();
    await type(`${line}\r`);
    expect(await read).toBe(line);
  }
  const read = prompt.read();
  await type(CTRL_D);
  expect([await read, await prompt.read(), await prompt.read()]).toEqual([null, null, null]);
  prompt.invariants();
});

test("lines that come while one runs wait, in their order, and the end behind them", async () => {
  await prompt.run(async () => {
    await type("one\rtwo\r");
    await type(CTRL_D);
  });
  expect([await prompt.read(), await prompt.read(), await prompt.read()]).toEqual(["one", "two", null]);
});

test("Ctrl-C while a line runs ends it, and drops those that wait", async () => {
  const aborted = await prompt.run(async (interrupted) => {
    await type("one\rtwo\r");
    await type(CTRL_C);
    return interrupted.aborted;
  });
  expect(aborted).toBe(true);
  const read = prompt.read();
  await type("three\r");
  expect(await read).toBe("three");
  expect(await prompt.run(async (interrupted) => interrupted.aborted)).toBe(false);
});

test("Ctrl-C while a line is typed drops it, however long it is", async () => {
  for (const line of ["get a", "x".repeat(500)]) {
    const read = prompt.read();
    await type(line);
    await type(CTRL_C);
    await type("get b\r");
    expect(await read).toBe("get b");
  }
});

test("when too many lines wait the terminal is not read on, and none is lost", async () => {
  const lines = Array.from({ length: 3000 }, (_, i) => `line ${i}`);
  await prompt.run(async () => {
    await type(`${lines.slice(0, 1000).join("\r")}\r`);
    for (let at = 1000; at < lines.length; at += 500)
      keyboard.write(`${lines.slice(at, at + 500).join("\r")}\r`);
    expect(keyboard.isPaused()).toBe(true);
  });
  for (const line of lines) {
    expect(await prompt.read()).toBe(line);
    prompt.invariants();
  }
  expect(keyboard.isPaused()).toBe(false);
});

test("a question while a line runs: its answer is no line, and not offered again", async () => {
  const answers: boolean[] = [];
  for (const answer of ["y\r", "YES\r", "n\r", "yesterday\r", "\r", CTRL_C])
    await prompt.run(async (interrupted) => {
      const asked = prompt.confirm("sure?", interrupted);
      await type(answer);
      answers.push(await asked);
    });
  expect(answers).toEqual([true, true, false, false, false, false]);
  const read = prompt.read();
  await type("\x1b[A\r");
  expect(await read).toBe("old");
});

test("the end of input is a no, and the end", async () => {
  const answer = await prompt.run(async (interrupted) => {
    const asked = prompt.confirm("sure?", interrupted);
    await type(CTRL_D);
    return asked;
  });
  expect([answer, await prompt.read()]).toEqual([false, null]);
});

test("what is told stands above the line that is typed, which stays", async () => {
  const read = prompt.read();
  await type("get a");
  prompt.tell("news", "there> ");
  expect(screen).toEndWith("\nnews\n\x1b[1G\x1b[0Jthere> get a\x1b[13G");
  await type("b\r");
  expect(await read).toBe("get ab");
});
