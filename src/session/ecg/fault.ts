/**
 * Faults of a peer, and how payloads are looked into.
 *
 * @module
 */
import { type ErrorCode, ErrorCode as Code, errorText } from "../../wire/ecg/codes.ts";
import type { Key, ValueMap } from "../../wire/ecg/msgpack.ts";
import type { Payload } from "../../wire/ecg/payload.ts";

/** A fault of the peer's, with its code of the protocol. */
export class EcgFault extends Error {
  constructor(readonly code: ErrorCode, detail = "") {
    super(detail);
  }

  /** What to do, in a sentence. */
  get help(): string {
    return errorText[this.code];
  }

  /** What the ERROR says beside code and message. */
  get fields(): Readonly<Record<string, unknown>> {
    return {};
  }
}

/** A packed signal came without a scale, and nobody has told it here. */
export class UnknownScale extends EcgFault {
  constructor(private readonly id: number, samples: number) {
    super(Code.MISSING_FIELDS, `scale ${id}; ${samples} samples were left out`);
  }

  override get help(): string {
    return "The scale of this packed signal is unknown here: send `scale` with the next one.";
  }

  override get fields(): Readonly<Record<string, unknown>> {
    return { scale: this.id };
  }
}

export const isMap = (payload: Payload): payload is ValueMap<never> | Map<Key, Payload> =>
  payload instanceof Map ||
  (typeof payload === "object" && payload !== null &&
    Object.getPrototypeOf(payload) === Object.prototype);

/** A field of a payload, if that is a map and has it. */
export function field(payload: Payload, name: string): Payload | undefined {
  if (!isMap(payload)) return undefined;
  if (payload instanceof Map) return payload.get(name);
  return Object.hasOwn(payload, name) ? payload[name] : undefined;
}

/** The names in a field that is a list of text; others are left out. */
export function names(payload: Payload, name: string): string[] {
  const list = field(payload, name);
  return Array.isArray(list) ? list.filter((one): one is string => typeof one === "string") : [];
}

/** `last_seconds` of a SUBSCRIBE: a number from 0 on, 0 unless given. */
export function lastSeconds(payload: Payload): number {
  const seconds = field(payload, "last_seconds") ?? 0;
  if (typeof seconds === "number" && seconds >= 0) return seconds;
  throw new EcgFault(Code.INVALID_DATA, "last_seconds is a number from 0 on");
}
