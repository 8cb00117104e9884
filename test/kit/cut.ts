/**
 * The WebSocket of the runtime with scissors: a test looks at what passes, holds it back, and cuts.
 *
 * @module
 */
import type { Transport } from "../../src/client/transport/carrier.ts";
import { nativeTransport } from "../../src/client/transport/native_transport.ts";
import type { Bytes } from "../../src/wire/bytes.ts";

export interface Scissors {
  readonly transport: Transport;
  /** Whether a message may pass. `up`: towards the relay. */
  passes: (message: Bytes, up: boolean) => boolean;
  /** Brings a message, as if the relay had. */
  hear(message: Bytes): void;
  /** Ends the link that there is, as a network does. */
  cut(): void;
}

export function scissors(): Scissors {
  const made: Scissors = {
    passes: () => true,
    hear: () => {},
    cut: () => {},
    transport(target, events) {
      let over = false;
      const carrier = nativeTransport(target, {
        ...events,
        opened: (protocol) => events.opened(protocol),
        message: (data) => {
          if (!over && made.passes(data as Bytes, false)) events.message(data);
        },
        closed: (...how) => {
          if (!over) events.closed(...how);
        },
      });
      made.hear = (message) => events.message(message);
      made.cut = () => {
        if (over) return;
        over = true;
        carrier.abort();
        events.closed(1006, "", false);
      };
      return {
        get buffered() {
          return carrier.buffered;
        },
        send(data) {
          if (!over && made.passes(data as Bytes, true)) carrier.send(data);
        },
        close: (code, reason) => carrier.close(code, reason),
        abort() {
          over = true;
          carrier.abort();
        },
      };
    },
  };
  return made;
}
