import { test } from "node:test";
import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { concat, fromHex, hex, WireError } from "../src/wire/bytes.ts";
import {
  ecgCode,
  ErrorCode,
  errorText,
  Flag,
  type MessageType,
  type Version,
} from "../src/wire/ecg/codes.ts";
import { decode, encode, open, reframe } from "../src/wire/ecg/ecg_message.ts";
import { Float32, Float64 } from "../src/wire/ecg/msgpack.ts";
import { decode as decodeMsgPack } from "../src/wire/ecg/msgpack_decode.ts";
import { encode as encodeMsgPack } from "../src/wire/ecg/msgpack_encode.ts";
import { type DType, NdArray, ndarray } from "../src/wire/ecg/ndarray.ts";
import { EcgDateTime, EcgUuid, readPayload, writePayload } from "../src/wire/ecg/payload.ts";
import { fc, holds } from "./kit/random.ts";
import { vectors } from "./kit/vectors.ts";

interface Good {
  name: string;
  encode: "exact" | "semantic" | "none";
  message: {
    version: Version;
    type: MessageType;
    flags: number;
    timestamp_us: string | null;
    payload: unknown;
  };
  wire: string;
  payload_msgpack: string;
}

interface Bad {
  name: string;
  level: "codec" | "session";
  code: string;
  wire: string;
}

const plainVectors = vectors<{ vectors: Good[] }>("ecg/messages.json").vectors;
const compressedVectors = vectors<{ vectors: Good[] }>("ecg/compressed.json").vectors;
const good = [...plainVectors, ...compressedVectors];
const bad = vectors<{ vectors: Bad[] }>("ecg/malformed.json").vectors;

/**
 * Tagged JSON to values: `written` gives what to encode (floats that stay floats), else what
 * decoding gives.
 */
function untag(value: unknown, written: boolean): unknown {
  if (Array.isArray(value)) return value.map((item) => untag(item, written));
  if (typeof value !== "object" || value === null) return value;
  const [[tag, inner] = ["", null], ...more] = Object.entries(value);
  if (tag.startsWith("$") && more.length === 0) {
    switch (tag) {
      case "$int":
        return BigInt(inner);
      case "$float":
        return written ? new Float64(Number(inner)) : Number(inner);
      case "$float32":
        return written ? new Float32(Number(inner)) : Number(inner);
      case "$bin":
        return fromHex(inner);
      case "$map":
        return new Map(inner.map((pair: unknown[]) => pair.map((item) => untag(item, written))));
      case "$datetime":
        return new EcgDateTime(inner);
      case "$uuid":
        return new EcgUuid(inner);
      case "$ndarray":
        return ndarray(untag(inner.data, false), inner.dtype, inner.shape);
    }
    throw new Error(`unknown tag ${tag}`);
  }
  const object: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    Object.defineProperty(object, key, {
      value: untag(item, written),
      enumerable: true,
      writable: true,
      configurable: true,
    });
  }
  return object;
}

const timestampOf = ({ message }: Good): bigint | null =>
  message.timestamp_us === null ? null : BigInt(message.timestamp_us);

const outgoing = (vector: Good) => ({
  version: vector.message.version,
  type: vector.message.type,
  flags: vector.message.flags,
  timestamp: timestampOf(vector),
  payload: vector.message.flags & Flag.ENCRYPTED
    ? untag(vector.message.payload, false)
    : untag(vector.message.payload, true),
});

/** The number that a message is refused with. */
const refusal = (bytes: Uint8Array) => {
  const error = assertThrows(() => decode(bytes), WireError);
  return `0x${ecgCode(error).toString(16)}`;
};

for (const vector of good) {
  test(`decode reads vector ${vector.name}`, () => {
    const message = decode(fromHex(vector.wire));
    assertEquals(message, {
      version: vector.message.version,
      type: vector.message.type,
      flags: vector.message.flags,
      timestamp: timestampOf(vector),
      payload: untag(vector.message.payload, false),
    });
    const { msgpack } = open(fromHex(vector.wire));
    if (msgpack) assertEquals(hex(msgpack), vector.payload_msgpack);
  });
}

for (const vector of good.filter((v) => v.encode === "exact")) {
  test(`encode writes vector ${vector.name} byte for byte`, () => {
    const compress = vector.name.startsWith("threshold-");
    assertEquals(hex(encode(outgoing(vector), { compress })), vector.wire);
  });
}

