import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  compareBytes,
  concat,
  fromHex,
  hex,
  Reader,
  sameBytes,
  utf8Bytes,
  utf8Text,
  WireError,
  Writer,
} from "../src/wire/bytes.ts";
import { fc, holds } from "./kit/random.ts";

function refuses(fn: () => unknown, code: string, offset?: number): void {
  const error = assertThrows(fn, WireError);
  assertEquals(error.code, code);
  if (offset !== undefined) assertEquals(error.offset, offset);
}

const ones = (length: number): Uint8Array => new Uint8Array(length).fill(1);

/** Every number: its bytes, how it is read and, where there is a method for it, written. */
const numbers: readonly (readonly [
  string,
  string,
  number | bigint,
  (r: Reader) => number | bigint,
  ((w: Writer) => Writer)?,
])[] = [
  ["u8", "fe", 0xfe, (r) => r.u8(), (w) => w.u8(0xfe)],
  ["i8", "fe", -2, (r) => r.i8()],
  ["u16", "fe01", 0xfe01, (r) => r.u16(), (w) => w.u16(0xfe01)],
  ["i16", "fe01", -511, (r) => r.i16()],
  ["u32", "fe010203", 0xfe010203, (r) => r.u32(), (w) => w.u32(0xfe010203)],
  ["i32", "fffffffe", -2, (r) => r.i32()],
  [
    "u64",
    "fe01020304050607",
    0xfe01020304050607n,
    (r) => r.u64(),
    (w) => w.u64(0xfe01020304050607n),
  ],
  ["i64", "fffffffffffffffe", -2n, (r) => r.i64(), (w) => w.i64(-2n)],
  ["f32", "3fc00000", 1.5, (r) => r.f32(), (w) => w.f32(1.5)],
  ["f64", "bff8000000000000", -1.5, (r) => r.f64(), (w) => w.f64(-1.5)],
];

for (const [name, bytes, value, read, write] of numbers) {
  const size = bytes.length / 2;

  test(`Reader ${name} is big-endian at any offset and refuses every cut`, () => {
    for (let start = 0; start < 9; start++) {
      const message = concat(ones(start), fromHex(bytes), ones(3));
      const r = new Reader(message, start);
      assertEquals(read(r), value);
      assertEquals(r.offset, start + size);
      assertEquals(r.left, 3);
      for (let end = start; end < start + size; end++) {
        const cut = new Reader(message, start, end);
        refuses(() => read(cut), "TRUNCATED", start);
        assertEquals(cut.offset, start, "a refused read moves nothing");
      }
    }
  });

  if (!write) continue;
  test(`Writer ${name} is big-endian and grows across the capacity at every alignment`, () => {
    for (let capacity = 0; capacity <= 2 * size + 1; capacity++) {
      for (let before = 0; before <= capacity; before++) {
        const w = new Writer(capacity).bytes(ones(before));
        write(write(w));
        assertEquals(w.length, before + 2 * size);
        assertEquals(hex(w.finish()), "01".repeat(before) + bytes + bytes);
      }
    }
  });
}

test("Writer bytes grows across the capacity at every alignment", () => {
  for (let capacity = 0; capacity < 10; capacity++) {
    for (let before = 0; before <= capacity; before++) {
      for (const length of [0, 1, 7, 40]) {
        const w = new Writer(capacity).bytes(ones(before)).bytes(new Uint8Array(length).fill(2));
        assertEquals(hex(w.finish()), "01".repeat(before) + "02".repeat(length));
      }
    }
  }
});

test("Writer copies what it is given", () => {
  const part = ones(2);
  const w = new Writer(8).bytes(part);
  part.fill(9);
  assertEquals(hex(w.finish()), "0101");
});

test("Writer keeps what was written before it grew many times", () => {
  const w = new Writer(1);
  for (let i = 0; i < 5000; i++) w.u16(i);
  const r = new Reader(w.finish());
  for (let i = 0; i < 5000; i++) assertEquals(r.u16(), i);
  r.end();
});

