import { createHash } from "node:crypto";
import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { crc32 } from "../src/wire/zlib.ts";
import { concat, fromHex, hex, utf8Bytes, WireError, Writer } from "../src/wire/bytes.ts";
import { commonIds, commonNames } from "../src/wire/blaze/fields.ts";
import {
  BlazeDate,
  decodeRecord,
  Double,
  encodeRecord,
  type Fields,
  type FieldsInput,
  type RecordErrorCode,
  recordLimits,
  type RecordValue,
  Uuid,
  type ValueInput,
} from "../src/wire/blaze/blaze_record.ts";
import { fc, holds } from "./kit/random.ts";
import { vectors } from "./kit/vectors.ts";

/** A value as the vector files write it. */
type Tagged =
  | { t: "string" | "int" | "uuid"; v: string }
  | { t: "double" | "date"; bits: string }
  | { t: "bool"; v: boolean }
  | { t: "data"; hex: string }
  | { t: "array"; v: Tagged[] }
  | { t: "dict"; v: [string, Tagged][] }
  | { t: "vector"; v: string[] }
  | { t: "null" };

interface Vector {
  id: string;
  version: number;
  hex: string;
  reason: string;
  fields: [string, Tagged][];
}

const records = vectors<{ vectors: Vector[] }>("blazebinary/records.json").vectors;
const decodeOnly = vectors<{ vectors: Vector[] }>("blazebinary/decode-only.json").vectors;
const malformed = vectors<{ vectors: Vector[] }>("blazebinary/malformed.json").vectors;

function double(bits: string): { value: number; nan: bigint | undefined } {
  const value = new DataView(fromHex(bits).buffer).getFloat64(0);
  const unusual = Number.isNaN(value) && bits !== "7ff8000000000000";
  return { value, nan: unusual ? BigInt(`0x${bits}`) : undefined };
}

function toValue(tagged: Tagged): RecordValue {
  switch (tagged.t) {
    case "string":
      return tagged.v;
    case "int": {
      const int = BigInt(tagged.v);
      return Number.isSafeInteger(Number(int)) ? Number(int) : int;
    }
    case "double": {
      const { value, nan } = double(tagged.bits);
      if (nan !== undefined) return new Double(value, nan);
      return Number.isSafeInteger(value) ? new Double(value) : value;
    }
    case "bool":
      return tagged.v;
    case "uuid":
      return Uuid.parse(tagged.v);
    case "date":
      return new BlazeDate(double(tagged.bits).value);
    case "data":
      return fromHex(tagged.hex);
    case "array":
      return tagged.v.map(toValue);
    case "dict":
      return toFields(tagged.v);
    case "vector":
      return Float32Array.from(tagged.v, Number);
    case "null":
      return null;
  }
}

const toFields = (entries: [string, Tagged][]): Fields =>
  Object.fromEntries(entries.map(([name, tagged]) => [name, toValue(tagged)]));

function refuses(fn: () => unknown, code: RecordErrorCode, detail = ""): void {
  assertEquals(assertThrows(fn, WireError, detail).code, code);
}

/** A record with one field "v" holding the value of these bytes. */
const around = (value: string): Uint8Array => fromHex(`424c415a45010001ff000176${value}`);

/** Either a value or a `WireError`: nothing else may come out of bytes from outside. */
function survives(bytes: Uint8Array): Fields | undefined {
  try {
    return decodeRecord(bytes);
  } catch (error) {
    assert(error instanceof WireError, `${error} for ${hex(bytes)}`);
    return undefined;
  }
}

// ---- vectors

for (const { id, version, fields, hex: bytes } of records) {
  test(`encodeRecord and decodeRecord agree with vector ${id}`, () => {
    const value = toFields(fields);
    const options = { checksum: version === 2 };
    assertEquals(hex(encodeRecord(value, options)), bytes);
    assertEquals(decodeRecord(fromHex(bytes)), value);
    assertEquals(hex(encodeRecord(decodeRecord(fromHex(bytes)), options)), bytes);
  });
}

