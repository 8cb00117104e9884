import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { fromHex, hex, WireError } from "../src/wire/bytes.ts";
import { pack, unpack } from "../src/wire/websocket/uint32.ts";
import { fc, holds } from "./kit/random.ts";
import { vectors } from "./kit/vectors.ts";

const { packed, malformed } = vectors<{
  packed: { name: string; bytes: string; length: number; data: number[] }[];
  malformed: { name: string; length: number; data: unknown[] }[];
}>("rfc6455/uint32.json");

const LIMIT = 1 << 20;

for (const { name, bytes, length, data } of packed) {
  test(`pack and unpack agree with vector ${name}`, () => {
    assertEquals(pack(fromHex(bytes)), { length, data });
    assertEquals(hex(unpack({ length, data }, LIMIT)), bytes);
    assertEquals(hex(unpack({ length, data: Uint32Array.from(data) }, LIMIT)), bytes);
    // What WebKitGTK hands on when a page posts a Uint32Array.
    const words = JSON.parse(JSON.stringify(Uint32Array.from(data)));
    assertEquals(hex(unpack({ length, data: words }, LIMIT)), bytes);
  });
}

for (const { name, length, data } of malformed) {
  test(`unpack refuses vector ${name}`, () => {
    assertThrows(() => unpack({ length, data }, LIMIT), WireError);
  });
}

const refused: [name: string, message: unknown, code: string, offset: number][] = [
  ["nothing", undefined, "BAD_SHAPE", 0],
  ["null", null, "BAD_SHAPE", 0],
  ["bare words", [1, 2], "BAD_SHAPE", 0],
  ["no data", { length: 0 }, "BAD_SHAPE", 0],
  ["data that is a text", { length: 4, data: "abcd" }, "BAD_SHAPE", 0],
  [
    "data that only looks like an array",
    {
      length: 4,
      data: { length: 1, 0: 1 },
    },
    "LENGTH_MISMATCH",
    0,
  ],
  ["words by other names", { length: 8, data: { 0: 1, 2: 3 } }, "BAD_WORD", 4],
  ["data that is null", { length: 0, data: null }, "BAD_SHAPE", 0],
  ["signed words", { length: 4, data: Int32Array.of(1) }, "BAD_SHAPE", 0],
  ["a length that is a text", { length: "4", data: [1] }, "BAD_LENGTH", 0],
  ["a length that is no number", { length: NaN, data: [] }, "BAD_LENGTH", 0],
  ["an endless length", { length: Infinity, data: [] }, "BAD_LENGTH", 0],
  ["a byte over the limit", { length: LIMIT + 1, data: [] }, "TOO_LARGE", 0],
  ["a word too many", { length: 0, data: [0] }, "LENGTH_MISMATCH", 0],
  ["a hole", { length: 8, data: [1, , 3].slice(0, 2) }, "BAD_WORD", 4],
  ["a word that is no number", { length: 8, data: [1, NaN] }, "BAD_WORD", 4],
  ["a word that is a bigint", { length: 4, data: [1n] }, "BAD_WORD", 0],
  ["a byte after the end", { length: 7, data: [1, 0x01000000] }, "BAD_PADDING", 4],
];

for (const [name, message, code, offset] of refused) {
  test(`unpack refuses ${name}`, () => {
    const error = assertThrows(() => unpack(message, LIMIT), WireError);
    assertEquals([error.code, error.offset], [code, offset]);
  });
}

test("unpack takes as many bytes as the limit and not one more", () => {
  const message = pack(new Uint8Array(9));
  assertEquals(unpack(message, 9).length, 9);
  assertThrows(() => unpack(message, 8), WireError, "TOO_LARGE");
});

test("pack reads a view from its own start, aligned or not", () => {
  assertEquals(pack(fromHex("ffff0102030405").subarray(2)), { length: 5, data: [0x04030201, 5] });
});

test("unpack gives back what pack was given", () => {
  holds(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
    const message = pack(bytes);
    assertEquals(message.data.length, Math.ceil(bytes.length / 4));
    assertEquals(hex(unpack(message, LIMIT)), hex(bytes));
  }));
});
