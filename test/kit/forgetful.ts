/**
 * A store that can lose all that it keeps.
 *
 * @module
 */
import { host } from "../../src/host.ts";
import { type Limits, limits } from "../../src/limits.ts";
import { MemoryStore } from "../../src/store/memory_store.ts";
import type { LogStore } from "../../src/store/store.ts";

/** `forget` while links are there: they are to be closed then, as those of a relay that restarts. */
export function forgetful(
  chosen: Partial<Limits> = {},
): { readonly store: LogStore; forget(): void } {
  const empty = () => new MemoryStore(host, limits(chosen));
  let kept = empty();
  const store: LogStore = {
    durability: 0,
    open: (...args) => kept.open(...args),
    append: (...args) => kept.append(...args),
    read: (...args) => kept.read(...args),
    hashAt: (...args) => kept.hashAt(...args),
    truncate: (...args) => kept.truncate(...args),
    watch: (...args) => kept.watch(...args),
    sweep: () => kept.sweep(),
    close: () => kept.close(),
  };
  return { store, forget: () => kept = empty() };
}
