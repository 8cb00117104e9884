/**
 * What carries a socket: a native WebSocket, or RFC 6455 frames over a pair of byte streams.
 *
 * @module
 */
import type { Bytes } from "../../wire/bytes.ts";

/** One connection. */
export interface Carrier {
  /** Bytes that wait to be sent. */
  readonly buffered: number;
  send(data: string | Bytes): void;
  /** Starts the closing handshake; {@linkcode NO_CODE} sends none. */
  close(code: number, reason: string): void;
  /** Drops everything. Nothing is heard any more. */
  abort(): void;
}

export interface CarrierEvents {
  opened(protocol: string): void;
  message(data: string | Bytes): void;
  /** Exactly once unless aborted, also when it never opened. */
  closed(code: number, reason: string, clean: boolean): void;
}

/** Where to, and what to offer. */
export interface CarrierTarget {
  /** `ws:` or `wss:`. */
  readonly url: URL;
  readonly protocols: readonly string[];
}

/** Starts a connection. */
export type Transport = (target: CarrierTarget, events: CarrierEvents) => Carrier;
