/**
 * Every session of a relay over memory links, and strangers at the other ends who do what comes into their
 * heads: a program that a seed writes.
 *
 * @module
 */
import type { Grant, Names } from "../../src/admission.ts";
import { Channels } from "../../src/channel/channels.ts";
import { Close } from "../../src/close.ts";
import { limits } from "../../src/limits.ts";
import type { Accept, Link, LinkEvents, Message, Topics } from "../../src/link/link.ts";
import { LinkRegistry } from "../../src/link/registry.ts";
import { Metrics } from "../../src/metrics/metrics.ts";
import { BlazeSessions } from "../../src/session/blaze/blaze_session.ts";
import { MemoryStore } from "../../src/store/memory_store.ts";
import { EcgSessions } from "../../src/session/ecg/ecg_session.ts";
import { echo } from "../../src/session/echo.ts";
import { FakeHost } from "./fake_host.ts";

/** The runtime's own fan-out, as Bun has it. */
class Board {
  readonly #members = new Map<string, Set<Stranger>>();

  topicsOf(member: Stranger): Topics {
    return {
      join: (name) => void (this.#members.get(name) ?? this.#made(name)).add(member),
      leave: (name) => void this.#members.get(name)?.delete(member),
      publish: (name, message, self = false) => {
        let clear = true;
        for (const other of this.#members.get(name) ?? []) {
          if (other === member && !self) continue;
          other.take(message);
          clear &&= other.buffered === 0;
        }
        return clear;
      },
    };
  }

  #made(name: string): Set<Stranger> {
    const made = new Set<Stranger>();
    this.#members.set(name, made);
    return made;
  }
}

/** The far end of a link. */
export class Stranger {
  /** Number of messages that came. */
  received = 0;
  /** The last few of them, to be sent back changed. */
  readonly last: Message[] = [];
  closedWith: number | undefined;
  /** The code that the session closed with, if it did. */
  dismissedWith: number | undefined;
  buffered = 0;
  /** Called once for a message that comes: in the middle of whatever sends it. */
  onTake: (() => void) | undefined;
  readonly #events: LinkEvents | undefined;

  constructor(readonly kind: string, accept: Accept, board: Board | undefined) {
    // deno-lint-ignore no-this-alias
    const stranger = this;
    const link: Link = {
      remote: "10.0.0.1",
      get buffered() {
        return stranger.buffered;
      },
      ...(board && { topics: board.topicsOf(this) }),
      send: (message) => this.take(message),
      close: (code) => {
        if (this.open) this.dismissedWith = code;
        this.leave(code);
      },
    };
    const events = accept(link);
    this.#events = events;
    if (this.closedWith !== undefined) events.closed(this.closedWith, "");
  }

  get open(): boolean {
    return this.closedWith === undefined;
  }

  /** The relay sends. */
  take(message: Message): void {
    if (!this.open) return;
    this.received++;
    this.last.push(message);
    if (this.last.length > 8) this.last.shift();
    const { onTake } = this;
    this.onTake = undefined;
    onTake?.();
  }

  say(message: Message): void {
    // What came is the session's own from here on: it may write into it.
    if (this.open) this.#events?.message(message.slice());
  }

  text(): void {
    if (this.open) this.#events?.text();
  }

  drain(): void {
    this.buffered = 0;
    if (this.open) this.#events?.drained();
  }

  leave(code: number): void {
    if (!this.open) return;
    this.closedWith = code;
    this.#events?.closed(code, "");
  }
}

/** Codes that a session may close with: those that blame the peer, or nobody. */
const KNOWN: ReadonlySet<number> = new Set(
  Object.values(Close).filter((one) => one !== Close.internal).map(({ code }) => code),
);

export class World {
  readonly host = new FakeHost();
  readonly channels = new Channels();
  readonly strangers: Stranger[] = [];
  /** What sessions threw. */
  readonly failed: unknown[] = [];
  readonly links: LinkRegistry;
  readonly blaze: BlazeSessions;
  readonly ecg: EcgSessions;
  readonly #echo: Accept;
  readonly #metrics: Metrics;
  readonly #board: Board | undefined;

