/** A test's program in a thread of its own. */

/** Gives it an order; resolves with its one answer, and ends it then. */
export function runThread<Result>(program: URL, order: unknown): Promise<Result> {
  const thread = new Worker(program);
  thread.postMessage(order);
  return new Promise((resolve, reject) => {
    thread.onmessage = ({ data }) => {
      thread.terminate();
      resolve(data as Result);
    };
    thread.onerror = (event) => reject(new Error(event.message));
  });
}
