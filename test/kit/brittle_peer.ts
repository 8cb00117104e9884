/**
 * A BMP client with the weakness of the real Blazeio, behind a TCP connection that is only counted: a
 * frame whose header comes in two reads leaves it spinning for ever.
 *
 * Bytes travel as TCP carries them. A write that finds the window open leaves at once, cut into
 * segments; what waits for the window is joined and cut anew. A read takes whole segments that have
 * arrived, as many as fit its buffer.
 *
 * @module
 */
import { concat } from "../../src/wire/bytes.ts";
import { encode } from "../../src/wire/bmp/bmp_encoder.ts";
import type { Form, Kind } from "../../src/wire/bmp/bmp_frame.ts";
import { bytes, text } from "./mux.ts";

/** One direction of a TCP connection. */
export class CountedLine {
  #unsent: Uint8Array[] = [];
  #arrived: Uint8Array[] = [];
  #flying = 0;

  /** Bytes of a segment, bytes that may be on their way or unread, bytes of one read. */
  constructor(readonly segment: number, readonly window: number, readonly buffer: number) {}

  /** Segments that wait to be read. */
  get segments(): number {
    return this.#arrived.length;
  }

  write(bytes: Uint8Array): void {
    this.#unsent.push(bytes);
    this.#transmit();
  }

  /** Reads up to so many segments. */
  read(segments: number): Uint8Array {
    const parts: Uint8Array[] = [];
    let room = this.buffer;
    for (let n = 0; n < segments && room > 0 && this.#arrived.length > 0; n++) {
      const first = this.#arrived[0]!;
      parts.push(first.subarray(0, room));
      if (first.length > room) this.#arrived[0] = first.subarray(room);
      else this.#arrived.shift();
      room -= parts.at(-1)!.length;
    }
    const read = concat(...parts);
    this.#flying -= read.length;
    this.#transmit();
    return read;
  }

  #transmit(): void {
    let room = this.window - this.#flying;
    if (room <= 0 || this.#unsent.length === 0) return;
    let waiting: Uint8Array = concat(...this.#unsent);
    while (room > 0 && waiting.length > 0) {
      const segment = waiting.subarray(0, Math.min(room, this.segment));
      this.#arrived.push(segment);
      this.#flying += segment.length;
      room -= segment.length;
      waiting = waiting.subarray(segment.length);
    }
    this.#unsent = waiting.length > 0 ? [waiting] : [];
  }
}

const HEAD = {
  text: /^<::([^:]*)::><::([^:]*)::><::([0-9A-F]+)::>/,
  // deno-lint-ignore no-control-regex
  binary3: /^\0([^\x01]*)\x01\0([^\x01]*)\x01\0([0-9A-F]+)\x01/,
  // deno-lint-ignore no-control-regex
  binary4: /^\0([^\x01]*)\x01\0([^\x01]*)\x01\0([^\x01]*)\x01\0([0-9A-F]+)\x01/,
};
const KINDS: Record<string, Kind> = {
  "\x02": "eof",
  "\x03": "close",
  "\x05": "ack",
  "<-io_eof->": "eof",
  "<-io_close->": "close",
  "<-io_ack->": "ack",
};

/** Many requests at once, each one frame long, with answers of a length that is known. */
export class BrittleClient {
  /** Streams that had their whole answer. */
  done = 0;
  /** What it wrote and nobody has taken. */
  said: Uint8Array[] = [];
  #waiting = "";
  #left = 0;
  #current: { id: string; sid: string } = { id: "", sid: "" };
  readonly #streams = new Map<string, { acked: boolean; got: number; owes: string[] }>();

  constructor(readonly form: Form, requests: number, readonly length: number) {
    for (let n = 0; n < requests; n++) {
      this.#streams.set(`io_${n}`, { acked: false, got: 0, owes: [] });
      this.#say(`io_${n}`, "create", "0", "GET /");
    }
  }

  /** One read. Throws where the real one would spin. */
  read(chunk: Uint8Array): void {
    this.#waiting += text(chunk);
    while (this.#waiting !== "") {
      if (this.#left > 0) {
        const payload = this.#waiting.slice(0, this.#left);
        this.#waiting = this.#waiting.slice(payload.length);
        this.#left -= payload.length;
        this.#take(payload.length);
        continue;
      }
      const head = HEAD[this.form].exec(this.#waiting);
      if (!head) throw new Error(`a header came in two reads: ${JSON.stringify(this.#waiting)}`);
      const [whole, id, options] = head as unknown as [string, string, string];
      const length = parseInt(head.at(-1)!, 16);
      const kind = KINDS[options] ?? "data";
      this.#waiting = this.#waiting.slice(whole.length);
      if (kind === "data") {
        this.#current = { id, sid: this.form === "binary4" ? head[3]! : "" };
        this.#left = length;
        continue;
      }
      // It looks for the payload of an ack, an eof or a close in the same read, too.
      if (this.#waiting.length < length) throw new Error(`the end of ${kind} came in another read`);
      this.#waiting = this.#waiting.slice(length);
      this.#control(id, kind);
    }
  }

  #take(bytes: number): void {
    const { id, sid } = this.#current;
    const stream = this.#streams.get(id);
    if (!stream) return;
    stream.got += bytes;
    if (this.#left > 0) return;
    if (stream.acked) this.#say(id, "ack", sid);
    else stream.owes.push(sid);
    if (stream.got < this.length) return;
    this.done++;
    this.#streams.delete(id);
    this.#say(id, "close");
  }

  #control(id: string, kind: Kind): void {
    const stream = this.#streams.get(id);
    if (!stream) return;
    if (kind !== "ack") throw new Error(`${kind} before the answer was whole`);
    stream.acked = true;
    for (const sid of stream.owes.splice(0)) this.#say(id, "ack", sid);
  }

  #say(id: string, kind: Kind, sid = "", payload?: string): void {
    const frame = payload === undefined
      ? { kind, id, sid }
      : { kind, id, sid, payload: bytes(payload) };
    this.said.push(encode(this.form, frame));
  }
}
