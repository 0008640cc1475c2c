/** The dialects: protocols of clients that exist already. `--no-NAME` closes one. */
export const DIALECTS = ["turborepo", "nx", "webdav", "unstorage", "upstash"] as const;
export type DialectName = (typeof DIALECTS)[number];
