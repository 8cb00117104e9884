import { createHash } from "node:crypto";
import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { type Bytes, concat, fromHex, hex, utf8Bytes } from "../src/wire/bytes.ts";
import { decodeClose, encodeClose, isCloseCode } from "../src/wire/websocket/close_frame.ts";
import { FrameProtocol, type FrameProtocolState } from "../src/wire/websocket/frame_protocol.ts";
import { FrameDecoder, type FrameEvent, type Role } from "../src/wire/websocket/frame_decoder.ts";
import { encodeFrame, encodeHeader } from "../src/wire/websocket/frame_encoder.ts";
import { Gather } from "../src/wire/websocket/gather.ts";
import { applyMask } from "../src/wire/websocket/mask.ts";
import { Opcode } from "../src/wire/websocket/opcode.ts";
import { Utf8Checker } from "../src/wire/utf8.ts";
import {
  FrameError,
  type FrameLimits,
  type Violation,
  violations,
} from "../src/wire/websocket/violation.ts";
import { decodeNaively } from "./kit/naive_websocket.ts";
import { dice, fc, holds, seed } from "./kit/random.ts";
import { vectors } from "./kit/vectors.ts";

const MAX = 1 << 20;
const roomy: FrameLimits = { maxFrame: MAX, maxMessage: MAX, maxFragments: 1000 };
const key = fromHex("37fa213d");

/** An event in a form that compares and prints well. */
const told = (event: FrameEvent): string[] =>
  event.type === "close"
    ? ["close", `${event.code}`, event.reason]
    : event.type === "message"
    ? [event.opcode, typeof event.data === "string" ? event.data : hex(event.data)]
    : [event.type, hex(event.data)];

interface Outcome {
  events: string[][];
  fault: { code: Violation; offset: number; closeCode: number } | undefined;
}

/** Feeds chunks (copies: the decoder unmasks in place) and tells what came of it. */
function fed(role: Role, chunks: Iterable<Uint8Array>, limits = roomy): Outcome {
  const decoder = new FrameDecoder(role, limits);
  const events: string[][] = [];
  try {
    for (const chunk of chunks) {
      for (const event of decoder.push(concat(chunk))) events.push(told(event));
    }
  } catch (error) {
    if (!(error instanceof FrameError)) throw error;
    const { code, offset, closeCode } = error;
    return { events, fault: { code, offset, closeCode } };
  }
  return { events, fault: undefined };
}

function* byteByByte(wire: Uint8Array): Generator<Uint8Array> {
  for (let i = 0; i < wire.length; i++) yield wire.subarray(i, i + 1);
}

/** Cuts at random places; many pieces are small, and some are empty. */
function* cut(wire: Uint8Array, below: (limit: number) => number): Generator<Uint8Array> {
  for (let at = 0; at < wire.length;) {
    const size = below(below(3) === 0 ? 1 + wire.length : 9);
    yield wire.subarray(at, at += size);
  }
}

// --- frames -------------------------------------------------------------------------------------

