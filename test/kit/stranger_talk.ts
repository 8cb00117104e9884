/**
 * What strangers say to sessions: good messages, most of them with something odd, hostile or too much in
 * them.
 *
 * @module
 */
import { concat, utf8Bytes, WireError } from "../../src/wire/bytes.ts";
import { encodeFrame, FrameType } from "../../src/wire/blaze/blaze_frame.ts";
import { encodeFault, encodeTags } from "../../src/wire/blaze/control.ts";
import { encodeExtension } from "../../src/wire/blaze/extension.ts";
import { encodeHandshake } from "../../src/wire/blaze/handshake.ts";
import { encodeRecord, type ValueInput } from "../../src/wire/blaze/blaze_record.ts";
import { Flag, MessageType, Version } from "../../src/wire/ecg/codes.ts";
import { encode as encodeEcg } from "../../src/wire/ecg/ecg_message.ts";
import { Ext } from "../../src/wire/ecg/msgpack.ts";
import { packSamples } from "../../src/wire/ecg/samples.ts";
import { type Envelope, nested } from "./nested.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Who speaks. */
export interface Speaker {
  /** The protocol: `blaze`, `ecg` or `echo`. */
  readonly kind: string;
  /** Messages that it was sent lately, to be sent back. */
  readonly last: readonly Bytes[];
}

/** Names that mean something to the language, to paths, to terminals. */
export const NAMES = [
  ...["bugs", "default", "__proto__", "constructor", "toString", "hasOwnProperty", "then"],
  ...["a\nb", "\u{1b}[2J", "%s{node}", "../..", "心".repeat(42), "x".repeat(127), "é", "e\u0301"],
];
/** Draws everything that strangers do. */
export class Chance {
  constructor(readonly below: (limit: number) => number) {}

  often(percent: number): boolean {
    return this.below(100) < percent;
  }

  one<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  bytes(most: number): Bytes {
    return Uint8Array.from({ length: this.below(most + 1) }, () => this.below(256));
  }

  /** Few values, so that strangers meet. */
  node(): Bytes {
    return new Uint8Array(16).fill(this.below(6));
  }

  /** Numbers at which something changes. */
  number(): number {
    const edges = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 32, 2 ** 53, 1e300];
    const odd = [NaN, Infinity, -Infinity, -0, 0.5, -1, -(2 ** 31), -(2 ** 53), Number.MIN_VALUE];
    return this.one([...edges, ...odd, this.below(1000)]);
  }

  value(depth = 0): ValueInput & unknown {
    switch (this.below(depth > 3 ? 6 : 9)) {
      case 0:
        return this.number();
      case 1:
        return this.one(NAMES);
      case 2:
        return this.bytes(20);
      case 3:
        return this.one([true, false, null]);
      case 4:
        return this.one([-(2n ** 63n), 2n ** 63n - 1n, 0n]);
      case 5:
        return this.one(["", "x".repeat(16), "\u{feff}", "\0"]);
      case 6:
        return Array.from({ length: this.below(4) }, () => this.value(depth + 1));
      default:
        return this.map(depth + 1);
    }
  }

  map(depth = 0): { [name: string]: ValueInput } {
    const entries = Array.from(
      { length: this.below(4) },
      () => [this.one([...NAMES, "tags", "code"]), this.value(depth)] as const,
    );
    // Own fields all of them, `__proto__` too.
    return Object.fromEntries(entries);
  }

  /** Some other bytes. */
  mutated(bytes: Bytes): Bytes {
    const changed = bytes.slice();
    const at = this.below(changed.length || 1);
    switch (this.below(7)) {
      case 0:
        return changed.subarray(0, at);
      case 1:
        return concat(changed, this.bytes(9));
      case 2:
        return concat(changed.subarray(0, at), this.bytes(4), changed.subarray(at));
      case 3:
        changed.fill(this.one([0, 0xff, 0x7f, 0x80]), at, at + 1 + this.below(8));
        return changed;
      case 4:
        return concat(changed, changed);
      default:
        if (changed.length > 0) changed[at]! ^= 1 << this.below(8);
        return changed;
    }
  }
}

