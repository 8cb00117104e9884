/**
 * BMP over a WebSocket, for browsers and for hosts without TCP.
 *
 * @module
 */
import { linkCarrier } from "../../link/mux/carrier.ts";
import type { Mux } from "../../link/mux/mux.ts";
import { subprotocols } from "../../link/subprotocol.ts";
import { websocketLink } from "../../link/websocket.ts";
import { BmpClosed, type Dial } from "./connection.ts";

/** Dials `GET /bmp`. */
export function webSocketDial(address: string | URL, token?: string): Dial {
  return (connect) => {
    const url = new URL(address);
    url.protocol = url.protocol.replace(/^http/, "ws");
    const { promise, resolve, reject } = Promise.withResolvers<Mux>();
    const socket = new WebSocket(url, subprotocols(token));
    websocketLink(socket, (link) =>
      linkCarrier(link, (carrier) => {
        const mux = connect(carrier);
        resolve(mux);
        return mux;
      }), url.host);
    socket.addEventListener("close", ({ code, reason }) => {
      reject(new BmpClosed(String(code), `no BMP at ${url.host}: ${reason || code}`));
    });
    return promise;
  };
}