const refusedAlthoughUpstreamAccepts: Record<string, RecordErrorCode> = {
  "duplicate-key": "DUPLICATE_NAME",
  "trailing-v1": "TRAILING_BYTES",
  "trailing-v2-before-crc": "TRAILING_BYTES",
  "v2-field-overlaps-crc": "TRUNCATED",
};

for (const { id, fields, hex: bytes } of decodeOnly) {
  const code = refusedAlthoughUpstreamAccepts[id];
  if (code === undefined) {
    test(`decodeRecord accepts ${id}, which encoders never write`, () => {
      assertEquals(decodeRecord(fromHex(bytes)), toFields(fields));
    });
  } else {
    test(`decodeRecord refuses ${id}, which upstream accepts`, () => {
      refuses(() => decodeRecord(fromHex(bytes)), code);
    });
  }
}

for (const { id, hex: bytes, reason } of malformed) {
  test(`decodeRecord refuses ${id}`, () => {
    refuses(() => decodeRecord(fromHex(bytes)), reason as RecordErrorCode);
  });
}

interface VectorValue {
  id: string;
  value: Tagged;
  documented: string;
  decodeOfDocumented: string[];
}

for (
  const { id, value, documented, decodeOfDocumented } of vectors<{ vectors: VectorValue[] }>(
    "blazebinary/vector-type.json",
  ).vectors
) {
  test(`encodeRecord and decodeRecord agree with vector value ${id}`, () => {
    assertEquals(encodeRecord({ v: toValue(value) }), around(documented));
    const { v } = decodeRecord(around(documented));
    assert(v instanceof Float32Array);
    assertEquals([...v].map((x) => Object.is(x, -0) ? "-0" : `${x}`), decodeOfDocumented);
  });
}

test("commonNames are the table of the format", () => {
  const { fields } = vectors<{ fields: { id: string; name: string }[] }>(
    "blazebinary/common-fields.json",
  );
  assertEquals(commonNames, fields.map(({ name }) => name));
  assertEquals([...commonIds], fields.map(({ id, name }) => [name, Number(id)]));
});

// ---- limits

const numbered = (prefix: string, count: number): FieldsInput =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [prefix + i, i]));

/** The recipes of limits.json, by id. */
const recipes: Record<string, () => FieldsInput> = {
  "string-65536": () => ({ text: "A".repeat(65_536) }),
  "string-1000000": () => ({ large: "A".repeat(1_000_000) }),
  "data-100000": () => ({ blob: Uint8Array.from({ length: 100_000 }, (_, i) => i) }),
  "array-65535": () => ({ tags: Array(65_535).fill(1) }),
  "dict-1000": () => ({ metadata: numbered("k", 1000) }),
  "fields-1000": () => numbered("f", 1000),
  "fields-65535": () => numbered("f", 65_535),
  "name-65535": () => ({ ["n".repeat(65_535)]: 1 }),
  "crc-1mb": () => ({ text: "B".repeat(1_000_000) }),
};

const limits = vectors<{
  vectors: { id: string; length: number; headHex: string; sha256: string }[];
  encoderRefusals: { id: string }[];
}>("blazebinary/limits.json");

for (const { id, length, headHex, sha256 } of limits.vectors) {
  test(`encodeRecord and decodeRecord agree with large record ${id}`, () => {
    const fields = recipes[id]!();
    const bytes = encodeRecord(fields, { checksum: headHex.slice(10, 12) === "02" });
    assertEquals(bytes.length, length);
    assertEquals(createHash("sha256").update(bytes).digest("hex"), sha256);
    const decoded = decodeRecord(bytes);
    assertEquals(encodeRecord(decoded, { checksum: bytes[5] === 2 }), bytes);
    assertEquals(Object.keys(decoded).length, Object.keys(fields).length);
  });
}

