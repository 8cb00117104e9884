/**
 * A standard WebSocket as a link: in browsers, in clients on every runtime, and in Deno's server.
 *
 * @module
 */
import { LOST } from "./endpoint.ts";
import { type Accept, closeReason, type Link, type LinkEvents } from "./link.ts";

const OPEN = 1;
/** What a client's end says for a close code that it may not say: that is 1000 and 3000–4999 only. */
const UNSAYABLE = 4000;

/** Hands the socket to `accept` once it is open. Sets all of the socket's handlers. */
export function websocketLink(socket: WebSocket, accept: Accept, remote: string): void {
  socket.binaryType = "arraybuffer";
  let events: LinkEvents | undefined;
  const closed = (code: number, reason: string): void => {
    // Once only: a socket's own event follows a close from here, and on Deno even comes twice.
    const listening = events;
    events = undefined;
    listening?.closed(code, reason);
  };
  const link: Link = {
    remote,
    get buffered() {
      return socket.bufferedAmount;
    },
    send(message) {
      if (socket.readyState === OPEN) socket.send(message);
    },
    close(code, reason) {
      if (socket.readyState <= OPEN) {
        try {
          socket.close(code, closeReason(reason));
        } catch {
          // Some codes are for servers only.
          socket.close(UNSAYABLE, closeReason(reason));
        }
      }
      closed(code, reason);
    },
  };
  socket.onopen = () => {
    events = accept(link);
  };
  socket.onmessage = ({ data }) => {
    if (typeof data === "string") events?.text();
    else events?.message(new Uint8Array(data as ArrayBuffer));
  };
  // Deno says 0 where the connection broke.
  socket.onclose = ({ code, reason }) => closed(code || LOST, reason);
  // A close event follows and says what there is to say.
  socket.onerror = () => {};
}
