/**
 * BMP over TCP, where there is `node:net`: not for browsers.
 *
 * @module
 */
import { connect as connectTcp, isIP } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Mux } from "../../link/mux/mux.ts";
import { socketCarrier } from "../../link/mux/socket_carrier.ts";
import type { Dial } from "./dial.ts";

export interface TcpOptions {
  readonly hostname: string;
  readonly port: number;
  /**
   * TLS. `ca`: a PEM text for a certificate of one's own. `servername`: the name that the certificate
   * is for, where that is not the `hostname` dialled.
   */
  readonly tls?: boolean | { readonly ca?: string; readonly servername?: string };
}

/** Dials a BMP port. */
export function tcp({ hostname, port, tls }: TcpOptions): Dial {
  return (connect) => {
    const { promise, resolve, reject } = Promise.withResolvers<Mux>();
    const socket = tls
      ? connectTls({ host: hostname, port, ...named(hostname), ...(tls === true ? {} : tls) })
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

/** RFC 6066, 3: an address is no name to ask for. The certificate has to name it all the same. */
const named = (hostname: string): { servername?: string } =>
  isIP(hostname) === 0 ? { servername: hostname } : {};
