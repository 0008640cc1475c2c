/**
 * The Content-Type of a value, kept with it as the store's ValueType: a number for the types of the table below, which costs
 * nothing, and the text of any other. It is given back as it came; whether it is true is nobody's business here.
 */
import { isTypeText, NO_TYPE, TYPE_TEXT_BYTES_MAX, typeNumbered, type ValueType } from "../commands/commands";
import { RequestError } from "../protocol/errors";
import { headersWith } from "./respond";

export const BYTES_TYPE = "application/octet-stream";

/** At its number, which is its place here, from 1 on. Kept caches hold these numbers: new types go to the end, and none ever leaves. */
const COMMON = [
  BYTES_TYPE,
  "application/json",
  "application/json; charset=utf-8",
  "application/json;charset=UTF-8",
  "application/json;charset=utf-8",
  "text/plain",
  "text/plain; charset=utf-8",
  "text/plain;charset=UTF-8",
  "text/plain;charset=utf-8",
  "text/html",
  "text/html; charset=utf-8",
  "text/html;charset=UTF-8",
  "text/html;charset=utf-8",
  "text/css",
  "text/css; charset=utf-8",
  "text/javascript",
  "text/javascript; charset=utf-8",
  "text/javascript;charset=utf-8",
  "application/javascript",
  "application/javascript; charset=utf-8",
  "text/csv",
  "text/csv; charset=utf-8",
  "text/markdown",
  "text/xml",
  "text/x-component",
  "application/xml",
  "application/xml; charset=utf-8",
  "application/xhtml+xml",
  "application/rss+xml",
  "application/ld+json",
  "application/geo+json",
  "application/problem+json",
  "application/manifest+json",
  "application/graphql-response+json",
  "application/x-ndjson",
  "application/x-www-form-urlencoded",
  "application/x-www-form-urlencoded;charset=UTF-8",
  "application/cbor",
  "application/msgpack",
  "application/x-msgpack",
  "application/vnd.msgpack",
  "application/protobuf",
  "application/x-protobuf",
  "application/vnd.google.protobuf",
  "application/vnd.apache.avro",
  "application/vnd.apache.parquet",
  "application/vnd.apache.arrow.file",
  "application/vnd.apache.arrow.stream",
  "application/pdf",
  "application/zip",
  "application/gzip",
  "application/x-gzip",
  "application/zstd",
  "application/x-tar",
  "application/x-bzip2",
  "application/x-xz",
  "application/wasm",
  "application/vnd.gradle.build-cache-artifact.v1",
  "application/vnd.gradle.build-cache-artifact.v2",
  "image/png",
  "image/jpeg",
  "image/gif",
  "image/webp",
  "image/avif",
  "image/svg+xml",
  "image/bmp",
  "image/tiff",
  "image/x-icon",
  "image/vnd.microsoft.icon",
  "font/woff",
  "font/woff2",
  "font/ttf",
  "font/otf",
  "audio/mpeg",
  "audio/ogg",
  "audio/wav",
  "audio/webm",
  "video/mp4",
  "video/webm",
  "video/mp2t",
  "application/vnd.apple.mpegurl",
  "application/dash+xml",
];

const NUMBERS: ReadonlyMap<string, number> = new Map(COMMON.map((text, index) => [text, index + 1]));

/** By number; 0 is that of values without a type. */
const FOUND: readonly ResponseInit[] = [BYTES_TYPE, ...COMMON].map(foundWith);

/** The type that a request gives its body. Throws MALFORMED for one that could not be given back. */
export function typeOf(headers: Headers): ValueType {
  const text = headers.get("content-type");
  return text === null || text === "" ? NO_TYPE : typeFor(text);
}

/** A Content-Type as it is kept. Throws MALFORMED. */
export function typeFor(text: string): ValueType {
  const number = NUMBERS.get(text);
  if (number !== undefined) return typeNumbered(number);
  if (!isTypeText(text))
    throw new RequestError(
      "MALFORMED",
      `Content-Type: must be at most ${TYPE_TEXT_BYTES_MAX} characters of printable ASCII`,
    );
  return { number: 0, text };
}

/** The Content-Type of a type, or null where a value has none. */
export function contentTypeOf({ number, text }: ValueType): string | null {
  if (text !== "") return text;
  return COMMON[number - 1] ?? null;
}

/** What a 200 with a value of this type is made with. */
export function foundInit({ number, text }: ValueType): ResponseInit {
  return (text === "" ? FOUND[number] : foundWith(text)) ?? FOUND[0]!;
}

function foundWith(contentType: string): ResponseInit {
  return { headers: headersWith({ "Content-Type": contentType }) };
}
