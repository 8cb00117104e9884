/**
 * Who hears what is appended to which log.
 *
 * @module
 */
import { log as relayLog } from "../log.ts";
import type { Entry, LogName } from "./store.ts";

type Heard = (entries: readonly Entry[]) => void;

interface Watcher {
  readonly heard: Heard;
  readonly lost: () => void;
}

const keyOf = ({ tenant, id }: LogName): string => `${tenant}/${id}`;

export class Watchers {
  readonly #byKey = new Map<string, { readonly log: LogName; readonly all: Set<Watcher> }>();

  /** Logs that somebody watches. */
  get logs(): LogName[] {
    return [...this.#byKey.values()].map(({ log }) => log);
  }

  /** Answers how to stop. */
  add({ tenant, id }: LogName, heard: Heard, lost = () => {}): () => void {
    const log = { tenant, id };
    const key = keyOf(log);
    const one: Watcher = { heard, lost };
    const watched = this.#byKey.get(key) ?? { log, all: new Set() };
    this.#byKey.set(key, watched);
    watched.all.add(one);
    return () => {
      if (watched.all.delete(one) && watched.all.size === 0) this.#byKey.delete(key);
    };
  }

  /** Tells those who watch a log. What one of them throws keeps nothing from the others. */
  tell(log: LogName, entries: readonly Entry[]): void {
    for (const { heard } of [...this.#byKey.get(keyOf(log))?.all ?? []]) {
      attempt(() => heard(entries));
    }
  }

  /** Tells all who watch anything that it holds no more. */
  lose(): void {
    const all = [...this.#byKey.values()].flatMap(({ all }) => [...all]);
    for (const { lost } of all) attempt(lost);
  }
}

function attempt(run: () => void): void {
  try {
    run();
  } catch (error) {
    relayLog.error("a watcher of a log failed: {error}", { error });
  }
}