const tooLarge: Record<string, [() => FieldsInput, RecordErrorCode, string]> = {
  "fields-65536": [() => numbered("f", 65_536), "COUNT_LIMIT", ""],
  "array-65536": [() => ({ tags: Array(65_536).fill(1) }), "COUNT_LIMIT", "tags"],
  "dict-65536": [() => ({ metadata: numbered("k", 65_536) }), "COUNT_LIMIT", "metadata"],
  "dict-key-65536": [
    () => ({ metadata: { ["k".repeat(65_536)]: 1 } }),
    "LENGTH_LIMIT",
    "metadata.kkk",
  ],
  "name-65536": [() => ({ ["n".repeat(65_536)]: 1 }), "LENGTH_LIMIT", "nnn"],
  "string-100000001": [() => ({ text: "A".repeat(100_000_001) }), "LENGTH_LIMIT", "text"],
};

for (const { id } of limits.encoderRefusals) {
  test(`encodeRecord refuses ${id}`, () => {
    const [fields, code, place] = tooLarge[id]!;
    refuses(() => encodeRecord(fields()), code, place);
  });
}

test("encodeRecord refuses names that are too long in bytes only", () => {
  refuses(() => encodeRecord({ ["é".repeat(32_768)]: 1 }), "LENGTH_LIMIT");
  decodeRecord(encodeRecord({ ["é".repeat(32_767)]: 1 }));
});

test("encodeRecord refuses data of 100000001 bytes", () => {
  // Never touched, so the system gives no memory for it.
  refuses(() => encodeRecord({ blob: new Uint8Array(100_000_001) }), "LENGTH_LIMIT", "blob");
});

test("encodeRecord refuses a vector of a million elements", () => {
  refuses(() => encodeRecord({ v: new Float32Array(1_000_000) }), "LENGTH_LIMIT", "v");
  assertEquals(encodeRecord({ v: new Float32Array(999_999) }).length, 4_000_013);
});

const nested = (depth: number): RecordValue => depth === 0 ? 1 : [nested(depth - 1)];

test("encodeRecord and decodeRecord take 64 levels of nesting and refuse 65", () => {
  const deepest = encodeRecord({ tags: nested(recordLimits.depth) });
  assertEquals(decodeRecord(deepest), { tags: nested(recordLimits.depth) });
  refuses(() => encodeRecord({ tags: nested(recordLimits.depth + 1) }), "DEPTH_LIMIT", "tags[0]");
  for (const innermost of ["0800011201", "18", "0900010001611201", "19", "080000", "090000"]) {
    const at = (depth: number) => around("080001".repeat(depth) + innermost);
    decodeRecord(at(63));
    refuses(() => decodeRecord(at(64)), "DEPTH_LIMIT");
  }
  for (const innermost of [[], {}]) {
    let value: RecordValue = innermost;
    for (let i = 0; i < 64; i++) value = { a: value };
    refuses(() => encodeRecord({ value }), "DEPTH_LIMIT");
  }
});

test("encodeRecord refuses a value that contains itself", () => {
  const circle: RecordValue[] = [];
  circle.push(circle);
  refuses(() => encodeRecord({ circle }), "DEPTH_LIMIT", "circle[0][0]");
});

test("decodeRecord refuses counts beyond the bytes before making anything", () => {
  const bombs = "08ffff".repeat(60) + "0b".repeat(1000);
  refuses(() => decodeRecord(around(bombs)), "TRUNCATED");
});

// ---- names

test("encodeRecord refuses two names that are equal after NFC", () => {
  refuses(() => encodeRecord({ "\u00e9": 1, "e\u0301": 2 }), "DUPLICATE_NAME", "\u0301");
  refuses(() => encodeRecord({ K: 1, "\u212a": 2 }), "DUPLICATE_NAME");
  refuses(
    () => encodeRecord({ config: { "\u00e9": 1, "e\u0301": 2 } }),
    "DUPLICATE_NAME",
    "config[",
  );
});

