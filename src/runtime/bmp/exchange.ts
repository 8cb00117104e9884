/**
 * Node's requests and responses as those of the web.
 *
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";

/** Something Node's parser let through and no `Request` can hold. */
export class BadRequest extends Error {
  override readonly name = "BadRequest";
}

/** A request with its body. It is aborted when `outgoing` closes before its end. */
export function toRequest(incoming: IncomingMessage, outgoing?: ServerResponse): Request {
  const { rawHeaders, method = "GET", url = "/" } = incoming;
  const headers = new Headers();
  try {
    for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
      headers.append(rawHeaders[i]!, rawHeaders[i + 1]!);
    }
    const abort = new AbortController();
    outgoing?.on("close", () => {
      if (!outgoing.writableFinished) abort.abort();
    });
    const init: RequestInit & { duplex?: "half" } = { method, headers, signal: abort.signal };
    if (outgoing && hasBody(incoming)) {
      init.body = bodyOf(incoming);
      init.duplex = "half";
    }
    // An absolute form names its own host; all others take that of the header.
    const target = url.startsWith("/") ? `http://${headers.get("host") ?? "localhost"}${url}` : url;
    return new Request(target, init);
  } catch (error) {
    throw new BadRequest("The request cannot be read.", { cause: error });
  }
}

const hasBody = ({ method, headers }: IncomingMessage): boolean =>
  method !== "GET" && method !== "HEAD" &&
  (headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0);

/** Reads only when asked, so that a slow reader holds its own stream back. */
function bodyOf(incoming: IncomingMessage): ReadableStream<Uint8Array> {
  let over = false;
  return new ReadableStream<Uint8Array>({
    start(controller) {
      incoming.on("data", (chunk: Uint8Array) => {
        controller.enqueue(chunk);
        if ((controller.desiredSize ?? 0) <= 0) incoming.pause();
      });
      incoming.on("end", () => {
        if (!over) controller.close();
        over = true;
      });
      incoming.on("close", () => {
        if (!over) controller.error(new Error("the client went away within its request"));
        over = true;
      });
      incoming.on("error", () => {}); // `close` follows.
      incoming.pause();
    },
    pull: () => void incoming.resume(),
    cancel: () => {
      over = true;
      incoming.resume();
    },
  }, { highWaterMark: 0 });
}

/** Writes an answer, at the pace of its reader. */
export async function respond(response: Response, outgoing: ServerResponse): Promise<void> {
  const headers: string[] = [];
  for (const [name, value] of response.headers) headers.push(name, value);
  const { body, status } = response;
  if (body === null) return void outgoing.writeHead(status, headers).end();
  const reader = body.getReader();
  const first = await reader.read();
  // Most bodies are one piece: then the answer has a length and leaves in one write.
  let next: ReturnType<typeof reader.read> | undefined;
  if (!first.done) {
    next = reader.read();
    const second = await Promise.race([next, aMoment()]);
    if (second?.done) {
      if (!response.headers.has("content-length")) {
        headers.push("content-length", String(first.value.length));
      }
      return void outgoing.writeHead(status, headers).end(first.value);
    }
  }
  outgoing.writeHead(status, headers);
  outgoing.on("close", () => void reader.cancel().catch(() => {}));
  for (let read = first; !read.done; read = await (next ?? reader.read()), next = undefined) {
    if (outgoing.destroyed) return;
    if (outgoing.write(read.value)) continue;
    await new Promise<void>((resolve) => {
      outgoing.once("drain", resolve);
      outgoing.once("close", resolve);
    });
  }
  outgoing.end();
}

/** Long enough for a stream to say that it has ended, if it knows. */
async function aMoment(): Promise<undefined> {
  for (let turn = 0; turn < 4; turn++) await undefined;
}
