import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { concat, fromHex, hex, utf8Bytes, WireError } from "../src/wire/bytes.ts";
import { decodeFrame, encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import {
  type AckLayout,
  Capability,
  checkDatabase,
  decodeHandshake,
  decodeHandshakeAck,
  encodeHandshake,
  encodeHandshakeAck,
  type Handshake,
  type HandshakeAck,
  type HandshakeErrorCode,
  MAX_NAME,
  PROTOCOL,
  type Tlv,
  tlv,
  TlvType,
  VERIFY_LENGTH,
} from "../src/wire/blaze/handshake.ts";
import { fc, holds } from "./kit/random.ts";
import { vectors } from "./kit/vectors.ts";

interface Message {
  payload: string;
  payloadLength: number;
  frames: { legend7: string; legend5: string; examples7: string };
}

const { keys, challenge, messages } = vectors<{
  keys: Record<"A" | "B", { public65: string; rawRepresentation64: string; nodeId: string }>;
  challenge: string;
  messages: Record<
    "handshake" | "ackSeedDiagram" | "ackAsHandshakeMessage" | "ackHybrid" | "verify",
    Message
  >;
}>("blaze-frame/handshake.json");

const { vectors: malformed, stringLength } = vectors<{
  vectors: { id: string; payload: string; reason: string }[];
  stringLength: { cases: { length: number; leb128: string; u8: string; same: boolean }[] };
}>("blaze-frame/handshake-malformed.json");

type Layout = "handshake" | AckLayout;

interface TlvVector {
  id: string;
  layout: Layout;
  hex: string;
  fields: {
    node: string;
    database: string;
    publicKey: string;
    capabilities: number;
    timestamp: string;
    tlvs: { type: number; value: string }[];
    challenge?: string;
  };
}

const trailing = vectors<{
  vectors: TlvVector[];
  malformed: { id: string; layout: Layout; hex: string; reason: HandshakeErrorCode }[];
}>("blaze-frame/tlvs.json");

function refuses(fn: () => unknown, code: HandshakeErrorCode): void {
  assertEquals(assertThrows(fn, WireError).code, code);
}

const uuid = (text: string) => fromHex(text.replaceAll("-", ""));
const challengeBytes = fromHex(challenge);

const handshake: Handshake = {
  node: uuid(keys.A.nodeId),
  database: "bugs",
  publicKey: fromHex(keys.A.public65),
  capabilities: 0x0f,
  timestamp: 1736899200500n,
  tlvs: [],
};

const ack: HandshakeAck = {
  node: uuid(keys.B.nodeId),
  database: "bugs",
  publicKey: fromHex(keys.B.public65),
  capabilities: 0x0f,
  timestamp: 1736899200525n,
  challenge: challengeBytes,
  tlvs: [],
};

const read = (payload: Uint8Array, layout: Layout): Handshake =>
  layout === "handshake" ? decodeHandshake(payload) : decodeHandshakeAck(payload);

const write = (value: Handshake, layout: Layout): Uint8Array =>
  layout === "handshake"
    ? encodeHandshake(value)
    : encodeHandshakeAck(value as HandshakeAck, layout);

// ---- the seed's messages

const good = [
  ["handshake", messages.handshake, handshake, "handshake"],
  ["ackSeedDiagram", messages.ackSeedDiagram, ack, "drawing"],
  ["ackHybrid", messages.ackHybrid, ack, "sample"],
] as const;

for (const [id, { payload, payloadLength, frames }, value, layout] of good) {
  test(`encodeHandshake${layout === "handshake" ? "" : "Ack"} and its inverse agree with ${id}`, () => {
    assertEquals(hex(write(value, layout)), payload);
    assertEquals(read(fromHex(payload), layout), value);
    assertEquals(fromHex(payload).length, payloadLength);
  });

  test(`encodeFrame carries ${id} in every style`, () => {
    const type = layout === "handshake" ? FrameType.handshake : FrameType.handshakeAck;
    const frame = { type, payload: fromHex(payload) };
    assertEquals(hex(encodeFrame(frame)), frames.legend7);
    assertEquals(hex(encodeFrame(frame, { short: true })), frames.legend5);
    assertEquals(hex(encodeFrame(frame, { reading: "examples" })), frames.examples7);
    assertEquals(decodeFrame(fromHex(frames.examples7), "examples").encrypted, false);
  });
}

test("decodeHandshakeAck refuses a Handshake sent as an Ack: there is no challenge to prove", () => {
  const payload = fromHex(messages.ackAsHandshakeMessage.payload);
  refuses(() => decodeHandshakeAck(payload), "TRUNCATED");
  const { challenge: _, ...fields } = ack;
  assertEquals(decodeHandshake(payload), fields);
});

test("decodeHandshake refuses the challenge of an Ack", () => {
  refuses(() => decodeHandshake(fromHex(messages.ackHybrid.payload)), "TRAILING_BYTES");
});

test("VERIFY_LENGTH tells a Verify from every Ack", () => {
  assertEquals(messages.verify.payloadLength, VERIFY_LENGTH);
  const shortest = { ...ack, database: "b" };
  assert(encodeHandshakeAck(shortest).length > VERIFY_LENGTH);
  assertEquals(
    hex(encodeFrame({
      type: FrameType.handshakeAck,
      payload: fromHex(messages.verify.payload),
    })),
    messages.verify.frames.legend7,
  );
});

for (const { id, payload, reason } of malformed) {
  if (id === "key-off-curve") {
    test("decodeHandshake leaves key-off-curve to the user of the key", () => {
      assertEquals(decodeHandshake(fromHex(payload)).publicKey[0], 0x04);
    });
  } else {
    test(`decodeHandshake refuses ${id}`, () => {
      // We check the key while parsing.
      const code = reason.includes("INVALID_POINT") ? "INVALID_POINT" : reason;
      refuses(() => decodeHandshake(fromHex(payload)), code as HandshakeErrorCode);
    });
  }
}

for (const [id, { payload }, , layout] of good) {
  test(`decodeHandshake refuses ${id} cut at every byte`, () => {
    const bytes = fromHex(payload);
    for (let length = 0; length < bytes.length; length++) {
      refuses(() => read(bytes.subarray(0, length), layout), "TRUNCATED");
    }
    refuses(() => read(concat(bytes, Uint8Array.of(0)), layout), "TRAILING_BYTES");
  });
}

for (const text of ["blazedb/1.1", "blazedb/1.00", "blazedb/1", "blazedb/", "BLAZEDB/1.0", ""]) {
  test(`decodeHandshake refuses the protocol ${JSON.stringify(text)}`, () => {
    const name = utf8Bytes(text);
    const rest = fromHex(messages.handshake.payload).subarray(1 + PROTOCOL.length);
    const payload = concat(Uint8Array.of(name.length), name, rest);
    refuses(() => decodeHandshake(payload), "UNSUPPORTED_PROTOCOL");
  });
}

test("decodeHandshakeAck refuses another version in the sample's layout", () => {
  const payload = fromHex(messages.ackHybrid.payload);
  payload[PROTOCOL.length] = 0x31; // blazedb/1.1
  refuses(() => decodeHandshakeAck(payload), "UNSUPPORTED_PROTOCOL");
});

test("decodeHandshakeAck reads a node id that begins like the length of the protocol", () => {
  const node = fromHex("0b626c617a656462ff00000000000000");
  const value = { ...ack, node };
  assertEquals(decodeHandshakeAck(encodeHandshakeAck(value)), value);
});

// ---- names

for (const { length, leb128, u8, same } of stringLength.cases) {
  test(`decodeHandshake ${same && length > 0 ? "reads" : "refuses"} a name of ${length} bytes`, () => {
    const name = "d".repeat(length);
    const head = fromHex(messages.handshake.payload).subarray(0, 1 + PROTOCOL.length + 16);
    const tail = fromHex(messages.handshake.payload).subarray(head.length + 5);
    for (const prefix of [leb128, u8]) {
      if (prefix.startsWith("impossible")) continue;
      const payload = concat(head, fromHex(prefix), utf8Bytes(name), tail);
      if (length === 0) refuses(() => decodeHandshake(payload), "EMPTY_DATABASE");
      else if (!same) refuses(() => decodeHandshake(payload), "NAME_LENGTH");
      else {
        assertEquals(decodeHandshake(payload), { ...handshake, database: name });
        assertEquals(encodeHandshake({ ...handshake, database: name }), payload);
      }
    }
  });
}

const names: readonly (readonly [string, string, HandshakeErrorCode | undefined])[] = [
  ["no name", "", "EMPTY_DATABASE"],
  ["one byte", "d", undefined],
  ["127 bytes", "d".repeat(MAX_NAME), undefined],
  ["128 bytes", "d".repeat(MAX_NAME + 1), "NAME_LENGTH"],
  ["127 bytes of two each and one", `${"é".repeat(63)}d`, undefined],
  ["128 bytes in 64 characters", "é".repeat(64), "NAME_LENGTH"],
  ["a colon", "a:b", "NAME_COLON"],
  ["only a colon", ":", "NAME_COLON"],
  ["another colon, which joins nothing", "a：b", undefined],
  ["half a surrogate pair", "a\ud83d", "NAME_TEXT"],
  ["the other half", "\udd25a", "NAME_TEXT"],
  ["a whole pair", "\ud83d\udd25", undefined],
  ["a zero byte", "\0", undefined],
  ["a leading U+FEFF", "\ufeffa", undefined],
];

for (const [what, database, code] of names) {
  test(`checkDatabase and the encoders ${code ? "refuse" : "take"} a name with ${what}`, () => {
    const attempts = [
      () => checkDatabase(database),
      () => encodeHandshake({ ...handshake, database }),
      () => encodeHandshakeAck({ ...ack, database }),
      () => encodeHandshakeAck({ ...ack, database }, "sample"),
    ];
    for (const attempt of attempts) {
      if (code) refuses(attempt, code);
      else attempt();
    }
    if (!code) {
      const payload = encodeHandshake({ ...handshake, database });
      assertEquals(decodeHandshake(payload).database, database);
    }
  });
}

const nameBytes: readonly (readonly [string, string, HandshakeErrorCode])[] = [
  ["a colon", "613a62", "NAME_COLON"],
  ["bytes that are no UTF-8", "ff", "INVALID_UTF8"],
  ["half a surrogate pair", "eda0bd", "INVALID_UTF8"],
  ["an overlong colon", "c0ba", "INVALID_UTF8"],
];

for (const [what, bytes, code] of nameBytes) {
  test(`decodeHandshake and decodeHandshakeAck refuse a name with ${what}`, () => {
    const node = new Uint8Array(16);
    const name = fromHex(bytes);
    const fixed = concat(handshake.publicKey, new Uint8Array(1 + 8));
    const fields = concat(node, Uint8Array.of(name.length), name, fixed);
    const protocol = concat(Uint8Array.of(PROTOCOL.length), utf8Bytes(PROTOCOL));
    refuses(() => decodeHandshake(concat(protocol, fields)), code);
    refuses(() => decodeHandshakeAck(concat(fields, challengeBytes)), code);
    refuses(() => decodeHandshakeAck(concat(protocol, fields, challengeBytes)), code);
  });
}

// ---- keys and sizes

for (const first of [0x00, 0x02, 0x03, 0x05, 0x06, 0xff]) {
  test(`decodeHandshake and the encoders refuse a key that begins with ${first}`, () => {
    const publicKey = handshake.publicKey.with(0, first);
    const payload = encodeHandshake(handshake);
    payload[1 + PROTOCOL.length + 16 + 5] = first;
    refuses(() => decodeHandshake(payload), "INVALID_POINT");
    refuses(() => encodeHandshake({ ...handshake, publicKey }), "INVALID_POINT");
    refuses(() => encodeHandshakeAck({ ...ack, publicKey }), "INVALID_POINT");
  });
}

test("encodeHandshake refuses a key of another length", () => {
  for (
    const publicKey of [
      fromHex(keys.A.rawRepresentation64),
      handshake.publicKey.subarray(0, 64),
      concat(handshake.publicKey, Uint8Array.of(0)),
      new Uint8Array(),
    ]
  ) refuses(() => encodeHandshake({ ...handshake, publicKey }), "INVALID_POINT");
});

test("encodeHandshake and encodeHandshakeAck refuse ids and challenges of another length", () => {
  for (const length of [0, 15, 17]) {
    const bytes = new Uint8Array(length);
    assertThrows(() => encodeHandshake({ ...handshake, node: bytes }), RangeError, "16 bytes");
    assertThrows(() => encodeHandshakeAck({ ...ack, challenge: bytes }), RangeError, "16 bytes");
  }
});

// ---- trailing values

for (const { id, layout, hex: bytes, fields } of trailing.vectors) {
  const value = {
    node: fromHex(fields.node),
    database: fields.database,
    publicKey: fromHex(fields.publicKey),
    capabilities: fields.capabilities,
    timestamp: BigInt(fields.timestamp),
    tlvs: fields.tlvs.map(({ type, value }): Tlv => ({ type, value: fromHex(value) })),
    ...fields.challenge === undefined ? {} : { challenge: fromHex(fields.challenge) },
  };

  test(`encodeHandshake and decodeHandshake agree with TLV vector ${id}`, () => {
    assertEquals(hex(write(value, layout)), bytes);
    assertEquals(read(fromHex(bytes), layout), value);
  });

  test(`decodeHandshake refuses TLV vector ${id} cut at every byte but between values`, () => {
    const message = fromHex(bytes);
    const whole = new Set<number>();
    if (value.capabilities & Capability.tlvs) {
      let at = message.length;
      for (const { value: one } of value.tlvs.toReversed()) whole.add(at -= 3 + one.length);
    }
    for (let length = 0; length < message.length; length++) {
      const cut = message.subarray(0, length);
      if (whole.has(length)) assert(read(cut, layout).tlvs.length < value.tlvs.length);
      else refuses(() => read(cut, layout), "TRUNCATED");
    }
  });
}

for (const { id, layout, hex: bytes, reason } of trailing.malformed) {
  test(`decodeHandshake refuses TLV vector ${id}`, () => {
    refuses(() => read(fromHex(bytes), layout), reason);
  });
}

test("tlv finds a value by its type", () => {
  const { fields, hex: bytes } = trailing.vectors.find(({ id }) => id === "unknown-kept")!;
  const value = decodeHandshake(fromHex(bytes));
  assertEquals(hex(tlv(value, TlvType.commitment)!), fields.tlvs[1]!.value);
  assertEquals(tlv(value, 255)?.length, 0);
  assertEquals(tlv(value, TlvType.batch), undefined);
});

test("encodeHandshake refuses trailing values that no decoder would read back", () => {
  const capabilities = Capability.tlvs;
  const one = { type: 1, value: new Uint8Array(2) };
  const message = (tlvs: Tlv[]) => encodeHandshake({ ...handshake, capabilities, tlvs });
  refuses(() => message([one, one]), "DUPLICATE_TLV");
  const largest = { type: 2, value: new Uint8Array(65_535) };
  assertEquals(decodeHandshake(message([one, largest])).tlvs.length, 2);
  const larger = { type: 2, value: new Uint8Array(65_536) };
  assertThrows(() => message([larger]), RangeError, "65,535");
  assertThrows(() => encodeHandshake({ ...handshake, tlvs: [one] }), RangeError, "bit 7");
  assertThrows(() => encodeHandshakeAck({ ...ack, tlvs: [one] }), RangeError, "bit 7");
});

// ---- properties

const bytesOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });

