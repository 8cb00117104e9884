/**
 * The logs that links of this process have open: one watch of the store for each, and one channel for
 * those who have read everything.
 *
 * @module
 */
import type { Channels, Member, Membership } from "../../channel/channels.ts";
import type { Host } from "../../host.ts";
import type { Limits } from "../../limits.ts";
import type { Entry, LogName, LogStore } from "../../store/store.ts";
import { sequencedMessage, setSequence } from "../../wire/blaze/sequenced.ts";
import type { Bytes } from "../../wire/bytes.ts";

/** Counts what happens to logs. */
export interface LogMeter {
  logOpened(): void;
  logAppended(): void;
  logFull(): void;
}

/** An entry as every reader gets it. Where it came in a message like that, that one with its number. */
export function entryFrame({ sequence, frame, envelope }: Entry): Bytes {
  if (!envelope) return sequencedMessage(sequence, frame);
  setSequence(envelope, frame.length, sequence);
  return envelope;
}

/** A log while somebody has it open. */
export class OpenLog {
  /** Links that opened it, or are about to. */
  users = 0;
  /** Everything up to it has gone out to whoever is live. */
  published = 0n;
  #live = 0;
  /** Called at the next entry. */
  readonly #waiting = new Set<() => void>();
  readonly #stop: () => void;
  readonly #channel: string;

  constructor(readonly name: LogName, private readonly channels: Channels, store: LogStore) {
    this.#channel = `log:${name.tenant}/${name.id}`;
    this.#stop = store.watch(name, (entries) => this.#heard(entries));
  }

  /** What the store says is there: nobody live misses it as long as nobody is live. */
  known(last: bigint): void {
    if (this.#live === 0 && last > this.published) this.published = last;
  }

  /** From now on it gets every entry above {@linkcode published}. Answers the way out. */
  join(member: Member): Membership {
    this.#live++;
    const membership = this.channels.join(this.#channel, member, member.link.buffered > 0);
    return {
      ...membership,
      leave: () => {
        this.#live--;
        membership.leave();
      },
    };
  }

  /** Runs once, at the next entry. Answers how to call it off. */
  next(run: () => void): () => void {
    this.#waiting.add(run);
    return () => this.#waiting.delete(run);
  }

  end(): void {
    this.#stop();
  }

  #heard(entries: readonly Entry[]): void {
    for (const entry of entries) {
      // Whoever is live has got it from the store.
      if (entry.sequence <= this.published) continue;
      this.published = entry.sequence;
      this.channels.get(this.#channel)?.broadcast(entryFrame(entry));
    }
    if (this.#waiting.size === 0) return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const run of waiting) run();
  }
}

/** All logs that somebody has open here. */
export class Logs {
  readonly #byName = new Map<string, OpenLog>();
  meter: LogMeter | undefined;

  constructor(
    readonly store: LogStore,
    readonly channels: Channels,
    readonly limits: Limits,
    readonly host: Host,
  ) {}

  get size(): number {
    return this.#byName.size;
  }

  /** A log for one more user, who must release it. It hears from now on, so ask the store after this. */
  enter(name: LogName): OpenLog {
    const key = keyOf(name);
    let log = this.#byName.get(key);
    if (!log) this.#byName.set(key, log = new OpenLog(name, this.channels, this.store));
    log.users++;
    return log;
  }

  release(log: OpenLog): void {
    if (--log.users > 0) return;
    this.#byName.delete(keyOf(log.name));
    log.end();
  }
}

/** A tenant holds no "/". */
const keyOf = ({ tenant, id }: LogName): string => `${tenant}/${id}`;