interface FrameVector {
  name: string;
  fin: 0 | 1;
  opcode: Opcode;
  mask: string | null;
  payload_length: number;
  frame_length: number;
  header_length: number;
  payload?: string;
  frame?: string;
  header?: string;
  payload_sha256?: string;
  frame_sha256?: string;
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const { frames } = vectors<{ frames: FrameVector[] }>("rfc6455/frames.json");

for (const vector of frames) {
  const { name, opcode, frame_length } = vector;
  const payload = vector.payload === undefined
    ? Uint8Array.from({ length: vector.payload_length }, (_, i) => i * 31 + 7)
    : fromHex(vector.payload);
  const mask = vector.mask === null ? undefined : fromHex(vector.mask);
  const fin = vector.fin === 1;

  test(`encodeFrame writes vector ${name}`, () => {
    const before = sha256(payload);
    const frame = encodeFrame(opcode, payload, { fin, mask });
    assertEquals(frame.length, frame_length);
    if (vector.frame !== undefined) assertEquals(hex(frame), vector.frame);
    if (vector.frame_sha256 !== undefined) assertEquals(sha256(frame), vector.frame_sha256);
    assertEquals(sha256(payload), before, "the payload was changed");

    const header = encodeHeader(opcode, payload.length, { fin, mask });
    assertEquals(header.length, vector.header_length);
    assertEquals(hex(header), vector.header ?? hex(frame.subarray(0, header.length)));
  });

  test(`FrameDecoder reads vector ${name}`, () => {
    const frame = encodeFrame(opcode, payload, { fin, mask });
    // A lone fragment is no event: give it the rest of its message.
    const start = encodeFrame(Opcode.text, new Uint8Array(0), { fin: false, mask });
    const end = encodeFrame(Opcode.continuation, new Uint8Array(0), { mask });
    const parts = [opcode === Opcode.continuation ? start : [], frame, fin ? [] : end];
    const wire = concat(...parts.map((part) => Uint8Array.from(part)));
    const decoder = new FrameDecoder(mask ? "server" : "client", roomy);
    const [event, ...more] = [...decoder.push(wire)];
    assert(event && more.length === 0);
    if (event.type === "close") {
      assertEquals(hex(encodeClose(event.code, event.reason)), hex(payload));
    } else {
      const data = typeof event.data === "string" ? utf8Bytes(event.data) : event.data;
      assertEquals(sha256(data), sha256(payload));
    }
  });
}

const zero = new Uint8Array(0);
const misused: [name: string, write: () => unknown][] = [
  ["a ping of 126 bytes", () => encodeFrame(Opcode.ping, new Uint8Array(126))],
  ["a fragmented close", () => encodeFrame(Opcode.close, zero, { fin: false })],
  ["a key of three bytes", () => encodeFrame(Opcode.text, zero, { mask: zero.subarray(0, 3) })],
  ["a negative length", () => encodeHeader(Opcode.binary, -1)],
  ["a length of half a byte", () => encodeHeader(Opcode.binary, 0.5)],
  ["a length of 2^53", () => encodeHeader(Opcode.binary, 2 ** 53)],
  ["close code 1005 with a reason", () => encodeClose(1005, "no")],
  ["close code 1006", () => encodeClose(1006)],
  ["close code 2000", () => encodeClose(2000)],
  ["close code 1000.5", () => encodeClose(1000.5)],
  ["a reason of 124 bytes in 62 characters", () => encodeClose(1000, "é".repeat(62))],
];

for (const [name, write] of misused) {
  test(`the encoder refuses ${name}`, () => {
    assertThrows(write, RangeError);
  });
}

test("encodeHeader writes lengths above 2^32 in full", () => {
  assertEquals(hex(encodeHeader(Opcode.binary, 2 ** 53 - 1)), "827f001fffffffffffff");
  assertEquals(hex(encodeHeader(Opcode.binary, 2 ** 32 + 5)), "827f0000000100000005");
});

test("encodeClose and decodeClose agree on every code from 0 to 65535", () => {
  for (let code = 0; code < 0x10000; code++) {
    const payload = Uint8Array.of(code >>> 8, code);
    if (isCloseCode(code)) {
      assertEquals(decodeClose(payload), { code, reason: "" });
      assertEquals(encodeClose(code), payload);
    } else assertThrows(() => decodeClose(payload), FrameError, "CLOSE_CODE");
  }
});

test("applyMask does as a byte-wise XOR does, at every alignment, offset and length", () => {
  for (const length of [0, 1, 3, 4, 31, 47, 48, 49, 50, 51, 52, 131]) {
    for (let start = 0; start < 8; start++) {
      for (let offset = 0; offset < 5; offset++) {
        const around = Uint8Array.from({ length: 160 }, (_, i) => i * 73);
        const expected = around.map((byte, i) =>
          i < start || i >= start + length ? byte : byte ^ key[(i - start + offset) % 4]!
        );
        applyMask(around.subarray(start, start + length), key, offset);
        assertEquals(hex(around), hex(expected), `${length} bytes at ${start}, offset ${offset}`);
      }
    }
  }
});

// --- streams ------------------------------------------------------------------------------------

interface StreamVector {
  name: string;
  receiver: Role;
  wire: string;
  events: { event: string; text?: string; hex?: string; sha256?: string; code?: number }[];
  replies: { opcode: Opcode; payload: string }[];
  close: number | null;
  max_message?: number;
}

/** Runs a connection over chunks, and tells what it yielded, sent and thought in the end. */
function conversed(vector: StreamVector, chunks: Iterable<Uint8Array>) {
  const sent: Bytes[] = [];
  const limits = { ...roomy, maxMessage: vector.max_message ?? MAX };
  const send = (frame: Bytes) => void sent.push(frame);
  const connection = new FrameProtocol(
    vector.receiver === "server"
      ? { role: "server", limits, send }
      : { role: "client", limits, send, key: () => key },
  );
  const events: Record<string, unknown>[] = [];
  try {
    for (const chunk of chunks) {
      for (const event of connection.receive(concat(chunk))) {
        if (event.type === "close") {
          events.push({ event: "close", code: event.code, reason: event.reason });
        } else if (event.type !== "message") {
          events.push({ event: event.type, hex: hex(event.data) });
        } else if (event.opcode === "text") {
          events.push({ event: "text", text: event.data });
        } else if (event.data.length > 60_000) {
          events.push({ event: "binary", sha256: sha256(event.data), length: event.data.length });
        } else events.push({ event: "binary", hex: hex(event.data) });
      }
    }
  } catch (error) {
    if (!(error instanceof FrameError)) throw error;
    assertEquals(error.closeCode, vector.close);
  }
  return { events, sent: concat(...sent), state: connection.state };
}

const { streams } = vectors<{ streams: StreamVector[] }>("rfc6455/streams.json");

for (const vector of streams) {
  const { name, receiver, replies, close, events } = vector;
  const wire = fromHex(vector.wire);

  const agrees = (chunks: Iterable<Uint8Array>, how: string): void => {
    const { sent, ...seen } = conversed(vector, chunks);
    const state: FrameProtocolState = close === null ? "open" : "closed";
    assertEquals(seen, { events, state }, how);
    // What was sent is read by the other side, which also proves that it is masked as it should be.
    const other = fed(receiver === "server" ? "client" : "server", [sent]);
    const expected = replies.map(({ payload }) => ["pong", payload]);
    assertEquals(other.events.slice(0, replies.length), expected, how);
    const last = other.events.slice(replies.length).map(([type, code]) => [type, code]);
    assertEquals(last, close === null ? [] : [["close", `${close}`]], how);
  };

  test(`FrameProtocol does as stream vector ${name}, whole, byte by byte and cut`, () => {
    agrees([wire], "whole");
    agrees(byteByByte(wire), "byte by byte");
    const below = dice();
    const rounds = wire.length > 10_000 ? 3 : 25;
    for (let i = 0; i < rounds; i++) agrees(cut(wire, below), `cut ${i}, SEED=${seed}`);
  });

  test(`FrameDecoder finds the same fault at the same byte in stream vector ${name}`, () => {
    const limits = { ...roomy, maxMessage: vector.max_message ?? MAX };
    const whole = fed(receiver, [wire], limits);
    assertEquals(fed(receiver, byteByByte(wire), limits), whole);
    assertEquals(decodeNaively(receiver, wire, limits), {
      events: whole.events,
      fault: whole.fault?.code,
    });
  });

  test(`FrameDecoder reads the beginning of stream vector ${name} up to every byte`, () => {
    const limits = { ...roomy, maxMessage: vector.max_message ?? MAX };
    const whole = fed(receiver, [wire], limits);
    const step = Math.max(1, Math.floor(wire.length / 700));
    for (let length = 0; length < wire.length; length += step) {
      const part = fed(receiver, [wire.subarray(0, length)], limits);
      // Either a prefix of the events and no fault, or the fault of the whole.
      assertEquals(part.events, whole.events.slice(0, part.events.length));
      if (part.fault) assertEquals(part, whole);
    }
  });
}

// --- refusals -----------------------------------------------------------------------------------

const tight: FrameLimits = { maxFrame: 200, maxMessage: 300, maxFragments: 3 };

// Read by a client (no mask), so that the bytes can be read here too. The offset is the byte at
// which the fault is certain.
const refused: [name: string, hex: string, code: Violation, offset: number][] = [
  ["RSV1 in a text", "c100", "RESERVED_BITS", 0],
  ["RSV3 in a close", "9800", "RESERVED_BITS", 0],
  ["opcode 3", "8300", "UNKNOWN_OPCODE", 0],
  ["opcode 11", "8b00", "UNKNOWN_OPCODE", 0],
  ["a reserved control opcode without FIN", "0f00", "UNKNOWN_OPCODE", 0],
  ["a ping without FIN", "0900", "CONTROL_FRAGMENTED", 0],
  ["a close of 126 bytes", "887e007e", "CONTROL_TOO_LONG", 1],
  ["a pong with a 64-bit length", "8a7f", "CONTROL_TOO_LONG", 1],
  ["a continuation of nothing", "8000", "CONTINUATION_UNEXPECTED", 0],
  ["a continuation after the last one", "01008000" + "8000", "CONTINUATION_UNEXPECTED", 4],
  ["a text within a binary", "0200" + "8100", "MESSAGE_UNFINISHED", 2],
  ["a masked frame of a server", "8180", "MASK_UNEXPECTED", 1],
  ["125 in 16 bits", "827e007d", "LENGTH_NOT_MINIMAL", 3],
  ["0 in 64 bits", "827f0000000000000000", "LENGTH_NOT_MINIMAL", 9],
  ["65535 in 64 bits", "827f000000000000ffff", "LENGTH_NOT_MINIMAL", 9],
  ["the top bit of a length", "827f80", "LENGTH_TOP_BIT", 2],
  ["2^63-1 bytes", "827f7fffffffffffffff", "FRAME_TOO_LARGE", 9],
  ["a byte more than a frame may have", "827e00c9", "FRAME_TOO_LARGE", 3],
  [
    "a byte more than a message may have",
    "0264" + "00".repeat(100) + "0064" + "00".repeat(100) + "8065",
    "MESSAGE_TOO_LARGE",
    205,
  ],
  ["a fragment too many", "0200" + "0000" + "0000" + "0000", "TOO_MANY_FRAGMENTS", 6],
  ["half a close code", "880103", "CLOSE_TRUNCATED", 2],
  ["close code 1006", "880203ee", "CLOSE_CODE", 2],
  ["a close reason that is not UTF-8", "880303e8ff", "INVALID_UTF8", 4],
  ["a bad byte in a text", "81036162ff", "INVALID_UTF8", 4],
  ["a bad byte before the text is there", "81056162ff", "INVALID_UTF8", 4],
  ["a text that ends in a character", "8102c3a9" + "8102e282", "INVALID_UTF8", 7],
  ["a character that ends in no fragment", "0102e282" + "8000", "INVALID_UTF8", 5],
  ["an overlong form at its first byte", "0101c1", "INVALID_UTF8", 2],
  ["an overlong form over two fragments", "0101e0" + "80029f80", "INVALID_UTF8", 5],
  ["more than U+10FFFF over two fragments", "0101f4" + "80039080", "INVALID_UTF8", 5],
  ["a surrogate over two fragments", "0101ed" + "8002a080", "INVALID_UTF8", 5],
];

for (const [name, wire, code, offset] of refused) {
  test(`FrameDecoder refuses ${name}`, () => {
    const fault = { code, offset, closeCode: violations[code] };
    for (const chunks of [[fromHex(wire)], byteByByte(fromHex(wire))]) {
      assertEquals(fed("client", chunks, tight).fault, fault);
    }
    // And not a byte later: with one byte less nothing is wrong yet.
    assertEquals(fed("client", [fromHex(wire).subarray(0, offset)], tight).fault, undefined);
  });
}

test("every violation is in the table of refusals", () => {
  const met = new Set([...refused.map(([, , code]) => code), "MASK_MISSING"]);
  assertEquals([...met].sort(), Object.keys(violations).sort());
});

test("FrameDecoder takes a frame, a message and fragments at their limits", () => {
  const parts = [100, 200].map((length) => new Uint8Array(length));
  const wire = concat(
    encodeFrame(Opcode.binary, parts[0]!, { fin: false }),
    encodeFrame(Opcode.continuation, parts[1]!, { fin: false }),
    encodeFrame(Opcode.continuation, zero),
  );
  const { events, fault } = fed("client", [wire, wire], tight);
  assertEquals([events.length, fault], [2, undefined]);
});

test("FrameDecoder lets control frames through a full message", () => {
  const full = encodeFrame(Opcode.binary, new Uint8Array(200), { fin: false });
  const ping = encodeFrame(Opcode.ping, new Uint8Array(125));
  const limits = { maxFrame: 200, maxMessage: 200, maxFragments: 1 };
  assertEquals(fed("client", [full, ping], limits).events.map(([type]) => type), ["ping"]);
});

// --- what the decoder promises about memory and its loop ----------------------------------------

test("FrameDecoder hands out a view of the chunk when a payload lies whole in it", () => {
  for (const mask of [undefined, key]) {
    const chunk = encodeFrame(Opcode.binary, Uint8Array.of(1, 2, 3), { mask });
    const [event] = [...new FrameDecoder(mask ? "server" : "client", roomy).push(chunk)];
    assert(event?.type === "message" && event.opcode === "binary");
    assert(event.data.buffer === chunk.buffer);
    assertEquals(event.data, Uint8Array.of(1, 2, 3));
  }
});

test("FrameDecoder gathers a message that was cut in a buffer of its own size", () => {
  const decoder = new FrameDecoder("client", roomy);
  const chunks = [...byteByByte(fromHex("8203010203"))].map((byte) => concat(byte));
  const [event] = chunks.flatMap((chunk) => [...decoder.push(chunk)]);
  assert(event?.type === "message" && event.opcode === "binary");
  assertEquals([event.data, event.data.buffer.byteLength], [Uint8Array.of(1, 2, 3), 3]);
});

test("Gather holds at most a kilobyte or twice what arrived, whatever was announced", () => {
  const gather = new Gather();
  for (let length = 1; length < 10_000; length++) {
    gather.add(Uint8Array.of(length), MAX);
    assert(gather.capacity <= Math.max(1024, 2 * length), `${gather.capacity} for ${length}`);
  }
  assertEquals(gather.take().length, 9_999);
  assertEquals([gather.length, gather.capacity], [0, 0]);
  gather.add(new Uint8Array(3), 5);
  assertEquals(gather.capacity, 5);
});

test("FrameDecoder ends when its loop is left early, and ignores what comes then", () => {
  const decoder = new FrameDecoder("client", roomy);
  for (const _ of decoder.push(fromHex("8900" + "8900"))) break;
  assert(decoder.ended);
  assertEquals([...decoder.push(fromHex("8900"))], []);
});

test("FrameDecoder ignores everything after a violation", () => {
  const decoder = new FrameDecoder("client", roomy);
  assertThrows(() => [...decoder.push(fromHex("8300"))], FrameError);
  assert(decoder.ended);
  assertEquals([...decoder.push(fromHex("8900"))], []);
});

// --- Connection ---------------------------------------------------------------------------------

/** Two connections, each fed with what the other sends as soon as it is asked to. */
function pair() {
  const log: string[][] = [];
  const upstream: Bytes[] = [];
  const downstream: Bytes[] = [];
  const limits = roomy;
  const client = new FrameProtocol({
    role: "client",
    limits,
    key: () => key,
    send: (frame) => void upstream.push(frame),
  });
  const server = new FrameProtocol({
    role: "server",
    limits,
    send: (frame) => void downstream.push(frame),
  });
  const deliver = (from: Bytes[], to: FrameProtocol, name: string) => {
    for (const frame of from.splice(0)) {
      for (const event of to.receive(frame)) log.push([name, ...told(event)]);
    }
  };
  return {
    client,
    server,
    log,
    downstream,
    toServer: () => deliver(upstream, server, "server"),
    toClient: () => deliver(downstream, client, "client"),
  };
}

test("FrameProtocol carries messages both ways and closes from either side", () => {
  const { client, server, log, toServer, toClient } = pair();
  client.send("hé");
  toServer();
  server.send(Uint8Array.of(1));
  server.ping(Uint8Array.of(2));
  toClient();
  client.close(4000, "done");
  assertEquals(client.state, "closing");
  toServer();
  toClient();
  assertEquals([client.state, server.state], ["closed", "closed"]);
  assertEquals(log, [
    ["server", "text", "hé"],
    ["client", "binary", "01"],
    ["client", "ping", "02"],
    ["server", "pong", "02"],
    ["server", "close", "4000", "done"],
    ["client", "close", "4000", ""],
  ]);
});

test("FrameProtocol sends nothing after its close and yields only the answer to it", () => {
  const { client, server, log, downstream, toServer, toClient } = pair();
  client.send("too late");
  client.ping(zero);
  server.close(1012);
  server.close(1000);
  server.send("no");
  server.ping(zero);
  toServer();
  assertEquals(downstream.length, 1);
  toClient();
  toServer();
  assertEquals([client.state, server.state], ["closed", "closed"]);
  assertEquals(log, [["client", "close", "1012", ""], ["server", "close", "1012", ""]]);
});

test("FrameProtocol closes once when both sides close at the same time", () => {
  const { client, server, log, toServer, toClient } = pair();
  client.close(1000);
  server.close(1001);
  toServer();
  toClient();
  assertEquals([client.state, server.state], ["closed", "closed"]);
  assertEquals(log, [["server", "close", "1000", ""], ["client", "close", "1001", ""]]);
});

test("FrameProtocol answers a violation with its close code and throws it on", () => {
  const { client, server, log, toClient } = pair();
  assertThrows(() => [...server.receive(fromHex("8100"))], FrameError, "MASK_MISSING");
  assertEquals(server.state, "closed");
  toClient();
  assertEquals(client.state, "closed");
  assertEquals(log, [["client", "close", "1002", "MASK_MISSING"]]);
});

// --- properties ---------------------------------------------------------------------------------

const control = fc.record({
  opcode: fc.constantFrom(Opcode.ping, Opcode.pong),
  payload: fc.uint8Array({ maxLength: 125 }),
});
const piece = fc.record({
  size: fc.integer({ min: 0, max: 300 }),
  before: fc.array(control, { maxLength: 2 }),
});
const message = fc.record({
  data: fc.oneof(
    fc.string({ unit: "binary", maxLength: 400 }),
    fc.uint8Array({ maxLength: 700 }),
  ),
  pieces: fc.array(piece, { maxLength: 5 }),
});
const word = fc.integer({ min: 1, max: 0x7fffffff });

/** Writes messages in fragments of the given sizes with control frames between them. */
function written(
  messages: { data: string | Uint8Array; pieces: { size: number; before: Control[] }[] }[],
  mask: Uint8Array | undefined,
) {
  const parts: Bytes[] = [];
  const events: string[][] = [];
  for (const { data, pieces } of messages) {
    const text = typeof data === "string";
    const payload = text ? utf8Bytes(data) : data;
    let opcode: Opcode = text ? Opcode.text : Opcode.binary;
    let at = 0;
    for (const { size, before } of pieces) {
      for (const { opcode, payload } of before) {
        parts.push(encodeFrame(opcode, payload, { mask }));
        events.push([opcode === Opcode.ping ? "ping" : "pong", hex(payload)]);
      }
      parts.push(encodeFrame(opcode, payload.subarray(at, at += size), { fin: false, mask }));
      opcode = Opcode.continuation;
    }
    parts.push(encodeFrame(opcode, payload.subarray(at), { mask }));
    events.push(text ? ["text", data] : ["binary", hex(payload)]);
  }
  return { wire: concat(...parts), events };
}
type Control = { opcode: Opcode; payload: Uint8Array };

const wellFormed = fc.array(message, { maxLength: 6 });

test("FrameDecoder gives back messages however they are fragmented, mixed with pings and cut", () => {
  holds(fc.property(wellFormed, fc.boolean(), word, (messages, masked, start) => {
    // Lone surrogates cannot be written as UTF-8.
    for (const each of messages) {
      if (typeof each.data === "string") each.data = each.data.toWellFormed();
    }
    const { wire, events } = written(messages, masked ? key : undefined);
    const role = masked ? "server" : "client";
    assertEquals(fed(role, cut(wire, dice(start))), { events, fault: undefined });
    assertEquals(decodeNaively(role, wire, roomy), { events, fault: undefined });
  }));
});

test("FrameDecoder agrees with a naive one on damaged streams, whole and cut", () => {
  const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 });
  holds(
    fc.property(wellFormed, fc.boolean(), damage, word, (messages, masked, hits, start) => {
      const { wire } = written(messages, masked ? key : undefined);
      for (const [at, value] of hits) wire[at % wire.length] = value;
      const role = masked ? "server" : "client";
      const naive = decodeNaively(role, wire, tight);
      const whole = fed(role, [wire], tight);
      assertEquals({ events: whole.events, fault: whole.fault?.code }, naive);
      assertEquals(fed(role, cut(wire, dice(start)), tight), whole);
    }),
    600,
  );
});

