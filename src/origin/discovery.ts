/**
 * The nodes of the origin, and who of them owns what. A healthy master is asked each second, and at once where something has changed; who is not in
 * step with the others is not believed (a master cut off from them says so: its cluster_state is not ok).
 *
 * Invariant: each master of the table has a node.
 */
import { type Address, type Endpoint, endpointText } from "./address";
import type { Reply } from "./call";
import { faultOf } from "./faults";
import { Node, type NodeContext } from "./nodes";
import { rangesOf, type SlotRange, SlotTable, wholeRange } from "./topology";

/** Between two looks at who owns what, while all is well and while it is not. */
const LOOK_MS = 1000;
const LOOK_MS_DEGRADED = 200;
/** Between two looks that something has asked for. */
const LOOK_MS_MIN = 20;
/** A node that owns nothing and was not used for so long is left. */
const IDLE_MS_MAX = 3000;

const SEVERAL_SERVERS =
  "the servers that are named are no cluster; name one of them alone in --origin, or nodes of a cluster";

/** What one node says of the cluster. */
interface View {
  readonly ranges: readonly SlotRange[];
  readonly isOk: boolean;
  readonly epoch: number;
}

export class Discovery {
  table: SlotTable | null = null;
  /** Why there is no table though a node answers, or null. */
  problem: string | null = null;
  readonly nodes = new Map<string, Node>();
  private epoch = 0;
  private shape = "";
  private timer: ReturnType<typeof setTimeout> | undefined;
  private phase: "resting" | "asked" | "looking" | "asked-again" | "closed" = "resting";

  /** @param onTable the table is another one now, or it is known why there is none */
  constructor(
    private readonly address: Address,
    private readonly context: NodeContext,
    private readonly onTable: () => void,
  ) {
    this.reachOut();
    this.lookAfter(LOOK_MS_DEGRADED);
  }

  /** Null while nobody is known to own the slot. */
  nodeFor(slot: number): Node | null {
    const master = this.table?.ownerOf(slot) ?? null;
    return master === null ? null : this.nodeAt(master.endpoint);
  }

  nodeAt(endpoint: Endpoint): Node {
    const name = endpointText(endpoint);
    let node = this.nodes.get(name);
    if (node === undefined) {
      node = new Node(endpoint, this.context);
      this.nodes.set(name, node);
    }
    return node;
  }

  /** A node has said who owns the slot now. */
  moved(slot: number, to: Endpoint): void {
    this.table?.move(slot, to);
    this.shape = "";
    this.lookSoon();
  }

  get masters(): Node[] {
    return (this.table?.masters ?? []).map(({ endpoint }) => this.nodeAt(endpoint));
  }

  /** Whether every slot has an owner that answers. */
  get isWhole(): boolean {
    return this.table !== null && this.table.uncovered === 0 && this.masters.every((node) => node.isHealthy);
  }

  /** Whether nobody answers at all. */
  get isDown(): boolean {
    return ![...this.nodes.values()].some((node) => node.circuit.isClosed);
  }

  /** Who owns what is asked within a moment. */
  lookSoon(): void {
    if (this.phase === "looking") this.phase = "asked-again";
    if (this.phase !== "resting") return;
    this.phase = "asked";
    this.lookAfter(LOOK_MS_MIN);
  }

  close(): void {
    this.phase = "closed";
    clearTimeout(this.timer);
    for (const node of this.nodes.values()) node.close();
  }

  invariants(): void {
    this.table?.invariants();
    for (const node of this.nodes.values()) node.invariants();
    for (const { name } of this.table?.masters ?? [])
      if (!this.nodes.has(name)) throw new Error("a master has no node");
  }

