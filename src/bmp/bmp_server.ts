/**
 * The relay's side of BMP: connections come in, whatever carries them, and each of their streams is
 * a client of the same app.
 *
 * @module
 */
import { host } from "../host.ts";
import type { Clock } from "../link/clock.ts";
import type { Accept } from "../link/link.ts";
import { linkCarrier } from "../link/mux/link_carrier.ts";
import { Mux, type MuxCarrier } from "../link/mux/mux.ts";
import { MUX, type MuxSettings } from "../link/mux/settings.ts";
import { log, RareWarning } from "../log.ts";
import type { Handler } from "../runtime/runtime.ts";
import { APOLOGY, HttpStreams } from "./http_streams.ts";

export interface BmpServerOptions {
  readonly settings?: Partial<MuxSettings>;
  /** Connections at once, in all and from one address. */
  readonly connections: number;
  readonly connectionsPerAddress: number;
  /** Streams with HTTP in them, of all connections; each gets a share. */
  readonly httpStreams: number;
  /** Silence after which a WebSocket in a stream is pinged. */
  readonly idleSeconds: number;
  readonly clock?: Omit<Clock, "random">;
}

export class BmpServer {
  readonly #settings: MuxSettings;
  readonly #http: HttpStreams;
  readonly #open = new Map<Mux, string>();
  readonly #tooMany = new RareWarning(
    "bmp link from {remote} refused: too many connections ({count} refused so far)",
    () => (this.options.clock ?? host).now(),
  );

  constructor(private readonly options: BmpServerOptions, handler: Handler) {
    this.#settings = { ...MUX, ...options.settings };
    this.#http = new HttpStreams(handler, options);
  }

  get connections(): number {
    return this.#open.size;
  }

  get streams(): number {
    let streams = 0;
    for (const mux of this.#open.keys()) streams += mux.size;
    return streams;
  }

  /** Takes a connection; `undefined` if there are too many, and the carrier is ended. */
  connect(carrier: MuxCarrier, remote: string): Mux | undefined {
    const { connections, connectionsPerAddress, clock = host } = this.options;
    let same = 0;
    for (const other of this.#open.values()) if (other === remote) same++;
    if (this.#open.size >= connections || same >= connectionsPerAddress) {
      this.#tooMany.warn({ remote });
      carrier.end();
      return;
    }
    const mux = new Mux({
      role: "server",
      settings: this.#settings,
      carrier,
      clock,
      apology: APOLOGY,
      accept: this.#http.connection(remote),
      ended: (fault) => {
        this.#open.delete(mux);
        const why = fault ? `: ${fault.message}` : "";
        log.debug("bmp link from {remote} closed{why}", { remote, why });
      },
    });
    log.debug("bmp link opened from {remote}", { remote });
    this.#open.set(mux, remote);
    return mux;
  }

  /** The same over a link: every message is a piece of the bytes. */
  accept(): Accept {
    return (link) => linkCarrier(link, (carrier) => this.connect(carrier, link.remote));
  }

  /** Lets requests and WebSockets in streams end, for `graceMs` milliseconds at most; then ends all. */
  async stop(graceMs: number): Promise<void> {
    await this.#http.underWay.ended(graceMs);
    for (const mux of [...this.#open.keys()]) {
      mux.close({ code: "RESTARTING", message: "restarting" });
    }
  }
}
