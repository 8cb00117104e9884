/**
 * A proxy on the wire: passes TCP on byte by byte and reads along, so that both sides see of each other
 * what they would see without it: refusals, close codes, and connections that just end.
 *
 * @module
 */
import { type AddressInfo, connect, createServer, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { listening } from "../../src/runtime/listening.ts";
import { type Bytes, utf8Bytes, utf8Text } from "../../src/wire/bytes.ts";
import { FrameDecoder } from "../../src/wire/websocket/frame_decoder.ts";
import { FrameError } from "../../src/wire/websocket/violation.ts";
import { LOST } from "../../src/link/endpoint.ts";
import type { Direction } from "./capture.ts";

/** Hears every message, and the end of every link. */
export interface Tap {
  message(link: number, direction: Direction, bytes: Bytes): void;
  closed(link: number, code: number, reason: string): void;
  /** A link could not be had, or what it carried is no WebSocket. */
  failed(link: number, code: string, text: string): void;
}

export interface Wiretap {
  readonly port: number;
  stop(): Promise<void>;
}

/** Bytes of a head before its empty line. */
const MAX_HEAD = 65_536;
/** A message that is larger passes, and is not read. */
const LIMITS = { maxFrame: 16_777_216, maxMessage: 16_777_216, maxFragments: 65_536 };

const hosts: Record<Direction, string> = { ">": "the client", "<": "the relay" };

/** Listens on `port` of this machine, 0 for any, and passes on to `target`. Throws `ListenError`. */
export async function startWiretap(target: URL, port: number, tap: Tap): Promise<Wiretap> {
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    return socket;
  };
  let links = 0;
  const server = createServer((near) => {
    keep(near);
    near.on("error", () => near.destroy());
    readHead(near, (head, rest) => {
      const upgrade = /^upgrade: *websocket *$/im.test(head);
      const far = keep(dial(target));
      const ears = upgrade ? new Ears(++links, tap) : undefined;
      far.on("error", ({ message }) => {
        if (far.bytesRead === 0 && !near.destroyed) {
          const error = `${target.host} cannot be reached: ${message}`;
          ears?.failed("unreachable", error);
          near.end(badGateway(error));
        }
        far.destroy();
      });
      far.write(latin1(passed(head, target, upgrade)));
      if (rest.length > 0) {
        far.write(rest);
        ears?.hear(">", rest);
      }
      forward(near, far, (chunk) => ears?.hear(">", chunk), () => ears?.ended(">"));
      forward(far, near, (chunk) => ears?.hear("<", chunk), () => ears?.ended("<"));
      near.resume();
    });
  });
  await listening("127.0.0.1", port, () =>
    new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, "127.0.0.1", resolve);
    }));
  return {
    port: (server.address() as AddressInfo).port,
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function dial({ protocol, hostname, port }: URL): Socket {
  const secure = protocol === "wss:";
  const host = hostname.replace(/^\[|\]$/g, "");
  const to = { host, port: Number(port) || (secure ? 443 : 80) };
  return secure ? connectTls({ ...to, ...(isIP(host) ? {} : { servername: host }) }) : connect(to);
}

/** Reads to the empty line that ends a head, and stops reading. */
function readHead(socket: Socket, take: (head: string, rest: Bytes) => void): void {
  let text = "";
  const read = (chunk: Uint8Array) => {
    text += fromLatin1(chunk);
    const end = text.indexOf("\r\n\r\n") + 4;
    if (end < 4) return text.length > MAX_HEAD ? void socket.destroy() : undefined;
    socket.off("data", read);
    socket.pause();
    take(text.slice(0, end), latin1(text.slice(end)));
  };
  socket.on("data", read);
}

/** A request as it goes on: to the target by name, with no extension that would hide messages. */
function passed(head: string, target: URL, upgrade: boolean): string {
  const [first, ...fields] = head.trimEnd().split("\r\n");
  const kept = fields.filter((field) =>
    !/^(?:host|sec-websocket-extensions)\s*:/i.test(field) &&
    // One request a connection, since only its first is looked at.
    (upgrade || !/^(?:connection|keep-alive)\s*:/i.test(field))
  );
  const own = [`Host: ${target.host}`, ...(upgrade ? [] : ["Connection: close"])];
  return [first, ...own, ...kept, "", ""].join("\r\n");
}

function badGateway(error: string): Uint8Array {
  const body = utf8Bytes(JSON.stringify({ error }));
  const head = "HTTP/1.1 502 Bad Gateway\r\nContent-Type: application/json\r\n" +
    `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n`;
  return latin1(head + fromLatin1(body));
}

/** Passes on what comes, at the pace of the slower side, and the end of it. */
function forward(
  from: Socket,
  to: Socket,
  hear: (chunk: Bytes) => void,
  ended: () => void,
): void {
  from.on("data", (chunk: Uint8Array) => {
    if (!to.destroyed && !to.write(chunk)) {
      from.pause();
      to.once("drain", () => from.resume());
    }
    // A copy: who reads it unmasks it in place.
    hear(new Uint8Array(chunk));
  });
  from.on("close", () => {
    ended();
    to.end(() => to.destroy());
  });
}

/** Both directions of one link. */
class Ears {
  readonly #decoders: Record<Direction, FrameDecoder> = {
    ">": new FrameDecoder("server", LIMITS),
    "<": new FrameDecoder("client", LIMITS),
  };
  #head: string | undefined = "";
  /** The end has been told. */
  #over = false;

  constructor(private readonly link: number, private readonly tap: Tap) {}

  hear(direction: Direction, chunk: Bytes): void {
    if (direction === "<" && this.#head !== undefined) chunk = this.#answer(chunk);
    try {
      for (const event of this.#decoders[direction].push(chunk)) {
        if (event.type === "message") {
          const { data } = event;
          const bytes = typeof data === "string" ? utf8Bytes(data) : data.slice();
          this.tap.message(this.link, direction, bytes);
        } else if (event.type === "close") this.#end(event.code, event.reason);
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.failed(error.code, `${hosts[direction]} sent: ${error.message}`);
    }
  }

  failed(code: string, text: string): void {
    if (this.#over) return;
    this.#over = true;
    this.tap.failed(this.link, code, text);
  }

  ended(direction: Direction): void {
    this.#end(LOST, `${hosts[direction]} ended the connection without a close`);
  }

  #end(code: number, reason: string): void {
    if (this.#over) return;
    this.#over = true;
    this.tap.closed(this.link, code, reason);
  }

  /** The head of the relay's answer; what follows are frames, or why there are none. */
  #answer(chunk: Bytes): Bytes {
    const head = this.#head += fromLatin1(chunk);
    const end = head.indexOf("\r\n\r\n") + 4;
    if (end < 4) return new Uint8Array(0);
    this.#head = undefined;
    const rest = head.slice(end);
    const status = / (\d{3})/.exec(head)?.[1] ?? "nothing";
    if (status === "101") return latin1(rest);
    const why = /"error": *("(?:[^"\\]|\\.)*")/.exec(rest)?.[1];
    const said = why === undefined
      ? head.split("\r\n")[0]!
      : JSON.parse(utf8Text(latin1(why))) as string;
    this.failed(`refused ${status}`, said);
    return new Uint8Array(0);
  }
}

const latin1 = (text: string): Bytes => Uint8Array.from(text, (char) => char.charCodeAt(0));

function fromLatin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
