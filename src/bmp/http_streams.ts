/**
 * HTTP/1.1 in BMP streams. The parser is Node's: `node:http` takes any duplex stream for a
 * connection, on both runtimes, keep-alive and upgrades included.
 *
 * @module
 */
import {
  createServer,
  type IncomingMessage,
  type Server as HttpServer,
  ServerResponse,
} from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { MuxStream, MuxStreamEvents } from "../link/mux/mux_stream.ts";
import { log } from "../log.ts";
import { utf8Bytes } from "../wire/bytes.ts";
import type { Handler, Peer } from "../runtime/runtime.ts";
import { screened } from "../runtime/screen.ts";
import { type Share, Shares } from "./shares.ts";
import { StreamDuplex } from "./duplex.ts";
import { BadRequest, type IncomingBody, respond, toRequest } from "./exchange.ts";
import { UnderWay } from "../runtime/under_way.ts";
import { Upgrade } from "./websocket_upgrade.ts";

/** Requests of one stream that are not answered yet. */
const MOST_IN_A_ROW = 4;

const plain = (status: string, text: string): string =>
  `HTTP/1.1 ${status}\r\ncontent-type: text/plain\r\ncontent-length: ${text.length}\r\n` +
  `connection: close\r\n\r\n${text}`;

/** For streams that end before there is an answer. */
export const APOLOGY: Uint8Array = utf8Bytes(
  plain("503 Service Unavailable", "No answer: too many streams, or one that took too long.\n"),
);

export interface HttpStreamsOptions {
  /** Connections at once, in all. */
  readonly connections: number;
  /** Streams with HTTP in them at once, of which each connection gets a share; others get an apology. */
  readonly httpStreams: number;
  /** Silence after which a WebSocket in a stream is pinged. */
  readonly idleSeconds: number;
}

/** Serves HTTP in streams. One for all connections. */
export class HttpStreams {
  /** Streams whose client waits for something: an answer, or a WebSocket. */
  readonly underWay: UnderWay = new UnderWay();
  readonly #server: HttpServer;
  readonly #handler: Handler;
  readonly #shares: Shares;

  constructor(handler: Handler, private readonly options: HttpStreamsOptions) {
    this.#shares = new Shares(options.httpStreams, options.connections);
    this.#handler = screened(handler);
    const server = createServer((request, response) => void this.#serve(request, response));
    // Deno drops a connection after each answer of a server that does not listen.
    Object.defineProperty(server, "listening", { value: true });
    server.keepAliveTimeout = 0;
    // A client may say eof behind its request and still wants the answer.
    (server as { httpAllowHalfOpen?: boolean }).httpAllowHalfOpen = true;
    server.on("upgrade", (request, socket, head) => void this.#upgrade(request, socket, head));
    // What it cannot expect is left out, as in the runtimes' own servers.
    server.on("checkExpectation", (request, response) => void this.#serve(request, response));
    server.on("clientError", (_error, socket) => refuse(socket as StreamDuplex));
    this.#server = server;
  }

  /** Listens to the streams of a connection that a peer at `address` has opened. */
  connection(address: string): (stream: MuxStream) => MuxStreamEvents {
    const share = this.#shares.open();
    return (stream) => this.#accept(stream, address, share);
  }

  /** HTTP attaches with the first bytes of a stream. */
  #accept(stream: MuxStream, address: string, share: Share): MuxStreamEvents {
    let duplex: StreamDuplex | undefined;
    return {
      readable: () => {
        if (duplex) return duplex.onReadable();
        if (stream.ended || !share.take()) return stream.close();
        duplex = new StreamDuplex(stream, address);
        duplex.on("error", () => {}); // It is closed then, and nobody is left to tell.
        this.#server.emit("connection", duplex);
      },
      drained: () => duplex?.onDrained(),
      closed: () => {
        if (!duplex) return;
        share.free();
        duplex.cut();
      },
    };
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const duplex = incoming.socket as unknown as StreamDuplex;
    const { stream, remoteAddress } = duplex;
    // Whoever wants more at once opens more streams; requests in a row would all be held in memory.
    duplex.begin(incoming, outgoing);
    if (duplex.requests.size > MOST_IN_A_ROW) return duplex.cut();
    const ended = this.underWay.begin();
    duplex.on("close", ended);
    // Kept open, a stream reads on behind an early answer; it is ended below, where that is over.
    const last = !outgoing.shouldKeepAlive;
    outgoing.shouldKeepAlive = true;
    outgoing.on("close", () => {
      ended();
      duplex.off("close", ended);
      duplex.answered(incoming);
      // The real client takes one request a stream, and waits for its end where an answer has no body.
      if (last || (stream.stranger && duplex.requests.size === 0)) duplex.end();
    });
    const peer: Peer = {
      address: remoteAddress,
      upgrade: () => new Response("Bad upgrade request.", { status: 400 }),
    };
    let response: Response;
    let body: IncomingBody | undefined;
    try {
      const made = toRequest(incoming, outgoing);
      body = made.body;
      if (body) duplex.expect(incoming, body.arrived);
      response = await this.#handler(made.request, peer);
    } catch (error) {
      response = failure(error);
    }
    try {
      await respond(response, outgoing, () => body?.answered());
    } catch {
      return void outgoing.destroy(); // The body failed, and half of it may be gone: cut, so that it shows.
    }
    body?.skip();
  }

  async #upgrade(incoming: IncomingMessage, socket: Duplex, head: Uint8Array): Promise<void> {
    const duplex = socket as StreamDuplex;
    // It would speak in the middle of the answers before it.
    if (duplex.requests.size > 0) return duplex.cut();
    const outgoing = new ServerResponse(incoming);
    duplex.begin(incoming, outgoing);
    duplex.on("close", this.underWay.begin());
    const upgrade = new Upgrade(incoming, duplex, head, this.options.idleSeconds);
    let response: Response;
    try {
      response = await this.#handler(toRequest(incoming, outgoing, false).request, upgrade);
    } catch (error) {
      response = failure(error);
    }
    if (upgrade.done) return;
    // The parser has let go of the stream, so this answer is the last.
    outgoing.shouldKeepAlive = false;
    if (duplex.destroyed) outgoing.destroy();
    else outgoing.assignSocket(socket as Socket);
    outgoing.on("finish", () => duplex.end());
    await respond(response, outgoing).catch(() => duplex.cut());
  }
}

/** No more requests can be read. The last one may have its answer, or half of that: then it is cut. */
function refuse(duplex: StreamDuplex): void {
  const last = [...duplex.requests.values()].find((response) => response.headersSent);
  if (last && !last.writableEnded) return duplex.cut();
  if (last) duplex.end();
  else if (duplex.writable) {
    duplex.end(plain("400 Bad Request", "This is not HTTP/1.1.\n"));
  }
  duplex.broken();
}

function failure(error: unknown): Response {
  if (error instanceof BadRequest) return new Response(`${error.message}\n`, { status: 400 });
  log.error("A request in a stream failed: {error}", { error });
  return new Response("Internal Server Error\n", { status: 500 });
}
