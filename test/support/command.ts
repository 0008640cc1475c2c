/** Commands that are run to their end. */

export interface CommandOptions {
  /** The directory that it runs in. */
  cwd?: string;
  /** In place of the tests' own environment. */
  env?: Record<string, string | undefined>;
}

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command, whatever it ends with. */
export async function runAny(command: readonly string[], options: CommandOptions = {}): Promise<Ran> {
  const child = Bun.spawn([...command], { ...options, stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, stdout, stderr };
}

/** What a command prints to standard output. Throws unless it ends with 0. */
export async function run(command: readonly string[], options: CommandOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await runAny(command, options);
  if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}:\n${stdout}\n${stderr}`);
  return stdout;
}
