/**
 * A hostile relay: it stands between devices and a real relay, sees every message in both directions, and
 * may change, drop, repeat, hold back or invent any.
 *
 * @module
 */
import { bun } from "../../src/runtime/bun.ts";
import { deno } from "../../src/runtime/deno.ts";
import type { Link, Message } from "../../src/link/link.ts";
import { SUBPROTOCOL } from "../../src/link/subprotocol.ts";
import { hex } from "../../src/wire/bytes.ts";
import { decodeExtension, encodeExtension } from "../../src/wire/blaze/extension.ts";
import { decodeFrame, encodeFrame, FrameType } from "../../src/wire/blaze/blaze_frame.ts";
import { decodeHandshake, type Handshake } from "../../src/wire/blaze/handshake.ts";

/** One device's link through the hostile relay. */
export interface Victim {
  /** Node id in hex, once its Handshake has passed. */
  node: string;
  handshake: Handshake | undefined;
  /** Sends to the device, as the relay would. */
  toDevice(message: Message): void;
  /** Sends to the real relay, as the device would. */
  toRelay(message: Message): void;
  close(code: number): void;
}

/** What it does with a message: other messages, or the same. */
export type Meddle = (message: Message, victim: Victim) => Message[] | void;

export class Hostile {
  readonly victims: Victim[] = [];
  /** Everything that passed, in order. */
  readonly seen: { readonly up: boolean; readonly message: Message; readonly victim: Victim }[] =
    [];
  up: Meddle = () => {};
  down: Meddle = () => {};
  url = "";

  /** The link of a device, by its node id in hex. */
  victim(node: string): Victim {
    return this.victims.findLast((one) => one.node === node)!;
  }

  accept(target: string) {
    return (link: Link) => {
      const socket = new WebSocket(target, [SUBPROTOCOL]);
      socket.binaryType = "arraybuffer";
      const early: Message[] = [];
      const victim: Victim = {
        node: "",
        handshake: undefined,
        toDevice: (message) => link.send(message),
        toRelay: (message) =>
          socket.readyState === WebSocket.OPEN ? socket.send(message) : early.push(message),
        close: (code) => link.close(code, ""),
      };
      this.victims.push(victim);
      socket.onopen = () => {
        for (const message of early.splice(0)) socket.send(message);
      };
      socket.onmessage = ({ data }) => {
        const message = new Uint8Array(data as ArrayBuffer);
        this.seen.push({ up: false, message, victim });
        for (const one of this.down(message, victim) ?? [message]) link.send(one);
      };
      socket.onclose = ({ code, reason }) => link.close(code === 1005 ? 1000 : code, reason);
      return {
        message: (received: Message) => {
          const message = received.slice();
          if (victim.node === "" && (message[2]! & 0x0f) === FrameType.handshake) {
            victim.handshake = decodeHandshake(decodeFrame(message).payload.slice());
            victim.node = hex(victim.handshake.node);
          }
          this.seen.push({ up: true, message, victim });
          for (const one of this.up(message, victim) ?? [message]) victim.toRelay(one);
        },
        text: () => {},
        drained: () => {},
        closed: () => socket.close(),
      };
    };
  }
}

/** Puts a hostile relay before a real one. */
export async function withHostile(
  relay: string,
  run: (hostile: Hostile) => Promise<void>,
): Promise<void> {
  const hostile = new Hostile();
  const runtime = "Bun" in globalThis ? bun : deno;
  const ws = relay.replace("http", "ws");
  const server = await runtime.serve(
    { hostname: "127.0.0.1", port: 0, idleSeconds: 30 },
    (request, peer) => {
      if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
        return new Response("", { status: 426 });
      }
      return peer.upgrade(hostile.accept(ws + new URL(request.url).pathname), SUBPROTOCOL);
    },
  );
  hostile.url = `http://127.0.0.1:${server.port}`;
  try {
    await run(hostile);
  } finally {
    await server.stop(0);
  }
}

/** The frame inside envelopes of the relay, and how to put another one in its place. */
export function inner(message: Message): { frame: Message; wrap(frame: Uint8Array): Message } {
  const { type, payload } = decodeFrame(message);
  if (type === FrameType.extension) {
    const extension = decodeExtension(payload);
    if (extension.subtype === "direct" || extension.subtype === "tagged") {
      const inside = inner(extension.frame.slice());
      return {
        frame: inside.frame,
        wrap: (frame) =>
          encodeFrame({
            type,
            payload: encodeExtension({ ...extension, frame: inside.wrap(frame) }),
          }, { short: true }),
      };
    }
  }
  return { frame: message, wrap: (frame) => frame.slice() };
}

/** Whether a message is, in its envelopes, a frame of this type. */
export const isType = (message: Message, type: FrameType): boolean =>
  (inner(message).frame[2]! & 0x0f) === type;

/** Whether a message is, in its envelopes, an Extension of this subtype. */
export const isSubtype = (message: Message, subtype: number): boolean => {
  const { frame } = inner(message);
  return (frame[2]! & 0x0f) === FrameType.extension && decodeFrame(frame).payload[0] === subtype;
};
