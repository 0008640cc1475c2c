/** A server of the bench's own, as a process beside it, so that its work does not count as the load's. */
import { ownCommand } from "../../system/program";

const SERVES = /serves (http:\/\/\S+) with/;

/** Starts `breadbox serve` on a free port; rejects with what it said when it ends instead. */
export async function startOwnServer(): Promise<{ url: string; stop: () => Promise<void> }> {
  const child = Bun.spawn([...ownCommand(), "serve", "--port", "0"], {
    // Whatever is set for a server of this machine's, this one speaks plainly.
    env: { ...process.env, BREADBOX_TLS_CERT: "", BREADBOX_TLS_KEY: "" },
    stdout: "ignore",
    stderr: "pipe",
  });
  const stop = async () => {
    child.kill("SIGTERM");
    await child.exited;
  };
  let log = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stderr) {
    log += decoder.decode(chunk, { stream: true });
    const url = SERVES.exec(log)?.[1];
    if (url !== undefined) return { url, stop };
  }
  throw new Error(`the server did not start:\n${log}`);
}
