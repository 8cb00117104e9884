/**
 * Proxies as they stand between people and relays: each passes connections on and spoils something.
 *
 * @module
 */
import { createServer as createHttpServer, type IncomingMessage } from "node:http";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface Proxy {
  /** `http://127.0.0.1:…`, without a slash at the end. */
  readonly url: string;
  /** First lines of the requests that came, as far as connections begin with them. */
  readonly requests: readonly string[];
  stop(): Promise<void>;
}

/** What is done to a connection. `upgrade`: whether it asks for a WebSocket. */
export type Spoil = (connection: {
  readonly upgrade: boolean;
  readonly client: Socket;
  /** Connects to the relay and passes bytes both ways. */
  pass(): Socket;
}) => void;

/** A proxy in front of `relay` (`http://127.0.0.1:…`). */
export async function proxy(relay: string, spoil: Spoil): Promise<Proxy> {
  const { hostname, port } = new URL(relay);
  const open = new Set<Socket>();
  const requests: string[] = [];
  const keep = (socket: Socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    socket.on("error", () => socket.destroy());
  };
  const server = createServer((client) => {
    keep(client);
    client.once("data", (first: Uint8Array) => {
      const head = new TextDecoder().decode(first);
      requests.push(head.slice(0, head.indexOf("\r\n")));
      spoil({
        upgrade: /^upgrade: *websocket/im.test(head),
        client,
        pass() {
          const upstream = connect(Number(port), hostname);
          keep(upstream);
          upstream.write(first);
          client.pipe(upstream);
          upstream.pipe(client);
          client.on("close", () => upstream.destroy());
          upstream.on("close", () => client.destroy());
          return upstream;
        },
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async stop() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const refusal = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/** Answers upgrades with an error. */
export const dropsUpgrades: Spoil = ({ upgrade, client, pass }) =>
  void (upgrade ? client.end(refusal) : pass());

/** Takes upgrades and never answers them. */
export const swallowsUpgrades: Spoil = ({ upgrade, pass }) => void (upgrade || pass());

/** Lets upgrades through, and cuts them as soon as the answer has passed. */
export const cutsUpgrades: Spoil = ({ upgrade, client, pass }) => {
  const upstream = pass();
  if (upgrade) upstream.once("data", () => setTimeout(() => client.destroy(), 30));
};

/** A proxy that hands on a response only once it has all of it. */
export async function bufferingProxy(relay: string): Promise<Proxy> {
  const requests: string[] = [];
  const server = createHttpServer(async (request: IncomingMessage, response) => {
    requests.push(`${request.method} ${request.url}`);
    const aborter = new AbortController();
    response.on("close", () => aborter.abort());
    const parts: Uint8Array[] = [];
    for await (const part of request) parts.push(part as Uint8Array);
    const headers = new Headers();
    for (const [name, value] of Object.entries(request.headers)) {
      if (/^(?:stream-|authorization|content-type)/.test(name)) headers.set(name, String(value));
    }
    try {
      const answer = await fetch(relay + request.url, {
        method: request.method ?? "GET",
        headers,
        signal: aborter.signal,
        ...(request.method === "POST" &&
          { body: await new Blob(parts as BlobPart[]).arrayBuffer() }),
      });
      const whole = new Uint8Array(await answer.arrayBuffer());
      response.writeHead(answer.status, { "content-length": whole.length });
      response.end(whole);
    } catch {
      response.destroy();
    }
  });
  server.on("upgrade", (_request, socket) => socket.end(refusal));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Lets upgrades through, and nothing of what follows them; not even the end. */
export const mutesUpgrades: Spoil = ({ upgrade, client, pass }) => {
  const upstream = pass();
  if (upgrade) upstream.once("data", () => blacken(client, upstream));
};

/** From now on nothing arrives of what two sockets bring for each other, not even their end. */
function blacken(client: Socket, upstream: Socket): void {
  for (const [from, to] of [[client, upstream], [upstream, client]] as const) {
    from.unpipe(to);
    from.removeAllListeners("close");
    from.resume();
  }
}

/** A proxy that turns into a black hole for the connections it has, and works for new ones. */
export function swallows(): {
  readonly spoil: Spoil;
  /** From now on nothing that these connections carry arrives, not even their end. */
  swallow(): void;
} {
  const passing = new Set<() => void>();
  return {
    spoil({ client, pass }) {
      const upstream = pass();
      passing.add(() => blacken(client, upstream));
    },
    swallow() {
      for (const cut of passing) cut();
      passing.clear();
    },
  };
}

/** Everything arrives so many milliseconds later, each way. */
export const delays = (ms: number): Spoil => ({ client, pass }) => {
  const upstream = pass();
  for (const [from, to] of [[client, upstream], [upstream, client]] as const) {
    from.unpipe(to);
    from.on("data", (bytes: Uint8Array) => {
      setTimeout(() => to.destroyed || to.write(bytes), ms);
    });
    from.resume();
  }
};
