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

  /** Tells those who watch a log. What one of them throws keeps nothing from the others. */
  tell(log: LogName, entries: readonly Entry[]): void {
    for (const heard of [...this.#byKey.get(keyOf(log))?.heard ?? []]) {
      try {
        heard(entries);
      } catch (error) {
        relayLog.error("a watcher of a log failed: {error}", { error });
      }
    }
  }
}
