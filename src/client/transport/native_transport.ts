/**
 * The WebSocket of the runtime as a carrier.
 *
 * @module
 */
import { LOST } from "../../link/endpoint.ts";
import type { Transport } from "./carrier.ts";

const CONNECTING = 0;

/** What standards do not have, and some runtimes do. */
interface Terminable extends WebSocket {
  terminate?(): void;
}

export const nativeTransport: Transport = ({ url, protocols }, events) => {
  // Read when used: a page may have taken it away, and that throws as a refused upgrade does.
  const socket = new WebSocket(url, [...protocols]);
  socket.binaryType = "arraybuffer";
  let over = false;
  socket.onopen = () => {
    if (!over) events.opened(socket.protocol);
  };
  socket.onmessage = ({ data }) => {
    if (over) return;
    events.message(typeof data === "string" ? data : new Uint8Array(data as ArrayBuffer));
  };
  socket.onclose = ({ code, reason, wasClean }) => {
    // On Deno it can come twice.
    if (over) return;
    over = true;
    // Deno says 0 where there never was a connection.
    events.closed(code || LOST, reason, wasClean);
  };
  // A close event follows and says what there is to say.
  socket.onerror = () => {};
  return {
    get buffered() {
      return socket.bufferedAmount;
    },
    send: (data) => socket.send(data),
    close: (code, reason) => code === 1005 ? socket.close() : socket.close(code, reason),
    abort() {
      over = true;
      // Closing one that connects leaves an error behind that nobody listens to.
      if (socket.readyState === CONNECTING) socket.onopen = () => socket.close();
      // Where a runtime can, nobody waits for the answer of a network that is gone.
      else (socket as Terminable).terminate?.();
      socket.close();
    },
  };
};
