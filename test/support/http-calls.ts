/** Ways to make a request over one version of HTTP: by Bun's client, and by curl. Certificates are taken as they are. */

export interface CallInit {
  method?: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
}

/** What a call resolves with: a Response as `fetch` gives it. */
export interface Call {
  (url: string, init?: CallInit): Promise<Response>;
  readonly version: string;
}

const PROTOCOLS = { "HTTP/1.1": "http1.1", "HTTP/2": "http2", "HTTP/3": "http3" } as const;

/** Bun's client. */
export function fetchOver(version: keyof typeof PROTOCOLS): Call {
  const options = { protocol: PROTOCOLS[version], tls: { rejectUnauthorized: false } };
  const call = (url: string, init: CallInit = {}) => fetch(url, { ...init, ...options } as RequestInit);
  return Object.assign(call, { version: `${version} by fetch` });
}

/** The curl command. */
export function curlOver(version: string, flag: string): Call {
  const call = async (url: string, { method = "GET", headers = {}, body }: CallInit = {}) => {
    const lines = Object.entries(headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
    const data = body === undefined ? [] : ["--data-binary", "@-"];
    const child = Bun.spawn(["curl", "-sSik", "--globoff", flag, "-X", method, ...lines, ...data, url], {
      stdin: body === undefined ? "ignore" : Buffer.from(body as string),
      stdout: "pipe",
      stderr: "pipe",
    });
    const [answer, problem] = await Promise.all([
      new Response(child.stdout).bytes(),
      new Response(child.stderr).text(),
    ]);
    if ((await child.exited) !== 0) throw new Error(problem);
    return responseOf(Buffer.from(answer));
  };
  return Object.assign(call, { version: `${version} by curl` });
}

/** What `curl -i` printed: status line and headers, an empty line, the body. */
function responseOf(answer: Buffer): Response {
  const end = answer.indexOf("\r\n\r\n");
  const [statusLine, ...lines] = answer.toString("latin1", 0, end).split("\r\n");
  const status = Number(statusLine!.split(" ")[1]);
  if (status === 100) return responseOf(answer.subarray(end + 4));
  const headers = lines.map((line) => /^([^:]+): ?(.*)$/.exec(line)!.slice(1) as [string, string]);
  const body = answer.subarray(end + 4);
  return new Response(body.length === 0 ? null : body, { status, headers });
}