test("decodeRecord refuses names and keys that repeat, as bytes or after NFC", () => {
  const name = (text: string) => {
    const bytes = utf8Bytes(text);
    return hex(new Writer().u16(bytes.length).bytes(bytes).finish());
  };
  for (
    const [a, b] of [["x", "x"], ["\u00e9", "e\u0301"], ["K", "\u212a"], ["\u212a", "K"]] as const
  ) {
    const record = `424c415a45010003ff${name(a)}0bff${name("m")}0bff${name(b)}0b`;
    refuses(() => decodeRecord(fromHex(record)), "DUPLICATE_NAME");
    refuses(() => decodeRecord(around(`090002${name(a)}0b${name(b)}0b`)), "DUPLICATE_NAME");
  }
  refuses(() => decodeRecord(fromHex("424c415a45010002010bff000269640b")), "DUPLICATE_NAME");
});

test("decodeRecord keeps names that objects give a meaning", () => {
  const names = ["__proto__", "constructor", "toString", "hasOwnProperty", "0", "-1", ""];
  const fields: Fields = Object.fromEntries(names.map((name) => [name, { [name]: name }]));
  Object.defineProperty(fields, "__proto__", { value: { "a": 1 }, enumerable: true });
  const decoded = decodeRecord(encodeRecord({ ...fields, config: fields }));
  assertEquals(Object.keys(decoded).sort(), [...names, "config"].sort());
  assertEquals(Object.getPrototypeOf(decoded), Object.prototype);
  assertEquals(Object.getOwnPropertyDescriptor(decoded, "__proto__")?.value, { a: 1 });
  assertEquals(Object.keys(decoded.config as Fields).sort(), names.sort());
  assertEquals(({} as Fields).a, undefined);
});

// ---- values

test("encodeRecord takes a whole number for an int and any other for a double", () => {
  const tagOf = (value: ValueInput): string => hex(encodeRecord({ v: value }).subarray(12));
  assertEquals(tagOf(5), "1205");
  assertEquals(tagOf(-0), "1200");
  assertEquals(tagOf(5n), "1205");
  assertEquals(tagOf(new Double(5)), "034014000000000000");
  assertEquals(tagOf(new Double(-0)), "038000000000000000");
  assertEquals(tagOf(0.5), "033fe0000000000000");
  assertEquals(tagOf(-1), "02ffffffffffffffff");
  assertEquals(tagOf(2 ** 53 - 1), "02001fffffffffffff");
  assertEquals(tagOf(1 - 2 ** 53), "02ffe0000000000001");
  assertEquals(tagOf(2 ** 53), "034340000000000000");
  assertEquals(tagOf(NaN), "037ff8000000000000");
});

test("decodeRecord gives a number, and a bigint or Double where a number would be another", () => {
  const valueOf = (bytes: string): RecordValue | undefined => decodeRecord(around(bytes)).v;
  assertEquals(valueOf("02001fffffffffffff"), 2 ** 53 - 1);
  assertEquals(valueOf("020020000000000000"), 2n ** 53n);
  assertEquals(valueOf("02ffe0000000000001"), 1 - 2 ** 53);
  assertEquals(valueOf("02ffe0000000000000"), -(2n ** 53n));
  assertEquals(valueOf("034014000000000000"), new Double(5));
  assertEquals(valueOf("037ff8000000000000"), NaN);
  assertEquals(valueOf("037ff8000000000001"), new Double(NaN, 0x7ff8_0000_0000_0001n));
  const zero = valueOf("038000000000000000");
  assert(zero instanceof Double && Object.is(zero.value, -0));
});

