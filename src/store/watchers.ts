/**
 * Who hears what is appended to which log.
 *
 * @module
 */
import { log as relayLog } from "../log.ts";
import type { Entry, LogName } from "./store.ts";

type Heard = (entries: readonly Entry[]) => void;

interface Watcher {
  readonly log: LogName;
  readonly heard: Heard;
  readonly lost: () => void;
}

export class Watchers {
  /** By the log's id alone: making a key of both names would cost as much as the rest of an append. */
  readonly #byId = new Map<string, readonly Watcher[]>();

  /** Logs that somebody watches; one that several do as often. */
  get logs(): LogName[] {
    return this.#all.map(({ log }) => log);
  }

  has({ tenant, id }: LogName): boolean {
    return this.#byId.get(id)?.some(({ log }) => log.tenant === tenant) ?? false;
  }

  /** Answers how to stop. */
  add({ tenant, id }: LogName, heard: Heard, lost = () => {}): () => void {
    const one: Watcher = { log: { tenant, id }, heard, lost };
    this.#byId.set(id, [...this.#byId.get(id) ?? [], one]);
    return () => {
      const left = this.#byId.get(id)?.filter((other) => other !== one) ?? [];
      if (left.length > 0) this.#byId.set(id, left);
      else this.#byId.delete(id);
    };
  }

  /** Tells those who watch a log. What one of them throws keeps nothing from the others. */
  tell({ tenant, id }: LogName, entries: readonly Entry[]): void {
    for (const { log, heard } of this.#byId.get(id) ?? []) {
      if (log.tenant === tenant) attempt(heard, entries);
    }
  }

  /** Tells all who watch anything that it holds no more. */
  lose(): void {
    for (const { lost } of this.#all) attempt(lost, []);
  }

  get #all(): Watcher[] {
    return [...this.#byId.values()].flat();
  }
}

function attempt(run: Heard, entries: readonly Entry[]): void {
  try {
    run(entries);
  } catch (error) {
    relayLog.error("a watcher of a log failed: {error}", { error });
  }
}
