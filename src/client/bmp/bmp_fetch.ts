/**
 * `fetch` in streams: one request at a time in each, kept for the next one towards peers of ours.
 *
 * @module
 */
import type { Mux } from "../../link/mux/mux.ts";
import type { MuxStreamFault, MuxStreamState } from "../../link/mux/mux_stream.ts";
import { concat, utf8Bytes } from "../../wire/bytes.ts";
import { type HttpEvent, requestHead, type ResponseHead, ResponseParser } from "./http_parser.ts";

/** Streams that wait for another request. */
const MOST_IDLE = 256;

/** Set by the transport; what a caller brings for them is not sent. */
const OURS = new Set(["host", "connection", "content-length", "transfer-encoding", "upgrade"]);
const NO_BODY = new Set([101, 204, 205, 304]);

/** A stream with nothing under way. */
interface Idle {
  readonly stream: MuxStreamState;
  /** Who listens to it; replaced by each request. */
  readonly ears: Ears;
}

interface Ears {
  current: Exchange | undefined;
}

/** Makes requests in the streams of one connection. */
export class Exchanges {
  readonly #idle: Idle[] = [];

  constructor(private readonly mux: Mux, private readonly token?: string) {}

  async fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
    const plain = typeof input === "string" || input instanceof URL;
    const url = new URL(plain ? input : input.url, "http://relay");
    const request = plain && init === undefined
      ? undefined
      : new Request(plain ? url : input, init);
    const method = request?.method ?? "GET";
    const signal = request?.signal;
    signal?.throwIfAborted();
    const streaming = init?.body instanceof ReadableStream;
    const body = !request?.body
      ? undefined
      : streaming
      ? request.body
      : new Uint8Array(await request.arrayBuffer());
    const headers = request ? [...request.headers].filter(([name]) => !OURS.has(name)) : [];
    headers.unshift(["host", url.host]);
    if (this.token !== undefined && !request?.headers.has("authorization")) {
      headers.push(["authorization", `Bearer ${this.token}`]);
    }
    if (body instanceof Uint8Array) headers.push(["content-length", String(body.length)]);
    else if (body) headers.push(["transfer-encoding", "chunked"]);
    else if (method === "POST" || method === "PUT") headers.push(["content-length", "0"]);
    const head = utf8Latin(requestHead(method, url.pathname + url.search, headers));

    // A kept stream may end just as it is used. What changes nothing is then asked once more.
    const again = body === undefined && (method === "GET" || method === "HEAD");
    const kept = this.#idle.pop();
    if (kept && again) {
      try {
        return await this.#ask(kept, url, method, head, body, signal);
      } catch (error) {
        if (!(error instanceof LostUnanswered)) throw error;
      }
      return this.#ask(this.#open(), url, method, head, body, signal);
    }
    return this.#ask(kept ?? this.#open(), url, method, head, body, signal);
  }

  #open(): Idle {
    if (this.mux.over) throw new TypeError("the BMP connection is closed");
    const ears: Ears = { current: undefined };
    const idle: Idle = {
      ears,
      stream: this.mux.open({
        readable: () => {
          if (ears.current) ears.current.readable();
          // Nothing is asked, so whatever comes, even an end, ends the stream.
          else idle.stream.close();
        },
        drained: () => ears.current?.drained(),
        closed: (fault) => {
          if (ears.current) return ears.current.closed(fault);
          const at = this.#idle.indexOf(idle);
          if (at >= 0) this.#idle.splice(at, 1);
        },
      }),
    };
    return idle;
  }

  #ask(
    idle: Idle,
    url: URL,
    method: string,
    head: Uint8Array,
    body: Uint8Array | ReadableStream<Uint8Array> | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Response> {
    const exchange = new Exchange(idle.stream, url, method, signal, (keep) => {
      idle.ears.current = undefined;
      const { stream } = idle;
      const room = this.#idle.length < MOST_IDLE;
      // The real server ends each stream after its answer; a request would meet that end.
      if (keep && room && this.mux.agreed && !stream.over && !stream.ended) this.#idle.push(idle);
      else stream.close();
    });
    idle.ears.current = exchange;
    // One write, so that it travels in one frame: the real server wants the whole head in the first.
    if (body instanceof Uint8Array && body.length <= 4_096) idle.stream.write(concat(head, body));
    else {
      idle.stream.write(head);
      if (body instanceof Uint8Array) idle.stream.write(body);
      else if (body) void exchange.upload(body);
    }
    return exchange.response;
  }
}

/** The stream ended before any byte of an answer. */
class LostUnanswered extends TypeError {}

class Exchange {
  readonly response: Promise<Response>;
  readonly #answer = Promise.withResolvers<Response>();
  readonly #parser: ResponseParser;
  readonly #stopListening: () => void;
  #head: ResponseHead | undefined;
  /** Pieces of the body that came before somebody asked for them. */
  #pieces: Uint8Array[] = [];
  #controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | undefined;
  #wanted = true;
  #heard = false;
  #complete = false;
  #uploading = false;
  #over = false;
  #sent: (() => void) | undefined;

