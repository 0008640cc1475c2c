/** Places for connections that stay: WebSockets and streams of events, over all workers. */
import { Count, type Tally } from "../commands/tally";

/**
 * Whether there is one more; if not, that is counted. Workers may take the last one at the same moment, so there can be one too
 * many for each of them.
 */
export function freePlace(tally: Tally, connectionsMax: number): boolean {
  if (tally.sum(Count.CONNECTIONS) + tally.sum(Count.EVENT_STREAMS) < connectionsMax) return true;
  tally.add(Count.REFUSED_CONNECTIONS, 1);
  return false;
}
