/**
 * The logs that links of this process have open: one watch of the store for each, and one channel for
 * those who have read everything.
 *
 * @module
 */
import type { Channels, Member, Membership } from "../../channel/channels.ts";
import { Close } from "../../close.ts";
import type { Host } from "../../host.ts";
import type { Limits } from "../../limits.ts";
import { RareWarning } from "../../log.ts";
import {
  type Entry,
  type LogName,
  type LogState,
  type LogStore,
  reasonOf,
} from "../../store/store.ts";
import { sequencedMessage, setSequence } from "../../wire/blaze/sequenced.ts";
import { type Bytes, sameBytes } from "../../wire/bytes.ts";
import type { BlazeMember } from "./member.ts";

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
  /** Those who opened it, or are about to. */
  readonly users = new Set<BlazeMember>();
  /** Everything up to it has gone out to whoever is live. */
  published = 0n;
  #live = 0;
  #ring: Bytes | undefined;
  /** Called at the next entry. */
  readonly #waiting = new Set<() => void>();
  readonly #stop: () => void;
  readonly #channel: string;

  /** `lost`: what is known here holds no more. */
  constructor(
    readonly name: LogName,
    private readonly channels: Channels,
    store: LogStore,
    lost: (log: OpenLog) => void,
  ) {
    this.#channel = `log:${name.tenant}/${name.id}`;
    this.#stop = store.watch(name, (entries) => this.#heard(entries), () => lost(this));
  }

  /**
   * What the store says is there; nobody live misses it as long as nobody is live. `published`: what it was
   * when the store was asked. Answers whether this is the log that it was.
   */
  known({ ring, last }: LogState, published: bigint): boolean {
    this.#ring ??= ring;
    if (!sameBytes(ring, this.#ring) || last < published) return false;
    if (this.#live === 0 && last > this.published) this.published = last;
    return true;
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
  readonly #failures: RareWarning;

  constructor(
    readonly store: LogStore,
    readonly channels: Channels,
    readonly limits: Limits,
    readonly host: Host,
  ) {
    const text = "the store of logs failed: {reason} ({count} failed so far)";
    this.#failures = new RareWarning(text, () => host.now());
  }

  get size(): number {
    return this.#byName.size;
  }

  /** A log for one more user, who must release it. It hears from now on, so ask the store after this. */
  enter(name: LogName, user: BlazeMember): OpenLog {
    const key = keyOf(name);
    let log = this.#byName.get(key);
    if (!log) {
      log = new OpenLog(name, this.channels, this.store, (log) => this.lose(log));
      this.#byName.set(key, log);
    }
    log.users.add(user);
    return log;
  }

  release(log: OpenLog, user: BlazeMember): void {
    log.users.delete(user);
    if (log.users.size === 0) this.#forget(log);
  }

  /**
   * The log is not the one that it was: the store's file began anew, or is an older one. Whoever has it open
   * is sent away, to come back and to open what is there now.
   */
  lose(log: OpenLog): void {
    this.#forget(log);
    for (const user of [...log.users]) {
      user.refuse(Close.restarting, "the log is not the one that was open");
      user.outbox.close(Close.restarting);
    }
  }

  /** Says that the store failed, unless it has said itself that it does so all the time. */
  failed(error: unknown): void {
    if (this.store.trouble !== undefined) return;
    this.#failures.warn({ reason: reasonOf(error) });
  }

  #forget(log: OpenLog): void {
    const key = keyOf(log.name);
    if (this.#byName.get(key) === log) this.#byName.delete(key);
    log.end();
  }
}

/** A tenant holds no "/". */
const keyOf = ({ tenant, id }: LogName): string => `${tenant}/${id}`;
