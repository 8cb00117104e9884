/**
 * A transport in the hands of a test: every attempt to connect is kept, and opens, hears and ends when
 * the test says so.
 *
 * @module
 */
import type { CarrierEvents, Transport } from "../../src/client/transport/carrier.ts";
import type { Bytes } from "../../src/wire/bytes.ts";

/** One attempt to connect. */
export interface Attempt extends CarrierEvents {
  readonly sent: (string | Bytes)[];
  /** What the socket sees as not sent yet. */
  buffered: number;
  aborted: boolean;
  /** The code that the client closed with. */
  closedWith: number | undefined;
}

export interface Puppet {
  readonly transport: Transport;
  readonly attempts: Attempt[];
  /** The newest attempt. */
  readonly last: Attempt;
}

/** `opens`: attempts open by themselves, as soon as their owner listens. */
export function puppet(opens = false): Puppet {
  const attempts: Attempt[] = [];
  return {
    attempts,
    get last() {
      return attempts.at(-1)!;
    },
    transport: (_target, events) => {
      const attempt: Attempt = {
        sent: [],
        buffered: 0,
        aborted: false,
        closedWith: undefined,
        opened: (protocol) => events.opened(protocol),
        message: (data) => events.message(data),
        closed: (code, reason, clean) => events.closed(code, reason, clean),
      };
      attempts.push(attempt);
      if (opens) queueMicrotask(() => attempt.opened(""));
      return {
        get buffered() {
          return attempt.buffered;
        },
        send: (data) => void attempt.sent.push(data),
        close(code) {
          attempt.closedWith = code;
        },
        abort() {
          attempt.aborted = true;
        },
      };
    },
  };
}
