/** Values over HTTP, because there they have a Content-Type: /kv/{key}. */
import type { Session } from "./session";
import { pictureType, type Shown } from "./values";

/** Of a value that is shown as text or bytes, and of a picture. */
const SHOWN_BYTES_MAX = 64 * 1024;
const PICTURE_BYTES_MAX = 16 << 20;
const OCTETS = "application/octet-stream";

export interface Entry extends Shown {
  readonly version: number;
  /** Of the value, all of it. */
  readonly length: number;
}

export interface NewEntry {
  readonly key: string;
  readonly value: string;
  readonly contentType: string;
  readonly ttlMs: number | undefined;
  /** Only if there is no entry. */
  readonly isNew: boolean;
  /** Only over this version; undefined for any. */
  readonly over: number | undefined;
}

/** The beginning of a value, or all of a picture; null where there is no entry. */
export async function readEntry(session: Session, key: string): Promise<Entry | null> {
  const response = await session.http(pathOf(key));
  if (response.status === 404) return null;
  const contentType = response.headers.get("content-type") ?? OCTETS;
  const length = Number(response.headers.get("content-length"));
  const isPicture = pictureType({ contentType, isWhole: true, bytes: new Uint8Array(0) }) !== null;
  const bytes = await beginningOf(response, isPicture ? PICTURE_BYTES_MAX : SHOWN_BYTES_MAX);
  return { contentType, bytes, length, isWhole: bytes.length === length, version: versionOf(response) };
}

/** All of a value; null where there is no entry. */
export async function readWhole(session: Session, key: string): Promise<Blob | null> {
  const response = await session.http(pathOf(key));
  // Of no type that a browser would show by itself.
  return response.status === 404 ? null : new Blob([await response.arrayBuffer()], { type: OCTETS });
}

/** The new version; null where the condition does not hold. */
export async function putEntry(session: Session, entry: NewEntry): Promise<number | null> {
  const { key, value, contentType, ttlMs, isNew, over } = entry;
  const query = new URLSearchParams();
  if (ttlMs !== undefined) query.set("ttl", String(ttlMs));
  if (isNew) query.set("if", "absent");
  const response = await session.http(`${pathOf(key)}?${query}`, {
    method: "PUT",
    body: new TextEncoder().encode(value),
    headers: {
      "Content-Type": contentType.trim() || OCTETS,
      ...(over !== undefined && { "If-Match": `"${over}"` }),
    },
  });
  return response.status === 412 ? null : versionOf(response);
}

/** @throws where the key cannot be the end of a URL */
function pathOf(key: string): string {
  if (key === "." || key === "..")
    throw new Error(`The key ${key} cannot be named in a URL, so not on this page.`);
  return `/kv/${encodeURIComponent(key)}`;
}

function versionOf(response: Response): number {
  return Number(response.headers.get("etag")?.replaceAll('"', ""));
}

/** At most so many bytes; the rest is not read. */
async function beginningOf(response: Response, max: number): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  const reader = response.body!.getReader();
  while (length < max) {
    const { done, value } = await reader.read();
    if (done) break;
    pieces.push(value);
    length += value.length;
  }
  await reader.cancel();
  return new Uint8Array(await new Blob(pieces as BlobPart[]).arrayBuffer()).subarray(0, max);
}
