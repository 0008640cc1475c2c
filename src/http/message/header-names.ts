/** The header fields that this server understands. All others are checked for their form and skipped. */

export const Header = {
  HOST: 0,
  ORIGIN: 1,
  CONTENT_LENGTH: 2,
  TRANSFER_ENCODING: 3,
  CONNECTION: 4,
  EXPECT: 5,
  AUTHORIZATION: 6,
  CONTENT_TYPE: 7,
  IF_MATCH: 8,
  IF_NONE_MATCH: 9,
  UPGRADE: 10,
  SEC_WEBSOCKET_KEY: 11,
  SEC_WEBSOCKET_VERSION: 12,
  SEC_WEBSOCKET_PROTOCOL: 13,
  ACCESS_CONTROL_REQUEST_METHOD: 14,
} as const;
export type Header = (typeof Header)[keyof typeof Header];

/** In lower case, by number. */
export const HEADER_NAMES: readonly string[] = Object.keys(Header).map((name) =>
  name.toLowerCase().replaceAll("_", "-"),
);
export const HEADER_COUNT = HEADER_NAMES.length;

/** A request in which one of these stands twice may mean one thing to a proxy and another to us (RFC 9112, 11.2). */
export const STANDS_ONCE: readonly boolean[] = HEADER_NAMES.map((_, header) => {
  const lists: readonly number[] = [
    Header.CONNECTION,
    Header.EXPECT,
    Header.IF_MATCH,
    Header.IF_NONE_MATCH,
    Header.UPGRADE,
    Header.SEC_WEBSOCKET_PROTOCOL,
  ];
  return !lists.includes(header);
});

const SLOTS = 256;
/** Header number + 1 by hash of the name. No two share a slot: checked below, when the names are entered. */
const BY_HASH = new Uint8Array(SLOTS);
const NAME_BYTES = HEADER_NAMES.map((name) => Buffer.from(name));

/** Goes on with the hash of a name by its next byte; letters count the same in either case. Begin with 0. */
export function hashOn(hash: number, byte: number): number {
  return (Math.imul(hash, 33) + (byte | 0x20)) | 0;
}

/** The field with this name, which lies in bytes[start, end) and has this hash; -1 for a field we do not know. */
export function headerNamed(bytes: Uint8Array, start: number, end: number, hash: number): Header | -1 {
  const header = BY_HASH[hash & (SLOTS - 1)]! - 1;
  if (header < 0) return -1;
  const name = NAME_BYTES[header]!;
  if (name.length !== end - start) return -1;
  for (let i = 0; i < name.length; i++) if ((bytes[start + i]! | 0x20) !== name[i]) return -1;
  return header as Header;
}

for (const [header, name] of NAME_BYTES.entries()) {
  const slot = name.reduce(hashOn, 0) & (SLOTS - 1);
  if (BY_HASH[slot] !== 0)
    throw new Error(`${HEADER_NAMES[header]} shares its slot; take another multiplier`);
  BY_HASH[slot] = header + 1;
}