test("Reader reads a view whose buffer begins elsewhere", () => {
  const buffer = fromHex("aaaa0102030405060708bbbb");
  const r = new Reader(buffer.subarray(2, 10));
  assertEquals(r.u16(), 0x0102);
  assertEquals(hex(r.bytes(2)), "0304");
  assertEquals(hex(r.rest()), "05060708");
  r.end();
  refuses(() => r.u8(), "TRUNCATED", 8);
});

test("Reader bytes and rest are views, and refuse what is not there", () => {
  const message = ones(4);
  const r = new Reader(message);
  const view = r.bytes(3);
  message[0] = 7;
  assertEquals(view[0], 7);
  refuses(() => r.bytes(2), "TRUNCATED", 3);
  refuses(() => r.bytes(0xffff_ffff), "TRUNCATED", 3);
  assertEquals(r.bytes(0).length, 0);
  assertEquals(r.rest().length, 1);
  assertEquals(r.rest().length, 0);
});

test("Reader end refuses bytes that are left", () => {
  const r = new Reader(ones(2));
  r.u8();
  refuses(() => r.end(), "TRAILING_BYTES", 1);
  r.u8();
  r.end();
});

test("Reader reads no further than its end", () => {
  const r = new Reader(ones(8), 2, 5);
  assertEquals(r.left, 3);
  refuses(() => r.u32(), "TRUNCATED", 2);
  refuses(() => r.text(4), "TRUNCATED", 2);
  assertEquals(r.rest().length, 3);
  r.end();
});

/** Both ways to text: a reader in the middle of a message, and the function. */
function texts(bytes: Uint8Array): string[] {
  const around = concat(ones(3), bytes, ones(2));
  return [new Reader(around, 3).text(bytes.length), utf8Text(bytes)];
}

const lengths = [0, 1, 7, 8, 9, 15, 16, 17, 63, 64, 65, 200];

for (const length of lengths) {
  test(`Reader text and utf8Text read ${length} bytes of ASCII, and one other character`, () => {
    const ascii = Uint8Array.from({ length }, (_, i) => i * 11 % 128);
    for (const text of texts(ascii)) assertEquals(text, String.fromCharCode(...ascii));
    for (let at = 0; at + 2 <= length; at++) {
      const bytes = ascii.slice();
      bytes.set([0xc3, 0xa9], at); // é
      const expected = String.fromCharCode(...ascii.subarray(0, at)) + "é" +
        String.fromCharCode(...ascii.subarray(at + 2));
      for (const text of texts(bytes)) assertEquals(text, expected);
    }
  });

  test(`Reader text and utf8Text refuse a bad byte anywhere in ${length}`, () => {
    for (let at = 0; at < length; at++) {
      const bytes = new Uint8Array(length).fill(0x61);
      bytes[at] = 0xff;
      refuses(() => new Reader(concat(ones(3), bytes), 3).text(length), "INVALID_UTF8", 3);
      refuses(() => utf8Text(bytes, 40), "INVALID_UTF8", 40);
    }
    refuses(() => new Reader(new Uint8Array(length)).text(length + 1), "TRUNCATED", 0);
  });
}

test("Reader text and utf8Text keep a leading U+FEFF", () => {
  for (const text of ["\ufeff", "\ufeffa", "a\ufeff", `\ufeff${"a".repeat(100)}`]) {
    assertEquals(texts(utf8Bytes(text)), [text, text]);
  }
});

const illFormed: readonly (readonly [string, string])[] = [
  ["a continuation alone", "80"],
  ["a cut sequence of two", "c3"],
  ["a cut sequence of three", "e282"],
  ["a cut sequence of four", "f09f94"],
  ["a sequence cut by ASCII", "e28261"],
  ["an overlong slash", "c0af"],
  ["an overlong null of three", "e08080"],
  ["an overlong form of four", "f0808080"],
  ["half a surrogate pair", "eda080"],
  ["a surrogate pair in six bytes", "eda0bdedb480"],
  ["a code point above 10FFFF", "f4908080"],
  ["a byte that never occurs", "fe"],
];

