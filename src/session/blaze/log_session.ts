/**
 * What one link does with logs: it opens one, appends to it, truncates it. Everything is answered in the
 * order in which it came; {@linkcode LogReader} sends what is in the log.
 *
 * @module
 */
import { Close, type CloseFault, type Fault, Refused } from "../../close.ts";
import type { Message } from "../../link/link.ts";
import { sha256 } from "../../store/chain.ts";
import type { Append, Appended, LogName, LogState } from "../../store/store.ts";
import { flagsFit, FrameType, frameType, headerSize } from "../../wire/blaze/blaze_frame.ts";
import {
  CHECK_LENGTH,
  type Extension,
  FIRST_DEVICE_SUBTYPE,
  Subtype,
} from "../../wire/blaze/extension.ts";
import { sequencedFrame, sequenceOf } from "../../wire/blaze/sequenced.ts";
import { type Bytes, hex, sameBytes, WireError } from "../../wire/bytes.ts";
import { LogReader } from "./log_reader.ts";
import type { Logs } from "./logs.ts";
import type { BlazeMember } from "./member.ts";

type OpenWord = Extract<Extension, { subtype: "open" }>;
/** What a device says to the store. */
export type LogWord = Extract<Extension, { subtype: "open" | "truncate" }>;

/** What an answer that waits costs beside the message that it is for, in bytes. */
const OVERHEAD = 256;

type Answer =
  | { readonly kind: "nothing" }
  | { readonly kind: "fault"; readonly fault: Fault; readonly detail?: string | undefined }
  | { readonly kind: "moved"; readonly last: bigint }
  | { readonly kind: "appended"; readonly sequence: bigint; readonly reader: LogReader }
  | { readonly kind: "opened"; readonly recovered: Extension; readonly reader: LogReader };

/** An answer that is owed. */
interface Slot {
  readonly bytes: number;
  answer?: Answer;
}

/** What the session of the link does for its logs. */
export interface LogSessionOwner {
  /** Answers a fault of the device's, unless there have been too many. */
  refuse(fault: Fault, detail?: string): void;
  end(fault: CloseFault, detail: string): void;
}

export class LogSession {
  #reader: LogReader | undefined;
  /** A log is being opened: what comes meanwhile waits in the queue. */
  #opening = false;
  readonly #queue: (() => void)[] = [];
  /** Answers that are owed, in their order. */
  readonly #slots: Slot[] = [];
  #ahead = 0;
  /** Appends that are answered next, all as one, and the number of the last. */
  #accepted = 0;
  #acceptedTo = 0n;
  #flushing = false;
  #over = false;

  constructor(
    private readonly logs: Logs,
    private readonly member: BlazeMember,
    private readonly owner: LogSessionOwner,
  ) {}

