/**
 * Multiplexed connections without sockets: bytes move when a test says so.
 *
 * @module
 */
import { BmpDecoder } from "../../src/wire/bmp/bmp_decoder.ts";
import { encode } from "../../src/wire/bmp/bmp_encoder.ts";
import {
  type BmpFrame,
  carriesPayload,
  type Form,
  type Kind,
} from "../../src/wire/bmp/bmp_frame.ts";
import { Mux, type MuxFault, type MuxOptions } from "../../src/link/mux/mux.ts";
import { MUX, type MuxSettings } from "../../src/link/mux/settings.ts";
import type { MuxStream, MuxStreamEvents, MuxStreamFault } from "../../src/link/mux/mux_stream.ts";
import { FakeHost } from "./fake_host.ts";

/** A whole frame: `text` is its payload, one character per byte. */
export interface Seen {
  readonly kind: Kind;
  readonly id: string;
  readonly sid: string;
  readonly text: string;
}

export const bytes = (text: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(text, (char) => char.charCodeAt(0));
export const text = (bytes: Uint8Array): string => {
  let out = "";
  for (const byte of bytes) out += String.fromCharCode(byte);
  return out;
};

/** What a stream's owner hears and reads. */
export class Ears implements MuxStreamEvents {
  stream!: MuxStream;
  /** What was read, if this owner reads at once. */
  got = "";
  ends = 0;
  drains = 0;
  /** One entry for each time it was closed. */
  closes: (MuxStreamFault | undefined)[] = [];
  /** What came after the end: must stay empty. */
  late: string[] = [];

  constructor(public reads = true) {}

  readable(): void {
    if (this.closes.length > 0) this.late.push("readable");
    if (this.reads) this.take();
  }

  drained(): void {
    if (this.closes.length > 0) this.late.push("drained");
    this.drains++;
  }

  closed(fault?: MuxStreamFault): void {
    this.closes.push(fault);
  }

  take(): void {
    for (let piece; (piece = this.stream.read());) this.got += text(piece);
    if (this.stream.ended) this.ends++;
  }
}

/** One end, with its carrier's output in hand. */
export class End {
  readonly mux: Mux;
  readonly owners: Ears[] = [];
  /** Chunks that were written and nobody has taken. */
  out: Uint8Array[] = [];
  /** What the carrier says it holds. */
  buffered = 0;
  ended: { fault: MuxFault | undefined } | undefined;
  carrierEnds = 0;
  #turn: (() => void)[] = [];
  #reading: BmpDecoder;

  constructor(
    role: "client" | "server",
    readonly host: FakeHost,
    options: Partial<Omit<MuxOptions, "settings">> & {
      settings?: Partial<MuxSettings>;
      reads?: boolean;
    } = {},
  ) {
    const { settings, reads = true, ...rest } = options;
    const form = options.form ?? (role === "client" ? "binary4" : undefined);
    this.#reading = new BmpDecoder(form ? { form } : {});
    const end = () => this.buffered;
    this.mux = new Mux({
      role,
      settings: { ...MUX, ...settings },
      carrier: {
        get buffered() {
          return end();
        },
        write: (bytes) => void this.out.push(bytes),
        end: () => void this.carrierEnds++,
      },
      clock: {
        now: () => host.now(),
        after: (ms, run) => host.after(ms, run),
        afterTurn: (run) => void this.#turn.push(run),
      },
      ...(role === "server"
        ? {
          accept: (stream: MuxStream) => {
            const ears = new Ears(reads);
            ears.stream = stream;
            this.owners.push(ears);
            return ears;
          },
        }
        : {}),
      ended: (fault) => {
        if (this.ended) throw new Error("ended twice");
        this.ended = { fault };
      },
      ...rest,
      ...(form ? { form } : {}),
    });
  }

  open(reads = true): Ears {
    const ears = new Ears(reads);
    ears.stream = this.mux.open(ears);
    this.owners.push(ears);
    return ears;
  }

  /** Lets what waits for the end of the turn run. */
  settle(): void {
    for (let run; (run = this.#turn.shift());) run();
  }

  receive(bytes: Uint8Array): void {
    this.mux.receive(bytes);
    this.settle();
  }

  /** A peer's frame. */
  frame(form: Form, frame: Omit<BmpFrame, "payload"> & { text?: string }): void {
    const { text: payload, ...head } = frame;
    this.receive(encode(form, payload === undefined ? head : { ...head, payload: bytes(payload) }));
  }

  /** Takes what was written, as frames. */
  seen(form?: Form): Seen[] {
    this.settle();
    const frames: Seen[] = [];
    if (form && !this.#reading.form) this.#reading = new BmpDecoder({ form });
    const out = this.out;
    this.out = [];
    let payload = "";
    for (const chunk of out) {
      for (const piece of this.#reading.feed(chunk)) {
        payload += text(piece.bytes);
        if (!piece.last) continue;
        const { kind, id, sid } = piece.head;
        frames.push({ kind, id, sid, text: carriesPayload(kind) ? payload : "" });
        payload = "";
      }
    }
    return frames;
  }

  /** The same in short: `data:0 hello`. */
  said(form?: Form): string[] {
    return this.seen(form).map(({ kind, sid, text }) =>
      kind + (sid && `:${sid}`) + (text && ` ${text}`)
    );
  }
}

/** Two ends; nothing arrives until it is carried over. */
export class Pair {
  readonly host = new FakeHost();
  readonly client: End;
  readonly server: End;
  #up: Uint8Array[] = [];
  #down: Uint8Array[] = [];

  constructor(
    client: ConstructorParameters<typeof End>[2] = {},
    server: ConstructorParameters<typeof End>[2] = {},
  ) {
    this.client = new End("client", this.host, client);
    this.server = new End("server", this.host, server);
  }

  /** Carries one write over. Answers false if there is none. */
  up(): boolean {
    this.client.settle();
    this.#up.push(...this.client.out.splice(0));
    const chunk = this.#up.shift();
    if (chunk) this.server.receive(chunk);
    return chunk !== undefined;
  }

  down(): boolean {
    this.server.settle();
    this.#down.push(...this.server.out.splice(0));
    const chunk = this.#down.shift();
    if (chunk) this.client.receive(chunk);
    return chunk !== undefined;
  }

  /** Until nothing moves any more. */
  run(): void {
    for (let left = 100_000; this.up() || this.down();) {
      if (--left === 0) throw new Error("they never stop talking");
    }
  }
}
