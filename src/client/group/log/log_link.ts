/**
 * The relay's logs over one link: one open at a time. (PROTOCOL.md, "Logs")
 *
 * What comes of a log is handed on in order. Opens and appends are answered in order, each once.
 *
 * @module
 */
import { type Bytes, sameBytes } from "../../../wire/bytes.ts";
import { encodeExtension, type Extension, RING_ID_LENGTH } from "../../../wire/blaze/extension.ts";
import { Refused } from "../../../close.ts";
import { ClientError } from "../../client_error.ts";
import type { LogTarget } from "../e2e/epoch.ts";
import type { Post } from "./post.ts";

/** A place in a log: what was read up to here. */
export interface Cursor {
  /** 8 bytes; zeros before the log was ever opened. */
  readonly ring: Bytes;
  readonly sequence: bigint;
  /** Chain hash, 32 bytes. */
  readonly hash: Bytes;
}

export type Opened = Extract<Extension, { subtype: "recovered" }>;

/** What somebody who opened a log hears, in this order. */
export interface LogListener {
  /** The relay's answer. */
  opened(answer: Opened): void | Promise<void>;
  /** The next frame, from the first one that was asked for. */
  entry(sequence: bigint, frame: Bytes): Promise<void>;
  /** All that was there has come; what comes now is new. */
  live(): void | Promise<void>;
}

/** What became of an append: the relay has it, or somebody was quicker (compare and set). */
export type AppendResult = "kept" | "moved";

const CHECK_LENGTH = 8;

/** Somebody who opened a log; `failed`: it will never be live. */
interface Opening extends LogListener {
  failed(error: Error): void;
}

export class LogLink {
  /** Who waits for an answer to its Open, the first one first. */
  readonly #opening: Opening[] = [];
  readonly #appends: PromiseWithResolvers<AppendResult>[] = [];
  /** What the relay has not answered yet, in its order. */
  readonly #asked: ("open" | "append")[] = [];
  #reader: Opening | undefined;
  #bytesInFlight = 0;
  readonly #sizes: number[] = [];
  #closed = false;

  /** `failed`: no log is open any more, and this link does not open one again. */
  constructor(private readonly post: Post, private readonly failed: (error: ClientError) => void) {}

  /** Appends that are not answered. */
  get inFlight(): number {
    return this.#appends.length;
  }

  /** Bytes of appends that are not answered. */
  get bytesInFlight(): number {
    return this.#bytesInFlight;
  }

