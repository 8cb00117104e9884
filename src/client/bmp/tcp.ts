/**
 * BMP over TCP, where there is `node:net`: not for browsers.
 *
 * @module
 */
import { connect as connectTcp } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Mux } from "../../link/mux/mux.ts";
import { socketCarrier } from "../../link/mux/socket_carrier.ts";
import type { Dial } from "./dial.ts";

export interface TcpOptions {
  readonly hostname: string;
  readonly port: number;
  /** TLS; `ca` is a PEM text for a certificate of one's own. */
  readonly tls?: boolean | { readonly ca: string };
}

/** Dials a BMP port. */
export function tcp({ hostname, port, tls }: TcpOptions): Dial {
  return (connect) => {
    const { promise, resolve, reject } = Promise.withResolvers<Mux>();
    const ca = typeof tls === "object" ? tls.ca : undefined;
    const socket = tls
      ? connectTls({ host: hostname, port, servername: hostname, ...(ca ? { ca } : {}) })
      : connectTcp({ host: hostname, port });
    socket.once("error", reject);
    socket.once(tls ? "secureConnect" : "connect", () => {
      socketCarrier(socket, (carrier) => {
        const mux = connect(carrier);
        resolve(mux);
        return mux;
      });
    });
    return promise;
  };
}
