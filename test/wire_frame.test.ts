import { createHash } from "node:crypto";
import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { type Bytes, concat, fromHex, hex, sameBytes, WireError } from "../src/wire/bytes.ts";
import {
  type BlazeFrame,
  decodeFrame,
  encodeFrame,
  flagsFit,
  type FrameErrorCode,
  type FrameStyle,
  FrameType,
  frameType,
  headerSize,
  MAX_MESSAGE,
  MAX_PAYLOAD,
  type Reading,
  restyleFrame,
} from "../src/wire/blaze/blaze_frame.ts";
import { fc, holds } from "./kit/random.ts";
import { vectors } from "./kit/vectors.ts";

interface FrameVector {
  id: string;
  type: FrameType;
  typeName: string;
  compressed: boolean;
  encrypted: boolean;
  payload: string;
  header7: string;
  header5: string;
}

interface SizeVector {
  id: string;
  type: FrameType;
  payloadLength: number;
  payloadFill: string;
  header7?: string;
  header7Head?: string;
  header7Sha256?: string;
  header5?: string;
  header5Head?: string;
  header5Sha256?: string;
}

interface Row {
  byte: string;
  legend: { c: boolean; e: boolean; type: number };
  legendStrictOk: boolean;
  examples: { c: boolean; e: boolean; type: number } | null;
}

interface Malformed {
  id: string;
  hex: string;
  reason: string;
  frameLevel?: string;
  alsoAcceptable?: string[];
}

const { frames, sizes, types } = vectors<{
  frames: FrameVector[];
  sizes: SizeVector[];
  types: { value: number; name: string }[];
}>("blaze-frame/frames.json");
const { rows } = vectors<{ rows: Row[] }>("blaze-frame/flags-readings.json");
const { vectors: malformed, headerDetection } = vectors<{
  vectors: Malformed[];
  headerDetection: { vectors: { id: string; hex: string; header: number; payload: string }[] };
}>("blaze-frame/frames-malformed.json");

const readings: readonly Reading[] = ["legend", "examples"];
const styles: readonly Required<FrameStyle>[] = readings.flatMap((reading) =>
  [false, true].map((short) => ({ reading, short }))
);
const styleName = ({ reading, short }: FrameStyle) => `${reading} ${short ? 5 : 7}`;

