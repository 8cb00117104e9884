/**
 * Who hears what is appended to which log.
 *
 * @module
 */
import { log as relayLog } from "../log.ts";
import type { Entry, LogName } from "./store.ts";

type Heard = (entries: readonly Entry[]) => void;

const keyOf = ({ tenant, id }: LogName): string => `${tenant}/${id}`;

export class Watchers {
  readonly #byKey = new Map<string, { readonly log: LogName; readonly heard: Set<Heard> }>();

  /** Logs that somebody watches. */
  get logs(): LogName[] {
    return [...this.#byKey.values()].map(({ log }) => log);
  }

  /** Answers how to stop. */
  add({ tenant, id }: LogName, heard: Heard): () => void {
    const log = { tenant, id };
    const key = keyOf(log);
    // Wrapped: two that watch with one function are two.
    const one: Heard = (entries) => heard(entries);
    const watched = this.#byKey.get(key) ?? { log, heard: new Set() };
    this.#byKey.set(key, watched);
    watched.heard.add(one);
    return () => {
      if (watched.heard.delete(one) && watched.heard.size === 0) this.#byKey.delete(key);
    };
  }

  of(log: LogName): readonly Heard[] {
    return [...this.#byKey.get(keyOf(log))?.heard ?? []];
  }
}

/** What one transaction brought, gathered for those who watch. */
export class News {
  readonly #byKey = new Map<string, { readonly log: LogName; readonly entries: Entry[] }>();

  constructor(private readonly watchers: Watchers) {}

  add(log: LogName, entry: Entry): void {
    const key = keyOf(log);
    const known = this.#byKey.get(key);
    if (known) known.entries.push(entry);
    else this.#byKey.set(key, { log, entries: [entry] });
  }

  /** Tells each log's watchers at once. What one of them throws keeps nothing from the others. */
  tell(): void {
    for (const { log, entries } of this.#byKey.values()) {
      for (const heard of this.watchers.of(log)) {
        try {
          heard(entries);
        } catch (error) {
          relayLog.error("a watcher of a log failed: {error}", { error });
        }
      }
    }
  }
}
