import { test } from "node:test";
import * as library from "@msgpack/msgpack";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { fromHex, hex, sameBytes, WireError } from "../src/wire/bytes.ts";
import { Ext, Float32, Float64 } from "../src/wire/ecg/msgpack.ts";
import { decode } from "../src/wire/ecg/msgpack_decode.ts";
import { encode } from "../src/wire/ecg/msgpack_encode.ts";
import { scan } from "../src/wire/ecg/msgpack_scan.ts";
import { readPayload } from "../src/wire/ecg/payload.ts";
import { naiveDecode, naiveEncode } from "./kit/naive_msgpack.ts";
import { fc, holds } from "./kit/random.ts";

/** Arrays in arrays around nil. */
const nested = (levels: number) => "91".repeat(levels) + "c0";

/** U+FEFF, then so many letters. */
const marked = (letters: number) => `\ufeff${"a".repeat(letters)}`;

/** Entries "a": nil, "b": nil and on. */
const keys = (count: number) =>
  Array.from({ length: count }, (_, i) => `a1${(0x61 + i).toString(16)}c0`).join("");

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
  ["0 and -0 as keys", "8200c0cb8000000000000000c0", "DUPLICATE_KEY"],
  ["1 and 1.0 as keys", "8201c0ca3f800000c0", "DUPLICATE_KEY"],
  ["NaN as key twice", "82cb7ff8000000000000c0ca7fc00000c0", "DUPLICATE_KEY"],
  ["2^64-1 as key twice", "82cfffffffffffffffffc0cfffffffffffffffffc0", "DUPLICATE_KEY"],
  ["a key of a large map twice", `de0011${keys(16)}a161c0`, "DUPLICATE_KEY"],
  ["a number as key of a large map twice", `de0012${keys(16)}01c0ca3f800000c0`, "DUPLICATE_KEY"],
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
  ["-0 as a key, which is 0", "81cb800000000000000001", new Map([[0, 1]])],
  ["U+FEFF as text", "a3efbbbf", "\ufeff"],
  ["an array of everything small", "94007fe0ff", [0, 127, -32, -1]],
  [
    "every form of a number in a list",
    "dc0010" + "00" + "ff" + "cc80" + "cdffff" + "ceffffffff" + "cf0000000100000000" +
    "cfffffffffffffffff" + "d080" + "d18000" + "d280000000" + "d3ffffffff00000000" +
    "d38000000000000000" + "ca3f000000" + "cb3ff8000000000000" + "d30000000000000007" + "7f",
    [
      ...[0, -1, 128, 65535, 4294967295, 4294967296, 2n ** 64n - 1n, -128, -32768, -2147483648],
      ...[-4294967296, -(2n ** 63n), 0.5, 1.5, 7, 127],
    ],
  ],
  ["a timestamp as any extension", "d6ff00000000", new Ext(-1, new Uint8Array(4))],
  ["text of 200 bytes that begins with U+FEFF", `d9c8efbbbf${"61".repeat(197)}`, marked(197)],
  ["text of 201 bytes that begins with U+FEFF", `d9c9efbbbf${"61".repeat(198)}`, marked(198)],
  ["such a text twice and a value", `93${`db00000100efbbbf${"61".repeat(253)}`.repeat(2)}07`, [
    marked(253),
    marked(253),
    7,
  ]],
  ["a key of 201 bytes that begins with U+FEFF", `81d9c9efbbbf${"61".repeat(198)}01`, {
    [marked(198)]: 1,
  }],
  ["both ways to begin a long key", `82d9c9efbbbf${"61".repeat(198)}01d9c6${"61".repeat(198)}02`, {
    [marked(198)]: 1,
    ["a".repeat(198)]: 2,
  }],
  // What stands in for the list is one of these extensions, too.
  [
    "extensions of nothing around a list of numbers",
    `95d40000dc0010${"01".repeat(16)}d40000dc0010${"02".repeat(16)}d40000`,
    [
      new Ext(0, new Uint8Array(1)),
      Array(16).fill(1),
      new Ext(0, new Uint8Array(1)),
      Array(16).fill(2),
      new Ext(0, new Uint8Array(1)),
    ],
  ],
  [
    "keys like numbers as text, and numbers",
    "83a13101" + "0102" + "a13203",
    new Map<unknown, unknown>([
      ["1", 1],
      [1, 2],
      ["2", 3],
    ]),
  ],
  ["2^64-1 as a key", "81cfffffffffffffffff01", new Map([[2n ** 64n - 1n, 1]])],
  ["keys named like a prototype's", "83a8746f537472696e6701ab636f6e7374727563746f7202a3666f6f03", {
    toString: 1,
    constructor: 2,
    foo: 3,
  }],
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
      const bytes = encode(value);
      assert(sameBytes(bytes, naiveEncode(value)), `${length}`);
      // Through bytes: comparing 65,536 properties one by one takes a second.
      assert(sameBytes(encode(decode(bytes)), bytes), `${length}`);
    }
  }
});

