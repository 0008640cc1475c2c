/** A thread that sends one server as much as it takes, over one connection, and reads what is answered. */
import { request } from "../support/frames";

declare const self: Worker;

export type Flood =
  | "nothing"
  | "16 MB batches of small GETs"
  | "16 MB batches of small PUTs"
  | "16 MB batches of 64 KiB PUTs"
  | "batches of GETs of 4 MiB values"
  | "batches of SCANs that find nothing"
  | "batches of STATS"
  | "very many messages of one GET"
  | "text messages of 10,000 requests"
  | "/batch of 10,000 requests"
  | "bodies of 16 MB that are no JSON";

const MESSAGE_BYTES = 16 << 20;
/** Bytes on their way before more are sent. */
const IN_FLIGHT_BYTES = 40 << 20;

const many = (count: number, make: (i: number) => Buffer) =>
  Buffer.concat(Array.from({ length: count }, (_, i) => make(i)));
const filled = (one: Buffer) => many(Math.floor(MESSAGE_BYTES / one.length), () => one);
const requests = JSON.stringify(Array.from({ length: 10_000 }, (_, i) => ({ op: "get", key: `key:${i}` })));

function messageOf(kind: Flood): Buffer | string {
  switch (kind) {
    case "16 MB batches of small GETs":
      return filled(request({ op: 1, key: "key:77" }));
    case "16 MB batches of small PUTs":
      return filled(request({ op: 2, key: "key:77", value: Buffer.alloc(64) }));
    case "16 MB batches of 64 KiB PUTs":
      return filled(request({ op: 2, key: "wide", value: Buffer.alloc(64 << 10) }));
    case "batches of GETs of 4 MiB values":
      return many(100, () => request({ op: 1, key: "large" }));
    case "batches of SCANs that find nothing":
      return many(1000, () => request({ op: 8, key: "nothing begins so", value: Buffer.alloc(0) }));
    case "batches of STATS":
      return many(1000, () => request({ op: 11 }));
    case "bodies of 16 MB that are no JSON":
      return `[${"[".repeat(MESSAGE_BYTES - 1)}`;
    case "text messages of 10,000 requests":
    case "/batch of 10,000 requests":
      return requests;
    default:
      return request({ op: 1, key: "key:77" });
  }
}

if (!Bun.isMainThread)
  self.onmessage = ({ data }: MessageEvent<{ kind: Flood; url: string }>) => {
    const message = messageOf(data.kind);
    if (data.kind.startsWith("/batch") || data.kind.startsWith("bodies"))
      void floodHttp(data.url, message as string);
    else floodSocket(data.url, message);
  };

async function floodHttp(url: string, body: string): Promise<void> {
  const batch = url.replace("ws:", "http:").replace(/ws$/, "batch");
  for (let first = true; ; first = false) {
    await (await fetch(batch, { method: "POST", body })).bytes();
    if (first) self.postMessage("flooding");
  }
}

function floodSocket(url: string, message: Buffer | string): void {
  const socket = new WebSocket(url);
  const send = () => {
    for (let i = 0; i < 1000 && socket.bufferedAmount < IN_FLIGHT_BYTES; i++) socket.send(message as string);
    setImmediate(send);
  };
  socket.onopen = send;
  socket.onmessage = () => self.postMessage("flooding");
}

/** Resolves once the flood has had its first answer; ends it when called. */
export async function flood(kind: Flood, url: string): Promise<() => void> {
  if (kind === "nothing") return () => {};
  const thread = new Worker(import.meta.url);
  await new Promise<void>((resolve, reject) => {
    thread.onmessage = () => resolve();
    thread.onerror = (event) => reject(new Error(event.message));
    thread.postMessage({ kind, url });
  });
  return () => thread.terminate();
}