function refuses(fn: () => unknown, code: FrameErrorCode): void {
  assertEquals(assertThrows(fn, WireError).code, code);
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

test("FrameType is the table of the seed", () => {
  const words = Object.entries(FrameType).map(([name, value]) => ({ value, name }));
  const capital = (name: string) => name[0]!.toUpperCase() + name.slice(1);
  assertEquals(words.map(({ value, name }) => ({ value, name: capital(name) })), types);
});

for (const { id, header7, header5, payload, ...fields } of frames) {
  const frame: BlazeFrame = {
    type: fields.type,
    compressed: fields.compressed,
    encrypted: fields.encrypted,
    payload: fromHex(payload),
  };
  test(`encodeFrame and decodeFrame agree with vector ${id}`, () => {
    assertEquals(hex(encodeFrame(frame)), header7);
    assertEquals(hex(encodeFrame(frame, { short: true })), header5);
    for (const [message, header] of [[fromHex(header7), 7], [fromHex(header5), 5]] as const) {
      assertEquals(headerSize(message), header);
      assertEquals(frameType(message), frame.type);
      assertEquals(decodeFrame(message), frame);
    }
  });
}

for (const vector of sizes) {
  test(`encodeFrame and decodeFrame agree with vector ${vector.id}`, () => {
    const payload = new Uint8Array(vector.payloadLength).fill(parseInt(vector.payloadFill, 16));
    const frame: BlazeFrame = { type: vector.type, compressed: false, encrypted: false, payload };
    const long = encodeFrame(frame);
    const short = encodeFrame(frame, { short: true });
    if (vector.header7) assertEquals(hex(long), vector.header7);
    else {
      assertEquals(hex(long.subarray(0, 7)), vector.header7Head);
      assertEquals(sha256(long), vector.header7Sha256);
    }
    if (vector.header5Head) {
      assertEquals(hex(short.subarray(0, 5)), vector.header5Head);
      assertEquals(sha256(short), vector.header5Sha256);
    } else if (vector.header5!.startsWith("impossible")) assertEquals(short, long);
    else assertEquals(hex(short), vector.header5);
    for (const message of [long, short]) {
      const read = decodeFrame(message);
      assertEquals(read.type, vector.type);
      assert(sameBytes(read.payload, payload));
    }
  });
}

for (const { id, hex: bytes, header, payload } of headerDetection.vectors) {
  test(`headerSize finds the header of ${id}`, () => {
    assertEquals(headerSize(fromHex(bytes)), header);
    assertEquals(hex(decodeFrame(fromHex(bytes)).payload), payload);
  });
}

for (const { byte, legend, legendStrictOk, examples } of rows) {
  test(`flagsFit and decodeFrame read flags ${byte} in both readings`, () => {
    const flags = Number(byte);
    const message = Uint8Array.of(0xbf, 0x01, flags, 0, 0);
    const wanted = { legend: legendStrictOk ? legend : undefined, examples: examples ?? undefined };
    for (const reading of readings) {
      const row = wanted[reading];
      assertEquals(flagsFit(flags, reading), row !== undefined);
      if (!row) {
        refuses(() => decodeFrame(message, reading), "RESERVED_BITS");
        continue;
      }
      const { type, compressed, encrypted } = decodeFrame(message, reading);
      assertEquals([type, compressed, encrypted], [row.type, row.c, row.e]);
      const again = encodeFrame({ type, compressed, encrypted }, { reading, short: true });
      assertEquals(again, message);
    }
  });
}

for (const { id, hex: bytes, reason, frameLevel, alsoAcceptable } of malformed) {
  // A text message never comes to the codec.
  if (frameLevel?.startsWith("not a byte-level vector")) continue;
  if (frameLevel) {
    test(`decodeFrame leaves ${id} to the session`, () => {
      assert(frameLevel.startsWith("decodes"), frameLevel);
      const message = fromHex(bytes);
      assertEquals(hex(decodeFrame(message).payload), hex(message.subarray(7)));
    });
  } else {
    test(`decodeFrame refuses ${id}`, () => {
      const { code } = assertThrows(() => decodeFrame(fromHex(bytes)), WireError);
      assert([reason, ...alsoAcceptable ?? []].includes(code), code);
    });
  }
}

test("decodeFrame shows the payload without a copy", () => {
  const message = fromHex("bf0102000000020102");
  const { payload } = decodeFrame(message);
  message[7] = 9;
  assertEquals(payload[0], 9);
});

test("decodeFrame refuses every frame with a byte less or more", () => {
  for (const vector of frames) {
    for (const bytes of [fromHex(vector.header7), fromHex(vector.header5)]) {
      for (let length = 0; length < bytes.length; length++) {
        const cut = bytes.subarray(0, length);
        // Five bytes of a long header are an empty short frame: messages are whole, so none is cut.
        if (length === 5 && headerSize(bytes) === 7) assertEquals(headerSize(cut), 5);
        else assertThrows(() => decodeFrame(cut), WireError);
      }
      const code = headerSize(bytes) === 7 ? "LENGTH_MISMATCH" : "INCOMPLETE_PAYLOAD";
      refuses(() => decodeFrame(concat(bytes, Uint8Array.of(0))), code);
    }
  }
});

test("decodeFrame gives a value or a WireError for any bytes", () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 12 }),
    fc.uint8Array({ maxLength: 12 }).map((rest) => concat(Uint8Array.of(0xbf, 1), rest)),
  );
  holds(
    fc.property(bytes, fc.constantFrom(...readings), (message, reading) => {
      try {
        assertEquals(
          decodeFrame(message, reading).payload.length,
          message.length - headerSize(message),
        );
      } catch (error) {
        assert(error instanceof WireError, `${error} for ${hex(message)}`);
      }
    }),
    3000,
  );
});

// ---- limits

/** A frame of one payload length, written by hand so that no limit of the encoder is in the way. */
function sized(type: FrameType, length: number): Bytes {
  const message = new Uint8Array(7 + length);
  message.set([0xbf, 0x01, type]);
  new DataView(message.buffer).setUint32(3, length);
  return message;
}

