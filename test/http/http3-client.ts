/**
 * One connection of HTTP/3: a put, a get and a request without a token; prints the statuses and the value. A process of its
 * own, because Bun's client has one connection for all requests of a process to a server.
 *
 *   bun test/http/http3-client.ts URL TOKEN
 */
import { fetchOver } from "../support/http-calls";

const [url, token] = process.argv.slice(2) as [string, string];
const headers = { Authorization: `Bearer ${token}` };
const call = fetchOver("HTTP/3");

const stored = await call(url, { method: "PUT", body: url, headers });
const got = await call(url, { headers });
const refused = await call(url);
console.log(stored.status, (await got.text()) === url, refused.status);
process.exit(0);