/** Bytes for a session of Blaze: good ones, most of the time. */
function blazeMessage(chance: Chance, stranger: Speaker, greeted: boolean): Bytes {
  const reading = chance.often(90) ? "legend" : "examples";
  const short = chance.often(50);
  if (!greeted && chance.often(95)) return handshake(chance, reading);
  const frame = (type: FrameType, payload: Uint8Array = chance.bytes(60)) =>
    encodeFrame(
      { type, payload, encrypted: chance.often(30), compressed: chance.often(10) },
      { reading, short },
    );
  const inner = () => frame(chance.below(16) as FrameType);
  const body = (): Bytes => concat(chance.bytes(40));
  if (greeted && chance.often(25)) return logWord(chance, inner, (payload) => frame(0xf, payload));
  switch (chance.below(14)) {
    case 0:
      return handshake(chance, reading);
    case 1:
    case 2:
      return frame(chance.below(16) as FrameType);
    case 3: {
      const count = chance.one([0, 1, 2, 3, 4, 8, 256, 257, 4_000]);
      const tags = Array.from({ length: count }, () => new Uint8Array(8).fill(chance.below(5)));
      const type = chance.one([FrameType.subscribe, FrameType.unsubscribe]);
      return frame(type, chance.often(70) ? encodeTags(tags) : encodeRecord(chance.map()));
    }
    case 4:
      return frame(
        FrameType.error,
        chance.often(60)
          ? encodeFault({ code: chance.below(5_000), message: chance.one(NAMES) })
          : encodeRecord(chance.map()),
      );
    case 5:
      return frame(
        FrameType.extension,
        encodeExtension({ subtype: "direct", node: chance.node(), frame: inner() }),
      );
    case 6:
      return frame(
        FrameType.extension,
        encodeExtension({
          subtype: "tagged",
          tag: new Uint8Array(8).fill(chance.below(5)),
          frame: inner(),
        }),
      );
    case 7:
      return frame(
        FrameType.extension,
        encodeExtension({ subtype: "device", code: 0x10 + chance.below(16), body: body() }),
      );
    case 8:
      return frame(
        FrameType.extension,
        concat(Uint8Array.of(chance.below(0x22)), chance.bytes(50)),
      );
    case 9: {
      const kinds = Array.from(
        { length: 1 + chance.below(3) },
        () => chance.one<Envelope>(["direct", "tagged", "sequenced", "batch"]),
      );
      const deep = chance.often(3) ? 5_000 : 1 + chance.below(6);
      return nested(kinds, deep, inner(), chance.node());
    }
    case 10:
      return frame(
        FrameType.handshakeAck,
        chance.often(50) ? new Uint8Array(32) : chance.bytes(200),
      );
    case 11:
      // Near the largest there may be.
      if (chance.often(90)) return frame(FrameType.ping);
      return frame(
        chance.one([FrameType.operation, FrameType.extension, FrameType.ping]),
        new Uint8Array(1_048_576 - chance.below(40)).fill(0x12),
      );
    case 12:
      // What it was sent itself.
      return chance.one(stranger.last) ?? frame(FrameType.pong);
    default:
      return frame(FrameType.operation);
  }
}

/** Something about logs: few of them, so that strangers meet there. */
function logWord(
  chance: Chance,
  inner: () => Bytes,
  frame: (payload: Uint8Array) => Bytes,
): Bytes {
  const number = () => chance.one([0n, 1n, 2n, 3n, 10n, 2n ** 53n, 2n ** 64n - 1n]);
  switch (chance.below(8)) {
    case 0:
    case 1: {
      const log = new Uint8Array(16).fill(chance.below(3));
      const key = new Uint8Array(32).fill(chance.often(85) ? 1 : 2);
      // Rings as `FakeHost` draws them, at times.
      const ring = new Uint8Array(8).fill(chance.below(6));
      const check = chance.often(50)
        ? new Uint8Array(8)
        : new Uint8Array(8).fill(chance.below(256));
      return frame(
        encodeExtension({ subtype: "open", log, key, ring, sequence: number(), check }),
      );
    }
    case 2:
      return frame(encodeExtension({ subtype: "truncate", sequence: number() }));
    case 3:
      return frame(encodeExtension({ subtype: "sequenced", sequence: number(), frame: inner() }));
    case 4: {
      const words = [
        { subtype: "live", sequence: number() },
        { subtype: "accepted", count: 1, sequence: number() },
        {
          subtype: "recovered",
          complete: true,
          durability: chance.below(4),
          ring: new Uint8Array(8),
          first: number(),
          last: number(),
          hash: new Uint8Array(32),
        },
      ] as const;
      return frame(encodeExtension(chance.one(words)));
    }
    default: {
      const kept = chance.often(70)
        ? encodeFrame({ type: FrameType.operation, encrypted: true, payload: chance.bytes(400) })
        : encodeFrame({
          type: FrameType.extension,
          payload: encodeExtension({
            subtype: "device",
            code: 0x10 + chance.below(3),
            body: chance.bytes(30),
          }),
        });
      const sequence = chance.often(70) ? 0n : number();
      return frame(encodeExtension({ subtype: "sequenced", sequence, frame: kept }));
    }
  }
}

