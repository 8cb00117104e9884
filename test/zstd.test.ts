import * as zlib from "node:zlib";
import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { type Bytes, concat, fromHex, hex, utf8Bytes, WireError } from "../src/wire/bytes.ts";
import { loadWasm, loadZstd, type Zstd } from "../src/client/blaze/zstd.ts";
import { fc, holds } from "./kit/random.ts";
import { vectors } from "./kit/vectors.ts";

const CAP = 1 << 20;
const native = await loadZstd();
const wasm = await loadWasm();
const kinds: readonly (readonly [string, Zstd])[] = [["loadZstd", native], ["loadWasm", wasm]];

const { compressedSealedOperation: sealed } = vectors<{
  compressedSealedOperation: { note: string; zstd: string; decompressed: string }[];
}>("blaze-frame/handshake.json");

const refusal = (zstd: Zstd, bytes: Uint8Array, most = CAP): string =>
  assertThrows(() => zstd.decompress(bytes, most), WireError).code;

const text = utf8Bytes("login fails; ".repeat(40));

/** Any frame header, then blocks of one repeated "A": 4 bytes for up to 128 KiB each. */
function repeated(header: string, ...lengths: number[]): Bytes {
  const blocks = lengths.map((length, i) => {
    const block = length << 3 | 1 << 1 | (i === lengths.length - 1 ? 1 : 0);
    return Uint8Array.of(block, block >> 8, block >> 16, 0x41);
  });
  return concat(fromHex(`28b52ffd${header}`), ...blocks);
}

/** Header without a size: window 128 KiB. */
const UNSIZED = "0038";
/** 64 MiB in 2 KB. */
const bomb = repeated(UNSIZED, ...Array<number>(512).fill(131_072));
const padding = fromHex("502a4d1803000000010203");

/** Frames that state no size, one or eight bytes of it, and one that ends with a checksum. */
const forms: readonly (readonly [string, Bytes])[] = [
  ["without a size", repeated(UNSIZED, 100, 50)],
  ["with a size of one byte", repeated("2096", 100, 50)],
  ["with a size of two bytes", repeated("600100", 200, 57)],
  ["with a size of four bytes", repeated("a096000000", 100, 50)],
  ["with a size of eight bytes", repeated("e09600000000000000", 100, 50)],
  [
    "with a checksum",
    new Uint8Array(zlib.zstdCompressSync(text, {
      params: { [zlib.constants.ZSTD_c_checksumFlag]: 1 },
    })),
  ],
];

test("loadZstd loads once", () => {
  assert(loadZstd() === loadZstd());
});

