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
import { Watchers } from "./watchers.ts";

/** What is here of one tenant. */
class Tenant {
  /** What its logs cost. */
  cost = 0;
  readonly logs = new Map<string, MemoryLog>();
}

/** Entries whose chain hashes are made in one turn. */
const SLICE = 1_024;

const constantTimeEqual: (a: Uint8Array, b: Uint8Array) => boolean = timingSafeEqual;

export class MemoryStore implements LogStore {
  readonly durability = Durability.memory;
  /** Those with a log. */
  readonly #tenants = new Map<string, Tenant>();
  readonly #watchers = new Watchers();
  #closed = false;
  /** The time in this turn: asking for it at each append costs more than the append. */
  #time: number | undefined;

  constructor(
    private readonly host: Pick<Host, "now" | "random" | "afterTurn">,
    private readonly limits: StoreLimits,
  ) {}

  /** Logs that are kept. */
  get size(): number {
    return [...this.#tenants.values()].reduce((sum, { logs }) => sum + logs.size, 0);
  }

  open(name: LogName, key: Bytes, create: boolean): Promise<LogState | undefined> {
    return this.#now(() => {
      const known = this.#tenants.get(name.tenant)?.logs.get(name.id);
      const log = known ?? (create ? this.#create(name, key) : undefined);
      if (!log || !sameKey(log.key, key)) return undefined;
      log.usedAt = this.host.now();
      return log.state;
    });
  }

  append(name: LogName, append: Append): Appended | Promise<Appended> {
    const tenant = this.#tenants.get(name.tenant);
    const log = tenant?.logs.get(name.id);
    if (!log || !tenant) return this.#now(() => this.#none());
    const { frame, at } = append;
    const { last } = log;
    if (at !== 0n && at !== last + 1n) return { kind: "moved", last };
    const cost = frame.length + ENTRY_BYTES;
    const { logBytes, tenantLogBytes } = this.limits;
    const ends = append.closing && !log.closed;
    const noRoom = !ends && log.cost(ENTRY_BYTES) + cost > logBytes;
    if (noRoom || tenant.cost + cost > tenantLogBytes) return { kind: "full" };
    tenant.cost += cost;
    log.usedAt = this.#turn();
    const entry = log.append(append, log.usedAt);
    this.#watchers.tell(name, [entry]);
    return { kind: "appended", sequence: entry.sequence };
  }

  read(name: LogName, after: bigint, most: number): Promise<Entry[]> {
    return this.#now(() => this.#get(name).read(after, most));
  }

  async hashAt(name: LogName, sequence: bigint): Promise<Bytes | undefined> {
    const log = await this.#now(() => this.#get(name));
    await this.#prepared(log, sequence);
    return log.hashAt(sequence);
  }

  truncate(name: LogName, before: bigint): Promise<void> {
    return this.#now(() => this.#get(name).truncate(before, this.host.now()));
  }

  /** Nothing is lost while the process lives. */
  watch(log: LogName, heard: (entries: readonly Entry[]) => void, _lost?: () => void): () => void {
    return this.#watchers.add(log, heard);
  }

  async sweep(): Promise<void> {
    const now = await this.#now(() => this.host.now());
    const { logGraceMs, logIdleMs, logClosedMs } = this.limits;
    for (const [called, tenant] of this.#tenants) {
      for (const [id, log] of tenant.logs) {
        const due = [now - logGraceMs, now - logClosedMs] as const;
        await this.#prepared(log, log.due(...due) - 1n);
        const before = log.cost(ENTRY_BYTES);
        log.drop(...due);
        const used = log.closed || this.#watchers.has({ tenant: called, id });
        const idle = !used && now - log.usedAt >= logIdleMs;
        if (idle) tenant.logs.delete(id);
        tenant.cost -= before - (idle ? -LOG_BYTES : log.cost(ENTRY_BYTES));
      }
      const same = this.#tenants.get(called) === tenant;
      if (same && tenant.logs.size === 0) this.#tenants.delete(called);
    }
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#tenants.clear();
    return Promise.resolve();
  }

  #get({ tenant, id }: LogName): MemoryLog {
    return this.#tenants.get(tenant)?.logs.get(id) ?? this.#none();
  }

  #none(): never {
    throw new Error("this log is not open");
  }

  /** Nothing where the tenant has no room for one more. */
  #create(name: LogName, key: Bytes): MemoryLog | undefined {
    const tenant = this.#tenants.get(name.tenant) ?? new Tenant();
    if (tenant.cost + LOG_BYTES > this.limits.tenantLogBytes) return undefined;
    this.#tenants.set(name.tenant, tenant);
    tenant.cost += LOG_BYTES;
    const log = new MemoryLog(name, key.slice(), this.host.random(8));
    tenant.logs.set(name.id, log);
    return log;
  }

  /** Others have their turn, however many chain hashes are missing. */
  async #prepared(log: MemoryLog, sequence: bigint): Promise<void> {
    while (!log.prepare(sequence, SLICE)) {
      await new Promise<void>((resolve) => this.host.afterTurn(resolve));
    }
  }

  #turn(): number {
    if (this.#time === undefined) {
      this.#time = this.host.now();
      this.host.afterTurn(() => this.#time = undefined);
    }
    return this.#time;
  }

  /** Everything happens at once; what goes wrong is a rejection all the same. */
  #now<T>(run: () => T): Promise<T> {
    return new Promise((resolve) => {
      if (this.#closed) throw new Error("the store is closed");
      resolve(run());
    });
  }
}

const sameKey = (a: Bytes, b: Bytes): boolean => a.length === b.length && constantTimeEqual(a, b);
