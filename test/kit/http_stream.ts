/**
 * A literal client of the stream's text: one request at a time, in the test's hands.
 *
 * @module
 */
import type { Bytes } from "../../src/wire/bytes.ts";
import { FrameDecoder, type FrameEvent } from "../../src/wire/websocket/frame_decoder.ts";
import { encodeFrame } from "../../src/wire/websocket/frame_encoder.ts";
import { Opcode } from "../../src/wire/websocket/opcode.ts";

const limits = { maxFrame: 1 << 23, maxMessage: 1 << 23, maxFragments: 1000 };

export class LiteralStream {
  received = 0;
  #decoder = new FrameDecoder("client", limits);
  #events: FrameEvent[] = [];
  #reader: ReadableStreamDefaultReader<Bytes> | undefined;
  #aborter = new AbortController();

  constructor(readonly address: string, private readonly headers: Record<string, string> = {}) {}

  /** Opens a stream at a relay. Throws what the relay says when it refuses. */
  static async open(
    relay: string,
    to: string,
    headers: Record<string, string> = {},
  ): Promise<LiteralStream> {
    const answer = await fetch(`${relay}/stream`, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: JSON.stringify({ to }),
    });
    const { id, error } = await answer.json();
    if (answer.status !== 201) throw new Error(`${answer.status} ${error}`);
    return new LiteralStream(`${relay}/stream/${id}`, headers);
  }

  /** Asks for a response. `received` other than ours plays a client that lost something, or lies. */
  async get(
    headers: Record<string, string> = {},
    received: number = this.received,
  ): Promise<Response> {
    this.#aborter = new AbortController();
    return await fetch(this.address, {
      headers: { ...this.headers, "stream-received": `${received}`, ...headers },
      signal: this.#aborter.signal,
    });
  }

  /** Reads the next chunk of the response under way, of which only `keep` bytes arrive. */
  async chunk(keep = Infinity): Promise<boolean> {
    this.#reader ??= (await this.get()).body!.getReader() as ReadableStreamDefaultReader<Bytes>;
    const { value, done } = await this.#reader.read();
    if (done) return false;
    const kept = value.slice(0, keep);
    this.received += kept.length;
    this.#events.push(...this.#decoder.push(kept));
    return true;
  }

  /** Breaks the response off. */
  break(): void {
    this.#aborter.abort();
    this.#reader = undefined;
  }

  /** The next event that is no ping. */
  async next(): Promise<FrameEvent | "end"> {
    for (;;) {
      const event = this.#events.shift();
      if (event && event.type !== "ping") return event;
      if (!event && !await this.chunk()) return "end";
    }
  }

  async post(
    number: number | undefined,
    body: Bytes,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; next?: number; error?: string }> {
    const answer = await fetch(this.address, {
      method: "POST",
      headers: {
        ...this.headers,
        ...(number === undefined ? {} : { "stream-number": `${number}` }),
        ...headers,
      },
      body,
    });
    return { status: answer.status, ...await answer.json() };
  }
}

/** A frame as clients send it. */
export const masked = (data: string | Uint8Array, opcode: Opcode = Opcode.binary): Bytes =>
  encodeFrame(opcode, typeof data === "string" ? new TextEncoder().encode(data) : data, {
    mask: crypto.getRandomValues(new Uint8Array(4)),
  });
