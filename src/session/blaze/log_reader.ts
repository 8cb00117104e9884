/**
 * One link reads a log: first what is kept, as fast as the link takes it; then, without a hole and
 * without a frame twice, what comes.
 *
 * The seam: every entry above `published` goes to whoever is live. So a reader takes from the store what is
 * not above it, and is live in the very turn in which it has sent just that.
 *
 * @module
 */
import type { Membership } from "../../channel/channels.ts";
import type { BlazeMember } from "./member.ts";
import { entryFrame, type Logs, type OpenLog } from "./logs.ts";

/** Bytes that are read at once, and bytes on their way to the link at which reading waits. */
const CHUNK = 262_144;
/** Not every runtime says when those have left, so one looks. */
const LOOK_MS = 20;

export interface LogReaderEvents {
  /** More has gone out. */
  progress(): void;
  /** The store failed, or what follows is gone. Nothing more comes. */
  failed(error: unknown): void;
}

export class LogReader {
  #over = false;
  #reading = false;
  /** Something happened while it was reading: it looks once more. */
  #more = false;
  #begun = false;
  #membership: Membership | undefined;
  #stopWaiting: () => void = () => {};

  /**
   * `log` is entered already, and released when this stops. `sent`: the entry that the reader stands at;
   * `target`: it is live once it has this one.
   */
  constructor(
    private readonly logs: Logs,
    readonly log: OpenLog,
    private readonly member: BlazeMember,
    private readonly events: LogReaderEvents,
    private sent: bigint,
    private readonly target: bigint,
  ) {}

  /** It has read everything, and gets what comes. */
  get live(): boolean {
    return this.#membership !== undefined;
  }

  /** Everything up to this entry went out over the link. */
  has(sequence: bigint): boolean {
    return (this.#membership ? this.log.published : this.sent) >= sequence;
  }

  begin(): void {
    this.#begun = true;
    this.#read();
  }

  /** What the link had buffered has left. */
  drained(): void {
    if (this.#membership) this.#membership.drained();
    else this.#read();
  }

  stop(): void {
    if (this.#over) return;
    this.#over = true;
    this.#stopWaiting();
    this.#membership?.leave();
    this.logs.release(this.log, this.member);
  }

  #read(): void {
    if (!this.#begun || this.#over || this.#membership) return;
    if (this.#reading) {
      this.#more = true;
      return;
    }
    this.#stopWaiting();
    this.#reading = true;
    this.#chunks().catch((error) => {
      if (!this.#over) this.events.failed(error);
    }).finally(() => {
      this.#reading = false;
      if (!this.#more) return;
      this.#more = false;
      this.#read();
    });
  }

  async #chunks(): Promise<void> {
    const { log, member } = this;
    for (let first = true; !this.#over; first = false) {
      if (this.sent >= this.target && this.sent === log.published) return this.#live();
      if (member.link.buffered >= CHUNK) {
        return this.#wait(this.logs.host.after(LOOK_MS, this.#again));
      }
      // Others have their turn, however fast the store and the link are.
      if (!first) await new Promise<void>((resolve) => this.logs.host.afterTurn(resolve));
      if (this.#over) return;
      const entries = await this.logs.store.read(log.name, this.sent, CHUNK);
      if (this.#over) return;
      const before = this.sent;
      for (const entry of entries) {
        if (entry.sequence > log.published) break;
        if (entry.sequence !== this.sent + 1n) throw new Error("entries are missing");
        this.sent = entry.sequence;
        member.deliver(entryFrame(entry));
        if (this.#over) return;
      }
      if (this.sent === before) {
        if (this.sent < log.published) throw new Error("entries are missing");
        // The store has more, and says so as soon as that is safe.
        if (this.sent !== log.published || this.sent < this.target) {
          return this.#wait(log.next(this.#again));
        }
      }
      this.events.progress();
    }
  }

  /** Goes on later. */
  readonly #again = (): void => {
    // In a turn of its own: whoever calls may be in the middle of handing an entry out.
    queueMicrotask(() => this.#read());
  };

  #wait(stop: () => void): void {
    this.#stopWaiting = stop;
  }

  #live(): void {
    this.member.extend({ subtype: "live", sequence: this.sent });
    // It may have had no room for that, and be gone.
    if (this.#over) return;
    this.#membership = this.log.join(this.member);
    this.events.progress();
  }
}
