/**
 * The least that fans out: a native WebSocket server of the runtime, one group per path, no checks.
 *
 * Bun serves a group with its own topics, Deno with a loop of `send`.
 *
 * @module
 */

/** Serves on a free port of loopback, and answers which. */
export const startBare = (): number => "Bun" in globalThis ? onBun() : onDeno();

interface BunSocket {
  readonly data: string;
  subscribe(topic: string): void;
  publish(topic: string, message: Uint8Array): number;
}

interface BunServer {
  readonly port: number;
  upgrade(request: Request, options: { data: string }): boolean;
}

interface BunApi {
  serve(options: {
    hostname: string;
    port: number;
    fetch(request: Request, server: BunServer): Response | undefined;
    websocket: {
      idleTimeout: number;
      backpressureLimit: number;
      open(socket: BunSocket): void;
      message(socket: BunSocket, message: Uint8Array): void;
    };
  }): BunServer;
}

const onBun = (): number =>
  (globalThis as unknown as { Bun: BunApi }).Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request, server) {
      const upgraded = server.upgrade(request, { data: new URL(request.url).pathname });
      return upgraded ? undefined : new Response("WebSocket only", { status: 426 });
    },
    websocket: {
      idleTimeout: 0,
      // The relay's, so that neither drops where the other would not.
      backpressureLimit: 64 * 1024 * 1024,
      open: (socket) => socket.subscribe(socket.data),
      message: (socket, message) => void socket.publish(socket.data, message),
    },
  }).port;

function onDeno(): number {
  const groups = new Map<string, Set<WebSocket>>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request, { idleTimeout: 0 });
    const { pathname } = new URL(request.url);
    const group = groups.get(pathname) ?? new Set();
    groups.set(pathname, group);
    socket.onopen = () => group.add(socket);
    socket.onmessage = ({ data }) => {
      for (const other of group) if (other !== socket) other.send(data);
    };
    socket.onclose = () => group.delete(socket);
    return response;
  });
  return server.addr.port;
}