for (const [name, zstd] of kinds) {
  test(`${name} compress and decompress give back what was compressed`, () => {
    for (const bytes of [new Uint8Array(), Uint8Array.of(7), text, new Uint8Array(300_000)]) {
      const small = zstd.compress(bytes);
      assertEquals(hex(small.subarray(0, 4)), "28b52ffd");
      for (const [, other] of kinds) assertEquals(other.decompress(small, CAP), bytes);
    }
    assert(zstd.compress(text).length < 40);
  });

  for (const { note, zstd: bytes, decompressed } of sealed) {
    test(`${name} decompress reads the vector: ${note}`, () => {
      assertEquals(hex(zstd.decompress(fromHex(bytes), CAP)), decompressed);
    });
  }

  for (const [form, bytes] of forms) {
    test(`${name} decompress reads a frame ${form}, and none of its truncations`, () => {
      const plain = zstd.decompress(bytes, CAP);
      assert([150, 257, text.length].includes(plain.length));
      for (let length = 0; length < bytes.length; length++) {
        const code = length < 5 ? "NOT_ZSTD" : "DECOMPRESSION_FAILED";
        assertEquals(refusal(zstd, bytes.subarray(0, length)), code, `${length} bytes`);
      }
    });

    test(`${name} decompress holds the cap to the byte for a frame ${form}`, () => {
      const { length } = zstd.decompress(bytes, CAP);
      assertEquals(zstd.decompress(bytes, length).length, length);
      assertEquals(refusal(zstd, bytes, length - 1), "TOO_LARGE");
      assertEquals(refusal(zstd, bytes, 1), "TOO_LARGE");
      assertEquals(refusal(zstd, bytes, 0), "TOO_LARGE");
    });
  }

  test(`${name} decompress of nothing fits a cap of 0, one byte does not`, () => {
    assertEquals(zstd.decompress(zstd.compress(new Uint8Array()), 0).length, 0);
    assertEquals(zstd.decompress(repeated(UNSIZED, 0), 0).length, 0);
    assertEquals(refusal(zstd, repeated(UNSIZED, 1), 0), "TOO_LARGE");
  });

  test(`${name} decompress reads a frame with a window of 8 MiB`, () => {
    assertEquals(zstd.decompress(repeated("0068", 5), CAP).length, 5);
  });

  test(`${name} decompress refuses a bomb that states no size, and goes on working`, () => {
    assertEquals(refusal(zstd, bomb), "TOO_LARGE");
    assertEquals(refusal(zstd, zstd.compress(new Uint8Array(64 << 20))), "TOO_LARGE");
    assertEquals(zstd.decompress(zstd.compress(text), text.length), text);
  });

  for (const size of ["a0ffffffff", "e0ffffffffffffffff", "e00000000000000080"]) {
    test(`${name} decompress refuses the stated size ${size} before anything is allocated`, () => {
      assertEquals(refusal(zstd, repeated(size, 5)), "TOO_LARGE");
      // Although there is nothing in it.
      assertEquals(refusal(zstd, fromHex(`28b52ffd${size}`)), "TOO_LARGE");
    });
  }

  for (const [what, bytes] of [["one", padding], ["two", concat(padding, padding)]] as const) {
    test(`${name} decompress passes over ${what} skippable frames after the content`, () => {
      const padded = concat(zstd.compress(text), bytes);
      assertEquals(zstd.decompress(padded, CAP), text);
      const start = padded.length - padding.length;
      for (let length = start + 1; length < padded.length; length++) {
        assertEquals(refusal(zstd, padded.subarray(0, length)), "DECOMPRESSION_FAILED");
      }
    });
  }

  const good = zstd.compress(text);
  const refused: readonly (readonly [string, Uint8Array, string])[] = [
    ["no byte", new Uint8Array(), "NOT_ZSTD"],
    ["plain text", utf8Bytes("not compressed"), "NOT_ZSTD"],
    ["a record", fromHex("424c415a45010000"), "NOT_ZSTD"],
    ["gzip", fromHex("1f8b08000000000000034bcb07002165738c03000000"), "NOT_ZSTD"],
    ["a skippable frame alone", padding, "NOT_ZSTD"],
    ["the magic number alone", fromHex("28b52ffd"), "NOT_ZSTD"],
    ["the magic number of an older format", fromHex("27b52ffd2005290000"), "NOT_ZSTD"],
    ["a byte after the frame", concat(good, Uint8Array.of(0)), "DECOMPRESSION_FAILED"],
    ["a second frame", concat(good, good), "DECOMPRESSION_FAILED"],
    ["a bomb after the frame", concat(good, bomb), "DECOMPRESSION_FAILED"],
    ["a frame after padding", concat(good, padding, good), "DECOMPRESSION_FAILED"],
    ["a block of the reserved type", fromHex("28b52ffd0038070000"), "DECOMPRESSION_FAILED"],
    ["a reserved bit in the header", repeated("0838", 5), "DECOMPRESSION_FAILED"],
    ["a window of terabytes", repeated("00ff", 5), "DECOMPRESSION_FAILED"],
    ["a window above 8 MiB", repeated("0069", 5), "DECOMPRESSION_FAILED"],
    ["a dictionary that nobody has", repeated("210705", 5), "DECOMPRESSION_FAILED"],
    ["more than the stated size", repeated("2005", 100), "DECOMPRESSION_FAILED"],
    ["less than the stated size", repeated("2064", 5), "DECOMPRESSION_FAILED"],
    ["a wrong checksum", forms.at(-1)![1].with(-1, 0x5a), "DECOMPRESSION_FAILED"],
  ];
  for (const [what, bytes, code] of refused) {
    test(`${name} decompress refuses ${what}`, () => {
      assertEquals(refusal(zstd, bytes), code);
    });
  }
}

test("decompress reads what either compress wrote, and refuses each cut", () => {
  holds(
    fc.property(
      fc.uint8Array({ maxLength: 2000 }),
      fc.integer({ min: 1, max: 200 }),
      fc.nat(),
      (part, n, cut) => {
        const bytes = concat(...Array<Uint8Array>(n).fill(part));
        for (const [from, a] of kinds) {
          const small = a.compress(bytes);
          for (const [to, b] of kinds) {
            assertEquals(b.decompress(small, bytes.length), bytes, `${from} to ${to}`);
            const code = refusal(b, small.subarray(0, cut % small.length));
            assert(code === "NOT_ZSTD" || code === "DECOMPRESSION_FAILED", code);
          }
        }
      },
    ),
    60,
  );
});

test("decompress of damaged frames gives a value or a WireError, on both the same value", () => {
  const good = [...sealed.map((one) => fromHex(one.zstd)), ...forms.map(([, bytes]) => bytes)];
  const attempt = (zstd: Zstd, bytes: Uint8Array): Bytes | string => {
    try {
      return zstd.decompress(bytes, 4096);
    } catch (error) {
      assert(error instanceof WireError, String(error));
      return error.code;
    }
  };
  holds(
    fc.property(fc.constantFrom(...good), fc.nat(), (bytes, bit) => {
      const at = (bit >> 3) % bytes.length;
      const damaged = bytes.with(at, bytes[at]! ^ 1 << (bit & 7));
      const [value, other] = kinds.map(([, zstd]) => attempt(zstd, damaged));
      // Which of two faults is met first may differ.
      if (typeof value !== "string") assertEquals(other, value, hex(damaged));
      else assertEquals(typeof other, "string", hex(damaged));
    }),
    600,
  );
});

test("compress answers one frame, however much comes out", () => {
  const random = new Uint8Array(300_000);
  for (let at = 0; at < random.length; at += 50_000) {
    crypto.getRandomValues(random.subarray(at, at + 50_000));
  }
  for (const [, zstd] of kinds) {
    const compressed = zstd.compress(random);
    for (const [, other] of kinds) assertEquals(other.decompress(compressed, CAP), random);
  }
});
