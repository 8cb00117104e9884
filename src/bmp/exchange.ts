/**
 * Node's requests and responses as those of the web.
 *
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { StreamDuplex } from "./duplex.ts";

/** Something Node's parser let through and no `Request` can hold. */
export class BadRequest extends Error {
  override readonly name = "BadRequest";
}

/** A request, and the rest of its body that nobody wants. */
export interface Incoming {
  readonly request: Request;
  readonly body?: IncomingBody;
}

/** Makes a request of the web. It is aborted when `outgoing` closes before its end. */
export function toRequest(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  withBody: boolean = hasBody(incoming),
): Incoming {
  const { rawHeaders, method = "GET", url = "/" } = incoming;
  const headers = new Headers();
  try {
    for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
      headers.append(rawHeaders[i]!, rawHeaders[i + 1]!);
    }
    const abort = new AbortController();
    outgoing.on("close", () => {
      if (!outgoing.writableFinished) abort.abort();
    });
    // An absolute form names its own host; all others take that of the header.
    const target = url.startsWith("/") ? `http://${headers.get("host") ?? "localhost"}${url}` : url;
    const init = { method, headers, signal: abort.signal };
    if (!withBody) return { request: new Request(target, init) };
    const body = new IncomingBody(incoming);
    const streaming: RequestInit & { duplex: "half" } = {
      ...init,
      body: body.readable,
      duplex: "half",
    };
    return { request: new Request(target, streaming), body };
  } catch (error) {
    throw new BadRequest("The request cannot be read.", { cause: error });
  }
}

const hasBody = ({ method, headers }: IncomingMessage): boolean =>
  method !== "GET" && method !== "HEAD" &&
  (headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0);

/** The body of a request. Reads only when asked, so that a slow reader holds its own stream back. */
export class IncomingBody {
  readonly readable: ReadableStream<Uint8Array>;
  /** Resolves when all of it has come, read or skipped, or nothing more can. */
  readonly arrived: Promise<void>;
  #over = false;
  #cut: () => void = () => {};

  constructor(incoming: IncomingMessage) {
    let arrived = () => {};
    this.arrived = new Promise((resolve) => arrived = resolve);
    const duplex = incoming.socket as unknown as StreamDuplex;
    const flow = (on: boolean) => {
      if (on) incoming.resume();
      else incoming.pause();
      duplex.hold(!on);
    };
    /** From here on the rest is skipped: a client may read nothing before all of it is acked. */
    const finish = (tell: () => void) => {
      if (!this.#over) tell();
      this.#over = true;
      flow(true);
    };
    this.readable = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#cut = () =>
          finish(() => controller.error(new Error("the request was cut, or is answered already")));
        incoming.on("data", (chunk: Uint8Array) => {
          if (this.#over) return;
          controller.enqueue(chunk);
          if ((controller.desiredSize ?? 0) <= 0) flow(false);
        });
        incoming.on("end", () => finish(() => controller.close()));
        incoming.on("close", this.#cut);
        incoming.on("error", this.#cut);
        for (const event of ["end", "close", "error"]) incoming.on(event, arrived);
        flow(false);
      },
      pull: () => flow(true),
      cancel: () => finish(() => {}),
    }, { highWaterMark: 0 });
  }

  /** The answer begins. Who wants the body has taken it by now, or it is skipped. */
  answered(): void {
    if (!this.readable.locked) this.skip();
  }

  /** Skips what is left. */
  skip(): void {
    this.#cut();
  }
}

/** Writes an answer, at the pace of its reader. `begin` is called when there is something to write. */
export async function respond(
  response: Response,
  outgoing: ServerResponse,
  begin: () => void = () => {},
): Promise<void> {
  const headers: string[] = [];
  for (const [name, value] of response.headers) {
    if (name !== "connection") headers.push(name, value);
  }
  const { body, status } = response;
  if (outgoing.destroyed) return body?.cancel();
  if (body === null) {
    begin();
    return void outgoing.writeHead(status, headers).end();
  }
  const reader = body.getReader();
  let next: ReturnType<typeof reader.read> | undefined = reader.read();
  // Most bodies are one piece that is there: then the answer has a length and leaves in one write.
  const first = await Promise.race([next, aMoment()]);
  begin();
  if (first && !first.done) {
    const { value } = first;
    next = reader.read();
    if ((await Promise.race([next, aMoment()]))?.done) {
      if (!response.headers.has("content-length")) {
        headers.push("content-length", String(value.length));
      }
      return void outgoing.writeHead(status, headers).end(value);
    }
    outgoing.writeHead(status, headers).write(value);
  } else {
    outgoing.writeHead(status, headers).flushHeaders();
  }
  let wake = () => {};
  outgoing.on("drain", () => wake());
  outgoing.on("close", () => {
    wake();
    reader.cancel().catch(() => {});
  });
  for (let read; !(read = await (next ?? reader.read())).done; next = undefined) {
    if (outgoing.destroyed) return;
    if (!outgoing.write(read.value)) await new Promise<void>((resolve) => wake = resolve);
  }
  outgoing.end();
}

/** Long enough for a stream to say that it has ended, if it knows. */
async function aMoment(): Promise<undefined> {
  for (let turn = 0; turn < 4; turn++) await undefined;
}