  /**
   * Opens a log at a cursor, in place of the one that is open. Resolves when the reader is live. Rejects
   * with `NO_LOG`, `LOG_FAILED`, and `OFFLINE` when the link goes.
   */
  open(
    { id, key }: LogTarget,
    { ring, sequence, hash }: Cursor,
    reader: LogListener,
  ): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // Whoever waits is told; when nobody does, it is no crash.
    promise.catch(() => {});
    if (this.#closed) {
      reject(offline());
      return promise;
    }
    // What still comes of the log before is for nobody.
    this.#reader = undefined;
    this.#opening.push({
      opened: (answer) => reader.opened(answer),
      entry: (sequence, frame) => reader.entry(sequence, frame),
      async live() {
        await reader.live();
        resolve();
      },
      failed: reject,
    });
    this.#asked.push("open");
    const check = hash.subarray(0, CHECK_LENGTH);
    this.post.extend(encodeExtension({ subtype: "open", log: id, key, ring, sequence, check }));
    return promise;
  }

  /** Appends a frame; `at`: the number that it must get. Rejects with what the relay refused it for. */
  append(frame: Bytes, at = 0n): Promise<AppendResult> {
    const answer = Promise.withResolvers<AppendResult>();
    answer.promise.catch(() => {});
    if (this.#closed) {
      answer.reject(offline());
      return answer.promise;
    }
    this.#appends.push(answer);
    this.#asked.push("append");
    this.#sizes.push(frame.length);
    this.#bytesInFlight += frame.length;
    this.post.extend(encodeExtension({ subtype: "sequenced", sequence: at, frame }));
    return answer.promise;
  }

  /** Resolves once the oldest append on its way was answered, or the link is gone. */
  async answered(): Promise<void> {
    await this.#appends[0]?.promise.catch(() => {});
  }

  /** Lets entries below this number go. */
  truncate(sequence: bigint): void {
    this.post.extend(encodeExtension({ subtype: "truncate", sequence }));
  }

  /** The next entry of the log that is open. */
  async entry(sequence: bigint, frame: Bytes): Promise<void> {
    await this.#reader?.entry(sequence, frame);
  }

  /** A word of the relay about logs. False: it is about something else. */
  async take(extension: Extension): Promise<boolean> {
    switch (extension.subtype) {
      case "recovered":
        this.#reader = this.#openAnswered();
        // Of a log that was left before it came.
        if (this.#opening.length > 0) this.#reader = undefined;
        await this.#reader?.opened(extension);
        return true;
      case "live":
        await this.#reader?.live();
        return true;
      case "accepted":
        if (extension.count === 0) this.#answered()?.resolve("moved");
        // No more than were sent, whatever number the relay says.
        for (let left = extension.count; left > 0 && this.inFlight > 0; left--) {
          this.#answered()?.resolve("kept");
        }
        return true;
    }
    return false;
  }

  /** An Error of the relay. False: it is about something else. */
  refused(code: number): boolean {
    switch (code) {
      case Refused.noLog.code:
      case Refused.badPayload.code:
        this.#openAnswered()?.failed(
          new ClientError("NO_LOG", "the relay does not open this log"),
        );
        return true;
      case Refused.mailboxFull.code:
        this.#answered()?.reject(new ClientError("MAILBOX_FULL", "the relay keeps no more for us"));
        return true;
      case Refused.logFailed.code:
        this.#storeFailed();
        return true;
      case Refused.notAllowed.code:
        if (this.#asked[0] !== "append") return false;
        // The word that reading failed was taken for that about an append.
        this.failed(new ClientError("LOG_FAILED", "the relay has no log open for us"));
        return true;
      case Refused.readOnly.code:
        this.#answered()?.reject(new ClientError("READ_ONLY", "the token allows reading only"));
        return true;
    }
    return false;
  }

  /** The link is gone. */
  close(): void {
    this.#closed = true;
    // One that was answered may not be live yet.
    this.#reader?.failed(offline());
    for (const { failed } of this.#opening.splice(0)) failed(offline());
    for (const { reject } of this.#appends.splice(0)) reject(offline());
    this.#asked.length = 0;
    this.#reader = undefined;
  }

  /** The relay's store failed: at what is answered next; with nothing to answer, while it read. */
  #storeFailed(): void {
    const [next] = this.#asked;
    if (next === "append") {
      this.#answered()?.reject(new ClientError("LOG_FAILED", "the relay could not keep it"));
    } else if (next === "open") {
      this.#openAnswered()?.failed(new ClientError("LOG_FAILED", "the relay could not open it"));
    } else {
      this.#reader = undefined;
      this.failed(new ClientError("LOG_FAILED", "the relay could not read on"));
    }
  }

  #openAnswered() {
    this.#forget("open");
    return this.#opening.shift();
  }

  #answered(): PromiseWithResolvers<AppendResult> | undefined {
    this.#forget("append");
    this.#bytesInFlight -= this.#sizes.shift() ?? 0;
    return this.#appends.shift();
  }

  #forget(what: "open" | "append"): void {
    const at = this.#asked.indexOf(what);
    if (at >= 0) this.#asked.splice(at, 1);
  }
}

const offline = () => new ClientError("OFFLINE", "the link is gone");

/** Whether the relay does not open a log for us, or not for writing: then nothing can be done there. */
export const isShut = (error: unknown): boolean =>
  error instanceof ClientError && (error.code === "NO_LOG" || error.code === "READ_ONLY");

export const NO_RING: Bytes = new Uint8Array(RING_ID_LENGTH);

/** Whether a log that was opened goes on where the cursor stands. */
export const goesOn = (cursor: Cursor, answer: Opened): boolean =>
  answer.complete && (cursor.sequence === 0n || sameBytes(cursor.ring, answer.ring));
