/**
 * A link as the carrier of a multiplexed connection: every message is a piece of the bytes, cut
 * anywhere.
 *
 * @module
 */
import { Close, type CloseFault } from "../../close.ts";
import type { Link, LinkEvents } from "../link.ts";
import type { Mux, MuxCarrier } from "./mux.ts";

/** How often a link is asked whether it has room: not every runtime says so by itself. */
const POLL_MS = 5;

/** What a fault of the connection is to its link; the others are faults of frames. */
const CLOSES: { readonly [code: string]: CloseFault } = {
  NOT_READING: Close.tooSlow,
  TOO_MANY_RESETS: Close.tooFast,
  VACANT: Close.normal,
  RESTARTING: Close.restarting,
};

/** Joins a link with the connection that `connect` makes, if it makes one. */
export function linkCarrier(
  link: Link,
  connect: (carrier: MuxCarrier) => Mux | undefined,
): LinkEvents {
  let polling: ReturnType<typeof setTimeout> | undefined;
  let over = false;
  const pollLater = () => {
    if (!over && link.buffered > 0) polling ??= setTimeout(poll, POLL_MS);
  };
  const poll = () => {
    polling = undefined;
    // It may end the link, which keeps what it has not sent, some kinds of it for ever.
    mux?.drained();
    pollLater();
  };
  const carrier: MuxCarrier = {
    get buffered() {
      return link.buffered;
    },
    write(bytes) {
      link.send(bytes);
      pollLater();
    },
    end(why) {
      over = true;
      clearTimeout(polling);
      const { code, word } = why ? CLOSES[why.code] ?? Close.badFrame : Close.normal;
      link.close(code, why ? why.message : word);
    },
  };
  const mux = connect(carrier);
  return {
    message: (message) => mux?.receive(message),
    text: () => link.close(Close.text.code, Close.text.help),
    drained: () => mux?.drained(),
    closed: () => {
      over = true;
      clearTimeout(polling);
      mux?.closed();
    },
  };
}