  constructor(
    private readonly stream: MuxStreamState,
    private readonly url: URL,
    method: string,
    signal: AbortSignal | undefined,
    private readonly done: (keep: boolean) => void,
  ) {
    this.response = this.#answer.promise;
    this.#parser = new ResponseParser(method);
    const abort = () => this.#fail(signal!.reason);
    signal?.addEventListener("abort", abort, { once: true });
    this.#stopListening = () => signal?.removeEventListener("abort", abort);
  }

  async upload(body: ReadableStream<Uint8Array>): Promise<void> {
    this.#uploading = true;
    const reader = body.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (this.#over) return void reader.cancel().catch(() => {});
        if (done) break;
        if (value.length === 0) continue;
        this.stream.write(
          concat(utf8Bytes(`${value.length.toString(16)}\r\n`), value, utf8Bytes("\r\n")),
        );
        if (this.stream.queued > 0) await new Promise<void>((resolve) => this.#sent = resolve);
      }
      this.stream.write(utf8Bytes("0\r\n\r\n"));
      this.#uploading = false;
      if (this.#complete) this.#finish();
    } catch (error) {
      this.#fail(error);
    }
  }

  readable(): void {
    while (this.#wanted && !this.#over) {
      const piece = this.stream.read();
      if (!piece) break;
      this.#heard = true;
      try {
        for (const event of this.#parser.push(piece)) this.#take(event);
      } catch (error) {
        return this.#fail(error);
      }
    }
    if (!this.#over && this.stream.ended) this.#ended();
  }

  drained(): void {
    const sent = this.#sent;
    this.#sent = undefined;
    sent?.();
  }

  closed(fault: MuxStreamFault | undefined): void {
    this.drained();
    if (this.#over) return;
    if (fault !== undefined && fault !== "CLOSED") {
      return this.#fail(
        this.#heard ? lost(fault) : new LostUnanswered(`no answer: ${fault}`),
      );
    }
    this.readable();
  }

  #take(event: HttpEvent): void {
    switch (event.type) {
      case "head":
        if (event.head.status === 101) throw new TypeError("an upgrade that nobody asked for");
        this.#head = event.head;
        // The body that came with it is there when this turn is over: no stream is needed then.
        queueMicrotask(() => this.#respond());
        return;
      case "body":
        // A copy: the piece is a view of what the connection read, and a reader may transfer it.
        if (this.#controller) {
          this.#controller.enqueue(new Uint8Array(event.bytes));
          this.#wanted = (this.#controller.desiredSize ?? 0) > 0;
        } else {
          this.#pieces.push(event.bytes.slice());
          // Until somebody listens, no more than this is read ahead.
          if (this.#pieces.length >= 16) this.#wanted = false;
        }
        return;
      case "end":
        // The real server may end a chunked body twice; in a kept stream nothing may follow.
        this.#complete = true;
        if (event.rest.length > 0) this.#head = { ...this.#head!, keep: false };
        if (!this.#uploading) this.#finish();
    }
  }

  #respond(): void {
    const head = this.#head;
    if (!head) return;
    try {
      this.#answer.resolve(this.#responseOf(head));
    } catch (error) {
      // A status or a phrase that no `Response` can have. It may be over already.
      this.#answer.reject(error);
      this.#fail(error);
    }
  }

  #responseOf({ status, statusText, ...head }: ResponseHead): Response {
    const headers = head.headers as [string, string][];
    const init = { status, statusText, headers };
    let body: BodyInit | null = null;
    if (this.#complete) {
      if (this.#pieces.length > 0) body = concat(...this.#pieces);
      else if (!NO_BODY.has(status)) body = new Uint8Array(0);
    } else {
      body = new ReadableStream<Uint8Array<ArrayBuffer>>({
        start: (controller) => {
          this.#controller = controller;
          for (const piece of this.#pieces) controller.enqueue(new Uint8Array(piece));
          this.#pieces = [];
          this.#wanted = false;
        },
        pull: () => {
          this.#wanted = true;
          this.readable();
        },
        cancel: () => this.#fail(new DOMException("the body was cancelled", "AbortError")),
      }, { highWaterMark: 4 });
    }
    const response = new Response(body, init);
    Object.defineProperty(response, "url", { value: this.url.href });
    return response;
  }

  /** The server said eof, or closed the stream, and all before it is read. */
  #ended(): void {
    try {
      this.#parser.end();
    } catch (error) {
      return this.#fail(this.#heard ? error : new LostUnanswered("no answer: CLOSED"));
    }
    this.#complete = true;
    this.#head = { ...this.#head!, keep: false };
    this.#finish();
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#stopListening();
    this.#controller?.close();
    this.done(this.#head?.keep ?? false);
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#stopListening();
    this.drained();
    this.#answer.reject(error);
    try {
      this.#controller?.error(error);
    } catch {
      // It was cancelled, and knows.
    }
    this.done(false);
  }
}

const lost = (fault: MuxStreamFault): TypeError =>
  new TypeError(`the stream ended within the answer: ${fault}`);

/** Header values are bytes, one per character. */
function utf8Latin(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
