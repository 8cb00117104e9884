/**
 * One multiplexed connection: bytes of a carrier on one side, streams on the other. It has no socket,
 * and time is injected.
 *
 * Reading never waits for writing: whatever arrives is sorted to its stream at once. Writing takes one
 * frame of each stream that may send, round after round, as long as the carrier has room.
 *
 * @module
 */
import type { Clock } from "../clock.ts";
import { WireError } from "../../wire/bytes.ts";
import { BmpDecoder, type Piece } from "../../wire/bmp/bmp_decoder.ts";
import { encode } from "../../wire/bmp/bmp_encoder.ts";
import { carriesPayload, type Form, type Kind } from "../../wire/bmp/bmp_frame.ts";
import { Batch } from "./write_batch.ts";
import { type Greeting, greeting, readGreeting } from "./greeting.ts";
import type { MuxSettings } from "./settings.ts";
import { Pace } from "./pace.ts";
import { type Line, type MuxStream, type MuxStreamEvents, MuxStreamState } from "./mux_stream.ts";

/** What moves the bytes. */
export interface MuxCarrier {
  /** Bytes written that have not left this process. */
  readonly buffered: number;
  /** Never blocks; the bytes belong to the carrier from here on. */
  write(bytes: Uint8Array<ArrayBuffer>): void;
  /** Ends the connection once what was written has left. */
  end(why?: MuxFault): void;
}

/**
 * Why a connection was given up: a `BmpErrorCode`, or
 *
 * - `CUT_FRAME`: the carrier ended within a frame.
 * - `TOO_MANY_RESETS`: streams were opened and dropped unanswered, or opened beyond the limit.
 * - `NOT_READING`: the peer sends and reads nothing of what it asked for.
 * - `VACANT`: there was no stream for a long time.
 * - `RESTARTING`: this side goes away, and will be back.
 * - `UNEXPECTED`: a frame made somebody on this side fail.
 */
export interface MuxFault {
  readonly code: string;
  readonly message: string;
}

export interface MuxOptions {
  readonly role: "client" | "server";
  /** How to write. A server left without learns it from its client. */
  readonly form?: Form;
  readonly settings: MuxSettings;
  readonly carrier: MuxCarrier;
  /** Frames of one turn leave in one write. */
  readonly clock: Omit<Clock, "random">;
  /** Takes a stream that the peer opened. Without it none may be. */
  readonly accept?: (stream: MuxStream) => MuxStreamEvents;
  /**
   * Sent on a stream that ends before it said anything: the real client of binary4 never comes back
   * from a close without an answer.
   */
  readonly apology?: Uint8Array;
  /** The connection is over. Called exactly once, after all streams have heard of it. */
  readonly ended?: (fault?: MuxFault) => void;
}

export class Mux implements Line {
  readonly role: "client" | "server";
  readonly chunkBytes: number;
  readonly streamBytes: number;
  readonly #options: MuxOptions;
  readonly #settings: MuxSettings;
  readonly #decoder: BmpDecoder;
  readonly #streams = new Map<string, MuxStreamState>();
  readonly #batch: Batch;
  readonly #pace: Pace<MuxStreamState>;
  #form: Form | undefined;
  #agreed: Greeting | undefined;
  /** Streams that may send, first come, first served. */
  #round: MuxStreamState[] = [];
  #due: MuxStreamState[] = [];
  /** The stream whose turn it is. */
  #turning: MuxStreamState | undefined;
  #unread = 0;
  #opened = 0;
  #greeted = false;
  #now: number;
  #pumping = false;
  #receiving = false;
  #over = false;
  #resets: number;
  #resetsAt: number;
  #vacantSince: number;
  #stopClock: () => void = () => {};

  constructor(options: MuxOptions) {
    const { role, form, settings, carrier, clock } = options;
    this.role = role;
    this.#options = options;
    this.#settings = settings;
    this.chunkBytes = settings.chunkBytes;
    this.streamBytes = settings.streamBytes;
    this.#form = form;
    this.#decoder = new BmpDecoder(form === undefined ? {} : { form });
    this.#batch = new Batch((bytes) => carrier.write(bytes));
    this.#pace = new Pace(this.#batch, clock.after);
    this.#now = this.#vacantSince = this.#resetsAt = clock.now();
    this.#resets = settings.resetsBurst;
    this.#tick();
  }

  /** Streams that are open. */
  get size(): number {
    return this.#streams.size;
  }

  /** What frames look like here; a server knows after the first one. */
  get form(): Form | undefined {
    return this.#form;
  }

  get over(): boolean {
    return this.#over;
  }

