/**
 * What brings a BMP connection about: a WebSocket here, TCP in `tcp.ts`.
 *
 * @module
 */
import { linkCarrier } from "../../link/mux/link_carrier.ts";
import type { Mux, MuxCarrier } from "../../link/mux/mux.ts";
import { subprotocols } from "../../link/subprotocol.ts";
import { websocketLink } from "../../link/websocket_link.ts";
import { Socket, type SocketOptions } from "../socket.ts";

/** Makes a carrier and joins it with the connection. Rejects when nobody answers. */
export type Dial = (connect: (carrier: MuxCarrier) => Mux) => Promise<Mux>;

/** The connection ended. `code` says why, or is empty when it ended orderly. */
export class BmpClosed extends Error {
  override readonly name = "BmpClosed";

  constructor(readonly code: string, message = "the BMP connection is closed") {
    super(message);
  }
}

/** Dials `GET /bmp`, with the fallback to HTTP streams that every socket of the SDK has. */
export function webSocketDial(
  address: string | URL,
  token: string | undefined,
  options: SocketOptions,
): Dial {
  return (connect) => {
    const url = new URL(address);
    const { promise, resolve, reject } = Promise.withResolvers<Mux>();
    const socket = new Socket(url, subprotocols(token), options);
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
