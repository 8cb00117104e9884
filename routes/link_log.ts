/**
 * A line in the log for every link that opens and closes, whatever it speaks.
 *
 * @module
 */
import { Close } from "../src/close.ts";
import type { Accept } from "../src/link/link.ts";
import { log } from "../src/log.ts";

const words = new Map<number, string>(Object.values(Close).map(({ code, word }) => [code, word]));

/** The same protocol, with its links in the log. What the other end gave for a reason stays out. */
export const logged = (protocol: string, accept: Accept): Accept => (link) => {
  const { remote } = link;
  log.debug("{protocol} link opened from {remote}", { protocol, remote });
  const events = accept(link);
  return {
    message: (message) => events.message(message),
    text: () => events.text(),
    drained: () => events.drained(),
    closed(code, reason) {
      const word = words.get(code);
      const how = word === undefined ? String(code) : `${code} ${word}`;
      log.debug("{protocol} link from {remote} closed with {how}", { protocol, remote, how });
      events.closed(code, reason);
    },
  };
};