test("encodeRecord and decodeRecord keep the bits of every NaN", () => {
  for (const nan of ["fff8000000000000", "7ff0000000000001", "7ff4000000000001"]) {
    for (const tag of ["03", "06"]) {
      assertEquals(encodeRecord(decodeRecord(around(tag + nan))), around(tag + nan));
    }
  }
  const vector = around("0a000000047fc000017f800001ffc00000ff800001");
  assertEquals(encodeRecord(decodeRecord(vector)), vector);
});

test("encodeRecord refuses an int beyond 64 bits", () => {
  for (const int of [2n ** 63n, -(2n ** 63n) - 1n, 2n ** 70n]) {
    assertThrows(() => encodeRecord({ config: { size: int } }), RangeError, "config.size");
  }
});

test("encodeRecord refuses what is no value and says where", () => {
  const cases: [unknown, string][] = [
    [{ a: undefined }, "a: a record cannot hold undefined"],
    [{ tags: [1, 2, () => 0] }, "tags[2]: a record cannot hold function"],
    [{ tags: Array(1) }, "tags[0]: a record cannot hold undefined"],
    [{ config: { "a b": [{ c: Symbol() }] } }, 'config["a b"][0].c: a record cannot hold symbol'],
    [{ a: new Map() }, "a: a record cannot hold [object Map]"],
    [{ a: new Float64Array(1) }, "a: a record cannot hold [object Float64Array]"],
    [{ a: new ArrayBuffer(1) }, "a: a record cannot hold [object ArrayBuffer]"],
    [{ a: new Date(NaN) }, "a: an invalid Date"],
  ];
  for (const [fields, message] of cases) {
    assertThrows(() => encodeRecord(fields as FieldsInput), TypeError, message);
  }
});

test("encodeRecord refuses half a surrogate pair", () => {
  refuses(() => encodeRecord({ title: "\ud83d" }), "INVALID_TEXT", "title");
  refuses(() => encodeRecord({ "\ude00": 1 }), "INVALID_TEXT");
  refuses(() => encodeRecord({ config: { "\ude00": 1 } }), "INVALID_TEXT", "config");
});

test("decodeRecord shares no memory with the message", () => {
  const bytes = encodeRecord({ blob: Uint8Array.of(1, 2, 3) });
  for (const message of [bytes.slice(), Buffer.from(bytes)]) {
    const { blob } = decodeRecord(message);
    message.fill(0);
    assertEquals(blob, Uint8Array.of(1, 2, 3));
  }
});

test("decodeRecord reads a record inside a larger buffer", () => {
  for (const checksum of [false, true]) {
    const record = encodeRecord({ priority: 5 }, { checksum });
    const buffer = concat(Uint8Array.of(1, 2, 3), record, Uint8Array.of(4));
    const view = buffer.subarray(1, 3 + record.length);
    assertEquals(decodeRecord(view, 2), { priority: 5 });
    view[2] = 0;
    assertEquals(assertThrows(() => decodeRecord(view, 2), WireError).offset, 2);
  }
});

test("decodeRecord refuses damage that a checksum covers", () => {
  const bytes = encodeRecord({ title: "checked" }, { checksum: true });
  for (let i = 6; i < bytes.length; i++) {
    bytes[i]! ^= 1;
    refuses(() => decodeRecord(bytes), "CRC_MISMATCH");
    bytes[i]! ^= 1;
  }
  assertEquals(new DataView(bytes.buffer).getUint32(bytes.length - 4), crc32(bytes.slice(0, -4)));
});

test("Uuid reads and writes text and bytes", () => {
  const text = "550e8400-e29b-41d4-a716-446655440000";
  const uuid = Uuid.parse(text.toUpperCase());
  assertEquals(`${uuid}`, text);
  assertEquals(JSON.stringify(uuid), `"${text}"`);
  assertEquals(hex(uuid.bytes()), text.replaceAll("-", ""));
  assertEquals(Uuid.from(uuid.bytes()), uuid);
  assertEquals(`${new Uuid(0n, 1n)}`, "00000000-0000-0000-0000-000000000001");
  for (const bad of ["", text.slice(1), `${text}0`, text.replace("-", ""), `g${text.slice(1)}`]) {
    assertThrows(() => Uuid.parse(bad), RangeError);
  }
  assertThrows(() => Uuid.from(new Uint8Array(15)), RangeError);
  assertThrows(() => new Uuid(-1n, 0n), RangeError);
  assertThrows(() => new Uuid(0n, 1n << 64n), RangeError);
});