test("FrameDecoder agrees with a naive one on noise", () => {
  // First bytes that are nearly right, so that noise gets past the header.
  const first = fc.constantFrom(0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8a);
  const noisy = fc.array(
    fc.tuple(first, fc.integer({ min: 0, max: 6 }), fc.uint8Array({ maxLength: 6 })),
    { maxLength: 8 },
  );
  holds(
    fc.property(noisy, word, (rows, start) => {
      const wire = concat(...rows.map(([a, b, rest]) => Uint8Array.of(a, b, ...rest)));
      const whole = fed("client", [wire], tight);
      const naive = decodeNaively("client", wire, tight);
      assertEquals({ events: whole.events, fault: whole.fault?.code }, naive);
      assertEquals(fed("client", cut(wire, dice(start)), tight), whole);
    }),
    600,
  );
});

test("Utf8Checker stops where the platform's decoder says the text is over", () => {
  const strict = new TextDecoder("utf-8", { fatal: true });
  const byte = fc.oneof(
    fc.constantFrom(0x41, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc2, 0xe0, 0xe1, 0xed, 0xf0, 0xf4),
    fc.nat(255),
  );
  holds(
    fc.property(fc.array(byte, { maxLength: 8 }), (row) => {
      const bytes = Uint8Array.from(row);
      const checker = new Utf8Checker();
      const bad = checker.feed(bytes);
      const valid = bad < 0 && checker.complete;
      const slowly = new Utf8Checker();
      assertEquals(row.findIndex((byte) => slowly.feed(Uint8Array.of(byte)) === 0), bad);
      let platform = true;
      try {
        strict.decode(bytes);
      } catch {
        platform = false;
      }
      assertEquals(valid, platform, hex(bytes));
    }),
    2000,
  );
});
