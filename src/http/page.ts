/**
 * The page at `/`, as files with headers of their own. It is bundled by Bun from src/page/index.html: ahead of time in a compiled program,
 * else at the first request for it, which takes some 20 ms once in each worker that is asked and nothing of the start.
 *
 * Bun could serve the imported page by itself, but neither with these headers nor under the admission that all else here is under.
 */
import bundle from "../page/index.html";
import { errorResponse, NO_PATH, ofLength, SAFE_HEADERS } from "./respond";

/** Where the files of the page are. */
export const PAGE_FILES = "/page/";

/**
 * Scripts, styles and connections of this server alone; pictures also out of the page's own memory, for values; nothing inline, no text
 * that becomes script or markup (Trusted Types), and no frame around it.
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob:",
  "connect-src 'self'",
  "worker-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const COMMON = {
  ...SAFE_HEADERS,
  "Content-Security-Policy": POLICY,
  "Referrer-Policy": "no-referrer",
};
/** A file's name changes with what is in it; the page itself is asked for each time. */
const FOREVER = "public, max-age=31536000, immutable";
const ASK_AGAIN = "no-cache";

interface PageFile {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly gzipped: Uint8Array<ArrayBuffer>;
  readonly headers: Record<string, string>;
}

/** One output of the bundler. */
interface Output {
  readonly name: string;
  readonly type: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Counts an answer of so many bytes; throws where there is no room for it (unsent.ts). */
export type Admit = (bytes: number) => void;

interface PageParts {
  readonly start: PageFile;
  /** By their names below PAGE_FILES. */
  readonly files: ReadonlyMap<string, PageFile>;
}

/** Whether the client shows pages, as browsers say that follow a link. */
export function wantsPage(headers: Headers): boolean {
  return headers.get("accept")?.includes("text/html") ?? false;
}

export class Page {
  private loading: Promise<PageParts> | null = null;

  /** The page itself. */
  async start(headers: Headers, admit: Admit): Promise<Response> {
    return answerFile((await this.load()).start, headers, admit);
  }

  /** A file that it consists of; 404 for another name. */
  async file(name: string, headers: Headers, admit: Admit): Promise<Response> {
    const file = (await this.load()).files.get(name);
    return file === undefined ? errorResponse(404, NO_PATH) : answerFile(file, headers, admit);
  }

  /** Once; again after a failure, which may have been one of open files. */
  private load(): Promise<PageParts> {
    this.loading ??= bundled().then(partsOf, (error) => {
      this.loading = null;
      throw error;
    });
    return this.loading;
  }
}

function answerFile({ bytes, gzipped, headers }: PageFile, asked: Headers, admit: Admit): Response {
  if (asked.get("if-none-match")?.includes(headers.ETag!))
    return new Response(null, { status: 304, headers });
  const isPacked = takesGzip(asked.get("accept-encoding") ?? "");
  const body = isPacked ? gzipped : bytes;
  admit(body.length);
  const encoding = isPacked ? { "Content-Encoding": "gzip" } : {};
  return ofLength(body.length, new Response(body, { headers: { ...headers, ...encoding } }));
}

function takesGzip(accepted: string): boolean {
  return /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))/i.test(accepted);
}

async function bundled(): Promise<Output[]> {
  // Compiled in, they are there already.
  if (bundle.files !== undefined)
    return Promise.all(
      bundle.files.map(async ({ path, headers }) => ({
        name: nameIn(path),
        type: headers["content-type"],
        bytes: await Bun.file(path).bytes(),
      })),
    );
  const { outputs } = await Bun.build({ entrypoints: [bundle.index], minify: true, publicPath: "/" });
  return Promise.all(
    outputs.map(async (output) => ({
      name: nameIn(output.path),
      type: output.type,
      bytes: new Uint8Array(await output.arrayBuffer()),
    })),
  );
}

function nameIn(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function partsOf(outputs: readonly Output[]): PageParts {
  const isPage = ({ type }: Output) => type.startsWith("text/html");
  const page = outputs.find(isPage)!;
  // Bundled, the page has its files beside itself; here they have a path of their own.
  const text = Buffer.from(page.bytes)
    .toString()
    .replaceAll(/ (href|src)="\/(?=[^/])/g, ` $1="${PAGE_FILES}`);
  return {
    start: fileOf(
      { ...page, bytes: new Uint8Array(Buffer.from(text)) },
      {
        "Cache-Control": ASK_AGAIN,
        Vary: "Accept, Accept-Encoding",
      },
    ),
    files: new Map(
      outputs
        .filter((output) => !isPage(output))
        .map((output) => [
          output.name,
          fileOf(output, { "Cache-Control": FOREVER, Vary: "Accept-Encoding" }),
        ]),
    ),
  };
}

function fileOf({ bytes, type }: Output, own: Record<string, string>): PageFile {
  // Weak: packed or not, it is the same.
  const ETag = `W/"${Bun.hash(bytes).toString(36)}"`;
  return {
    bytes,
    gzipped: Bun.gzipSync(bytes, { level: 9 }),
    headers: { ...COMMON, "Content-Type": type, ETag, ...own },
  };
}
