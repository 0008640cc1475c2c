/** The clients that the dialects are for: installed as their users install them, and run in projects of their own. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { temporaryPath } from "../support/temporary";

const HERE = import.meta.dir;
const MODULES = join(HERE, "node_modules");
/** Where their commands are. */
export const COMMANDS = join(MODULES, ".bin");
/** Node 22, as npm has it. */
export const NODE_22 = join(MODULES, `node-${process.platform}-${process.arch}/bin/node`);

/** What was installed last. */
const INSTALLED = join(MODULES, ".installed");

/**
 * Installs what package.json of this folder pins, unless it is installed. Of the whole suite, install.ts does so before: two of its processes
 * that install at once would get in each other's way.
 */
export async function installClients(): Promise<void> {
  const wanted = await Bun.file(join(HERE, "bun.lock")).text();
  const installed = Bun.file(INSTALLED);
  if ((await installed.exists()) && (await installed.text()) === wanted) return;
  const child = Bun.spawn([process.execPath, "install", "--frozen-lockfile", "--silent"], {
    cwd: HERE,
    stdout: "pipe",
    stderr: "pipe",
  });
  if ((await child.exited) !== 0) throw new Error(await new Response(child.stderr).text());
  await Bun.write(INSTALLED, wanted);
}

/** A package, as a program that depends on it gets it. Of no type: it is not installed when types are checked. */
export async function client(name: string): Promise<any> {
  return import(Bun.resolveSync(name, HERE));
}

/** The version of a package. */
export async function versionOf(name: string): Promise<string> {
  return (await Bun.file(join(MODULES, name, "package.json")).json()).version;
}

/** A directory of its own, with the clients installed. */
export class Project {
  readonly directory = temporaryPath(`project-${crypto.randomUUID()}`);
  private readonly env: Record<string, string>;

  constructor(files: Record<string, string>, env: Record<string, string> = {}) {
    mkdirSync(this.directory);
    for (const [path, content] of Object.entries(files)) this.write(path, content);
    symlinkSync(MODULES, join(this.directory, "node_modules"));
    this.env = {
      ...(process.env as Record<string, string>),
      ...QUIET,
      HOME: this.directory,
      PATH: `${COMMANDS}:${process.env.PATH}`,
      ...env,
    };
  }

  write(path: string, content: string): void {
    const file = join(this.directory, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }

  /** What a shell command prints, with standard error behind it. Throws unless it ends with 0. */
  async run(command: string, env: Record<string, string> = {}): Promise<string> {
    const child = Bun.spawn(["sh", "-c", command], {
      cwd: this.directory,
      env: { ...this.env, ...env },
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    if (code !== 0) throw new Error(`${command} ended with ${code}:\n${stdout}\n${stderr}`);
    return stdout + stderr;
  }
}

/** They are to ask nobody else, to leave nothing running, and to print plain text. */
const QUIET = {
  CI: "true",
  NO_COLOR: "1",
  DO_NOT_TRACK: "1",
  TURBO_TELEMETRY_DISABLED: "1",
  NX_DAEMON: "false",
  NX_TUI: "false",
  NX_NO_CLOUD: "true",
};

const task = (name: string) =>
  `mkdir -p out && echo built ${name} && cat /proc/sys/kernel/random/uuid > out/made`;

/** Two packages, b of which needs a, each with a build that makes something new whenever it runs. */
export const TWO_PACKAGES = {
  "package.json": JSON.stringify({
    name: "two",
    private: true,
    packageManager: "npm@10.9.0",
    workspaces: ["packages/*"],
  }),
  "package-lock.json": JSON.stringify({ name: "two", lockfileVersion: 3, packages: {} }),
  "turbo.json": JSON.stringify({ tasks: { build: { dependsOn: ["^build"], outputs: ["out/**"] } } }),
  "nx.json": JSON.stringify({
    analytics: false,
    neverConnectToCloud: true,
    targetDefaults: {
      build: { cache: true, dependsOn: ["^build"], outputs: ["{projectRoot}/out"] },
    },
  }),
  ".gitignore": "out\n.turbo\n.nx\nnode_modules\n",
  "packages/a/package.json": JSON.stringify({ name: "a", version: "1.0.0", scripts: { build: task("a") } }),
  "packages/b/package.json": JSON.stringify({
    name: "b",
    version: "1.0.0",
    dependencies: { a: "*" },
    scripts: { build: task("b") },
  }),
};

/** What the builds of TWO_PACKAGES made. */
export const MADE = "cat packages/a/out/made packages/b/out/made";
/** Forgets what was built, and what the machine's own caches hold of it. */
export const WIPE = "rm -rf packages/*/out packages/*/.turbo .turbo .nx";