  /** `bytes`: those of the message. */
  take(word: LogWord, bytes: number): void {
    const slot = this.#owe(bytes);
    if (!slot) return;
    this.#later(() => {
      if (word.subtype === "open") return void this.#open(word, slot);
      const reader = this.#writable(slot);
      if (reader) void this.#truncate(word.sequence, slot, reader);
    });
  }

  /**
   * Appends the frame in a `sequenced` message, which goes out to the readers under its number. Throws
   * `WireError` for a frame in it that is none.
   */
  append(message: Message, header: 5 | 7): void {
    const frame = sequencedFrame(message, header);
    if (!mayKeep(frame)) {
      return this.refuse(Refused.notAllowed, "a log keeps what devices say", message.length);
    }
    const at = sequenceOf(message, frame.length);
    const closing = at !== 0n && isCommit(frame);
    const append = { frame, at, closing, envelope: message };
    if (this.#slots.length === 0 && this.#reader?.live && this.member.mayWrite) {
      return this.#appendNow(append, this.#reader);
    }
    const slot = this.#owe(message.length);
    if (!slot) return;
    this.#later(() => this.#append(append, slot));
  }

  /** Refuses what came, in its order. */
  refuse(fault: Fault, detail: string, bytes: number): void {
    const slot = this.#owe(bytes);
    if (slot) this.#later(() => this.#settle(slot, refusal(fault, detail)));
  }

  drained(): void {
    this.#reader?.drained();
  }

  /** The link is gone. What is on its way to the store arrives there. */
  end(): void {
    this.#over = true;
    this.#queue.length = 0;
    this.#slots.length = 0;
    this.#accepted = 0;
    this.#reader?.stop();
    this.#reader = undefined;
  }

  #owe(bytes: number): Slot | undefined {
    const cost = bytes + OVERHEAD;
    const most = this.logs.limits.logAheadBytes;
    if (this.#ahead > 0 && this.#ahead + cost > most) {
      this.owner.end(Close.tooFast, "too much without an answer");
      return undefined;
    }
    this.#ahead += cost;
    const slot = { bytes: cost };
    this.#slots.push(slot);
    return slot;
  }

  /** The log to write to; the answer where there is none. */
  #writable(slot: Slot): LogReader | undefined {
    if (this.#reader && this.member.mayWrite) return this.#reader;
    const fault = this.#reader ? refusal(Refused.readOnly) : NOT_OPEN;
    this.#settle(slot, fault);
    return undefined;
  }

  #later(run: () => void): void {
    if (this.#opening) this.#queue.push(run);
    else run();
  }

  async #open(word: OpenWord, slot: Slot): Promise<void> {
    this.#opening = true;
    this.#reader?.stop();
    this.#reader = undefined;
    const answer = await this.#opened(word).catch((error) => this.#failure(error));
    if (answer.kind === "opened") this.#reader = answer.reader;
    if (this.#over) return this.end();
    this.#opening = false;
    this.#settle(slot, answer);
    while (!this.#opening && this.#queue.length > 0) this.#queue.shift()!();
  }

  async #opened(word: OpenWord): Promise<Answer> {
    const { logs, member } = this;
    const { store } = logs;
    const name: LogName = { tenant: member.grant.tenant, id: hex(word.log) };
    const log = logs.enter(name, member);
    let reader: LogReader | undefined;
    try {
      const { published } = log;
      const state = await store.open(name, sha256(word.key), member.mayWrite);
      if (!state) return refusal(Refused.noLog);
      if (!log.known(state, published)) {
        logs.lose(log);
        return refusal(Refused.logFailed, "the log is not the one that was open");
      }
      const from = await this.#cursor(word, name, state);
      const complete = from !== undefined;
      const sent = complete ? word.sequence : state.first - 1n;
      const events = { progress: () => this.#flush(), failed: (e: unknown) => this.#failed(e) };
      reader = new LogReader(logs, log, member, events, sent, state.last);
      logs.meter?.logOpened();
      const recovered = {
        subtype: "recovered",
        complete,
        durability: store.durability,
        ring: state.ring,
        first: sent + 1n,
        last: state.last,
        hash: from ?? state.before,
      } as const;
      return { kind: "opened", recovered, reader };
    } finally {
      if (!reader) logs.release(log, member);
    }
  }

  /** Chain hash at a cursor from which nothing is missing; nothing where something is, or may be. */
  async #cursor(
    { ring, sequence, check }: OpenWord,
    name: LogName,
    state: LogState,
  ): Promise<Bytes | undefined> {
    if (sequence === 0n) return state.first === 1n ? state.before : undefined;
    if (!sameBytes(ring, state.ring)) return undefined;
    if (sequence > state.last || sequence + 1n < state.first) return undefined;
    const hash = await this.logs.store.hashAt(name, sequence);
    return hash && sameBytes(hash.subarray(0, CHECK_LENGTH), check) ? hash : undefined;
  }

  /** Nothing is owed, and the author has seen all: an answer that is here at once is but counted. */
  #appendNow(append: Append, reader: LogReader): void {
    const appended = this.logs.store.append(reader.log.name, append);
    if ("kind" in appended && appended.kind === "appended" && reader === this.#reader) {
      this.logs.meter?.logAppended();
      this.#count(appended.sequence);
      return this.#flushLater();
    }
    const slot = this.#owe(append.envelope!.length);
    if (slot) this.#await(appended, slot, reader);
  }

  #append(append: Append, slot: Slot): void {
    const reader = this.#writable(slot);
    if (reader) this.#await(this.logs.store.append(reader.log.name, append), slot, reader);
  }

  #await(appended: Appended | Promise<Appended>, slot: Slot, reader: LogReader): void {
    if ("kind" in appended) return this.#appended(appended, slot, reader);
    appended.then(
      (appended) => this.#appended(appended, slot, reader),
      (error) => this.#settle(slot, this.#failure(error)),
    );
  }

  #appended(appended: Appended, slot: Slot, reader: LogReader): void {
    const { meter } = this.logs;
    if (appended.kind === "moved") return this.#settle(slot, appended);
    if (appended.kind === "full") {
      meter?.logFull();
      return this.#settle(slot, refusal(Refused.mailboxFull));
    }
    meter?.logAppended();
    this.#settle(slot, { kind: "appended", sequence: appended.sequence, reader });
  }

  async #truncate(before: bigint, slot: Slot, reader: LogReader): Promise<void> {
    try {
      await this.logs.store.truncate(reader.log.name, before);
      this.#settle(slot, { kind: "nothing" });
    } catch (error) {
      this.#settle(slot, this.#failure(error));
    }
  }

  /** Reading failed: the device opens the log again. */
  #failed(error: unknown): void {
    this.#reader?.stop();
    this.#reader = undefined;
    this.#answer(this.#failure(error));
    this.#flush();
  }

  #failure(error: unknown): Answer {
    this.logs.failed(error);
    return refusal(Refused.logFailed);
  }

  #settle(slot: Slot, answer: Answer): void {
    slot.answer = answer;
    this.#flushLater();
  }

  #flushLater(): void {
    if (this.#flushing || this.#over) return;
    this.#flushing = true;
    // What comes in one turn is one answer.
    this.logs.host.afterTurn(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  /** Gives the answers whose turn it is. */
  #flush(): void {
    for (let answer = this.#next(); answer; answer = this.#next()) {
      if (answer.kind === "appended") {
        this.#count(answer.sequence);
        continue;
      }
      this.#accept();
      this.#answer(answer);
    }
    this.#accept();
  }

  #count(sequence: bigint): void {
    this.#accepted++;
    // Who is in this process may have appended the next while it was told of this one.
    if (sequence > this.#acceptedTo) this.#acceptedTo = sequence;
  }

  #accept(): void {
    const [count, sequence] = [this.#accepted, this.#acceptedTo];
    if (count === 0) return;
    this.#accepted = 0;
    this.#acceptedTo = 0n;
    this.member.extend({ subtype: "accepted", count, sequence });
  }

  /** Takes the oldest answer, if it is there and may go. */
  #next(): Answer | undefined {
    const [slot] = this.#slots;
    const answer = slot?.answer;
    if (!slot || !answer) return undefined;
    if (answer.kind === "appended") {
      // Its author sees an entry before it hears that it is there, if it has the log open still.
      const { reader, sequence } = answer;
      if (reader === this.#reader && !reader.has(sequence)) return undefined;
    }
    this.#slots.shift();
    this.#ahead -= slot.bytes;
    return answer;
  }

  #answer(answer: Answer): void {
    if (answer.kind === "moved") {
      this.member.extend({ subtype: "accepted", count: 0, sequence: answer.last });
    } else if (answer.kind === "opened") {
      this.member.extend(answer.recovered);
      if (answer.reader === this.#reader) answer.reader.begin();
    } else if (answer.kind === "fault") {
      const { fault, detail } = answer;
      if (OURS.has(fault)) this.member.refuse(fault, detail);
      else this.owner.refuse(fault, detail);
    }
  }
}

/** Faults that are none of the device's. */
const OURS: ReadonlySet<Fault> = new Set([Refused.logFailed, Refused.mailboxFull]);

const refusal = (fault: Fault, detail?: string): Answer => ({ kind: "fault", fault, detail });

const NOT_OPEN: Answer = refusal(Refused.notAllowed, "no log is open");

/** Whether a log may keep a frame: an Operation, or an Extension between devices. Throws `WireError`. */
function mayKeep(frame: Uint8Array): boolean {
  const header = headerSize(frame);
  if (!flagsFit(frame[2]!, "legend")) throw new WireError("RESERVED_BITS", 2);
  const type = frameType(frame);
  if (type !== FrameType.extension) return type === FrameType.operation;
  const subtype = frame[header];
  return subtype !== undefined && subtype >= FIRST_DEVICE_SUBTYPE && subtype <= 0x1f;
}

/** An attempt to end what the log is of. */
const isCommit = (frame: Uint8Array): boolean =>
  frameType(frame) === FrameType.extension && frame[headerSize(frame)] === Subtype.commit;