for (const vector of good) {
  test(`encode then decode keeps vector ${vector.name}`, () => {
    for (const compress of [false, true]) {
      const message = decode(encode(outgoing(vector), { compress }));
      const flags = message.flags & ~Flag.COMPRESSED;
      const expected = decode(fromHex(vector.wire));
      assertEquals({ ...message, flags }, {
        ...expected,
        flags: expected.flags & ~Flag.COMPRESSED,
      });
    }
  });
}

for (const vector of bad.filter((v) => v.level === "codec")) {
  test(`decode refuses vector ${vector.name}`, () => {
    assertEquals(refusal(fromHex(vector.wire)), vector.code);
  });
}

for (const vector of bad.filter((v) => v.level === "session")) {
  test(`decode reads vector ${vector.name}, which only a session refuses`, () => {
    decode(fromHex(vector.wire));
  });
}

test("decode refuses every truncation of every good vector", () => {
  for (const { name, wire } of good) {
    const bytes = fromHex(wire);
    for (let length = 0; length < bytes.length; length++) {
      assertEquals(refusal(bytes.subarray(0, length)), "0x200", `${name} cut to ${length}`);
    }
  }
});

test("readPayload of every truncation gives a value or a WireError", () => {
  for (const { name, wire } of good) {
    const { msgpack } = open(fromHex(wire));
    for (let length = 1; msgpack && length < Math.min(msgpack.length, 400); length++) {
      const cut = msgpack.subarray(0, length);
      assertThrows(() => readPayload(cut), WireError, "", `${name} cut to ${length}`);
    }
  }
});

test("decode of a message with flipped bits gives a value or a WireError", () => {
  holds(
    fc.property(
      fc.constantFrom(...good),
      fc.array(fc.nat(), { minLength: 1, maxLength: 4 }),
      fc.boolean(),
      ({ wire }, flips, inPayload) => {
        const bytes = fromHex(wire);
        const { msgpack } = open(bytes);
        // The checksum would stop nearly all flips, so half of them go behind it.
        const target = inPayload && msgpack ? msgpack.slice() : bytes;
        for (const flip of flips) {
          if (target.length > 0) target[(flip >> 3) % target.length]! ^= 1 << (flip & 7);
        }
        try {
          if (target === bytes) decode(target);
          else readPayload(target);
        } catch (error) {
          assert(error instanceof WireError, String(error));
        }
      },
    ),
    2000,
  );
});

test("open takes a limit to the byte, for the wire and for what it inflates to", () => {
  const wire = encode({ version: 2, type: 1, payload: new Int16Array(2000) });
  const { body, msgpack } = open(wire);
  assertNotEquals(body.length, msgpack!.length);
  open(wire, msgpack!.length);
  assertEquals(assertThrows(() => open(wire, msgpack!.length - 1), WireError).code, "TOO_LARGE");
  assertEquals(assertThrows(() => open(wire, body.length - 1), WireError).code, "TOO_LARGE");
});

test("encode compresses above 1024 bytes, where it helps, and never in version 1", () => {
  const flags = (version: Version, payload: unknown, compress?: boolean) =>
    open(encode(
      { version, type: 4, timestamp: 1n, payload },
      compress === undefined ? {} : { compress },
    )).flags;
  const text = (bytes: number) => "x".repeat(bytes - 3);
  assertEquals(flags(2, text(1024)), 0);
  assertEquals(flags(2, text(1025)), Flag.COMPRESSED);
  assertEquals(flags(3, text(1025)), Flag.COMPRESSED);
  assertEquals(flags(3, text(1025), false), 0);
  assertEquals(flags(1, text(1025)), 0);
  const noise = crypto.getRandomValues(new Uint8Array(2000));
  assertEquals(flags(2, noise), 0);
});

const refusedOutgoing: readonly (readonly [string, string, Parameters<typeof encode>[0]])[] = [
  ["version 3 without a timestamp", "INVALID_TIMESTAMP", { version: 3, type: 1, payload: 0 }],
  ["a timestamp of 65 bits", "INVALID_TIMESTAMP", {
    version: 3,
    type: 1,
    timestamp: 1n << 64n,
    payload: 0,
  }],
  ["a flag the version lacks", "INVALID_FLAGS", { version: 2, type: 1, flags: 4, payload: 0 }],
  ["a reserved flag", "INVALID_FLAGS", {
    version: 3,
    type: 1,
    flags: 32,
    timestamp: 0n,
    payload: 0,
  }],
  ["a payload over the limit", "TOO_LARGE", {
    version: 1,
    type: 1,
    payload: new Uint8Array(1_048_576),
  }],
  ["ENCRYPTED without bytes", "UNSUPPORTED_VALUE", {
    version: 3,
    type: 1,
    flags: 2,
    timestamp: 0n,
    payload: "secret",
  }],
];
for (const [fault, code, message] of refusedOutgoing) {
  test(`encode refuses ${fault}`, () => {
    assertEquals(assertThrows(() => encode(message), WireError).code, code);
  });
}