  private lookAfter(ms: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.look(), ms);
  }

  private async look(): Promise<void> {
    this.phase = "looking";
    await Promise.all([this.refresh(), ...this.masters.filter((node) => node.isHealthy).map(measure)]);
    if (this.isClosed) return;
    this.leaveIdle();
    const wasAsked = (this.phase as string) === "asked-again";
    this.phase = wasAsked ? "asked" : "resting";
    this.lookAfter(wasAsked ? LOOK_MS_MIN : this.isWhole ? LOOK_MS : LOOK_MS_DEGRADED);
  }

  private get isClosed(): boolean {
    return this.phase === "closed";
  }

  private async refresh(): Promise<void> {
    const view = await this.bestView();
    if (this.isClosed) return;
    if (view === null)
      return this.table === null || !this.masters.some((node) => node.isHealthy)
        ? this.reachOut()
        : undefined;
    this.epoch = view.epoch;
    this.apply(view.ranges);
  }

  /** The first view that is in step, or else the one that is least behind. */
  private async bestView(): Promise<View | null> {
    let best: View | null = null;
    let problem: string | null = null;
    for (const node of this.witnesses()) {
      const view = await this.viewOf(node).catch(() => null);
      if (view === null) continue;
      if (typeof view === "string") problem ??= view;
      else if (view.isOk && view.epoch >= this.epoch) return view;
      else if (best === null || view.epoch > best.epoch) best = view;
    }
    if (best === null && this.table === null) this.tell(problem);
    return best;
  }

  /** Masters first; the others only where no master answers. */
  private witnesses(): Node[] {
    const masters = this.masters.filter((node) => node.isHealthy);
    return masters.length > 0 ? masters : [...this.nodes.values()].filter((node) => node.isHealthy);
  }

  /** What the node says, or why it can't say anything. */
  private async viewOf(node: Node): Promise<View | string> {
    try {
      const [info, slots] = await Promise.all([
        this.context.ask(node, "CLUSTER", "INFO"),
        this.context.ask(node, "CLUSTER", "SLOTS"),
      ]);
      return viewOf(node, String(info), slots);
    } catch (error) {
      if (faultOf(error as Error).code !== "NO_CLUSTER") throw error;
      if (this.address.seeds.length > 1) return SEVERAL_SERVERS;
      return { ranges: wholeRange(node.endpoint), isOk: true, epoch: 0 };
    }
  }

  private tell(problem: string | null): void {
    if (problem === this.problem) return;
    this.problem = problem;
    this.onTable();
  }

  private apply(ranges: readonly SlotRange[]): void {
    this.problem = null;
    const shape = ranges
      .map(({ first, last, master }) => `${first}-${last} ${endpointText(master)}`)
      .join(",");
    if (shape === this.shape) return;
    this.shape = shape;
    this.table = new SlotTable(ranges);
    for (const { endpoint } of this.table.masters) this.nodeAt(endpoint);
    this.onTable();
  }

  /** Connects to everybody who could know. */
  private reachOut(): void {
    for (const endpoint of [...this.address.seeds, ...(this.table?.known ?? [])]) this.nodeAt(endpoint);
  }

  private leaveIdle(): void {
    if (!this.isWhole) return;
    const owners = new Set(this.masters);
    for (const [name, node] of this.nodes) {
      const isIdle = node.inFlight + node.waiting === 0 && this.context.clock() - node.usedAt > IDLE_MS_MAX;
      if (owners.has(node) || !isIdle) continue;
      node.close();
      this.nodes.delete(name);
    }
  }
}

function viewOf({ name, endpoint }: Node, info: string, slots: Reply): View | string {
  const ranges = rangesOf(slots, endpoint);
  if (ranges.length === 0)
    return `${name} is a node of a cluster without slots; give it slots (redis-cli --cluster create), or name another node in --origin`;
  const epoch = Number(/cluster_current_epoch:(\d+)/.exec(info)?.[1] ?? 0);
  return { ranges, isOk: info.includes("cluster_state:ok"), epoch };
}

/** A clock that was not read now keeps its old reading. */
async function measure(node: Node): Promise<void> {
  await node.measureClock().catch(() => {});
}
