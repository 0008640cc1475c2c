/** Answers every request with the same text, after doing as little as its kind says. For http-floor.ts. */
import type { Server } from "bun";

const BODY = `{"status":"OK","key":"key:0000001","value":"${"v".repeat(64)}"}`;
const TYPE = "application/json";
const ANSWER: ResponseInit = { headers: new Headers({ "Content-Type": TYPE }) };
const RAW = Buffer.from(
  `HTTP/1.1 200 OK\r\nContent-Type: ${TYPE}\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`,
);

const answer = () => new Response(BODY, ANSWER);

const HANDLERS: Record<string, (request: Request) => Response | Promise<Response>> = {
  constant: answer,
  reading({ url, headers }) {
    if (url === "" || headers.get("host") === "" || headers.get("origin") === "") throw new RangeError();
    return answer();
  },
  body(request) {
    request.headers.get("origin");
    return request.bytes().then(answer);
  },
};

function serve(kind: string): number {
  if (kind === "bare") return bare();
  const handler = HANDLERS[kind]!;
  const server: Server<undefined> = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    routes: { "/get": { GET: handler }, "/put": { POST: handler } },
    fetch: () => new Response(null, { status: 404 }),
  });
  return server.port!;
}

/** No HTTP at all: each message is taken for one request, and every byte of it is looked at. */
function bare(): number {
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket, bytes) {
        let lines = 0;
        for (let at = 0; at < bytes.length; at++) if (bytes[at] === 0x0a) lines++;
        if (lines > 0) socket.write(RAW);
      },
    },
  });
  return listener.port;
}

const kind = process.argv[process.argv.indexOf("--kind") + 1]!;
console.error(`${kind} serves http://127.0.0.1:${serve(kind)} with one thread`);
