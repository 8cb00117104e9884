import { test } from "node:test";
import * as peer from "@msgpack/msgpack";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { fromHex, hex, WireError } from "../src/wire/bytes.ts";
import { Ext, Float32, Float64 } from "../src/wire/ecg/msgpack.ts";
import { decode } from "../src/wire/ecg/msgpack_decode.ts";
import { encode } from "../src/wire/ecg/msgpack_encode.ts";
import { fc, holds } from "./kit/random.ts";

/** Arrays in arrays around nil. */
const nested = (levels: number) => "91".repeat(levels) + "c0";

const refused = [
  ["nothing at all", "", "TRUNCATED"],
  ["the byte that is never used", "c1", "INVALID_TAG"],
  ["two values", "c0c0", "TRAILING_BYTES"],
  ["a string cut short", "a361", "TRUNCATED"],
  ["an integer cut short", "cd00", "TRUNCATED"],
  ["a float cut short", "cb3ff00000000000", "TRUNCATED"],
  ["binary cut short", "c40201", "TRUNCATED"],
  ["an extension without a type", "d4", "TRUNCATED"],
  ["an array of 4 Gi", "ddffffffffc0", "TRUNCATED"],
  ["a map of 4 Gi", "dfffffffffa0c0", "TRUNCATED"],
  ["binary of 4 GiB", "c6ffffffff00", "TRUNCATED"],
  ["an extension of 4 GiB", "c9ffffffff0100", "TRUNCATED"],
  ["an array that lacks its last item", "9201", "TRUNCATED"],
  ["a map that lacks its last value", "81a161", "TRUNCATED"],
  ["33 levels", nested(33), "TOO_DEEP"],
  ["33 levels of maps", "81a161".repeat(33) + "c0", "TOO_DEEP"],
  ["a continuation byte alone", "a180", "INVALID_UTF8"],
  ["an overlong NUL", "a2c080", "INVALID_UTF8"],
  ["a surrogate in UTF-8", "a3eda080", "INVALID_UTF8"],
  ["UTF-8 beyond U+10FFFF", "a4f4908080", "INVALID_UTF8"],
  ["ill-formed UTF-8 as a key", "81a1ffc0", "INVALID_UTF8"],
  ["long ill-formed UTF-8", "d920" + "61".repeat(31) + "ff", "INVALID_UTF8"],
  ["a key twice", "82a16101a16102", "DUPLICATE_KEY"],
  ["a key twice in two forms", "82a16101d9016102", "DUPLICATE_KEY"],
  ["__proto__ twice", "82a95f5f70726f746f5f5f01a95f5f70726f746f5f5f02", "DUPLICATE_KEY"],
  ["a number as key twice", "8201a0cc01a0", "DUPLICATE_KEY"],
  ["text twice around a number", "83a1610102c0a16103", "DUPLICATE_KEY"],
  ["an array as key", "8190c0", "INVALID_KEY"],
  ["a map as key", "8180c0", "INVALID_KEY"],
  ["a large array as key", "81dc0000c0", "INVALID_KEY"],
  ["binary as key", "81c40161c0", "INVALID_KEY"],
  ["an extension as key", "81d40100c0", "INVALID_KEY"],
] as const;

for (const [fault, bytes, code] of refused) {
  test(`decode refuses ${fault}`, () => {
    assertEquals(assertThrows(() => decode(fromHex(bytes)), WireError).code, code);
  });
}

const read = [
  ["32 levels", nested(32), undefined],
  ["-1 in 64 bits as a number", "d3ffffffffffffffff", -1],
  ["2^53-1 as a number", "cf001fffffffffffff", Number.MAX_SAFE_INTEGER],
  ["2^53 as a bigint", "cf0020000000000000", 1n << 53n],
  ["-2^53 as a bigint", "d3ffe0000000000000", -(1n << 53n)],
  ["float 32", "ca3dcccccd", Math.fround(0.1)],
  ["an integral float", "cb3ff0000000000000", 1],
  ["a fixed extension", "d5fe0102", new Ext(-2, Uint8Array.of(1, 2))],
  ["an empty extension", "c70005", new Ext(5, new Uint8Array(0))],
  [
    "a map with keys that are not text",
    "84a161010201c302c003",
    new Map<unknown, unknown>([
      ["a", 1],
      [2, 1],
      [true, 2],
      [null, 3],
    ]),
  ],
  ["U+FEFF as text", "a3efbbbf", "\ufeff"],
  ["an array of everything small", "94007fe0ff", [0, 127, -32, -1]],
] as const;

