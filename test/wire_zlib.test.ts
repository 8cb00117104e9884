import { test } from "node:test";
import process from "node:process";
import { constants, createDeflate, deflateSync } from "node:zlib";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { type Bytes, concat, fromHex, hex, utf8Bytes, WireError } from "../src/wire/bytes.ts";
import * as platform from "../src/wire/zlib.ts";
import { fc, holds } from "./kit/random.ts";
import { vectors } from "./kit/vectors.ts";

const CAP = 1_048_576;
const kinds = [["platform", platform], ["portable", platform.portable]] as const;

/** The code that `inflate` refuses with. */
const refusal = (zlib: platform.Zlib, bytes: Uint8Array, cap = CAP) =>
  assertThrows(() => zlib.inflate(bytes, cap), WireError).code;

interface Vector {
  name: string;
  wire: string;
  payload_msgpack: string;
  code?: string;
}

const { vectors: compressed } = vectors<{ vectors: Vector[] }>("ecg/compressed.json");
const { vectors: malformed } = vectors<{ vectors: Vector[] }>("ecg/malformed.json");

/** The zlib stream of a message with the COMPRESSED flag. */
const stream = (wire: string): Bytes => {
  const bytes = fromHex(wire);
  return bytes.subarray(bytes[0] === 3 ? 19 : 11);
};

/** Without zlib's header and checksum. */
const raw = (stream: Bytes): Bytes => stream.subarray(2, -4);

const small = (zlib: platform.Zlib) => zlib.deflate(utf8Bytes("a lead, a lead, a lead"));

/** 64 MiB of zeros in 65 KB. */
const bomb = platform.deflate(new Uint8Array(64 << 20));

for (const [name, zlib] of kinds) {
  test(`${name} crc32 agrees with the known values`, () => {
    assertEquals(zlib.crc32(new Uint8Array(0)), 0);
    assertEquals(zlib.crc32(utf8Bytes("123456789")), 0xcbf43926);
    assertEquals(zlib.crc32(Uint8Array.of(0xff, 0xff, 0xff, 0xff)), 0xffffffff);
  });

  for (const vector of compressed) {
    test(`${name} inflate reads vector ${vector.name}`, () => {
      assertEquals(hex(zlib.inflate(stream(vector.wire), CAP)), vector.payload_msgpack);
    });
  }

  for (const vector of malformed.filter((v) => /^zlib|^zip/.test(v.name))) {
    test(`${name} inflate refuses vector ${vector.name}`, () => {
      const code = vector.code === "0x102" ? "TOO_LARGE" : "DECOMPRESSION_FAILED";
      assertEquals(refusal(zlib, stream(vector.wire)), code);
    });
  }

  test(`${name} inflate holds the cap to the byte`, () => {
    const bytes = zlib.deflate(new Uint8Array(5000));
    assertEquals(zlib.inflate(bytes, 5000).length, 5000);
    assertEquals(refusal(zlib, bytes, 4999), "TOO_LARGE");
    assertEquals(zlib.inflate(zlib.deflate(new Uint8Array(0)), 0).length, 0);
    assertEquals(refusal(zlib, zlib.deflate(new Uint8Array(1)), 0), "TOO_LARGE");
  });

  test(`${name} inflate of a bomb allocates about the cap`, () => {
    refusal(zlib, bomb);
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 3; i++) assertEquals(refusal(zlib, bomb), "TOO_LARGE");
    const grown = process.memoryUsage().rss - before;
    // Three times 64 MiB would show; three times the cap and some garbage stay below this.
    assert(grown < 48 << 20, `${grown} bytes more`);
  });

  test(`${name} inflate refuses every truncation`, () => {
    const bytes = small(zlib);
    for (let length = 0; length < bytes.length; length++) {
      const code = refusal(zlib, bytes.subarray(0, length));
      assertEquals(code, "DECOMPRESSION_FAILED", `${length} bytes`);
    }
  });

  const refused: readonly (readonly [string, (good: Bytes) => Bytes])[] = [
    ["a byte after the stream", (good) => concat(good, Uint8Array.of(0))],
    ["a second stream", (good) => concat(good, good)],
    ["the Adler-32 twice", (good) => concat(good, good.subarray(-4))],
    ["a wrong Adler-32", (good) => concat(good.subarray(0, -1), Uint8Array.of(good.at(-1)! ^ 1))],
    ["no zlib header", (good) => good.subarray(2)],
    ["gzip", () => fromHex("1f8b08000000000000034bcb07002165738c03000000")],
    // Python: zlib.compressobj(zdict=b"hello").
    ["a preset dictionary", () => fromHex("78bb062c0215cb00110a60120019910449")],
    ["a length that goes back before the start", () => fromHex("780103020000030001")],
    ["a stream without a block", () => fromHex("780100000001")],
    ["two streams in the way of gzip, with the Adler-32 of both", (good) => {
      const [first, second] = [raw(good), raw(zlib.deflate(utf8Bytes("b")))];
      const both = zlib.deflate(utf8Bytes("a lead, a lead, a leadb"));
      const member = fromHex("1f8b08000000000000ff");
      return concat(
        good.subarray(0, 2),
        first,
        new Uint8Array(8),
        member,
        second,
        both.subarray(-4),
      );
    }],
  ];
  for (const [fault, spoil] of refused) {
    test(`${name} inflate refuses ${fault}`, () => {
      assertEquals(refusal(zlib, spoil(small(zlib))), "DECOMPRESSION_FAILED");
    });
  }
}

