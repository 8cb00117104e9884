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
import { screened } from "./screen.ts";
import { UnderWay } from "./under_way.ts";

export const deno: Runtime = {
  name: "deno",
  // Read when used: this file is also loaded on runtimes without that global.
  get version() {
    return Deno.version.deno;
  },

  serve({ hostname, port, idleSeconds }: ServeOptions, handler: Handler): Promise<Server> {
    const serve = screened(handler);
    const underWay = new UnderWay();
    const end = new AbortController();
    const server = Deno.serve(
      { hostname, port, onListen: () => {}, signal: end.signal },
      (request, info) => {
        const ended = underWay.begin();
        info.completed.then(ended, ended);
        return serve(request, {
          address: (info.remoteAddr as Deno.NetAddr).hostname ?? "",
          upgrade(accept, protocol) {
            const { socket, response } = Deno.upgradeWebSocket(request, {
              idleTimeout: idleSeconds,
            });
            // By hand: told of it, Deno reads the offer itself, and throws where no space follows a comma.
            if (protocol !== undefined) response.headers.set("sec-websocket-protocol", protocol);
            socket.addEventListener("open", () => {
              socket.addEventListener("close", underWay.begin());
            });
            websocketLink(socket, accept, this.address);
            return response;
          },
        });
      },
    );
    return Promise.resolve({
      ...server.addr as Deno.NetAddr,
      async stop(graceMs) {
        await underWay.ended(graceMs);
        // Not `shutdown`: it would wait for ever for a response that nobody reads.
        end.abort();
        await server.finished;
      },
    });
  },
};