for (const [name, bytes, value] of read) {
  test(`decode reads ${name}`, () => {
    const decoded = decode(fromHex(bytes));
    if (value !== undefined) assertEquals(decoded, value);
  });
}

const written = [
  ["an integral float", new Float64(1), "cb3ff0000000000000"],
  ["float 32", new Float32(0.1), "ca3dcccccd"],
  ["minus zero", -0, "cb8000000000000000"],
  ["2^53 as the float that it is", 2 ** 53, "cb4340000000000000"],
  ["a small bigint", 7n, "07"],
  ["the least bigint", -(1n << 63n), "d38000000000000000"],
  ["the greatest bigint", (1n << 64n) - 1n, "cfffffffffffffffff"],
  ["no undefined properties", { a: undefined, b: 1 }, "81a16201"],
  ["binary", Uint8Array.of(1, 2), "c4020102"],
  ["float 64 arrays", Float64Array.of(1, -2), "92cb3ff0000000000000cbc000000000000000"],
  ["float 32 arrays", Float32Array.of(0.5), "91ca3f000000"],
  ["int 8 arrays", Int8Array.of(-128, -33, -32, -1, 0, 127), "96d080d0dfe0ff007f"],
  [
    "int 16 arrays",
    Int16Array.of(-32768, -129, -128, 128, 255, 256, 32767),
    "97d18000d1ff7fd080cc80ccffcd0100cd7fff",
  ],
  [
    "int 32 arrays",
    Int32Array.of(-2147483648, -32769, -32768, 65535, 65536, 2147483647),
    "96d280000000d2ffff7fffd18000cdffffce00010000ce7fffffff",
  ],
  ["uint 16 arrays", Uint16Array.of(0, 65535), "9200cdffff"],
  ["uint 32 arrays", Uint32Array.of(128, 4294967295), "92cc80ceffffffff"],
  ["a map with any keys", new Map<unknown, unknown>([[1, "a"], ["b", null]]), "8201a161a162c0"],
  ["fixed extensions", new Ext(-1, new Uint8Array(4)), "d6ff00000000"],
  ["other extensions", new Ext(3, new Uint8Array(3)), "c70303000000"],
  ["an object without a prototype", Object.assign(Object.create(null), { a: 1 }), "81a16101"],
] as const;

for (const [name, value, bytes] of written) {
  test(`encode writes ${name}`, () => assertEquals(hex(encode(value)), bytes));
}

const loop: unknown[] = [];
loop.push(loop);
const unwritable = [
  ["undefined", undefined, "UNSUPPORTED_VALUE"],
  ["undefined in an array", [undefined], "UNSUPPORTED_VALUE"],
  ["a hole", Array(1), "UNSUPPORTED_VALUE"],
  ["a function", () => 0, "UNSUPPORTED_VALUE"],
  ["a symbol", Symbol("a"), "UNSUPPORTED_VALUE"],
  ["a class it does not know", new Date(0), "UNSUPPORTED_VALUE"],
  ["a lone surrogate", "\ud800", "UNSUPPORTED_VALUE"],
  ["a lone surrogate as key", { "\udc00": 1 }, "UNSUPPORTED_VALUE"],
  ["an array as key", new Map([[[], 1]]), "UNSUPPORTED_VALUE"],
  ["a bigint of 65 bits", 1n << 64n, "OUT_OF_RANGE"],
  ["a bigint below 64 bits", -(1n << 63n) - 1n, "OUT_OF_RANGE"],
  ["an extension type of 9 bits", new Ext(128, new Uint8Array(0)), "OUT_OF_RANGE"],
  ["what contains itself", loop, "TOO_DEEP"],
] as const;

for (const [name, value, code] of unwritable) {
  test(`encode refuses ${name}`, () => {
    assertEquals(assertThrows(() => encode(value), WireError).code, code);
  });
}