function handshake(chance: Chance, reading: "legend" | "examples"): Bytes {
  const capabilities = chance.one([0, 0x0f, 0x1f, 0x8f, 0x9f, 0xaf, 0xff, 0x20, 0x40, 0x80]);
  const tlvs = capabilities & 0x80
    ? Array.from({ length: chance.below(4) }, (_, i) => ({
      type: chance.often(80) ? 1 + i : 200 + i,
      value: chance.often(5) ? new Uint8Array(0xffff) : chance.bytes(40),
    }))
    : [];
  const publicKey = concat(Uint8Array.of(4), new Uint8Array(64).fill(chance.below(256)));
  const payload = encodeHandshake({
    node: chance.node(),
    database: chance.one(NAMES.filter((name) => !name.includes(":"))),
    publicKey,
    capabilities,
    timestamp: BigInt(chance.below(1000)),
    tlvs,
  });
  return encodeFrame({ type: FrameType.handshake, payload }, { reading });
}

const SCALE = {
  id: 7,
  sampling_rate: 360,
  leads: [{ name: "I", unit: "mV", gain: 200, baseline: 0 }],
};
const TYPES = Object.values(MessageType);

/** Bytes for a session of ECG. */
function ecgMessage(chance: Chance, stranger: Speaker): Bytes {
  const version = chance.one([Version.V1, Version.V2, Version.V3]);
  const stream = (): Record<string, unknown> =>
    chance.often(70) ? { stream: chance.one(NAMES) } : {};
  const message = (type: MessageType, payload: unknown, flags = 0): Bytes => {
    const timestamp = chance.one([0n, 1n, 2n ** 63n, 2n ** 64n - 1n, 1_700_000_000_000_000n]);
    const known = version === Version.V3 ? flags : 0;
    return encodeEcg({
      version,
      type,
      flags: known,
      payload: known & Flag.ENCRYPTED ? chance.bytes(30) : payload,
      timestamp: version === Version.V3 ? timestamp : null,
    }, chance.often(50) ? {} : { compress: false });
  };
  const flags = chance.often(60) ? 0 : chance.below(32);
  switch (chance.below(14)) {
    case 0:
    case 1:
      return message(MessageType.SUBSCRIBE, {
        ...stream(),
        ...(chance.often(50) ? { last_seconds: chance.number() } : {}),
      });
    case 2:
      return message(MessageType.UNSUBSCRIBE, stream());
    case 3:
      return message(MessageType.VERSION_CHECK, {
        version: chance.often(70) ? 1 + chance.below(3) : chance.value(),
        capabilities: chance.often(70) ? ["packed-signal", "batch"] : chance.value(),
      });
    case 4:
      return message(MessageType.PROTOCOL_NEGOTIATION, {
        supported_versions: chance.often(70) ? [1, 2, 3] : chance.value(),
        capabilities: chance.one([[], ["batch"], ["packed-signal"], [{}], chance.value()]),
      });
    case 5:
      return message(MessageType.ECG_DATA, { ...stream(), signal: [1, 2.5, 3] }, flags);
    case 6: {
      const length = chance.one([1, 2, 300]);
      const leads = Array.from(
        { length: chance.one([1, 1, 1, 2]) },
        () => Int32Array.from({ length }, () => chance.below(2_000) - 1_000),
      );
      const signal = chance.often(85)
        ? packSamples(7, chance.below(1_000), leads)
        : new Ext(0x45, chance.bytes(60));
      return message(MessageType.ECG_DATA, {
        ...stream(),
        signal,
        ...(chance.often(60) ? { scale: chance.often(80) ? SCALE : chance.value() } : {}),
        ...(chance.often(4) ? { notes: "x".repeat(1_046_300) } : {}),
      }, flags);
    }
    case 7:
      return message(MessageType.ECG_DATA, {
        ...stream(),
        signal: chance.one<unknown>([
          chance.value(),
          { __ndarray__: [[1, 2], [3]], dtype: "float32", shape: [2, 2] },
          { __ndarray__: [], dtype: "int64", shape: [0, 1e9] },
          { __ndarray__: [1, 2], dtype: "float64", shape: [2] },
        ]),
      }, flags);
    case 8:
      return message(chance.one(TYPES), chance.value(), flags);
    case 9:
      return message(chance.one(TYPES), {
        ...stream(),
        __datetime__: chance.value(),
        __uuid__: "x",
      });
    case 10:
      return message(MessageType.PONG, null);
    case 11:
      return concat(
        ...Array.from({ length: 2 + chance.below(4) }, () => ecgMessage(chance, stranger)),
      );
    case 12:
      return chance.one(stranger.last) ?? message(MessageType.PING, chance.value());
    default:
      return message(MessageType.PING, chance.value());
  }
}

/** What a stranger says, good bytes most of the time. */
export function written(chance: Chance, one: Speaker, greeted: boolean): Bytes {
  try {
    if (one.kind === "blaze") return blazeMessage(chance, one, greeted);
    return one.kind === "ecg" ? ecgMessage(chance, one) : utf8Bytes(chance.one(NAMES));
  } catch (error) {
    // A value that no writer of ours takes.
    if (!(error instanceof WireError || error instanceof RangeError)) throw error;
    return chance.bytes(30);
  }
}
