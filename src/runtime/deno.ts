/**
 * Deno's server and sockets as links.
 *
 * Deno takes messages of up to 64 MiB before anybody can look at them and buffers without bound when
 * sending, so size and backlog are judged by the sessions.
 *
 * @module
 */
import { websocketLink } from "../link/websocket_link.ts";
import type { Handler, Runtime, ServeOptions, Server } from "./runtime.ts";

export const deno: Runtime = {
  name: "deno",
  // Read when used: this file is also loaded on runtimes without that global.
  get version() {
    return Deno.version.deno;
  },

  serve({ hostname, port, idleSeconds }: ServeOptions, handler: Handler): Promise<Server> {
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
            websocketLink(socket, accept, this.address);
            return response;
          },
        }),
    );
    const address = server.addr as Deno.NetAddr;
    return Promise.resolve({ ...address, stop: () => server.shutdown() });
  },
};