const scalar = fc.oneof(
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.uint8Array({ maxLength: 40 }),
);
/** Values that the peer has too. */
const { common } = fc.letrec<{ common: unknown }>((tie) => ({
  common: fc.oneof(
    { maxDepth: 5 },
    scalar,
    fc.array(tie("common"), { maxLength: 20 }),
    fc.array(fc.oneof(fc.double(), fc.maxSafeInteger(), fc.integer()), { maxLength: 40 }),
    fc.dictionary(fc.oneof(fc.constant("__proto__"), fc.string()), tie("common"), {
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

test("encode writes what another codec writes, and each reads the other", () => {
  holds(
    fc.property(common, (value) => {
      const ours = encode(value);
      const theirs = naiveEncode(value);
      assertEquals(naiveDecode(ours), value);
      assertEquals(decode(theirs), value);
      assertEquals(hex(ours), hex(theirs));
    }),
    500,
  );
});

// Each is a reason for some of our code: when the library learns it, that can go.
const otherwise: readonly (readonly [string, () => unknown, unknown])[] = [
  ["replaces ill-formed UTF-8", () => library.decode(fromHex("a2c328")), "\u00e8"],
  ["takes the last of equal keys", () => library.decode(fromHex("82a16101a16102")), { a: 2 }],
  ["makes text of a number as key", () => library.decode(fromHex("8101a161")), { "1": "a" }],
  ["rounds integers", () => library.decode(fromHex("cf0020000000000001")), 2 ** 53],
  [
    "reads 7 as a bigint, if it is to keep integers",
    () => library.decode(fromHex("cf0000000000000007"), { useBigInt64: true }),
    7n,
  ],
  ["makes a date of -1", () => library.decode(fromHex("d6ff00000000")), new Date(0)],
  [
    "drops U+FEFF in front of a long text",
    () => library.decode(fromHex(`d9c9efbbbf${"61".repeat(198)}`)),
    "a".repeat(198),
  ],
  ["writes no 1.0", () => hex(library.encode(1.0)), "01"],
  ["writes -0 as 0", () => hex(library.encode(-0)), "00"],
  ["writes undefined as nil", () => hex(library.encode([undefined])), "91c0"],
  ["writes a lone surrogate", () => hex(library.encode("\ud800")), "a3eda080"],
  ["writes a Map as an empty one", () => hex(library.encode(new Map([["a", 1]]))), "80"],
  ["writes floats as binary", () => hex(library.encode(Float32Array.of(0))), "c40400000000"],
  [
    "writes integers as floats, if it is to write bigints",
    () => hex(library.encode(2 ** 32, { useBigInt64: true })),
    "cb41f0000000000000",
  ],
];
for (const [what, run, result] of otherwise) {
  test(`@msgpack/msgpack ${what}`, () => assertEquals(run(), result));
}

test("@msgpack/msgpack refuses a key named __proto__, and reads a hundred levels", () => {
  assertThrows(() => library.decode(fromHex("81a95f5f70726f746f5f5f01")), library.DecodeError);
  library.decode(fromHex(nested(100)));
});

const counted = [
  ["a list with its items", "93010203", 4],
  ["a map with its keys", "82a16101a16202", 5],
  ["maps in lists", `92${`81a161c0`.repeat(2)}`, 7],
  ["a long list", `dc0064${"cb3ff8000000000000".repeat(100)}`, 101],
] as const;
for (const [what, bytes, values] of counted) {
  test(`scan counts ${what}, and decode takes no more than it may`, () => {
    assertEquals(scan(fromHex(bytes)).values, values);
    decode(fromHex(bytes), undefined, values);
    const refusal = assertThrows(() => decode(fromHex(bytes), undefined, values - 1), WireError);
    assertEquals(refusal.code, "TOO_LARGE");
  });
}

test("scan refuses what a container claims before it looks into it", () => {
  // Ill-formed text inside.
  const bytes = fromHex("93a180a180a180");
  assertEquals(assertThrows(() => scan(bytes), WireError).code, "INVALID_UTF8");
  assertEquals(assertThrows(() => scan(bytes, 3), WireError).code, "TOO_LARGE");
});

test("scan says of any bytes what decode says, and both leave them alone", () => {
  holds(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), common.map(encode)), (bytes) => {
      const before = hex(bytes);
      const code = (run: () => unknown) => {
        try {
          run();
          return undefined;
        } catch (error) {
          return (error as WireError).code;
        }
      };
      assertEquals(code(() => decode(bytes)), code(() => scan(bytes)));
      assertEquals(hex(bytes), before);
    }),
    1000,
  );
});

test("a fault in a wrapper names the place of its key, behind a list that goes by the library", () => {
  const list = `dc0010${"01".repeat(16)}`;
  const bytes = fromHex(`92${list}81ac5f5f6461746574696d655f5f01`);
  const fault = assertThrows(() => readPayload(bytes), WireError);
  assertEquals([fault.code, fault.offset], ["INVALID_DATETIME", 1 + 19 + 2]);
});

test("what encode gives is nobody else's, and a value it refuses leaves nothing behind", () => {
  const first = encode({ a: "x", b: [1.5] });
  const before = hex(first);
  assertThrows(() => encode(["y", Float64Array.of(2), new Map([["a", loop]])]), WireError);
  const large = encode("z".repeat(100_000));
  assertEquals(hex(encode(["y", Float64Array.of(2), 3])), "93a17991cb400000000000000003");
  assertEquals(hex(first), before);
  assertEquals(large.length, 100_005);
});

test("encode and decode know no number of values that is too many", () => {
  const wide = Array.from({ length: 70_000 }, (_, i) => 2n ** 60n + BigInt(i));
  const bytes = encode([...wide, "a"]);
  assertEquals(bytes.length, 5 + 9 * wide.length + 2);
  assertEquals((decode(bytes) as unknown[]).at(-2), wide.at(-1));
  const map = encode(new Map(wide.map((value) => [value, null])));
  assertEquals((decode(map) as Map<unknown, unknown>).size, wide.length);
});

test("encode puts what it writes itself in its place, one inside the other", () => {
  const numbers = Array.from({ length: 20 }, (_, i) => i / 2);
  const value = [
    new Map<unknown, unknown>([[1, new Map([[-0, [numbers, 2n ** 60n]]])]]),
    numbers,
    "z",
  ];
  assertEquals(decode(encode(value)), value);
  assertEquals(naiveDecode(encode(value)), value);
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