test("BlazeDate goes to Date and back", () => {
  assertEquals(new BlazeDate(0).toDate().toISOString(), "2001-01-01T00:00:00.000Z");
  assertEquals(BlazeDate.from(new Date(0)).seconds, -978_307_200);
  assertEquals(JSON.stringify(BlazeDate.from(new Date(0))), '"1970-01-01T00:00:00.000Z"');
  assertEquals(JSON.stringify(new BlazeDate(Infinity)), "null");
  assertThrows(() => BlazeDate.from(new Date(NaN)), RangeError);
  const milliseconds = fc.integer({ min: Date.UTC(-8000, 0), max: Date.UTC(12_000, 0) });
  holds(
    fc.property(milliseconds, (ms) => {
      assertEquals(BlazeDate.from(new Date(ms)).toDate().getTime(), ms);
      const { createdAt } = decodeRecord(encodeRecord({ createdAt: new Date(ms) }));
      assertEquals(createdAt, BlazeDate.from(new Date(ms)));
    }),
    1000,
  );
});

test("Double is a number in JSON", () => {
  assertEquals(JSON.stringify({ ratio: new Double(1) }), '{"ratio":1}');
});

// ---- random

const u64 = fc.bigInt(0n, 0xffff_ffff_ffff_ffffn);
const text = fc.string({ unit: "binary", maxLength: 80 });
const name = fc.oneof(text, fc.constantFrom(...commonNames, "__proto__", "constructor"));

/** An object with these entries, whatever their names. */
function object<T>(entries: readonly (readonly [string, T])[]): Record<string, T> {
  const made = {};
  for (const [key, value] of entries) {
    Object.defineProperty(made, key, {
      value,
      configurable: true,
      enumerable: true,
      writable: true,
    });
  }
  return made;
}

const distinct = { selector: ([name]: [string, unknown]) => name.normalize("NFC"), maxLength: 8 };

const { value } = fc.letrec<{ value: RecordValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    text,
    fc.maxSafeInteger(),
    fc.integer({ min: -1, max: 256 }),
    fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n).map((int) =>
      Number.isSafeInteger(Number(int)) ? Number(int) : int
    ),
    fc.double().filter((number) => !Number.isSafeInteger(number)),
    fc.maxSafeInteger().map((whole) => new Double(whole)),
    fc.constant(new Double(-0)),
    fc.bigInt(1n, 2n ** 51n - 1n).map((bits) => new Double(NaN, 0x7ff0n << 48n | bits)),
    fc.boolean(),
    fc.constant(null),
    fc.tuple(u64, u64).map(([high, low]) => new Uuid(high, low)),
    fc.double().map((seconds) => new BlazeDate(seconds)),
    fc.uint8Array({ maxLength: 40 }),
    fc.float32Array({ maxLength: 10 }),
    fc.array(tie("value"), { maxLength: 8 }),
    fc.uniqueArray(fc.tuple(name, tie("value")), distinct).map(object),
  ),
}));

const fields: fc.Arbitrary<Fields> = fc.uniqueArray(fc.tuple(name, value), distinct).map(object);

test("decodeRecord is the inverse of encodeRecord", () => {
  holds(
    fc.property(fields, fc.boolean(), (fields, checksum) => {
      const bytes = encodeRecord(fields, { checksum });
      const decoded = decodeRecord(bytes);
      assertEquals(decoded, fields);
      // Tells apart what the comparison above does not: the zeros, and the kinds of NaN.
      assertEquals(encodeRecord(decoded, { checksum }), bytes);
    }),
    1000,
  );
});

