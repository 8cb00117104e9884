/**
 * Tells when the way to the relay may have changed without a word: the network is back, the page is
 * looked at again, the machine has slept.
 *
 * @module
 */
import type { Host } from "../host.ts";

/** What a page is told by its browser; other programs have none of it. */
export interface Surroundings {
  addEventListener?(type: string, listener: () => void): void;
  removeEventListener?(type: string, listener: () => void): void;
  readonly document?: EventTarget & { readonly visibilityState: string };
}

/** How often a sleep is looked for. */
const TICK_MS = 2_000;
/** More time than that between two looks was a sleep, or a page that was kept from running. */
const SLEPT_MICROS = 7_000_000n;

/**
 * Runs `woken` from now on whenever something of that kind happens. Answers how to stop, which must be
 * called: a timer is kept.
 */
export function onWake(
  woken: () => void,
  host: Host,
  around: Surroundings = globalThis as Surroundings,
): () => void {
  const visible = () => {
    if (around.document?.visibilityState === "visible") woken();
  };
  // The clock that people read: timers and `now` may stand still while a machine sleeps.
  let seen = host.unixMicros();
  let stopTimer: () => void;
  const look = () => {
    stopTimer = host.after(TICK_MS, look);
    const before = seen;
    seen = host.unixMicros();
    if (seen - before > SLEPT_MICROS) woken();
  };
  stopTimer = host.after(TICK_MS, look);
  around.addEventListener?.("online", woken);
  around.document?.addEventListener("visibilitychange", visible);
  return () => {
    stopTimer();
    around.removeEventListener?.("online", woken);
    around.document?.removeEventListener("visibilitychange", visible);
  };
}
