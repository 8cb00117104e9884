/**
 * A socket for a page inside a webview whose host embeds the relay: frames come down in the response
 * of a custom scheme, and go up through the message port of the webview. No TCP is involved.
 *
 * ```ts
 * BlazePair.open({ url: "ws://localhost", database: "bugs", confirm, transport: webview() });
 * ```
 *
 * The host half is `src/link/webview_host.ts`. Who may use it is the host's affair: no token travels.
 *
 * @module
 */
import type { Bytes } from "../../wire/bytes.ts";
import { pack, type Packed } from "../../wire/websocket/uint32.ts";
import { LOST } from "../../link/endpoint.ts";
import type { Transport } from "./carrier.ts";
import { framedTransport, type OpenPipe } from "./framed_transport.ts";

/** One frame on its way up, for ports that only know numbers. */
export interface WebviewMessage extends Packed {
  /** Which of the page's connections it belongs to: the number in the address of its response. */
  readonly stream: number;
}

export interface WebviewOptions {
  /** Address of the response that carries frames down. */
  readonly url?: string;
  /** Takes one frame. `saucer.internal.sendBinary` of the page unless given. */
  readonly port?: (message: WebviewMessage) => unknown;
  /** Silence, in seconds, after which the host is pinged. */
  readonly idleSeconds?: number;
  /** The most bytes of one message. */
  readonly maxMessage?: number;
  /** For hosts whose scheme is no URL that `fetch` knows. */
  readonly fetch?: (url: string, init: { signal: AbortSignal }) => Promise<Response>;
}

/** A transport through the webview's host. */
export const webview = (options: WebviewOptions = {}): Transport =>
  framedTransport(webviewPipe(options));

/** Numbers the connections of this page. */
let streams = 0;

const webviewPipe = (options: WebviewOptions): OpenPipe => (target, events) => {
  const { idleSeconds = 30, maxMessage = 4_194_304, port = saucerPort() } = options;
  const stream = streams++;
  const url = new URL(options.url ?? "wsock://localhost/connect");
  url.searchParams.set("to", target.url.pathname + target.url.search);
  url.searchParams.set("stream", `${stream}`);
  const aborter = new AbortController();
  const read = async () => {
    const answer = await (options.fetch ?? fetch)(url.href, { signal: aborter.signal });
    if (!answer.ok || !answer.body) throw new Error(`the host answers ${answer.status}`);
    events.opened({ protocol: "", idleSeconds, maxMessage });
    const reader = answer.body.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new Error("the host has ended the stream");
      events.bytes(value as Bytes);
    }
  };
  read().catch((error) => {
    if (!aborter.signal.aborted) events.lost(LOST, String(error?.message ?? error));
  });
  const abort = () => aborter.abort();
  return {
    // A message port takes everything at once and says nothing about it.
    buffered: 0,
    write: (frame) => void port({ ...pack(frame), stream }),
    end: abort,
    abort,
  };
};

function saucerPort(): (message: WebviewMessage) => unknown {
  const { saucer } = globalThis as {
    saucer?: { internal?: { sendBinary?: (message: WebviewMessage) => unknown } };
  };
  const send = saucer?.internal?.sendBinary;
  if (!send) throw new TypeError("this page has no saucer.internal.sendBinary; pass a port");
  return (message) => send(message);
}
