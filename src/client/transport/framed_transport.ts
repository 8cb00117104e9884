/**
 * RFC 6455 frames over a pipe: the client's end of a WebSocket without a WebSocket.
 *
 * @module
 */
import type { Bytes } from "../../wire/bytes.ts";
import { host as systemHost } from "../../host.ts";
import type { Clock } from "../../link/clock.ts";
import { Endpoint, LOST } from "../../link/endpoint.ts";
import { Opcode } from "../../wire/websocket/opcode.ts";
import { readsOn } from "../liveness.ts";
import type { Carrier, CarrierEvents, CarrierTarget, Transport } from "./carrier.ts";

/** A pair of byte streams, in order and without losses. */
export interface Pipe {
  /** Bytes given to `write` that have not arrived. */
  readonly buffered: number;
  write(bytes: Bytes): void;
  /** A pong has come. */
  probed?(): void;
  /** Lets what was written arrive, then ends both streams. */
  end(): void;
  /** Ends both streams now. */
  abort(): void;
}

/** What the other end said when it opened. */
export interface OpenedPipe {
  readonly protocol: string;
  /** Silence after which the other end expects a ping. */
  readonly idleSeconds: number;
  /** The most bytes of one message. */
  readonly maxMessage: number;
}

export interface PipeEvents {
  opened(answer: OpenedPipe): void;
  /** Cut anywhere; they belong to whoever hears this. */
  bytes(chunk: Bytes): void;
  /** Wants a ping to be sent, to see whether its pong comes back by itself. */
  probe(): void;
  /** Both streams are gone, or could not be had. A code of 4000 and more is the relay's own. */
  lost(code: number, reason: string): void;
}

export type OpenPipe = (target: CarrierTarget, events: PipeEvents) => Pipe;

const PROBE = new Uint8Array(0);
/** Milliseconds that the answer to a close may take. */
const CLOSE_MS = 5_000;
/** Frames of one message. */
const MAX_FRAGMENTS = 65_536;

const isPong = (frame: Bytes): boolean => (frame[0]! & 0x0f) === Opcode.pong;

/** A transport over any pipe. */
export const framedTransport =
  (openPipe: OpenPipe, clock: Clock = systemHost): Transport =>
  (target: CarrierTarget, events: CarrierEvents): Carrier => {
    let endpoint: Endpoint | undefined;
    let over = false;
    const pipe = openPipe(target, {
      opened({ protocol, idleSeconds, maxMessage }) {
        if (over) return;
        endpoint = new Endpoint({
          role: "client",
          limits: { maxFrame: maxMessage, maxMessage, maxFragments: MAX_FRAGMENTS },
          idleMs: 2_000 * idleSeconds,
          closeMs: CLOSE_MS,
          clock,
        }, {
          write(frame) {
            // Whoever reads nothing misses no pong; one stands for all pings before it (RFC 6455, 5.5.3).
            if (isPong(frame) && !readsOn(pipe)) return;
            pipe.write(frame);
          },
          message: (data) => events.message(data),
          pong: () => pipe.probed?.(),
          closed(code, reason, clean) {
            if (over) return;
            over = true;
            if (code === LOST) pipe.abort();
            else pipe.end();
            events.closed(code, reason, clean);
          },
        });
        events.opened(protocol);
      },
      bytes: (chunk) => endpoint?.receive(chunk),
      probe: () => endpoint?.ping(PROBE),
      lost(code, reason) {
        if (endpoint && code === LOST) return endpoint.lost(reason);
        if (over) return;
        over = true;
        endpoint?.lost();
        events.closed(code, reason, false);
      },
    });
    return {
      get buffered() {
        return pipe.buffered;
      },
      send: (data) => endpoint?.send(data),
      close: (code, reason) => endpoint?.close(code, reason),
      abort() {
        over = true;
        endpoint?.lost();
        pipe.abort();
      },
    };
  };