test("encodeRecord does not depend on the order of fields", () => {
  holds(fc.property(fc.uniqueArray(fc.tuple(name, value), distinct), (entries) => {
    const there = encodeRecord(object(entries));
    assertEquals(encodeRecord(object(entries.toReversed())), there);
  }));
});

/** The names of a record whose values are all null, in the order of the wire. */
function namesOnWire(bytes: Uint8Array): string[] {
  const names: string[] = [];
  for (let at = 8; at < bytes.length; at++) {
    const id = bytes[at++]!;
    if (id !== 0xff) names.push(commonNames[id - 1]!);
    else {
      const length = bytes[at]! << 8 | bytes[at + 1]!;
      names.push(new TextDecoder("utf-8", { ignoreBOM: true }).decode(
        bytes.subarray(at += 2, at += length),
      ));
    }
  }
  return names;
}

/** The same order said in another way: code point by code point of the NFC form. */
function byCodePoint(a: string, b: string): number {
  const [x, y] = [a, b].map((text) => [...text.normalize("NFC")].map((c) => c.codePointAt(0)!));
  for (let i = 0; i < Math.min(x!.length, y!.length); i++) {
    if (x![i] !== y![i]) return x![i]! - y![i]!;
  }
  return x!.length - y!.length;
}

test("encodeRecord sorts names by the code points of their NFC form", () => {
  // Few characters, so that names share beginnings: composed and not, and both ends of the
  // surrogates, where UTF-16 order is another.
  const unit = fc.constantFrom("a", "z", "Z", "e", "\u00e9", "\u0301", "\u{1f600}", "\uff5e", "\0");
  const names = fc.uniqueArray(fc.oneof(fc.string({ unit, maxLength: 4 }), name), {
    selector: (name) => name.normalize("NFC"),
    maxLength: 30,
  });
  holds(
    fc.property(names, (names) => {
      const bytes = encodeRecord(object(names.map((name) => [name, null])));
      assertEquals(namesOnWire(bytes), names.toSorted(byCodePoint));
    }),
    500,
  );
});

// ---- hostile bytes

const good = [...records, ...decodeOnly].map((vector) => fromHex(vector.hex));

test("decodeRecord gives an error for every record cut short", () => {
  for (const { hex: bytes } of records) {
    const record = fromHex(bytes);
    for (let length = 0; length < record.length; length++) {
      assertEquals(survives(record.subarray(0, length)), undefined);
    }
  }
});

test("decodeRecord gives a value or a WireError for changed bytes", () => {
  const change = fc.tuple(fc.nat(), fc.nat(255));
  holds(
    fc.property(
      fc.constantFrom(...good),
      fc.array(change, { minLength: 1, maxLength: 4 }),
      fc.boolean(),
      (record, changes, mend) => {
        const bytes = record.slice();
        for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
        // With its checksum mended, a changed record gets past the first door.
        if (mend && bytes[5] === 2 && bytes.length >= 12) {
          new DataView(bytes.buffer).setUint32(bytes.length - 4, crc32(bytes.slice(0, -4)));
        }
        const fields = survives(bytes);
        if (fields !== undefined) {
          const again = encodeRecord(fields);
          assertEquals(encodeRecord(decodeRecord(again)), again);
        }
      },
    ),
    5000,
  );
});

test("decodeRecord gives a value or a WireError for random values", () => {
  const tag = fc.constantFrom(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 17, 18, 24, 25, 32, 33, 0);
  holds(
    fc.property(fc.array(fc.oneof(tag, fc.nat(255)), { maxLength: 60 }), (bytes) => {
      survives(concat(fromHex("424c415a45010001"), Uint8Array.from(bytes)));
    }),
    5000,
  );
});
