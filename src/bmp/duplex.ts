/**
 * A BMP stream as Node's stream, with as much of a socket as `node:http` looks for. Both runtimes have
 * it, so this file names neither.
 *
 * @module
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Duplex } from "node:stream";
import type { MuxStream } from "../link/mux/mux_stream.ts";

/** Bytes of the first slice: the head of a small request, or of a few tiny ones. */
const SLICE = 256;

type Done = (error?: Error | null) => void;

export class StreamDuplex extends Duplex {
  /** Requests that are not answered yet. */
  readonly requests: Map<IncomingMessage, ServerResponse> = new Map();
  /** The last request, while the peer has to send the rest of it. */
  #partial: IncomingMessage | undefined;
  /** Ends the stream, as soon as the last request is whole. */
  #end: (() => void) | undefined;
  #wanted = false;
  #held = false;
  #slice = SLICE;
  #rest: Uint8Array | undefined;
  #written: Done | undefined;

  /** `remoteAddress` is what an HTTP server shows as the client's address. */
  constructor(readonly stream: MuxStream, readonly remoteAddress: string) {
    super({ readableHighWaterMark: 16_384, writableHighWaterMark: 16_384 });
  }

  /** The stream has something to read. */
  onReadable(): void {
    if (this.#wanted) this._read();
  }

  /**
   * Whether to leave what comes in the stream. Bun's parser goes on reading behind a paused request
   * and would keep whole uploads in memory.
   */
  hold(on: boolean): void {
    this.#held = on;
    this.#weigh();
    if (!on) this.onReadable();
  }

  /** A request begins. */
  begin(request: IncomingMessage, response: ServerResponse): void {
    this.requests.set(request, response);
    this.#weigh();
  }

  /** All of the last request has come when `arrived` resolves. */
  expect(request: IncomingMessage, arrived: Promise<void>): void {
    this.#partial = request;
    this.#weigh();
    void arrived.then(() => {
      if (this.#partial === request) this.#whole();
    });
  }

  /** Nothing that comes is part of a request any more. It is dropped: who still writes gets acks. */
  broken(): void {
    this.removeAllListeners("data");
    this.resume();
    this.#whole();
    this.hold(false);
  }

  #whole(): void {
    this.#partial = undefined;
    this.#weigh();
    this.#end?.();
  }

  /** A request is answered. */
  answered(request: IncomingMessage): void {
    this.requests.delete(request);
    this.#weigh();
  }

  /** A peer may wait for its answer as long as that takes. Whom we wait for may not be silent. */
  #weigh(): void {
    const theirs = this.#partial && !this.#held ? 1 : 0;
    this.stream.busy = this.requests.size > theirs;
  }

  /** The stream has sent what was written. */
  onDrained(): void {
    const done = this.#written;
    this.#written = undefined;
    done?.();
  }

  override _read(): void {
    this.#wanted = false;
    while (!this.#held) {
      const piece = this.#next();
      if (piece) {
        if (!this.push(piece)) return;
      } else {
        if (this.stream.ended) this.push(null);
        else this.#wanted = true;
        return;
      }
    }
    this.#wanted = true;
  }

  /**
   * The next bytes. Between requests they come in slices, small ones first: Deno's parser answers
   * for all requests in a piece before anybody can say that these are too many.
   */
  #next(): Uint8Array | undefined {
    const piece = this.#rest ?? this.stream.read();
    if (!piece || this.requests.size > 0 || piece.length <= this.#slice) {
      this.#rest = undefined;
      if (this.requests.size > 0) this.#slice = SLICE;
      return piece;
    }
    const slice = piece.subarray(0, this.#slice);
    this.#rest = piece.subarray(this.#slice);
    this.#slice *= 2;
    return slice;
  }

  override _write(chunk: Uint8Array, _encoding: unknown, done: Done): void {
    if (chunk.length === 0) return done();
    this.#written = done;
    this.stream.write(chunk);
  }

  override _writev(chunks: { chunk: Uint8Array }[], done: Done): void {
    const full = chunks.filter(({ chunk }) => chunk.length > 0);
    if (full.length === 0) return done();
    this.#written = done;
    for (const { chunk } of full) this.stream.write(chunk);
  }

  /** A client that still writes its request would lose the answer with the stream. */
  override _final(done: Done): void {
    this.#end = () => {
      this.#end = undefined;
      this.stream.end(true);
      done();
    };
    if (!this.#partial) this.#end();
  }

  /**
   * Ends it and its requests. Left alone, Deno makes an error with a stack for each of these, which
   * takes milliseconds: a peer that drops thousands of streams would stop everybody else.
   */
  cut(): void {
    this.destroy();
    // Behind it: a request whose stream is not destroyed yet makes an error of its own of that.
    for (const request of this.requests.keys()) request.destroy();
  }

  override _destroy(error: Error | null, done: Done): void {
    this.stream.close();
    this.onDrained();
    done(error);
  }

  // What `node:http` calls on sockets. Time is the connection's business, which looks at all streams.

  setTimeout(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }
}
