/**
 * One transport made of two: what worked last time first, then the other.
 *
 * A WebSocket that is refused, or that neither opens nor fails in time, is followed by HTTP at
 * once. One that is cut soon after it opened cannot be replaced behind its owner's back, since nobody
 * knows what arrived; it ends, and the next connection begins with HTTP. So does the one after a
 * WebSocket that opened and was given up without a message having come.
 *
 * @module
 */
import { host as systemHost } from "../../host.ts";
import type { Clock } from "../../link/clock.ts";
import { LOST } from "../../link/endpoint.ts";
import type { Carrier, CarrierEvents, Transport } from "./carrier.ts";
import type { TransportMemory, TransportName } from "./transport_memory.ts";

export interface FallbackOptions {
  readonly websocket: Transport;
  readonly http: Transport;
  readonly memory: TransportMemory;
  /** Milliseconds that an upgrade may take. */
  readonly upgradeMs: number;
  /** A WebSocket that ends within so many milliseconds, unasked and unheard, was cut by a proxy. */
  readonly cutMs: number;
}

export const fallbackTransport =
  (options: FallbackOptions, clock: Clock = systemHost): Transport => (target, events) => {
    const { memory } = options;
    const { origin } = target.url;
    const first = memory.get(origin) ?? "websocket";
    let current: Carrier | undefined;
    let aborted = false;

    const attempt = (name: TransportName, last: boolean): void => {
      let open = false;
      let heard = false;
      let failed = false;
      let closing = false;
      let since = 0;
      let stopTimer = () => {};
      const next = (code: number, reason: string): void => {
        stopTimer();
        if (failed || aborted) return;
        failed = true;
        // What the relay itself says is an answer, and the other transport would get the same.
        if (last || code >= 4000) events.closed(code, reason, false);
        else attempt(name === "websocket" ? "http" : "websocket", true);
      };
      const own: CarrierEvents = {
        opened(protocol) {
          if (failed) return;
          stopTimer();
          open = true;
          since = clock.now();
          memory.set(origin, name);
          events.opened(protocol);
        },
        message(data) {
          heard = true;
          events.message(data);
        },
        closed(code, reason, clean) {
          if (!open) return next(code, reason);
          const soon = clock.now() - since < options.cutMs;
          if (name === "websocket" && code === LOST && soon && !heard && !closing) {
            memory.set(origin, "http");
          }
          events.closed(code, reason, clean);
        },
      };
      try {
        const carrier = options[name](target, own);
        current = {
          get buffered() {
            return carrier.buffered;
          },
          send: (data) => carrier.send(data),
          close(code, reason) {
            closing = true;
            carrier.close(code, reason);
          },
          abort() {
            // Its owner has waited long enough: it opened, and carries nothing.
            if (name === "websocket" && open && !heard) memory.set(origin, "http");
            stopTimer();
            carrier.abort();
          },
        };
        if (name === "websocket") {
          stopTimer = clock.after(options.upgradeMs, () => {
            carrier.abort();
            next(LOST, `no upgrade within ${options.upgradeMs} ms`);
          });
        }
      } catch (error) {
        // No WebSocket here, or none for this page. Not at once: the owner is still setting up.
        queueMicrotask(() => next(LOST, String(error)));
      }
    };
    attempt(first, false);
    return {
      get buffered() {
        return current?.buffered ?? 0;
      },
      send: (data) => current?.send(data),
      close: (code, reason) => current?.close(code, reason),
      abort() {
        aborted = true;
        current?.abort();
      },
    };
  };