test("reframe keeps the payload from each version to each", () => {
  for (const vector of good) {
    const opened = open(fromHex(vector.wire));
    if (opened.msgpack === null) continue;
    for (const version of [1, 2, 3] as const) {
      const wire = reframe(opened, version, 77n);
      const there = open(wire);
      const name = `${vector.name} to version ${version}`;
      assertEquals(hex(there.msgpack!), vector.payload_msgpack, name);
      assertEquals(there.version, version, name);
      assertEquals(there.type, opened.type, name);
      assertEquals(there.timestamp, version === 3 ? opened.timestamp ?? 77n : null, name);
      const kept = { 1: 0, 2: Flag.COMPRESSED, 3: 0x1f }[version];
      assertEquals(there.flags, opened.flags & kept, name);
      // Compressed once is enough: the bytes of the stream go on as they are.
      if (version > 1) assertEquals(hex(there.body), hex(opened.body), name);
      // And back: the value has not changed on the way.
      const back = decode(reframe(there, opened.version, opened.timestamp ?? 0n));
      assertEquals(back.payload, untag(vector.message.payload, false), name);
    }
  }
});

test("reframe to the version that a message has gives the same bytes", () => {
  for (const { wire, name } of good) {
    const opened = open(fromHex(wire));
    if (opened.msgpack) assertEquals(hex(reframe(opened, opened.version, 1n)), wire, name);
  }
});

test("reframe refuses what is ENCRYPTED, but for V3", () => {
  const payload = Uint8Array.of(1, 2, 3);
  const wire = encode({ version: 3, type: 1, flags: Flag.ENCRYPTED, timestamp: 5n, payload });
  const opened = open(wire);
  assertEquals(opened.msgpack, null);
  assertEquals(decode(wire).payload, payload);
  assertEquals(reframe(opened, 3, 1n), wire);
  for (const version of [1, 2] as const) {
    const error = assertThrows(() => reframe(opened, version, 1n), WireError);
    assertEquals(error.code, "ENCRYPTED");
  }
});

test("ecgCode has a number for every fault and a text for every number", () => {
  assertEquals(ecgCode(new WireError("CHECKSUM_MISMATCH", 0)), 0x101);
  for (const code of ["TRUNCATED", "INVALID_FLAGS", "INVALID_UTF8", "toString", "__proto__"]) {
    assertEquals(ecgCode(new WireError(code, 0)), 0x200, code);
  }
  for (const code of Object.values(ErrorCode)) assert(errorText[code].length < 123);
});

const noDates = [
  "2024-02-30T10:30:45",
  "2023-02-29T10:30:45",
  "2024-13-01T10:30:45",
  "0000-01-01T00:00:00",
  "2024-01-15T24:00:00",
  "2024-01-15T10:60:00",
  "2024-01-15",
  "2024-01-15 10:30:45",
  "2024-01-15T10:30:45+24:00",
  "2024-01-15T10:30:45\n",
  "now",
  "",
];
for (const text of noDates) {
  test(`readPayload refuses the datetime ${JSON.stringify(text)}`, () => {
    const bytes = encodeMsgPack({ __datetime__: text });
    assertEquals(assertThrows(() => readPayload(bytes), WireError).code, "INVALID_DATETIME");
  });
}

const instants = [
  ["2024-01-15T10:30:45.123456", "2024-01-15T10:30:45.123Z"],
  ["2024-01-15T10:30:45", "2024-01-15T10:30:45.000Z"],
  ["2024-01-15T10:30", "2024-01-15T10:30:00.000Z"],
  ["2024-01-15T10:30:45.5Z", "2024-01-15T10:30:45.500Z"],
  ["2024-01-15T10:30:45.123456+05:30", "2024-01-15T05:00:45.123Z"],
  ["1890-01-01T00:00:00+00:19:32", "1889-12-31T23:40:28.000Z"],
  ["1890-01-01T00:00:00-00:19:32", "1890-01-01T00:19:32.000Z"],
  ["2024-02-29T23:59:59-08:00", "2024-03-01T07:59:59.000Z"],
  ["0004-02-29T00:00:00", "0004-02-29T00:00:00.000Z"],
] as const;
for (const [text, instant] of instants) {
  test(`EcgDateTime.toDate reads ${text}`, () => {
    assertEquals(new EcgDateTime(text).toDate().toISOString(), instant);
  });
}

