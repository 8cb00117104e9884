import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { concat, fromHex, hex, WireError } from "../src/wire/bytes.ts";
import {
  decodeExtension,
  encodeExtension,
  type Extension,
  type ExtensionErrorCode,
  FIRST_DEVICE_SUBTYPE,
  Subtype,
} from "../src/wire/blaze/extension.ts";
import { decodeFrame, encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { fc, holds } from "./kit/random.ts";
import { vectors } from "./kit/vectors.ts";

/** As in the file: bytes in hexadecimal, u64 in decimal. */
interface Fields {
  subtype: Extension["subtype"];
  frames?: string[];
  [name: string]: unknown;
}

const { vectors: extensions, malformed } = vectors<{
  vectors: { id: string; hex: string; fields: Fields }[];
  malformed: { id: string; hex: string; reason: ExtensionErrorCode }[];
}>("blaze-frame/extensions.json");

const BYTES = ["node", "frame", "tag", "ring", "body", "log", "key", "check", "hash"];
const U64 = ["sequence", "first", "last"];

type Text = { type: number; value: string };
const toTlv = ({ type, value }: Text) => ({ type, value: fromHex(value) });

function toExtension(fields: Fields): Extension {
  const entries = Object.entries(fields).map(([name, value]) => {
    if (name === "frames") return [name, (value as string[]).map(fromHex)];
    if (name === "tlvs") return [name, (value as Text[]).map(toTlv)];
    if (BYTES.includes(name)) return [name, fromHex(value as string)];
    return [name, U64.includes(name) ? BigInt(value as string) : value];
  });
  return Object.fromEntries(entries) as Extension;
}

function refuses(fn: () => unknown, code: ExtensionErrorCode): void {
  assertEquals(assertThrows(fn, WireError).code, code);
}

for (const { id, hex: bytes, fields } of extensions) {
  test(`encodeExtension and decodeExtension agree with vector ${id}`, () => {
    const extension = toExtension(fields);
    assertEquals(hex(encodeExtension(extension)), bytes);
    assertEquals(decodeExtension(fromHex(bytes)), extension);
  });
}

for (const { id, hex: bytes, reason } of malformed) {
  test(`decodeExtension refuses ${id}`, () => {
    refuses(() => decodeExtension(fromHex(bytes)), reason);
  });
}

test("the vectors show every subtype", () => {
  const shown = new Set(extensions.map((vector) => parseInt(vector.hex.slice(0, 2), 16)));
  for (const [name, code] of Object.entries(Subtype)) assert(shown.has(code), name);
});

test("decodeExtension knows the subtypes of the table, those of devices, and no other", () => {
  const known = new Set<number>(Object.values(Subtype));
  for (let code = 0; code < 256; code++) {
    const { code: fault } = attempt(Uint8Array.of(code));
    const device = code >= FIRST_DEVICE_SUBTYPE && code < 0x20;
    assertEquals(fault === "UNKNOWN_SUBTYPE", !known.has(code) && !device, `${code}`);
    if (device) assertEquals(fault, undefined);
  }
});

/** The lengths at which a vector may be cut and still mean something. */
function cuts({ subtype, frames }: Fields, length: number): (at: number) => boolean {
  const ends = [1];
  for (const frame of frames ?? []) ends.push(ends.at(-1)! + 4 + frame.length / 2);
  switch (subtype) {
    case "batch":
      return (at) => at > 1 && ends.includes(at);
    case "direct":
      return (at) => at > 17;
    case "tagged":
    case "sequenced":
      return (at) => at > 9;
    case "device":
      return (at) => at > 0;
    case "joined":
      // Before each trailing value: they were all there could be.
      return (at) => [21, 25].includes(at);
    default:
      return (at) => at === length;
  }
}

for (const { id, hex: bytes, fields } of extensions) {
  test(`decodeExtension refuses ${id} cut anywhere but inside what it does not read`, () => {
    const message = fromHex(bytes);
    const meaningful = cuts(fields, message.length);
    for (let at = 0; at < message.length; at++) {
      const { code } = attempt(message.subarray(0, at));
      if (meaningful(at)) assertEquals(code, undefined, `${at}`);
      else assert(code === "TRUNCATED" || code?.startsWith("EMPTY_"), `${at}: ${code}`);
    }
  });
}

/** The value, or the code of a refusal: nothing else may come out of bytes from outside. */
function attempt(bytes: Uint8Array): { value?: Extension; code?: string } {
  try {
    return { value: decodeExtension(bytes) };
  } catch (error) {
    assert(error instanceof WireError, `${error} for ${hex(bytes)}`);
    return { code: error.code };
  }
}

test("decodeExtension shows frames and bodies without a copy", () => {
  const frame = fromHex("bf01080000");
  for (
    const extension of [
      { subtype: "direct", node: new Uint8Array(16), frame },
      { subtype: "sequenced", sequence: 1n, frame },
      { subtype: "batch", frames: [frame] },
      { subtype: "device", code: 0x10, body: frame },
    ] satisfies Extension[]
  ) {
    const payload = encodeExtension(extension);
    const read = decodeExtension(payload);
    const inner = read.subtype === "batch"
      ? read.frames[0]!
      : read.subtype === "device"
      ? read.body
      : (read as { frame: Uint8Array }).frame;
    assert(inner.buffer === payload.buffer, extension.subtype);
  }
});

test("decodeExtension opens batch, sequenced, direct and frame, one in the other", () => {
  const { hex: bytes } = extensions.find(({ id }) => id === "batch-sequenced")!;
  const batch = decodeExtension(fromHex(bytes));
  assert(batch.subtype === "batch");
  const inside = (frame: Uint8Array) => {
    const { type, payload } = decodeFrame(frame);
    assertEquals(type, FrameType.extension);
    return decodeExtension(payload);
  };
  const sequenced = batch.frames.map(inside);
  assertEquals(sequenced.map((one) => one.subtype === "sequenced" && one.sequence), [7n, 8n, 9n]);
  const [direct, tagged] = sequenced.slice(0, 2).map((one) =>
    inside((one as { frame: Uint8Array }).frame)
  );
  assert(direct?.subtype === "direct" && tagged?.subtype === "tagged");
  assertEquals(decodeFrame(direct.frame).type, FrameType.operation);
  assert(decodeFrame(tagged.frame).compressed);
  const [, , last] = sequenced;
  assertEquals(decodeFrame((last as { frame: Uint8Array }).frame).type, FrameType.operation);
});

const node = new Uint8Array(16);
const frame = encodeFrame({ type: FrameType.ping });
const empty = new Uint8Array();

const unwritable: readonly (readonly [string, Extension, ExtensionErrorCode])[] = [
  ["a batch of nothing", { subtype: "batch", frames: [] }, "EMPTY_BATCH"],
  ["a batch with an empty frame", { subtype: "batch", frames: [frame, empty] }, "EMPTY_FRAME"],
  ["direct without a frame", { subtype: "direct", node, frame: empty }, "EMPTY_FRAME"],
  [
    "tagged without a frame",
    { subtype: "tagged", tag: node.subarray(8), frame: empty },
    "EMPTY_FRAME",
  ],
  [
    "sequenced without a frame",
    { subtype: "sequenced", sequence: 1n, frame: empty },
    "EMPTY_FRAME",
  ],
];

for (const [what, extension, code] of unwritable) {
  test(`encodeExtension refuses ${what}`, () => refuses(() => encodeExtension(extension), code));
}

const recovered = {
  subtype: "recovered",
  complete: true,
  durability: 1,
  ring: new Uint8Array(8),
  first: 1n,
  last: 0n,
  hash: new Uint8Array(32),
} as const;
const open = {
  subtype: "open",
  log: new Uint8Array(16),
  key: new Uint8Array(32),
  ring: new Uint8Array(8),
  sequence: 0n,
  check: new Uint8Array(8),
} as const;

const missized: readonly (readonly [string, (bytes: Uint8Array) => Extension, number])[] = [
  ["the node id of joined", (node) => ({ subtype: "joined", node, members: 1 }), 16],
  ["the node id of left", (node) => ({ subtype: "left", node, members: 1 }), 16],
  ["the node id of direct", (node) => ({ subtype: "direct", node, frame }), 16],
  ["the tag of tagged", (tag) => ({ subtype: "tagged", tag, frame }), 8],
  [
    "the ring id of recovered",
    (ring) => ({ ...recovered, ring }),
    8,
  ],
  ["the hash of recovered", (hash) => ({ ...recovered, hash }), 32],
  ["the log id of open", (log) => ({ ...open, log }), 16],
  ["the key of open", (key) => ({ ...open, key }), 32],
  ["the ring of open", (ring) => ({ ...open, ring }), 8],
  ["the check of open", (check) => ({ ...open, check }), 8],
];

for (const [what, make, length] of missized) {
  test(`encodeExtension wants ${length} bytes for ${what}`, () => {
    for (const wrong of [0, length - 1, length + 1]) {
      const extension = make(new Uint8Array(wrong));
      assertThrows(() => encodeExtension(extension), RangeError, `${length} bytes`);
    }
    assertEquals(
      decodeExtension(encodeExtension(make(new Uint8Array(length)))),
      make(new Uint8Array(length)),
    );
  });
}

test("encodeExtension refuses a code that is not between devices", () => {
  for (const code of [0x00, 0x04, 0x0f, 0x20, 0x110]) {
    const extension = { subtype: "device", code, body: empty } as const;
    assertThrows(() => encodeExtension(extension), RangeError, "0x10 to 0x1f");
  }
});

test("encodeExtension refuses a durability that is none, and a trailing value twice", () => {
  for (const durability of [-1, 4, 0.5, NaN]) {
    assertThrows(() => encodeExtension({ ...recovered, durability }), RangeError);
  }
  const tlv = { type: 7, value: empty };
  const twice = { subtype: "joined", node, members: 1, tlvs: [tlv, tlv] } as const;
  refuses(() => encodeExtension(twice), "DUPLICATE_TLV");
});

// ---- properties

const bytesOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const u32 = fc.nat(0xffff_ffff);
const u64 = fc.bigInt(0n, 0xffff_ffff_ffff_ffffn);
const someFrame = fc.uint8Array({ minLength: 1, maxLength: 300 });

const anyExtension: fc.Arbitrary<Extension> = fc.oneof(
  fc.record({
    subtype: fc.constantFrom("joined", "left"),
    node: bytesOf(16),
    members: u32,
  }),
  fc.record({
    subtype: fc.constant("joined"),
    node: bytesOf(16),
    members: u32,
    tlvs: fc.uniqueArray(
      fc.record({ type: fc.nat(255), value: fc.uint8Array({ maxLength: 20 }) }),
      { minLength: 1, selector: (tlv) => tlv.type },
    ),
  }),
  fc.record({
    subtype: fc.constant("open"),
    log: bytesOf(16),
    key: bytesOf(32),
    ring: bytesOf(8),
    sequence: u64,
    check: bytesOf(8),
  }),
  fc.record({ subtype: fc.constantFrom("live", "truncate"), sequence: u64 }),
  fc.record({ subtype: fc.constant("direct"), node: bytesOf(16), frame: someFrame }),
  fc.record({ subtype: fc.constant("tagged"), tag: bytesOf(8), frame: someFrame }),
  fc.record({ subtype: fc.constant("batch"), frames: fc.array(someFrame, { minLength: 1 }) }),
  fc.record({ subtype: fc.constant("sequenced"), sequence: u64, frame: someFrame }),
  fc.record({
    subtype: fc.constant("recovered"),
    complete: fc.boolean(),
    durability: fc.nat(3),
    ring: bytesOf(8),
    first: u64,
    last: u64,
    hash: bytesOf(32),
  }),
  fc.record({ subtype: fc.constant("accepted"), count: u32, sequence: u64 }),
  fc.record({
    subtype: fc.constant("device"),
    code: fc.integer({ min: 0x10, max: 0x1f }),
    body: fc.uint8Array({ maxLength: 300 }),
  }),
) as fc.Arbitrary<Extension>;

test("decodeExtension is the inverse of encodeExtension", () => {
  holds(
    fc.property(anyExtension, (extension) => {
      assertEquals(decodeExtension(encodeExtension(extension)), extension);
    }),
    500,
  );
});

test("decodeExtension gives a value that is written as it was read, or a WireError", () => {
  const good = extensions.map((vector) => fromHex(vector.hex));
  const changed = fc.tuple(fc.constantFrom(...good), fc.nat(), fc.nat(255))
    .map(([bytes, at, byte]) => bytes.with(at % bytes.length, byte));
  const random = fc.tuple(fc.nat(0x20), fc.uint8Array({ maxLength: 40 }))
    .map(([code, rest]) => concat(Uint8Array.of(code), rest));
  holds(
    fc.property(fc.oneof(changed, random), (bytes) => {
      const { value } = attempt(bytes);
      if (value) assertEquals(hex(encodeExtension(value)), hex(bytes));
    }),
    3000,
  );
});
