/**
 * Deno's server and sockets as links.
 *
 * Deno takes messages of up to 64 MiB before anybody can look at them and buffers without bound when
 * sending, so size and backlog are judged by the sessions.
 *
 * @module
 */
import { type Accept, closeReason, type Link, type LinkEvents } from "../link/link.ts";
import type { Handler, Runtime, ServeOptions, Server } from "./runtime.ts";

export const deno: Runtime = {
  name: "deno",
  // Read when used: this file is also loaded on runtimes without that global.
  get version() {
    return Deno.version.deno;
  },

  async serve({ hostname, port, idleSeconds }: ServeOptions, handler: Handler): Promise<Server> {
    const server = Deno.serve(
      { hostname, port, onListen: () => {} },
      (request, info) =>
        handler(request, {
          address: (info.remoteAddr as Deno.NetAddr).hostname ?? "",
          upgrade(accept, protocol) {
            const { socket, response } = Deno.upgradeWebSocket(request, {
              idleTimeout: idleSeconds,
              ...(protocol === undefined ? {} : { protocol }),
            });
            attach(socket, accept, this.address);
            return response;
          },
        }),
    );
    const { hostname: bound, port: taken } = await Promise.resolve(server.addr as Deno.NetAddr);
    return { hostname: bound, port: taken, stop: () => server.shutdown() };
  },
};

function attach(socket: WebSocket, accept: Accept, remote: string): void {
  socket.binaryType = "arraybuffer";
  const link: Link = {
    remote,
    get buffered() {
      return socket.bufferedAmount;
    },
    send(message) {
      if (socket.readyState === WebSocket.OPEN) socket.send(message);
    },
    close(code, reason) {
      if (socket.readyState <= WebSocket.OPEN) socket.close(code, closeReason(reason));
    },
  };
  let events: LinkEvents | undefined;
  socket.onopen = () => {
    events = accept(link);
  };
  socket.onmessage = ({ data }) => {
    if (typeof data === "string") events?.text();
    else events?.message(new Uint8Array(data as ArrayBuffer));
  };
  socket.onclose = ({ code, reason }) => {
    // After a heartbeat that nobody answered this comes twice.
    const listening = events;
    events = undefined;
    listening?.closed(code, reason);
  };
  // A close event follows and says what there is to say.
  socket.onerror = () => {};
}
