/**
 * A TCP or TLS socket as the carrier of a multiplexed connection.
 *
 * @module
 */
import type { Mux, MuxCarrier } from "./mux.ts";

/** The slice of `node:net`'s socket that is used: this file is also loaded where there is none. */
export interface TcpSocket {
  readonly writableLength: number;
  write(bytes: Uint8Array): boolean;
  end(done?: () => void): unknown;
  destroy(): unknown;
  setNoDelay(on: boolean): unknown;
  setKeepAlive(on: boolean, afterMs: number): unknown;
  on(event: "data", listener: (chunk: Uint8Array) => void): unknown;
  on(event: "drain" | "end" | "close" | "error", listener: () => void): unknown;
}

/** What a socket's end may take before it is cut. */
const END_MS = 5_000;
const KEEP_ALIVE_MS = 30_000;

/** Joins an open socket with the connection that `connect` makes, if it makes one. */
export function socketCarrier(
  socket: TcpSocket,
  connect: (carrier: MuxCarrier) => Mux | undefined,
): void {
  socket.on("error", () => {}); // `close` follows.
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
  let over = false;
  const mux = connect({
    get buffered() {
      return socket.writableLength;
    },
    write: (bytes) => void (over || socket.write(bytes)),
    end: () => {
      if (over) return;
      over = true;
      // A peer that does not read would keep the socket, and what waits in it, for ever.
      const cut = setTimeout(() => socket.destroy(), END_MS);
      socket.on("close", () => clearTimeout(cut));
      socket.end(() => socket.destroy());
    },
  });
  socket.on("data", (chunk) => mux?.receive(chunk));
  socket.on("drain", () => mux?.drained());
  socket.on("end", () => mux?.closed());
  socket.on("close", () => {
    over = true;
    mux?.closed();
  });
}
