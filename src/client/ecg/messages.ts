/**
 * What an ECG client takes and gives.
 *
 * @module
 */
import type { Bytes } from "../../wire/bytes.ts";
import type { MessageType, Version } from "../../wire/ecg/codes.ts";
import type { DecodedMessage as Decoded } from "../../wire/ecg/ecg_message.ts";
import type { Payload } from "../../wire/ecg/payload.ts";
import type { Signal } from "../../wire/ecg/signal.ts";

/** What the relay said of itself. */
export interface EcgPeer {
  /** The version that both sides use. */
  readonly version: Version;
  readonly capabilities: readonly string[];
  /** Most bytes in a payload. */
  readonly maxMessageSize: number;
}

/** What the relay left out because we read too slowly. */
export interface EcgGap {
  readonly messages: number;
  /** Samples of each lead. */
  readonly samples: number;
  /** Timestamps of the first and the last message lost, microseconds since 1970. */
  readonly from: bigint;
  readonly to: bigint;
}

/** A message of the stream. A packed signal stands in its payload as the floats that it means. */
export interface EcgMessage extends Decoded {
  /** Bytes of it on the wire. */
  readonly wireLength: number;
  /** The signal of ECG_DATA, whatever form it came in. */
  readonly signal?: Signal;
  /** What was lost right before this message. */
  readonly gap?: EcgGap;
}

/** How to publish one message. */
export interface PublishOptions {
  /** ECG_DATA unless given. */
  readonly type?: MessageType;
  /** Bits of {@linkcode Flag}: PRIORITY, BROADCAST. V3 only. */
  readonly flags?: number;
  /** Microseconds since 1970; now unless given. V3 only. */
  readonly timestamp?: bigint;
  /** Resolve only when the relay has handed it to every watcher. V3 only. */
  readonly acknowledged?: boolean;
}

/** What is known of a sealed message without opening it; a seal should bind it. */
export interface SealedHeader {
  readonly stream: string;
  readonly type: MessageType;
  /** Bits of {@linkcode Flag}, ENCRYPTED among them. */
  readonly flags: number;
  readonly timestamp: bigint;
}

/** Seals payloads for the watchers of a stream, and opens them. The relay can do neither. */
export interface EcgSeal {
  /** Refuse what comes in the clear, which the relay could have made up. */
  readonly required?: boolean;
  /** `plain`: the payload as MessagePack. */
  seal(plain: Bytes, header: SealedHeader): Bytes | Promise<Bytes>;
  /** Throws or rejects for what cannot be opened. */
  open(sealed: Bytes, header: SealedHeader): Bytes | Promise<Bytes>;
}

/** A PONG came back. */
export interface Pong {
  /** Microseconds since 1970 on our clock. */
  readonly sent: bigint;
  readonly received: bigint;
  /** On the relay's clock; V3 only. */
  readonly remote: bigint | null;
}

/** The relay refused something with an ERROR message. */
export class EcgRefused extends Error {
  override readonly name = "EcgRefused";

  constructor(readonly code: number, message: string) {
    super(message);
  }
}

/** A field of a map; nothing for whatever is no map. */
export function field(payload: Payload, name: string): Payload | undefined {
  if (typeof payload !== "object" || payload === null) return undefined;
  return Object.hasOwn(payload, name) ? (payload as Record<string, Payload>)[name] : undefined;
}

/** What a gap notice says; what it does not say is 0. */
export function readGap(payload: Payload): EcgGap {
  const integer = (name: string): bigint => {
    const value = field(payload, name);
    return typeof value === "bigint" || Number.isSafeInteger(value)
      ? BigInt(value as number | bigint)
      : 0n;
  };
  return {
    messages: Number(integer("messages")),
    samples: Number(integer("samples")),
    from: integer("from"),
    to: integer("to"),
  };
}

/** One gap of two. */
export const joinGaps = (a: EcgGap, b: EcgGap): EcgGap => ({
  messages: a.messages + b.messages,
  samples: a.samples + b.samples,
  from: a.from < b.from ? a.from : b.from,
  to: a.to > b.to ? a.to : b.to,
});