test("inflate reads what either deflate wrote", () => {
  holds(
    fc.property(fc.uint8Array({ maxLength: 3000 }), fc.integer({ min: 1, max: 40 }), (part, n) => {
      const bytes = concat(...Array<Uint8Array>(n).fill(part));
      for (const [from, a] of kinds) {
        for (const [to, b] of kinds) {
          assertEquals(b.inflate(a.deflate(bytes), CAP), bytes, `${from} to ${to}`);
        }
      }
    }),
    60,
  );
});

const { Z_FIXED, Z_FULL_FLUSH, Z_HUFFMAN_ONLY, Z_PARTIAL_FLUSH, Z_RLE, Z_SYNC_FLUSH } = constants;

test("portable inflate reads every way of zlib to write, over many windows", async () => {
  const text = utf8Bytes("a lead and a beat, ".repeat(8000));
  const noise = Uint8Array.from({ length: 90_000 }, (_, i) => i * i >> 7 ^ i);
  for (const bytes of [text, noise, concat(noise, text, noise)]) {
    for (const strategy of [0, Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE]) {
      const [level, windowBits] = strategy === Z_RLE ? [0, 9] : [9, 15];
      const stream = deflateSync(bytes, { strategy, level, windowBits });
      assertEquals(hex(platform.portable.inflate(stream, CAP)), hex(bytes), `strategy ${strategy}`);
    }
    for (const flush of [Z_SYNC_FLUSH, Z_FULL_FLUSH, Z_PARTIAL_FLUSH]) {
      const deflate = createDeflate({ flush });
      for (let at = 0; at < bytes.length; at += 10_007) {
        deflate.write(bytes.subarray(at, at + 10_007));
      }
      deflate.end();
      const parts: Uint8Array[] = [];
      for await (const part of deflate) parts.push(part);
      const found = platform.portable.inflate(concat(...parts), CAP);
      assertEquals(hex(found), hex(bytes), `flush ${flush}`);
    }
  }
});

test("portable inflate of any bytes refuses, or gives what the platform gives if that reads them", () => {
  holds(
    fc.property(fc.uint8Array({ minLength: 5, maxLength: 200 }), (bytes) => {
      const stream = concat(fromHex("789c"), bytes);
      let expected: Bytes | undefined;
      try {
        expected = platform.inflate(stream, CAP);
      } catch { /* Refused. */ }
      if (expected) assertEquals(platform.portable.inflate(stream, CAP), expected);
      else assertThrows(() => platform.portable.inflate(stream, CAP), WireError);
    }),
    1000,
  );
});

// What a format says twice fflate reads once. Who writes such a stream chose each byte of it, the
// Adler-32 too, and no relay lets one pass.
test("only the platform refuses stored bytes whose length is not repeated", () => {
  const stream = fromHex("780101010000006100620062");
  assertEquals(refusal(platform, stream), "DECOMPRESSION_FAILED");
  assertEquals(platform.portable.inflate(stream, CAP), utf8Bytes("a"));
});

test("portable crc32 is the platform's", () => {
  holds(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
    assertEquals(platform.portable.crc32(bytes), platform.crc32(bytes));
  }));
});

test("inflate of a damaged stream gives a value or a WireError, on both the same value", () => {
  const good = stream(compressed.find((v) => v.name === "v3-ecg-1s")!.wire);
  const attempt = (zlib: platform.Zlib, bytes: Uint8Array): Bytes | string => {
    try {
      return zlib.inflate(bytes, CAP);
    } catch (error) {
      assert(error instanceof WireError, String(error));
      return error.code;
    }
  };
  holds(
    fc.property(fc.nat(good.length * 8 - 1), fc.nat(good.length), (bit, length) => {
      const bytes = good.slice(0, bit % 2 ? length : good.length);
      if (bit >> 3 < bytes.length) bytes[bit >> 3]! ^= 1 << (bit & 7);
      const value = attempt(platform, bytes);
      const other = attempt(platform.portable, bytes);
      // Which of two faults is met first may differ.
      if (typeof value !== "string") assertEquals(other, value);
      else assertEquals(typeof other, "string");
    }),
    300,
  );
});
