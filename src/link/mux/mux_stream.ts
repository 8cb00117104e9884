/**
 * One stream of a multiplexed connection: two directions, each flowing until its eof, both over at a
 * close. The table of states is in docs/protocol/bmp.md.
 *
 * @module
 */
import type { Kind } from "../../wire/bmp/bmp_frame.ts";
import type { Piece } from "../../wire/bmp/bmp_decoder.ts";
import type { Paced } from "./pace.ts";
import { SendQueue } from "./send_queue.ts";
import { FIRST_FRAME, FIRST_WINDOW, PIECE_COST, STOP_AND_WAIT } from "./settings.ts";

/**
 * Why a stream ended before both sides had said eof.
 *
 * - `CLOSED`: the peer closed it.
 * - `ABORTED`: this side closed it.
 * - `REFUSED`: too many streams are open.
 * - `TIMEOUT`: no ack, or nothing at all, for too long.
 * - `UNREAD`: the peer sent on although nothing of what it had sent was acked.
 * - `CONNECTION_LOST`: the connection below is gone.
 */
export type MuxStreamFault =
  | "CLOSED"
  | "ABORTED"
  | "REFUSED"
  | "TIMEOUT"
  | "UNREAD"
  | "CONNECTION_LOST";

/** What the owner of a stream hears. Nothing comes after `closed`. */
export interface MuxStreamEvents {
  /** There is something to read, or the end. Comes again only after more has arrived. */
  readable(): void;
  /** Everything written has gone to the carrier. */
  drained(): void;
  /** The stream is over. Without a fault both sides had ended. Called exactly once. */
  closed(fault?: MuxStreamFault): void;
}

/** A stream, as its owner sees it. Once closed all of it does nothing. */
export interface MuxStream {
  readonly id: string;
  /** Whether the peer has said eof and all before it is read. */
  readonly ended: boolean;
  /** Bytes written that have not gone to the carrier. */
  readonly queued: number;
  /** Whether the peer is not one of ours: its streams take one request, and it may be a real Blazeio. */
  readonly stranger: boolean;
  /** While true, silence alone does not end the stream. Silence counts from where it gets false. */
  busy: boolean;
  /** Takes what has arrived; the peer is told that there is room. Also works after `closed`. */
  read(): Uint8Array | undefined;
  /** Sends bytes, sooner or later. Never blocks; keep them unchanged until `drained`. */
  write(bytes: Uint8Array): void;
  /**
   * Sends eof behind what was written. With `close` it also ends the other direction then, towards a
   * stranger when all is acked.
   */
  end(close?: boolean): void;
  /** Ends both directions now. What was written and has not left is lost. */
  close(): void;
}

/** What a stream needs of its connection. */
export interface Line {
  readonly role: "client" | "server";
  /** Frames in flight and payload per frame, as agreed with a peer of ours. */
  readonly agreed: { readonly window: number; readonly chunkBytes: number } | undefined;
  readonly chunkBytes: number;
  readonly streamBytes: number;
  /** Whether acks name their frame (binary4). */
  readonly named: boolean;
  /** Milliseconds, as of the last event. */
  readonly now: number;
  /** The sid of the first create of a connection, once; then `undefined`. */
  greet(): string | undefined;
  frame(stream: MuxStreamState, kind: Kind, sid: string, payload?: Uint8Array): void;
  /** A frame may be acked. Peers of ours get the latest ack only. */
  ack(stream: MuxStreamState, sid: string): void;
  /** The stream wants to send. */
  ready(stream: MuxStreamState): void;
  /** Bytes that wait for a reader, more or fewer. Answers false if that is too many. */
  unread(change: number): boolean;
  /** Whether less than half of what may wait for readers does. */
  readonly roomy: boolean;
  /** The stream ends before it said anything. */
  apologise(stream: MuxStreamState): void;
  /** The stream is over. */
  forget(stream: MuxStreamState): void;
}

export class MuxStreamState implements MuxStream, Paced {
  /** When the stream last did anything; in milliseconds. */
  at: number;
  /** An ack that the connection has not written yet. */
  due: string | undefined;
  /** Whether the connection has the stream in its round. */
  waiting = false;
  events: MuxStreamEvents | undefined;
  dataAt = 0;
  ackAt = 0;
  held = 0;