test("EcgDateTime.from writes what older Pythons read", () => {
  const date = new Date("2024-01-15T10:30:45.123Z");
  assertEquals(EcgDateTime.from(date).text, "2024-01-15T10:30:45.123+00:00");
  assertEquals(EcgDateTime.from(date).toDate(), date);
});

test("readPayload leaves what is no wrapper to the letter a map", () => {
  for (
    const map of [
      { __datetime__: "now", zone: "UTC" },
      { __uuid__: "no", version: 4 },
      { __ndarray__: [1], dtype: "int8" },
      { __ndarray__: [1], dtype: "int8", shape: [1], order: "C" },
      { __ndarray__: [1], dtype: "int8", size: 1 },
    ]
  ) assertEquals(readPayload(encodeMsgPack(map)), map);
});

const refusedArrays: readonly (readonly [string, unknown, unknown, unknown])[] = [
  ["an unknown dtype", [1], "complex128", [1]],
  ["a dtype from the prototype", [1], "toString", [1]],
  ["a dtype that is no text", [1], 8, [1]],
  ["a shape that is no list", [1], "int8", 1],
  ["a negative length", [], "int8", [-1]],
  ["half a length", [1], "int8", [0.5]],
  ["33 dimensions", [1], "int8", Array(33).fill(1)],
  ["too few items", [1], "int8", [2]],
  ["ragged lists", [[1, 2], [3]], "int8", [2, 2]],
  ["lists too deep", [[1], [2]], "int8", [2]],
  ["a huge shape of nothing", [], "int8", [1e9, 0]],
  ["an integer out of range", [128], "int8", [1]],
  ["a negative unsigned", [-1], "uint64", [1]],
  ["a fraction as an integer", [0.5], "int32", [1]],
  ["a fraction as a long integer", [0.5], "int64", [1]],
  ["NaN as an integer", [NaN], "int16", [1]],
  ["a number as a bool", [1], "bool", [1]],
  ["a bool as a number", [true], "float64", [1]],
  ["a map as a bool", [{ toString: 1, valueOf: 2 }], "bool", [1]],
  ["text as a number", ["1"], "float64", [1]],
];
for (const [fault, lists, dtype, shape] of refusedArrays) {
  test(`readPayload refuses an ndarray with ${fault}`, () => {
    const bytes = encodeMsgPack({ __ndarray__: lists, dtype, shape });
    assertEquals(assertThrows(() => readPayload(bytes), WireError).code, "INVALID_NDARRAY");
  });
}

const ndArrays: readonly (readonly [DType, unknown, number[]])[] = [
  ["bool", [true, false], [2]],
  ["int8", [-128, 127], [2]],
  ["uint8", [[0], [255]], [2, 1]],
  ["uint32", [4294967295], [1]],
  ["int64", [-9223372036854775808n, 5], [2]],
  ["uint64", [18446744073709551615n], [1]],
  ["float16", [0.5, -2], [2]],
  ["float32", [[[0.5, 1]], [[2, 3]]], [2, 1, 2]],
  ["float64", 2.5, []],
  ["float64", [[], []], [2, 0]],
  ["float64", [], [0, 1e9]],
];
for (const [dtype, lists, shape] of ndArrays) {
  test(`readPayload and writePayload keep ${dtype} of shape [${shape}]`, () => {
    const bytes = encodeMsgPack({ __ndarray__: lists, dtype, shape });
    const array = readPayload(bytes);
    assert(array instanceof NdArray);
    assertEquals(array.dtype, dtype);
    assertEquals(array.shape, shape);
    const written = writePayload(array);
    assertEquals(readPayload(written), array);
    const raw = decodeMsgPack(written) as { __ndarray__: unknown };
    assertEquals(raw.__ndarray__, lists);
  });
}

test("readPayload takes a flat list for a shape with dimensions", () => {
  const bytes = encodeMsgPack({ __ndarray__: [1, 2, 3, 4], dtype: "int16", shape: [2, 2] });
  assertEquals(readPayload(bytes), new NdArray("int16", Int16Array.of(1, 2, 3, 4), [2, 2]));
});

test("NdArray refuses data that does not fit", () => {
  assertThrows(() => new NdArray("int16", Int16Array.of(1, 2), [3]), WireError, "INVALID_NDARRAY");
  const wrong = Int8Array.of(1) as unknown as Int16Array<ArrayBuffer>;
  assertThrows(() => new NdArray("int16", wrong), WireError, "INVALID_NDARRAY");
});

test("decode refuses a second message in the same bytes", () => {
  const wire = encode({ version: 1, type: 0x10, payload: null });
  assertEquals(refusal(concat(wire, wire)), "0x200");
});
