/**
 * The engine that keeps logs in memory: they last as long as the process.
 *
 * @module
 */
import { timingSafeEqual } from "@std/crypto/timing-safe-equal";
import type { Host } from "../host.ts";
import type { Bytes } from "../wire/bytes.ts";
import { MemoryLog } from "./memory_log.ts";
import {
  type Append,
  type Appended,
  Durability,
  type Entry,
  ENTRY_BYTES,
  LOG_BYTES,
  type LogName,
  type LogState,
  type LogStore,
  type StoreLimits,
} from "./store.ts";

type Heard = (entries: readonly Entry[]) => void;

const constantTimeEqual: (a: Uint8Array, b: Uint8Array) => boolean = timingSafeEqual;

export class MemoryStore implements LogStore {
  readonly durability = Durability.memory;
  readonly #logs = new Map<string, MemoryLog>();
  /** What the logs of each tenant cost. */
  readonly #costs = new Map<string, number>();
  readonly #watchers = new Map<string, Set<Heard>>();
  #closed = false;

  constructor(
    private readonly host: Pick<Host, "now" | "random">,
    private readonly limits: StoreLimits,
  ) {}

  /** Logs that are kept. */
  get size(): number {
    return this.#logs.size;
  }

  /** Logs that somebody watches. */
  get watched(): number {
    return this.#watchers.size;
  }

  open(name: LogName, key: Bytes, create: boolean): Promise<LogState | undefined> {
    return this.#now(() => {
      const log = this.#logs.get(keyOf(name)) ?? (create ? this.#create(name, key) : undefined);
      if (!log || !sameKey(log.key, key)) return undefined;
      log.usedAt = this.host.now();
      return log.state;
    });
  }

  append(name: LogName, { frame, at, closing }: Append): Promise<Appended> {
    return this.#now(() => {
      const log = this.#get(name);
      const { last } = log;
      if (at !== 0n && at !== last + 1n) return { kind: "moved", last };
      const cost = frame.length + ENTRY_BYTES;
      const { logBytes, tenantLogBytes } = this.limits;
      const tenant = this.#costs.get(name.tenant) ?? 0;
      if (log.cost(ENTRY_BYTES) + cost > logBytes || tenant + cost > tenantLogBytes) {
        return { kind: "full" };
      }
      this.#costs.set(name.tenant, tenant + cost);
      log.usedAt = this.host.now();
      const entry = log.append(frame, closing, log.usedAt);
      for (const heard of this.#watchers.get(keyOf(name)) ?? []) heard([entry]);
      return { kind: "appended", sequence: entry.sequence };
    });
  }

  read(name: LogName, after: bigint, most: number): Promise<Entry[]> {
    return this.#now(() => this.#get(name).read(after, most));
  }

  hashAt(name: LogName, sequence: bigint): Promise<Bytes | undefined> {
    return this.#now(() => this.#get(name).hashAt(sequence));
  }

  truncate(name: LogName, before: bigint): Promise<void> {
    return this.#now(() => this.#get(name).truncate(before, this.host.now()));
  }

  watch(name: LogName, heard: Heard): () => void {
    const key = keyOf(name);
    const watchers = this.#watchers.get(key) ?? new Set();
    this.#watchers.set(key, watchers);
    // Wrapped, so that whoever watches twice is two watchers.
    const own: Heard = (entries) => heard(entries);
    watchers.add(own);
    return () => {
      if (watchers.delete(own) && watchers.size === 0) this.#watchers.delete(key);
    };
  }

  sweep(): Promise<void> {
    return this.#now(() => {
      const now = this.host.now();
      const { logGraceMs, logIdleMs, logClosedMs } = this.limits;
      for (const [key, log] of this.#logs) {
        const before = log.cost(ENTRY_BYTES);
        log.drop(now - logGraceMs, now - logClosedMs);
        const idle = !log.closed && !this.#watchers.has(key) && now - log.usedAt >= logIdleMs;
        if (idle) this.#logs.delete(key);
        const freed = before - (idle ? -LOG_BYTES : log.cost(ENTRY_BYTES));
        this.#spend(log.tenant, -freed);
      }
    });
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#logs.clear();
    this.#costs.clear();
    this.#watchers.clear();
    return Promise.resolve();
  }

  #get(name: LogName): MemoryLog {
    const log = this.#logs.get(keyOf(name));
    if (!log) throw new Error("this log is not open");
    return log;
  }

  /** Nothing where the tenant has no room for one more. */
  #create(name: LogName, key: Bytes): MemoryLog | undefined {
    const tenant = this.#costs.get(name.tenant) ?? 0;
    if (tenant + LOG_BYTES > this.limits.tenantLogBytes) return undefined;
    this.#spend(name.tenant, LOG_BYTES);
    const log = new MemoryLog(name, key.slice(), this.host.random(8));
    this.#logs.set(keyOf(name), log);
    return log;
  }

  #spend(tenant: string, bytes: number): void {
    const cost = (this.#costs.get(tenant) ?? 0) + bytes;
    if (cost > 0) this.#costs.set(tenant, cost);
    else this.#costs.delete(tenant);
  }

  /** Everything happens at once; what goes wrong is a rejection all the same. */
  #now<T>(run: () => T): Promise<T> {
    return new Promise((resolve) => {
      if (this.#closed) throw new Error("the store is closed");
      resolve(run());
    });
  }
}

/** A tenant holds no "/". */
const keyOf = ({ tenant, id }: LogName): string => `${tenant}/${id}`;

const sameKey = (a: Bytes, b: Bytes): boolean => a.length === b.length && constantTimeEqual(a, b);
