/** Processes of a benchmark, which end with it however it ends: a server left behind would spoil the next run. */

const running = new Set<Bun.Subprocess>();
const EXIT_SIGNAL_BASE = 128;
const SIGNALS = { SIGINT: 2, SIGTERM: 15 } as const;

process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});
for (const [signal, number] of Object.entries(SIGNALS))
  process.once(signal, () => process.exit(EXIT_SIGNAL_BASE + number));

/** The child, ended by its own id when this process ends before it. */
export function tied<C extends Bun.Subprocess>(child: C): C {
  running.add(child);
  void child.exited.then(() => running.delete(child));
  return child;
}
