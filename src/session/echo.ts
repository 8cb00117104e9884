/**
 * Sends back what comes: for trying a connection out, and for measuring one.
 *
 * @module
 */
import { Close } from "../close.ts";
import type { Host } from "../host.ts";
import type { Limits } from "../limits.ts";
import type { Accept } from "../link/link.ts";
import { Outbox } from "./outbox.ts";
import { Bucket } from "./rate.ts";

/** Serves links that want their messages back. */
export function echo(limits: Limits, host: Host): Accept {
  return (link) => {
    const outbox = new Outbox(link, limits.bufferedBytes);
    const now = () => host.now();
    const { messagesPerSecond, bytesPerSecond, burstSeconds } = limits;
    const messages = new Bucket(messagesPerSecond, burstSeconds * messagesPerSecond, now);
    const bytes = new Bucket(bytesPerSecond, burstSeconds * bytesPerSecond, now);
    return {
      message(message) {
        if (message.length > limits.messageBytes) outbox.close(Close.tooLarge);
        else if (messages.take() && bytes.take(message.length)) outbox.send(message);
        else outbox.close(Close.tooFast);
      },
      text: () => outbox.close(Close.text),
      drained() {},
      closed() {},
    };
  };
}
