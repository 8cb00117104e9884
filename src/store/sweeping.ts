/**
 * Lets a store get rid of what is due: at the start, and once an hour.
 *
 * @module
 */
import type { Host } from "../host.ts";
import { log } from "../log.ts";
import { type LogStore, reasonOf } from "./store.ts";

const HOUR_MS = 3_600_000;

/** Sweeps until it is told to stop. One sweep at a time, however long it takes. */
export function sweeping(store: LogStore, host: Pick<Host, "after">): () => void {
  let stopped = false;
  let stopWaiting = () => {};
  const sweep = async () => {
    try {
      await store.sweep();
    } catch (error) {
      const reason = reasonOf(error);
      if (!stopped) log.warn("the store of logs could not be swept: {reason}", { reason });
    }
    if (!stopped) stopWaiting = host.after(HOUR_MS, () => void sweep());
  };
  void sweep();
  return () => {
    stopped = true;
    stopWaiting();
  };
}
