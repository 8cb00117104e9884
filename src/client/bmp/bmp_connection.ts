/**
 * The BMP client: hundreds of streams in one connection.
 *
 * ```ts
 * const bmp = await BmpConnection.open({ url: "ws://127.0.0.1:8080/bmp" });
 * const answer = await bmp.fetch("/health");
 * const { transport } = bmp;
 * const device = BlazePair.open({ url: "ws://relay", database: "bugs", confirm, transport });
 * ```
 *
 * In browsers the bytes travel over a WebSocket; `tcp.ts` brings TCP where there is `node:net`.
 *
 * @module
 */
import { host } from "../../host.ts";
import { Mux, type MuxFault } from "../../link/mux/mux.ts";
import { MUX, type MuxSettings } from "../../link/mux/settings.ts";
import type { MuxStreamEvents } from "../../link/mux/mux_stream.ts";
import type { Form } from "../../wire/bmp/bmp_frame.ts";
import type { SocketOptions } from "../socket.ts";
import type { Transport } from "../transport/carrier.ts";
import { framedTransport } from "../transport/framed_transport.ts";
import { BmpClosed, type Dial, webSocketDial } from "./dial.ts";
import { Exchanges } from "./bmp_fetch.ts";
import { bmpPipe } from "./bmp_pipe.ts";
import { BmpStream } from "./bmp_stream.ts";

export interface BmpOptions extends SocketOptions {
  /** `ws://…/bmp` or `wss://…/bmp`; `http://` and `https://` are taken too. */
  readonly url?: string | URL;
  /** Brought to the relay, with the connection and with every request in it. */
  readonly token?: string;
  /** Another carrier than a WebSocket: `tcp({ hostname, port })`. */
  readonly dial?: Dial;
  /** How frames are written: binary4 unless the server is one that speaks another form. */
  readonly form?: Form;
  readonly settings?: Partial<MuxSettings>;
}

export class BmpConnection {
  /** Resolves when the connection has ended, with the reason if it was not orderly. */
  readonly closed: Promise<MuxFault | undefined>;
  readonly #mux: Mux;
  readonly #exchanges: Exchanges;

  private constructor(mux: Mux, closed: Promise<MuxFault | undefined>, token?: string) {
    this.#mux = mux;
    this.closed = closed;
    this.#exchanges = new Exchanges(mux, token);
  }

  /** Connects. Throws `TypeError` without an address, and whatever the carrier fails with. */
  static async open(options: BmpOptions): Promise<BmpConnection> {
    const { url, token, form = "binary4" } = options;
    const dial = options.dial ??
      (url === undefined ? undefined : webSocketDial(url, token, options));
    if (!dial) throw new TypeError("a BMP connection needs a url or a dial");
    const closed = Promise.withResolvers<MuxFault | undefined>();
    const mux = await dial((carrier) =>
      new Mux({
        role: "client",
        form,
        settings: { ...MUX, ...options.settings },
        carrier,
        clock: host,
        ended: closed.resolve,
      })
    );
    return new BmpConnection(mux, closed.promise, token);
  }

  /** Streams that are open. */
  get streams(): number {
    return this.#mux.size;
  }

  /** Whether the other end is one of ours, so that windows and kept streams are used. */
  get extended(): boolean {
    return this.#mux.agreed !== undefined;
  }

  /**
   * Opens a stream of bytes. The server learns of it with the first bytes written; `announce` tells
   * it at once, for protocols where the server speaks first (the real Blazeio does not know that).
   */
  openStream({ announce = false } = {}): BmpStream {
    const stream = new BmpStream((events) => this.open(events));
    if (announce) stream.announce();
    return stream;
  }

  /** The same without web streams. */
  open(events: MuxStreamEvents) {
    if (this.#mux.over) throw new BmpClosed("");
    return this.#mux.open(events);
  }

  /** Like the global `fetch`, in a stream. Only the path and the host of the address matter. */
  fetch = (input: RequestInfo | URL, init?: RequestInit): Promise<Response> =>
    this.#exchanges.fetch(input, init);

  /** Carries WebSockets, each in a stream: what `BlazePair`, `EcgClient` and `Socket` take. */
  readonly transport: Transport = framedTransport(bmpPipe((events) => this.open(events)));

  /** Ends all streams and the connection. */
  close(): void {
    this.#mux.close();
  }
}