const anyAck = fc.record({
  node: bytesOf(16),
  database: fc.string({ unit: "binary", minLength: 1, maxLength: 31 })
    .map((name) => name.replaceAll(":", ";")),
  publicKey: bytesOf(64).map((xy) => concat(Uint8Array.of(4), xy)),
  capabilities: fc.nat(255),
  timestamp: fc.bigInt(0n, 0xffff_ffff_ffff_ffffn),
  challenge: bytesOf(16),
  tlvs: fc.uniqueArray(fc.record({ type: fc.nat(255), value: fc.uint8Array({ maxLength: 40 }) }), {
    selector: ({ type }) => type,
    maxLength: 6,
  }),
}).map((value) => value.capabilities & Capability.tlvs ? value : { ...value, tlvs: [] });

test("decodeHandshake and decodeHandshakeAck are the inverse of the encoders", () => {
  holds(fc.property(anyAck, (value) => {
    const { challenge: _, ...plain } = value;
    assertEquals(decodeHandshake(encodeHandshake(plain)), plain);
    for (const layout of ["drawing", "sample"] as const) {
      assertEquals(decodeHandshakeAck(encodeHandshakeAck(value, layout)), value);
    }
  }));
});

test("decodeHandshake gives a value or a WireError for changed bytes, and writes it back", () => {
  const base = [
    ...good.map(([, { payload }, , layout]) => [fromHex(payload), layout] as const),
    ...trailing.vectors.map((one) => [fromHex(one.hex), one.layout] as const),
  ];
  holds(
    fc.property(fc.constantFrom(...base), fc.nat(), fc.nat(255), ([bytes, layout], at, byte) => {
      const changed = bytes.with(at % bytes.length, byte);
      let value: Handshake;
      try {
        value = read(changed, layout);
      } catch (error) {
        assert(error instanceof WireError, `${error} for ${hex(changed)}`);
        return;
      }
      // A changed first byte may make one layout of an Ack the other.
      const layouts: Layout[] = layout === "handshake" ? [layout] : ["drawing", "sample"];
      const again = layouts.map((one) => hex(write(value, one)));
      assert(again.includes(hex(changed)), hex(changed));
    }),
    2000,
  );
});