for (const [name, type] of Object.entries(FrameType)) {
  const most = type === FrameType.extension ? MAX_MESSAGE - 7 : MAX_PAYLOAD;
  test(`headerSize and encodeFrame hold the limit of ${name} to the byte`, () => {
    const payload = new Uint8Array(most + 1);
    assertEquals(headerSize(sized(type, most)), 7);
    assertEquals(encodeFrame({ type, payload: payload.subarray(1) }).length, 7 + most);
    refuses(() => headerSize(sized(type, most + 1)), "TOO_LARGE");
    refuses(() => decodeFrame(sized(type, most + 1)), "TOO_LARGE");
    refuses(() => encodeFrame({ type, payload }), "TOO_LARGE");
  });
}

test("the largest frame fits into the envelopes of the relay", () => {
  // batch u32, sequenced u64, direct node id: a subtype and a long header each.
  assert(7 + MAX_PAYLOAD + 3 * (7 + 1) + 4 + 8 + 16 <= MAX_MESSAGE);
});

// ---- styles

for (const from of styles) {
  for (const to of styles) {
    test(`restyleFrame from ${styleName(from)} to ${styleName(to)} keeps payload and meaning`, () => {
      for (const vector of frames) {
        const frame = { ...vector, payload: fromHex(vector.payload) };
        const message = encodeFrame(frame, from);
        const before = message.slice();
        const styled = restyleFrame(message, from.reading, to);
        assertEquals(message, before, "the message of others stays as it is");
        assertEquals(decodeFrame(styled, to.reading), decodeFrame(message, from.reading));
        // Who takes short headers takes long ones too.
        if (from.reading === to.reading && (!from.short || to.short)) assert(styled === message);
        else assertEquals(styled, encodeFrame(frame, to));
      }
    });
  }
}

test("restyleFrame writes the long header where a payload is above 65,535 bytes", () => {
  for (const [length, header] of [[65_535, 5], [65_536, 7]] as const) {
    const message = encodeFrame({ type: FrameType.operation, payload: new Uint8Array(length) });
    const styled = restyleFrame(message, "legend", { reading: "examples", short: true });
    assertEquals(headerSize(styled), header);
    assertEquals(styled.length, header + length);
  }
});

test("restyleFrame defaults to what every peer reads", () => {
  const short = fromHex("bf01420001aa");
  assertEquals(hex(restyleFrame(short, "legend", {})), "bf014200000001aa");
  assertEquals(hex(restyleFrame(fromHex("bf01520001aa"), "examples", {})), "bf014200000001aa");
});

test("restyleFrame refuses what is no frame", () => {
  refuses(() => restyleFrame(fromHex("bf0102"), "legend", {}), "TOO_SHORT");
  refuses(() => restyleFrame(fromHex("bf010200000002aa"), "legend", {}), "INCOMPLETE_PAYLOAD");
  const other: FrameStyle = { reading: "examples" };
  refuses(() => restyleFrame(fromHex("bf0122000000"), "legend", other), "LENGTH_MISMATCH");
  refuses(() => restyleFrame(fromHex("bf01220000"), "legend", other), "RESERVED_BITS");
});

const anyFrame = fc.record({
  type: fc.constantFrom(...Object.values(FrameType)),
  compressed: fc.boolean(),
  encrypted: fc.boolean(),
  payload: fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.tuple(fc.nat(70_000), fc.nat(255)).map(([n, byte]) => new Uint8Array(n).fill(byte)),
  ),
});

test("decodeFrame is the inverse of encodeFrame in each style", () => {
  holds(fc.property(anyFrame, fc.constantFrom(...styles), (frame, style) => {
    const message = encodeFrame(frame, style);
    const { payload, ...fields } = decodeFrame(message, style.reading);
    const { payload: sent, ...wanted } = frame;
    assertEquals(fields, wanted);
    assert(sameBytes(payload, sent));
    assertEquals(headerSize(message), style.short && payload.length <= 65_535 ? 5 : 7);
  }));
});

test("no message of any length is both header sizes", () => {
  // Fits the short header: the first word is n - 5. Fits the long one: that word is also the upper
  // half of n - 7, so n - 5 would be (n - 7) >>> 16.
  for (let n = 7; n <= MAX_MESSAGE; n++) assert(((n - 7) >>> 16) !== n - 5);
  holds(fc.property(anyFrame, fc.constantFrom(...styles), (frame, style) => {
    const message = encodeFrame(frame, style);
    const view = new DataView(message.buffer);
    const fits5 = view.getUint16(3) === message.length - 5;
    const fits7 = message.length >= 7 && view.getUint32(3) === message.length - 7;
    assert(fits5 !== fits7, hex(message.subarray(0, 16)));
  }));
});