  #busy: boolean;
  #state: "new" | "open" | "over" = "new";
  #localEnd: "open" | "ending" | "closing" | "ended" = "open";
  #remoteEnded = false;
  /** Eof is said, and close is to follow the last ack. */
  #closing = false;

  // What goes out. Frames in flight are those from #acked up to #sent.
  #out: SendQueue | undefined;
  #sent = 0;
  #acked = 0;
  #window = FIRST_WINDOW;

  // What came in.
  #in: Uint8Array[] | undefined;
  #unread = 0;
  #received = 0;
  #consumed = 0;
  #answered = false;
  /** The sid of a frame that is not whole yet. */
  #arriving: string | undefined;
  /** Acks that wait for a reader: a sid, and the byte that has to be read before. */
  #owed: { readonly sid: string; readonly after: number }[] | undefined;

  constructor(readonly id: string, private readonly line: Line) {
    this.at = line.now;
    this.#busy = line.role === "client";
    if (line.role === "server") this.#state = "open";
  }

  get busy(): boolean {
    return this.#busy;
  }

  set busy(on: boolean) {
    if (this.#busy && !on) this.at = this.line.now;
    this.#busy = on;
  }

  get ended(): boolean {
    return this.#remoteEnded && !this.#in?.length;
  }

  get queued(): number {
    return this.#out?.length ?? 0;
  }

  get stranger(): boolean {
    return this.line.agreed === undefined;
  }

  get over(): boolean {
    return this.#state === "over";
  }

  /** Whether frames wait for acks, or bytes for a window. */
  get owed(): boolean {
    return this.#sent > this.#acked || this.#out !== undefined;
  }

  /** Whether this side has sent any payload. */
  get spoke(): boolean {
    return this.#sent > 0;
  }

  read(): Uint8Array | undefined {
    const piece = this.#in?.shift();
    if (!piece) return;
    this.#consumed += piece.length;
    this.#release(piece.length + PIECE_COST);
    while (this.#owed?.length && this.#owed[0]!.after <= this.#consumed) {
      this.line.ack(this, this.#owed.shift()!.sid);
    }
    return piece;
  }

  write(bytes: Uint8Array): void {
    if (this.over || this.#localEnd !== "open" || bytes.length === 0) return;
    (this.#out ??= new SendQueue()).push(bytes);
    this.at = this.line.now;
    if (this.sendable) this.line.ready(this);
  }

  end(close = false): void {
    if (this.over) return;
    if (this.#localEnd === "ended") {
      if (close) this.close();
      return;
    }
    this.#localEnd = close ? "closing" : "ending";
    if (this.sendable) this.line.ready(this);
  }

  close(): void {
    this.finish("ABORTED", true);
    this.#drop();
  }

  /** Opens the stream at the peer before there is anything to say, for protocols where it speaks first. */
  announce(): void {
    if (this.#state !== "new") return;
    this.#state = "open";
    this.line.frame(this, "create", this.line.greet() ?? "");
  }

  /** Whether the stream has a frame to send and may send it. */
  get sendable(): boolean {
    if (this.over || this.#localEnd === "ended" || this.held > 0) return false;
    if (this.#out) return this.#sent - this.#acked < this.#limit;
    return this.#localEnd !== "open";
  }

  get #limit(): number {
    const agreed = this.line.agreed;
    return agreed ? Math.min(this.#window, agreed.window) : STOP_AND_WAIT;
  }

  /** Sends one frame: the stream's turn. */
  turn(): void {
    if (!this.sendable) return;
    this.at = this.line.now;
    const out = this.#out;
    if (out) {
      const first = this.#state === "new";
      const chunk = this.line.agreed?.chunkBytes ?? this.line.chunkBytes;
      const whole = first ? Math.min(FIRST_FRAME, out.first) : 0;
      const payload = out.take(Math.max(chunk, whole));
      if (out.length === 0) this.#out = undefined;
      this.#state = "open";
      const sid = (first && this.line.greet()) || String(this.#sent);
      this.#sent++;
      this.line.frame(this, first ? "create" : "data", sid, payload);
      if (out.length === 0) this.events?.drained();
    } else {
      const close = this.#localEnd === "closing";
      // A stream that never sent a frame does not exist at the peer.
      if (this.#state === "new") return this.finish(undefined, false);
      this.#localEnd = "ended";
      this.line.frame(this, "eof", "");
      // The real client acks nothing behind a close, so that waits as the real server's does.
      if (close && this.stranger && this.#sent > this.#acked) this.#closing = true;
      else if (close || this.#remoteEnded) this.finish(undefined, true);
    }
  }

  /** A piece of a frame that carries payload. */
  arrive({ head, bytes, last }: Piece): void {
    this.at = this.line.now;
    this.#arriving = last ? undefined : head.sid;
    if (bytes.length > 0 && !this.#remoteEnded) {
      this.#received += bytes.length;
      this.#unread += bytes.length + PIECE_COST;
      (this.#in ??= []).push(bytes);
      const fits = this.line.unread(bytes.length + PIECE_COST);
      if (last) this.#arrived(head.kind, head.sid, head.length);
      if (!fits || this.#unread > this.line.streamBytes) return this.#overrun();
      const waiting = this.#in;
      this.events?.readable();
      // A small piece that nobody took would keep the whole chunk that it came in.
      if (waiting.at(-1) === bytes && 4 * bytes.length < bytes.buffer.byteLength) {
        waiting[waiting.length - 1] = bytes.slice();
      }
    } else if (last) {
      this.#arrived(head.kind, head.sid, head.length);
    }
  }

  /** The peer has an ack for us; anything that is not of a frame in flight is ignored. */
  ack(sid: string): void {
    const upTo = this.line.named ? this.#frameOf(sid) + 1 : this.#acked + 1;
    if (upTo <= this.#acked || upTo > this.#sent) return;
    this.at = this.line.now;
    this.#window = Math.min(this.#window + upTo - this.#acked, 0xffff);
    this.#acked = upTo;
    if (this.#closing && upTo === this.#sent) return this.finish(undefined, true);
    if (this.sendable) this.line.ready(this);
  }

  /** The peer ends its direction. */
  eof(): void {
    if (this.#remoteEnded) return;
    this.#remoteEnded = true;
    this.at = this.line.now;
    this.events?.readable();
    if (this.#localEnd === "ended" && !this.#closing) this.finish(undefined, false);
  }

  /** Ends the stream; with `tell` the peer hears of it. */
  finish(fault: MuxStreamFault | undefined, tell: boolean): void {
    if (this.over) return;
    const known = this.#state === "open";
    if (tell && known && this.stranger) this.#ackAll();
    this.#state = "over";
    this.#out = undefined;
    this.#owed = undefined;
    this.due = undefined;
    // What came before a close is still good: the real server says eof and close in one breath.
    if (fault === "CLOSED") {
      if (this.#remoteEnded) fault = undefined;
      this.#remoteEnded = true;
    } else if (fault !== undefined) this.#drop();
    if (tell && known) {
      if (!this.spoke && this.#localEnd !== "ended") this.line.apologise(this);
      this.line.frame(this, "close", "");
    }
    this.line.forget(this);
    this.events?.closed(fault);
  }

  #arrived(kind: Kind, sid: string, length: number): void {
    // Binary4 asks by a sid; the others ack every payload, and the document every create.
    const wanted = this.line.named ? sid !== "" : length > 0 || kind === "create";
    if (!wanted || this.over) return;
    // The real client does nothing before its first frame is acked, so that cannot wait for a reader.
    // And it reads nothing before all it has to say is acked, so that cannot wait while there is room.
    const room = this.stranger && !this.#owed?.length && this.line.roomy &&
      this.#unread <= this.line.streamBytes / 2;
    if (!this.#answered || room || this.#consumed >= this.#received) {
      this.#answered = true;
      this.line.ack(this, sid);
    } else (this.#owed ??= []).push({ sid, after: this.#received });
  }

  /** Before a close: the real client never comes back from a frame that was not acked by then. */
  #ackAll(): void {
    for (const { sid } of this.#owed ?? []) this.line.ack(this, sid);
    if (this.#arriving === undefined) return;
    if (this.#arriving !== "" || !this.line.named) this.line.ack(this, this.#arriving);
  }

  #overrun(): void {
    this.finish("UNREAD", true);
  }

  #frameOf(sid: string): number {
    if (sid.startsWith("bx1?")) return 0;
    return /^(?:0|[1-9]\d{0,15})$/.test(sid) ? Number(sid) : -1;
  }

  #release(cost: number): void {
    this.#unread -= cost;
    this.line.unread(-cost);
  }

  /** Lets go of what nobody has read. */
  #drop(): void {
    this.#in = undefined;
    if (this.#unread > 0) this.#release(this.#unread);
  }
}
