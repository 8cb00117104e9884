/**
 * What worked, per relay, so that the next connection does not try what fails here first.
 *
 * @module
 */

export type TransportName = "websocket" | "http";

/** Bring your own to keep it elsewhere, in a page's `sessionStorage` for one. */
export interface TransportMemory {
  /** What to try first at this origin; `undefined` when nothing is known. */
  get(origin: string): TransportName | undefined;
  set(origin: string, worked: TransportName): void;
}

/** Milliseconds after which a WebSocket is given another chance: networks change. */
const FORGET_MS = 600_000;

/** Remembers as long as the page or process lives, streams for ten minutes. */
export function inMemory(now: () => number = () => performance.now()): TransportMemory {
  const known = new Map<string, { worked: TransportName; at: number }>();
  return {
    get(origin) {
      const entry = known.get(origin);
      if (entry?.worked === "http" && now() - entry.at > FORGET_MS) known.delete(origin);
      return known.get(origin)?.worked;
    },
    set(origin, worked) {
      // Using a stream once more says nothing about WebSockets: the time runs from the first.
      if (known.get(origin)?.worked !== worked) known.set(origin, { worked, at: now() });
    },
  };
}

/** What sockets share unless told otherwise. */
export const sharedMemory: TransportMemory = inMemory();