for (const [fault, bytes] of illFormed) {
  test(`Reader text and utf8Text refuse ${fault}`, () => {
    for (const before of ["", "61", "61".repeat(8), "61".repeat(70)]) {
      const text = fromHex(before + bytes);
      refuses(() => utf8Text(text), "INVALID_UTF8", 0);
      refuses(() => new Reader(text).text(text.length), "INVALID_UTF8", 0);
    }
  });
}

test("utf8Text is the inverse of utf8Bytes for every well-formed text", () => {
  holds(fc.property(fc.string({ unit: "binary", maxLength: 80 }), (text) => {
    assertEquals(texts(utf8Bytes(text)), [text, text]);
  }));
});

test("utf8Bytes writes U+FFFD for half a surrogate pair", () => {
  assertEquals(hex(utf8Bytes("a\ud83d")), "61efbfbd");
});

test("concat joins any number of parts into a new array", () => {
  assertEquals(concat().length, 0);
  const part = fromHex("0102");
  const joined = concat(part);
  part[0] = 9;
  assertEquals(hex(joined), "0102");
  assertEquals(hex(concat(fromHex("01"), new Uint8Array(), fromHex("0203"))), "010203");
  assertEquals(joined.buffer.byteLength, 2);
});

test("sameBytes wants the same length and the same bytes", () => {
  assert(sameBytes(new Uint8Array(), new Uint8Array()));
  assert(sameBytes(fromHex("0001"), fromHex("ff0001").subarray(1)));
  assert(!sameBytes(fromHex("0001"), fromHex("0002")));
  assert(!sameBytes(fromHex("0001"), fromHex("000100")));
  assert(!sameBytes(fromHex("000100"), fromHex("0001")));
});

test("compareBytes orders as unsigned bytes, a prefix first", () => {
  const ordered = ["", "00", "0000", "01", "7f", "7fff", "80", "ff", "ff00"];
  for (const [i, a] of ordered.entries()) {
    for (const [j, b] of ordered.entries()) {
      assertEquals(Math.sign(compareBytes(fromHex(a), fromHex(b))), Math.sign(i - j), `${a} ${b}`);
    }
  }
});

test("compareBytes orders as the hexadecimal text does, and is 0 where sameBytes is true", () => {
  const short = fc.uint8Array({ maxLength: 4, max: 3 });
  holds(fc.property(short, short, (a, b) => {
    const [x, y] = [hex(a), hex(b)];
    assertEquals(Math.sign(compareBytes(a, b)), x < y ? -1 : x > y ? 1 : 0);
    assertEquals(compareBytes(a, b) === 0, sameBytes(a, b));
  }));
});

test("hex is lower case with leading zeros, fromHex its inverse in either case", () => {
  assertEquals(hex(Uint8Array.of(0, 1, 0x0a, 0xff)), "00010aff");
  assertEquals(fromHex("00010AfF"), Uint8Array.of(0, 1, 0x0a, 0xff));
  holds(fc.property(fc.uint8Array(), (bytes) => assertEquals(fromHex(hex(bytes)), bytes)));
});

for (const text of ["0", "000", "0g", "0x00", " 00", "00 ", "00\n", "-1", "٠٠"]) {
  test(`fromHex refuses ${JSON.stringify(text)}`, () => {
    assertThrows(() => fromHex(text), RangeError, "hexadecimal");
  });
}

test("WireError tells code, place and detail", () => {
  const error = new WireError("TRUNCATED", 12);
  assertEquals([error.name, error.code, error.offset], ["WireError", "TRUNCATED", 12]);
  assertEquals(error.message, "TRUNCATED at byte 12");
  assertEquals(new WireError("A", 0, "why").message, "A at byte 0: why");
  assert(error instanceof Error);
});