test("decode leaves Object.prototype alone and keeps __proto__ as a key", () => {
  const value = decode(fromHex("81a95f5f70726f746f5f5f81a161c3")) as Record<string, unknown>;
  assertEquals(Object.keys(value), ["__proto__"]);
  assertEquals(Object.getPrototypeOf(value), Object.prototype);
  assertEquals(({} as { a?: boolean }).a, undefined);
  assertEquals(hex(encode(value)), "81a95f5f70726f746f5f5f81a161c3");
});

test("decode of binary is a view of the message", () => {
  const message = fromHex("c4020102");
  const value = decode(message) as Uint8Array;
  assertEquals(value.buffer, message.buffer);
  assertEquals(value.byteOffset, 2);
});

test("decode reads a view that starts inside its buffer", () => {
  assertEquals(decode(fromHex("ffffcb3ff8000000000000ff").subarray(2, 11)), 1.5);
});

test("encode writes every length in its shortest form", () => {
  for (const length of [0, 15, 16, 31, 32, 255, 256, 65535, 65536]) {
    const text = "a".repeat(length);
    const array = Array<number>(length).fill(1);
    const map = Object.fromEntries(array.map((_, i) => [`k${i}`, i]));
    for (const value of [text, array, map, new Uint8Array(length)]) {
      const bytes = hex(encode(value));
      assertEquals(bytes, hex(peer.encode(value)));
      // Through bytes: comparing 65,536 properties one by one takes a second.
      assertEquals(hex(encode(decode(fromHex(bytes)))), bytes);
    }
  }
});

const scalar = fc.oneof(
  fc.integer(),
  fc.maxSafeInteger(),
  // The peer writes -0 as the integer 0; ours is in the table above.
  fc.double().filter((value) => !Object.is(value, -0)),
  fc.boolean(),
  fc.constant(null),
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.uint8Array({ maxLength: 40 }),
);
/** Values that the peer has too: it refuses `__proto__`. */
const { common } = fc.letrec<{ common: unknown }>((tie) => ({
  common: fc.oneof(
    { maxDepth: 5 },
    scalar,
    fc.array(tie("common"), { maxLength: 20 }),
    fc.dictionary(fc.string().filter((key) => key !== "__proto__"), tie("common"), {
      maxKeys: 20,
      noNullPrototype: true,
    }),
  ),
}));

test("encode then decode keeps any value", () => {
  const any = fc.oneof(
    common,
    fc.bigInt({ min: -(1n << 63n), max: -(1n << 53n) }),
    fc.bigInt({ min: 1n << 53n, max: (1n << 64n) - 1n }),
    fc.tuple(fc.integer({ min: -128, max: 127 }), fc.uint8Array({ maxLength: 300 }))
      .map(([type, data]) => new Ext(type, data)),
    fc.uniqueArray(fc.tuple(fc.integer(), common), { minLength: 1, selector: ([key]) => key })
      .map((entries) => new Map(entries)),
  );
  holds(fc.property(any, (value) => assertEquals(decode(encode(value)), value)), 500);
});

test("encode writes what @msgpack/msgpack writes, and each reads the other", () => {
  holds(
    fc.property(common, (value) => {
      const ours = encode(value);
      const theirs = peer.encode(value);
      assertEquals(peer.decode(ours), value);
      assertEquals(decode(theirs), value);
      assertEquals(hex(ours), hex(theirs));
    }),
    500,
  );
});

test("encode of a typed array is that of its numbers one by one", () => {
  holds(fc.property(
    fc.oneof(fc.int8Array(), fc.int16Array(), fc.int32Array(), fc.uint16Array(), fc.uint32Array()),
    (array) => assertEquals(hex(encode(array)), hex(encode(Array.from(array)))),
  ));
  holds(fc.property(fc.float64Array(), (array) => {
    assertEquals(hex(encode(array)), hex(encode(Array.from(array, (v) => new Float64(v)))));
  }));
  holds(fc.property(fc.float32Array(), (array) => {
    assertEquals(hex(encode(array)), hex(encode(Array.from(array, (v) => new Float32(v)))));
  }));
});

test("decode of random bytes gives a value or a WireError", () => {
  holds(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        decode(bytes);
      } catch (error) {
        assert(error instanceof WireError, String(error));
      }
    }),
    3000,
  );
});