  /** Bytes that wait for the readers of all streams, with what keeping them costs. */
  get unreadBytes(): number {
    return this.#unread;
  }

  get roomy(): boolean {
    return this.#unread <= this.#settings.unreadBytes / 2;
  }

  get agreed(): Greeting | undefined {
    return this.#agreed;
  }

  get named(): boolean {
    return this.#form === "binary4";
  }

  get now(): number {
    return this.#now;
  }

  /** Opens a stream of our own. The peer learns of it with the first bytes, or by `announce`. */
  open(events: MuxStreamEvents): MuxStreamState {
    if (this.#over) throw new Error("the connection is over");
    if (this.#streams.size >= this.#settings.streams) {
      throw new RangeError(`more than ${this.#settings.streams} streams at once`);
    }
    this.#now = this.#options.clock.now();
    const stream = new MuxStreamState(`io_${this.#opened++}`, this);
    stream.events = events;
    this.#streams.set(stream.id, stream);
    return stream;
  }

  /** Bytes of the peer. */
  receive(chunk: Uint8Array): void {
    if (this.#over) return;
    this.#now = this.#options.clock.now();
    this.#receiving = true;
    try {
      for (const piece of this.#decoder.feed(chunk)) {
        this.#form ??= this.#decoder.form;
        this.#take(piece);
        if (this.#over) return;
      }
    } catch (error) {
      // What a frame makes us throw is a fault of that frame, and ends no more than its connection.
      const code = error instanceof WireError ? error.code : "UNEXPECTED";
      this.#end({ code, message: error instanceof Error ? error.message : typeof error });
    } finally {
      this.#receiving = false;
    }
    this.#pump();
  }

  /** The carrier has room again. */
  drained(): void {
    this.#pump();
  }

  /** The carrier is gone, or its peer will send no more: BMP knows no half-open connection. */
  closed(): void {
    const { idle } = this.#decoder;
    this.#end(idle ? undefined : { code: "CUT_FRAME", message: "the carrier ended in a frame" });
  }

  /** Ends all streams and the connection. */
  close(why?: MuxFault): void {
    this.#end(why);
  }

  // --- what streams ask for ---

  greet(): string | undefined {
    if (this.#greeted || this.role !== "client" || !this.named) return;
    this.#greeted = true;
    return greeting("client", this.#settings);
  }

  frame(stream: MuxStreamState, kind: Kind, sid: string, payload?: Uint8Array): void {
    if (this.#over || this.#form === undefined) return;
    const { id } = stream;
    const frame = encode(this.#form, payload ? { kind, id, sid, payload } : { kind, id, sid });
    if (this.#agreed) this.#batch.add(frame);
    else if (stream === this.#turning) this.#pace.send(stream, kind, frame);
    else this.#pace.hold(stream, kind, frame);
    this.#later();
  }

  ack(stream: MuxStreamState, sid: string): void {
    if (!this.#agreed) return this.frame(stream, "ack", sid);
    if (stream.due === undefined) this.#due.push(stream);
    stream.due = sid;
    this.#later();
  }

  ready(stream: MuxStreamState): void {
    if (stream.waiting) return;
    stream.waiting = true;
    this.#round.push(stream);
    this.#later();
  }

  unread(change: number): boolean {
    this.#unread += change;
    return this.#unread <= this.#settings.unreadBytes;
  }

  apologise(stream: MuxStreamState): void {
    const { apology } = this.#options;
    if (!apology) return;
    this.frame(stream, "data", "", apology);
    this.frame(stream, "eof", "");
  }

  forget(stream: MuxStreamState): void {
    this.#streams.delete(stream.id);
    if (this.#streams.size === 0) this.#vacantSince = this.#now;
  }

  // --- what the peer does ---

  #take(piece: Piece): void {
    const { kind, id, sid } = piece.head;
    const stream = this.#streams.get(id);
    if (stream && !this.#agreed && piece.offset === 0) this.#pace.heard(stream, kind);
    if (carriesPayload(kind)) {
      if (stream) stream.arrive(piece);
      // Anything else for a stream that is not there is late, and nobody waits for it.
      else if (kind === "create" && piece.offset === 0) this.#create(piece);
      return;
    }
    if (!stream) return;
    switch (kind) {
      case "ack": {
        const theirs = this.role === "client" ? readGreeting("server", sid) : undefined;
        if (theirs) this.#agree(theirs);
        else stream.ack(sid);
        return;
      }
      case "eof":
        return stream.eof();
      case "close":
        if (this.role === "server" && !stream.spoke) this.#reset();
        return stream.finish("CLOSED", false);
    }
  }

  #create(piece: Piece): void {
    const { accept } = this.#options;
    if (!accept) return;
    const { id, sid } = piece.head;
    const stream = new MuxStreamState(id, this);
    this.#streams.set(id, stream);
    if (this.#streams.size > this.#settings.streams) {
      this.#reset();
      if (this.#over) return;
      stream.arrive(piece);
      return stream.finish("REFUSED", true);
    }
    stream.events = accept(stream);
    const theirs = this.#agreed ? undefined : readGreeting("client", sid);
    stream.arrive(piece);
    if (theirs) {
      this.frame(stream, "ack", greeting("server", this.#settings));
      this.#agree(theirs);
    }
  }

  #agree({ window, chunkBytes }: Greeting): void {
    if (this.#agreed) return;
    const ours = this.#settings;
    this.#agreed = {
      window: Math.min(window, ours.window),
      chunkBytes: Math.min(chunkBytes, ours.chunkBytes),
    };
    this.#batch.ours = true;
    this.#pace.stop();
    this.#letGo(true);
  }

  /** Takes one reset out of the budget. */
  #reset(): void {
    const { resetsPerSecond, resetsBurst } = this.#settings;
    const refill = (this.#now - this.#resetsAt) / 1000 * resetsPerSecond;
    this.#resets = Math.min(resetsBurst, this.#resets + refill) - 1;
    this.#resetsAt = this.#now;
    if (this.#resets >= 0) return;
    this.#end({ code: "TOO_MANY_RESETS", message: "too many streams dropped or refused" });
  }

  // --- what goes out ---

  #later(): void {
    if (this.#pumping || this.#receiving) return;
    this.#pumping = true;
    this.#options.clock.afterTurn(() => {
      this.#pumping = false;
      this.#pump();
    });
  }

  /** Acks and the like always leave; data while the carrier has room. */
  #pump(): void {
    if (this.#over) return;
    const { carrier } = this.#options;
    const { backlogBytes } = this.#settings;
    for (const stream of this.#due) {
      const { due } = stream;
      stream.due = undefined;
      if (due !== undefined && this.#form) {
        this.#batch.add(encode(this.#form, { kind: "ack", id: stream.id, sid: due }));
      }
    }
    this.#due.length = 0;
    if (carrier.buffered + this.#batch.length + this.#pace.length > backlogBytes) {
      return this.#end({ code: "NOT_READING", message: "the peer reads nothing of what it gets" });
    }
    if (!this.#agreed) this.#letGo();
    while (this.#round.length > 0 && this.#open) {
      const turn = this.#round;
      this.#round = [];
      for (let i = 0; i < turn.length; i++) {
        if (!this.#open) {
          this.#round = [...turn.slice(i), ...this.#round];
          break;
        }
        const stream = turn[i]!;
        stream.waiting = false;
        this.#turning = stream;
        stream.turn();
        this.#turning = undefined;
        if (stream.sendable) this.ready(stream);
      }
    }
    this.#batch.flush();
    if (this.#agreed || this.#round.length + this.#pace.length === 0) return;
    this.#pace.wait(() => this.#pump());
  }

  /** Whether there is room for more data. */
  get #open(): boolean {
    if (!this.#agreed && !this.#pace.open) return false;
    return this.#options.carrier.buffered + this.#batch.length < this.#settings.carrierBytes;
  }

  #letGo(all = false): void {
    this.#pace.release((stream) => {
      if (stream.sendable) this.ready(stream);
    }, all);
  }

  #tick(): void {
    const { idleMs, vacantMs } = this.#settings;
    const every = Math.max(1, Math.min(idleMs, vacantMs) / 4);
    this.#stopClock = this.#options.clock.after(every, () => {
      this.#now = this.#options.clock.now();
      for (const stream of this.#streams.values()) {
        if (this.#now - stream.at < idleMs || (stream.busy && !stream.owed)) continue;
        stream.finish("TIMEOUT", true);
      }
      if (this.#streams.size === 0 && this.#now - this.#vacantSince >= vacantMs) {
        this.#end({ code: "VACANT", message: "no stream for a long time" });
      } else if (!this.#over) this.#tick();
    });
  }

  #end(fault?: MuxFault): void {
    if (this.#over) return;
    this.#pace.stop();
    this.#letGo(true);
    this.#batch.flush();
    this.#over = true;
    this.#stopClock();
    this.#round = [];
    this.#due = [];
    for (const stream of [...this.#streams.values()]) stream.finish("CONNECTION_LOST", false);
    this.#options.carrier.end(fault);
    this.#options.ended?.(fault);
  }
}