  /** `topics`: the runtime fans out. `small`: limits that are soon reached. */
  constructor({ topics, small }: { topics: boolean; small: boolean }) {
    const chosen = limits(
      small
        ? {
          bufferedBytes: 20_000,
          backlogBytes: 4_000,
          historyBytes: 20_000,
          historyBytesInAll: 50_000,
          streamsPerLink: 2,
          tagsPerMember: 3,
          membersShown: 2,
          logBytes: 2_000,
          tenantLogBytes: 18_000,
          logAheadBytes: 3_000,
          messagesPerSecond: 200,
          bytesPerSecond: 500_000,
        }
        : { messagesPerSecond: 0, bytesPerSecond: 0, faultsPerSecond: 0 },
    );
    this.links = new LinkRegistry(undefined, (error) => this.failed.push(error));
    const store = new MemoryStore(this.host, chosen);
    this.blaze = new BlazeSessions(this.channels, chosen, this.host, store);
    this.ecg = new EcgSessions(this.channels, chosen, this.host);
    this.#metrics = new Metrics(
      () => this.host.now(),
      { channels: () => this.channels.size, memory: () => 0 },
    );
    this.ecg.meter = this.#metrics.ecg;
    this.#echo = echo(chosen, this.host);
    this.#board = topics ? new Board() : undefined;
  }

  /** A link that has said nothing yet. */
  connect(kind: "blaze" | "ecg" | "echo", grant: Grant, name?: string, sample = false): Stranger {
    const accept = kind === "blaze"
      ? this.#metrics.blaze.metered(
        this.blaze.accept({
          grant,
          layout: sample ? "sample" : "drawing",
          ...(name === undefined ? {} : { database: name }),
        }),
      )
      : kind === "ecg"
      ? this.#metrics.ecg.metered(
        this.ecg.accept({ grant, ...(name === undefined ? {} : { stream: name }) }),
      )
      : this.#echo;
    const stranger = new Stranger(kind, this.links.counted(accept), this.#board);
    this.strangers.push(stranger);
    return stranger;
  }

  /** Lets the store of logs answer. */
  async turn(): Promise<void> {
    for (let i = 0; i < 12; i++) await Promise.resolve();
  }

  /** What is wrong now; nothing if nothing is. */
  complaint(): string | undefined {
    if (this.failed.length > 0) {
      const [error] = this.failed;
      return `a session threw ${error instanceof Error ? error.stack : String(error)}`;
    }
    const odd = this.strangers.find(({ dismissedWith }) =>
      dismissedWith !== undefined && !KNOWN.has(dismissedWith)
    );
    if (odd) return `a session closed with ${odd.dismissedWith}`;
    const open = this.strangers.filter((one) => one.open).length;
    if (this.links.size !== open) return `${this.links.size} links are counted, ${open} are open`;
  }

  /** Everybody leaves; what is left then. */
  async end(): Promise<string | undefined> {
    for (const stranger of this.strangers) stranger.leave(1001);
    await this.turn();
    // What was kept for late watchers goes by itself, and the last round of PINGs.
    this.host.pass(60_000);
    const left = {
      links: this.links.size,
      rooms: this.blaze.rooms,
      logs: this.blaze.logs!.size,
      channels: this.channels.size,
      streams: this.ecg.streams.size,
      timers: this.host.waiting,
    };
    const rest = Object.entries(left).filter(([, count]) => count > 0);
    if (rest.length > 0) return `left behind: ${JSON.stringify(Object.fromEntries(rest))}`;
    // Everything that a page or a scraper asks for can still be said.
    JSON.stringify(this.#metrics.snapshot());
    this.#metrics.text();
    return this.complaint();
  }
}

export const grantOf = (
  subject: string,
  tenant: string,
  names: Names,
  more: Partial<Grant> = {},
): Grant => ({
  subject,
  tenant,
  read: names,
  write: names,
  publish: names,
  watch: names,
  broadcast: names === "*",
  ...more,
});
