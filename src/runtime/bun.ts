/**
 * Bun's server and sockets as links, with its topics for fan-out.
 *
 * Only the slice of Bun that is used is declared here, so every type check sees this file without
 * that runtime's types installed.
 *
 * @module
 */
import {
  type Accept,
  closeReason,
  type Link,
  type LinkEvents,
  type Message,
  type Topics,
} from "../link/link.ts";
import type { Handler, Runtime, ServeOptions, Server } from "./runtime.ts";
import { screened } from "./screen.ts";

interface Socket {
  readonly data: Data;
  binaryType: string;
  /** Bytes sent; -1 when queued behind others, 0 when dropped. */
  send(message: Message): number;
  publish(topic: string, message: Message): number;
  subscribe(topic: string): void;
  unsubscribe(topic: string): void;
  getBufferedAmount(): number;
  close(code: number, reason: string): void;
}

/** What a socket carries from its upgrade to its end. */
interface Data {
  readonly accept: Accept;
  readonly remote: string;
  events?: LinkEvents;
  readonly server: Pick<BunServer, "publish">;
  /** How it ended, from the moment that the session is told. */
  closedWith?: readonly [code: number, reason: string];
}

interface BunServer {
  readonly hostname: string;
  readonly port: number;
  /** Requests whose responses have not left yet. */
  readonly pendingRequests: number;
  requestIP(request: Request): { address: string } | null;
  /** To every socket in the topic, as a socket's own does to the others. */
  publish(topic: string, message: Message): number;
  upgrade(request: Request, options: { data: Data; headers: HeadersInit }): boolean;
  stop(closeActive: boolean): Promise<void>;
}

interface BunApi {
  readonly version: string;
  serve(options: {
    hostname: string;
    port: number;
    /** Seconds, at most 255, for connections that carry plain HTTP. */
    idleTimeout: number;
    fetch(request: Request, server: BunServer): Response | Promise<Response>;
    websocket: {
      maxPayloadLength: number;
      backpressureLimit: number;
      idleTimeout: number;
      sendPings: boolean;
      perMessageDeflate: boolean;
      open(socket: Socket): void;
      message(socket: Socket, message: string | Message): void;
      drain(socket: Socket): void;
      close(socket: Socket, code: number, reason: string): void;
    };
  }): BunServer;
}

const api = (): BunApi => (globalThis as unknown as { Bun: BunApi }).Bun;

/** Above the relay's own limit, so that its answer is heard; beyond it Bun closes with 1009. */
const MAX_MESSAGE = 4 * 1024 * 1024;
/** Far above the outbox's limit: beyond it Bun would drop messages without a word. */
const MAX_BUFFERED = 64 * 1024 * 1024;
/** How often responses under way are looked at while the server stops. */
const POLL_MS = 5;

export const bun: Runtime = {
  name: "bun",
  get version() {
    return api().version;
  },

  serve({ hostname, port, idleSeconds }: ServeOptions, handler: Handler): Promise<Server> {
    const serve = screened(handler);
    const server = api().serve({
      hostname,
      port,
      // Of its own it would cut a response that says nothing for ten seconds.
      idleTimeout: Math.min(255, 3 * idleSeconds),
      fetch: (request, server) =>
        serve(request, {
          address: server.requestIP(request)?.address ?? "",
          upgrade(accept, protocol) {
            const done = server.upgrade(request, {
              data: { accept, remote: this.address, server },
              // Left alone, Bun echoes the first protocol offered, which may be a token.
              headers: { "sec-websocket-protocol": protocol ?? "" },
            });
            // After an upgrade Bun looks at no response, but the app wants one.
            return done
              ? new Response(null)
              : new Response("Bad upgrade request.", { status: 400 });
          },
        }),
      websocket: {
        maxPayloadLength: MAX_MESSAGE,
        backpressureLimit: MAX_BUFFERED,
        idleTimeout: idleSeconds,
        sendPings: true,
        perMessageDeflate: false,
        open(socket) {
          const { data } = socket;
          socket.binaryType = "uint8array";
          data.events = data.accept(new BunLink(socket));
          // Whoever closes while accepting hears of it as soon as there is somebody to hear.
          if (data.closedWith) data.events.closed(...data.closedWith);
        },
        message({ data: { events, closedWith } }, message) {
          if (closedWith) return;
          if (typeof message === "string") events?.text();
          else events?.message(message);
        },
        drain(socket) {
          const { events, closedWith } = socket.data;
          if (!closedWith && socket.getBufferedAmount() === 0) events?.drained();
        },
        close: ({ data }, code, reason) => closed(data, code, reason),
      },
    });
    return Promise.resolve({
      hostname: server.hostname,
      port: server.port,
      async stop(graceMs) {
        // Sockets that are closing end by themselves, even after this. Of responses nobody tells.
        for (let ms = 0; server.pendingRequests > 0 && ms < graceMs; ms += POLL_MS) {
          await new Promise((resolve) => setTimeout(resolve, POLL_MS));
        }
        await server.stop(true);
      },
    });
  },
};

/** Once only: a socket's own event follows a close from here. */
function closed(data: Data, code: number, reason: string): void {
  if (data.closedWith) return;
  data.closedWith = [code, reason];
  data.events?.closed(code, reason);
}

class BunLink implements Link, Topics {
  constructor(private readonly socket: Socket) {}

  get remote(): string {
    return this.socket.data.remote;
  }

  get buffered(): number {
    return this.socket.getBufferedAmount();
  }

  get topics(): Topics {
    return this;
  }

  send(message: Message): void {
    this.socket.send(message);
  }

  close(code: number, reason: string): void {
    this.socket.close(code, closeReason(reason));
    closed(this.socket.data, code, reason);
  }

  join(name: string): void {
    this.socket.subscribe(name);
  }

  leave(name: string): void {
    this.socket.unsubscribe(name);
  }

  publish(name: string, message: Message, self = false): boolean {
    return (self ? this.socket.data.server : this.socket).publish(name, message) >= 0;
  }
}
