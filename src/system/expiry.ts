/** A call at a time on the system's clock. */

/** The clock is looked at again after so long: it may have been set, and setTimeout counts no further than 24.8 days. */
const LOOK_MS_MAX = 60_000;

/** Calls once when the time (ms since 1970) has come; at once where it has. Returns what ends the waiting. */
export function callAt(time: number, call: () => void): () => void {
  let timer: ReturnType<typeof setTimeout>;
  const look = () => {
    const left = time - Date.now();
    if (left <= 0) call();
    else timer = setTimeout(look, Math.min(left, LOOK_MS_MAX));
  };
  look();
  return () => clearTimeout(timer);
}
