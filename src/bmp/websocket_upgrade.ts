/**
 * A WebSocket inside a BMP stream: the handshake of RFC 6455 section 4, then our own codec.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { host } from "../host.ts";
import type { Accept } from "../link/link.ts";
import { FramedLink } from "../link/framed_link.ts";
import type { Peer } from "../runtime/runtime.ts";
import type { StreamDuplex } from "./duplex.ts";

/** Section 1.3: what the key is joined with. */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** As with the runtimes' own sockets: above the relay's limit, so that its answer is heard. */
const MAX_MESSAGE = 4 * 1024 * 1024;
const LIMITS = { maxFrame: MAX_MESSAGE, maxMessage: MAX_MESSAGE, maxFragments: 65_536 };

/** The peer of one upgrade request. */
export class Upgrade implements Peer {
  /** Whether the answer is sent. */
  done = false;

  constructor(
    private readonly incoming: IncomingMessage,
    private readonly duplex: StreamDuplex,
    private readonly head: Uint8Array,
    private readonly idleSeconds: number,
  ) {}

  get address(): string {
    return this.duplex.remoteAddress;
  }

  upgrade(accept: Accept, protocol?: string): Response {
    if (this.incoming.httpVersion !== "1.1") {
      return Response.json({ error: "An upgrade is HTTP/1.1." }, { status: 400 });
    }
    const key = this.incoming.headers["sec-websocket-key"];
    this.done = true;
    const { duplex } = this;
    const answer = createHash("sha1").update(key + GUID).digest("base64");
    duplex.write(
      "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n" +
        `sec-websocket-accept: ${answer}\r\n` +
        (protocol === undefined ? "" : `sec-websocket-protocol: ${protocol}\r\n`) + "\r\n",
    );
    const link = new FramedLink(
      {
        remote: duplex.remoteAddress,
        get buffered() {
          return duplex.writableLength;
        },
        write: (bytes) => void duplex.write(bytes),
        end: () => void duplex.end(),
      },
      accept,
      { limits: LIMITS, idleMs: 2_000 * this.idleSeconds, clock: host },
    );
    if (this.head.length > 0) link.receive(new Uint8Array(this.head));
    duplex.on("data", (chunk: Uint8Array) => link.receive(new Uint8Array(chunk)));
    duplex.on("drain", () => link.drained());
    duplex.on("end", () => link.lost());
    duplex.on("close", () => link.lost());
    return new Response(null);
  }
}
