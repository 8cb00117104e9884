/**
 * Messages as they pass: of one link of our own, or of all links of others through a proxy.
 *
 * @module
 */
import { whyRefused } from "../../src/client/refusal.ts";
import { LOST } from "../../src/link/endpoint.ts";
import type { Message } from "../../src/link/link.ts";
import { subprotocols } from "../../src/link/subprotocol.ts";
import { websocketLink } from "../../src/link/websocket_link.ts";
import { ListenError } from "../../src/runtime/listening.ts";
import { MessageType } from "../../src/wire/ecg/codes.ts";
import { encode } from "../../src/wire/ecg/ecg_message.ts";
import { fail, type FlagInfo } from "../args.ts";
import { TOKEN_FLAG, tokenOf, typedAddress } from "../relay_flags.ts";
import { say } from "../say.ts";
import { startWiretap, type Tap } from "./wiretap.ts";

/** For tools that can follow links. */
export const LIVE_FLAGS = {
  url: { help: "watch a link: ws://127.0.0.1:8080/ecg/demo", fallback: "" },
  listen: {
    help: "port of a proxy in front of --url, for both directions",
    fallback: 0,
    least: 0,
    most: 65_535,
    whole: true,
  },
  token: TOKEN_FLAG,
} as const satisfies Record<string, FlagInfo>;

const portOf = ({ port, protocol }: URL) => Number(port) || (protocol === "wss:" ? 443 : 80);

/** Where the proxy itself listens. */
const LOOPBACK = new Set(["127.0.0.1", "localhost"]);

/**
 * Follows the link that the flags name and answers when it has ended, or through a proxy those of others:
 * then it answers at once. Ends the tool in a sentence where neither can be had.
 */
export async function follow(
  flags: { readonly url: string; readonly listen: number; readonly token: string },
  tap: Tap,
): Promise<void> {
  const url = typedAddress(flags.url);
  if (flags.listen === 0) return await watch(url, tokenOf(flags), tap);
  if (LOOPBACK.has(url.hostname) && portOf(url) === flags.listen) {
    fail(`--listen ${flags.listen}: that is where --url leads; choose another port.`);
  }
  try {
    const { port } = await startWiretap(url, flags.listen, tap);
    say(`ws://127.0.0.1:${port} passes everything on to ${url.origin}`);
  } catch (error) {
    if (!(error instanceof ListenError)) throw error;
    fail(`--listen ${flags.listen}: ${error.message}.`);
  }
}

/** Connects and answers when the link has ended. Subscribes where the address is of an ECG stream. */
function watch(url: URL, token: string | undefined, tap: Tap): Promise<void> {
  const socket = new WebSocket(url, subprotocols(token));
  const subscribes = /^\/(?:ecg\/.|ws$)/.test(url.pathname);
  return new Promise((resolve) => {
    let opened = false;
    websocketLink(socket, (link) => {
      opened = true;
      const send = (bytes: Message) => {
        tap.message(0, ">", bytes);
        link.send(bytes);
      };
      let asked = false;
      return {
        message(bytes) {
          tap.message(0, "<", bytes);
          if (subscribes && !asked) {
            asked = true;
            for (
              const [type, payload] of [
                [MessageType.VERSION_CHECK, { version: 3 }],
                [MessageType.SUBSCRIBE, {}],
              ] as const
            ) {
              const timestamp = BigInt(Date.now()) * 1000n;
              send(encode({ version: 3, type, timestamp, payload }));
            }
          }
          // A relay measures what its watchers read by their PONGs.
          if (subscribes && bytes[1] === MessageType.PING) {
            const timestamp = BigInt(Date.now()) * 1000n;
            send(encode({ version: 3, type: MessageType.PONG, timestamp, payload: null }));
          }
        },
        text() {},
        drained() {},
        closed(code, reason) {
          tap.closed(0, code, reason);
          resolve();
        },
      };
    }, url.host);
    socket.addEventListener("close", async ({ code, reason }) => {
      if (opened) return;
      const why = await whyRefused(url, token, code || LOST, reason);
      fail(`${url}: ${why.reason || "cannot be reached"} (${why.code})`);
    });
  });
}
