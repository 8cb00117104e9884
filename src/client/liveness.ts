/**
 * Notices a way that has gone silent: after a while without a word the relay is asked, and without an
 * answer it counts as gone. A page can send no RFC 6455 ping and hears of none, so what is asked and
 * what answers are messages of the protocol.
 *
 * @module
 */
import type { Host } from "../host.ts";

export interface LivenessOptions {
  /** Milliseconds of silence after which the relay is asked; 0 for never. 10,000 unless given. */
  readonly idleMs?: number;
  /** Milliseconds that its answer may take. 5,000 unless given. */
  readonly answerMs?: number;
}

/** What is watched: one link. */
export interface Watched {
  /** Bytes that wait to be sent. */
  readonly buffered: number;
  /** Asks for an answer. False: the protocol has not begun, and has nothing to ask with. */
  probe(): boolean;
}

/**
 * Most times that the time for an answer doubles. A message of megabytes on a slow way comes late too,
 * and so does an answer behind one: when a young link was given up, the next gets more time. An answer
 * that is quick takes it back.
 */
const MOST_DOUBLED = 4;
/** A timer that is so late, in milliseconds, says that nobody was awake to hear an answer. */
const LATE_MS = 1_000;

/** Bytes that wait to be sent, beyond which nobody's Ping is answered. */
const MOST_UNSENT = 1024 * 1024;

/** Whether the other end takes what is sent to it. */
export const readsOn = ({ buffered }: Pick<Watched, "buffered">): boolean =>
  buffered <= MOST_UNSENT;

export class Liveness {
  readonly #idleMs: number;
  readonly #answerMs: number;
  #watched: Watched | undefined;
  #stopTimer: () => void = () => {};
  #begunAt = 0;
  #heardAt = 0;
  /** When it was asked, until something is heard. */
  #askedAt: number | undefined;
  #wasLate = false;
  #doubled = 0;

  /** `gone` is told of each link once, with how long it was silent; from then on it is watched no more. */
  constructor(
    { idleMs = 10_000, answerMs = 5_000 }: LivenessOptions,
    private readonly host: Host,
    private readonly gone: (reason: string) => void,
  ) {
    this.#idleMs = idleMs;
    this.#answerMs = answerMs;
  }

  /** A link has opened: from now on it is watched. */
  begin(watched: Watched): void {
    this.end();
    if (this.#idleMs === 0) return;
    this.#watched = watched;
    this.#begunAt = this.#heardAt = this.host.now();
    this.#wait();
  }

  /** Something came. Called for every message. */
  heard(): void {
    this.#heardAt = this.host.now();
    if (this.#askedAt === undefined) return;
    if (this.#heardAt - this.#askedAt <= this.#answerMs) {
      this.#doubled = Math.max(0, this.#doubled - 1);
    }
    this.#wait();
  }

  /** Asks now: something has happened that ways do not always survive. */
  check(): void {
    const { buffered = 0 } = this.#watched ?? {};
    if (this.#watched?.probe() && this.#askedAt === undefined) this.#ask(buffered);
  }

  /** The link is over. */
  end(): void {
    this.#stopTimer();
    this.#watched = undefined;
    this.#askedAt = undefined;
  }

  #wait(): void {
    this.#askedAt = undefined;
    this.#wasLate = false;
    const left = this.#heardAt + this.#idleMs - this.host.now();
    this.#after(Math.max(0, left), () => {
      // Not one timer for every message: it looks whether there was one.
      if (this.host.now() - this.#heardAt < this.#idleMs) return this.#wait();
      const { buffered } = this.#watched!;
      this.#watched!.probe();
      this.#ask(buffered);
    });
  }

  /** `ahead`: bytes that waited to be sent before the question. */
  #ask(ahead: number): void {
    const now = this.host.now();
    const due = now + this.#patience;
    this.#askedAt = now;
    this.#after(due - now, () => this.#unanswered(ahead, this.host.now() - due));
  }

  #unanswered(ahead: number, lateMs: number): void {
    const { buffered } = this.#watched!;
    // An upload, and the question behind it: it goes on.
    if (buffered < ahead) return this.#ask(buffered);
    if (lateMs > LATE_MS && !this.#wasLate) {
      this.#wasLate = true;
      this.#watched!.probe();
      return this.#ask(buffered);
    }
    const now = this.host.now();
    const young = now - this.#begunAt < 2 * (this.#idleMs + this.#patience);
    this.#doubled = young ? Math.min(this.#doubled + 1, MOST_DOUBLED) : 0;
    this.end();
    this.gone(`nothing heard for ${Math.round(now - this.#heardAt)} ms`);
  }

  get #patience(): number {
    return this.#answerMs * 2 ** this.#doubled;
  }

  #after(ms: number, run: () => void): void {
    this.#stopTimer();
    this.#stopTimer = this.host.after(ms, run);
  }
}
