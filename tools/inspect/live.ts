/**
 * Messages as they pass: of one link of our own, or of all links of others through a proxy.
 *
 * @module
 */
import type { Link, LinkEvents, Message } from "../../src/link/link.ts";
import { subprotocols } from "../../src/link/subprotocol.ts";
import { websocketLink } from "../../src/link/websocket_link.ts";
import { bun } from "../../src/runtime/bun.ts";
import { deno } from "../../src/runtime/deno.ts";
import { MessageType } from "../../src/wire/ecg/codes.ts";
import { encode } from "../../src/wire/ecg/ecg_message.ts";
import type { Direction } from "./capture.ts";

/** Hears every message, and the end of every link. */
export interface Tap {
  message(link: number, direction: Direction, bytes: Message): void;
  closed(link: number, code: number, reason: string): void;
}

/** Connects and answers when the link has ended. Subscribes where the address is of an ECG stream. */
export function watch(url: URL, token: string | undefined, tap: Tap): Promise<void> {
  const socket = new WebSocket(url, subprotocols(token));
  const subscribes = /^\/(?:ecg\/.|ws$)/.test(url.pathname);
  return new Promise((resolve, reject) => {
    let opened = false;
    websocketLink(socket, (link) => {
      opened = true;
      const send = (bytes: Message) => {
        tap.message(0, ">", bytes);
        link.send(bytes);
      };
      let asked = false;
      return {
        message(bytes) {
          tap.message(0, "<", bytes);
          if (subscribes && !asked) {
            asked = true;
            for (
              const [type, payload] of [
                [MessageType.VERSION_CHECK, { version: 3 }],
                [MessageType.SUBSCRIBE, {}],
              ] as const
            ) {
              const timestamp = BigInt(Date.now()) * 1000n;
              send(encode({ version: 3, type, timestamp, payload }));
            }
          }
          // A relay measures what its watchers read by their PONGs.
          if (subscribes && bytes[1] === MessageType.PING) {
            const timestamp = BigInt(Date.now()) * 1000n;
            send(encode({ version: 3, type: MessageType.PONG, timestamp, payload: null }));
          }
        },
        text() {},
        drained() {},
        closed(code, reason) {
          tap.closed(0, code, reason);
          resolve();
        },
      };
    }, url.host);
    socket.addEventListener("close", ({ code }) => {
      if (!opened) reject(new Error(`${url} cannot be reached (${code})`));
    });
  });
}

/** Most bytes kept for a link whose other side is not open yet. */
const MAX_WAITING = 1_048_576;

/** Listens on `port` and passes everything on to `target`, both ways. Answers the port. */
export async function proxy(target: URL, port: number, tap: Tap): Promise<number> {
  const runtime = "Bun" in globalThis ? bun : deno;
  let links = 0;
  const server = await runtime.serve(
    { hostname: "127.0.0.1", port, idleSeconds: 60 },
    (request, peer) => {
      if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
        return new Response("This is a proxy for WebSocket.\n", { status: 426 });
      }
      const asked = new URL(request.url);
      const url = new URL(asked.pathname + asked.search, target);
      url.protocol = url.protocol.replace(/^http/, "ws");
      const offered = (request.headers.get("sec-websocket-protocol") ?? "").split(",")
        .map((one) => one.trim()).filter((one) => one !== "");
      const number = ++links;
      // The relay echoes the first subprotocol and never the token; so does the proxy.
      return peer.upgrade((link) => passOn(link, url, offered, number, tap), offered[0]);
    },
  );
  return server.port;
}

function passOn(near: Link, url: URL, offered: string[], number: number, tap: Tap): LinkEvents {
  let far: Link | undefined;
  let waiting: Message[] | undefined = [];
  let bytes = 0;
  const socket = new WebSocket(url, offered);
  websocketLink(socket, (link) => {
    far = link;
    for (const message of waiting ?? []) link.send(message);
    waiting = undefined;
    return {
      message(message) {
        tap.message(number, "<", message);
        near.send(message);
      },
      text: () => near.close(1003, "text"),
      drained() {},
      closed(code, reason) {
        tap.closed(number, code, reason);
        near.close(sendable(code), reason);
      },
    };
  }, url.host);
  socket.addEventListener("close", () => far ?? near.close(1011, "the relay cannot be reached"));
  return {
    message(message) {
      tap.message(number, ">", message);
      bytes += message.length;
      if (far) far.send(message);
      else if (bytes <= MAX_WAITING) waiting?.push(message.slice());
      else near.close(1009, "too much before the relay answered");
    },
    text: () => near.close(1003, "text"),
    drained() {},
    closed(code, reason) {
      if (far) far.close(sendable(code), reason);
      else socket.close();
    },
  };
}

/** A close code that may be sent: the others only stand for what happened. */
const sendable = (code: number): number =>
  code === 1000 || (code >= 3000 && code < 5000) ? code : 1000;
