import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { concat, fromHex, hex, sameBytes, utf8Bytes, WireError } from "../src/wire/bytes.ts";
import { BmpDecoder, type BmpDecoderOptions, type Piece } from "../src/wire/bmp/bmp_decoder.ts";
import { encode } from "../src/wire/bmp/bmp_encoder.ts";
import { carriesPayload, type Form, type Kind } from "../src/wire/bmp/bmp_frame.ts";
import { BMP_LIMITS, headerBytes } from "../src/wire/bmp/bmp_limits.ts";
import { dice, fc, holds, seed } from "./kit/random.ts";
import { vectors } from "./kit/vectors.ts";

/** A whole frame, comparable: `payload` as hex, empty on control frames. */
interface Whole {
  kind: Kind;
  id: string;
  sid: string;
  payload: string;
}

/** What a decoder made of some bytes: frames, then perhaps the fault that ended them. */
interface Outcome {
  frames: Whole[];
  fault?: string;
}

const text = (bytes: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(bytes, (char) => char.charCodeAt(0));
const latin1 = (bytes: Uint8Array): string =>
  Array.from(bytes, (b) => String.fromCharCode(b)).join("");

/** Feeds chunks, checks the rules that hold for all pieces, and collects whole frames. */
function decode(
  decoder: BmpDecoder,
  chunks: Iterable<Uint8Array>,
  mostHeld = headerBytes(BMP_LIMITS),
): Outcome {
  const frames: Whole[] = [];
  let parts: Piece[] = [];
  let passed = 0;
  try {
    for (const chunk of chunks) {
      for (const piece of decoder.feed(chunk)) {
        const { kind, id, sid, length } = piece.head;
        assert(piece.offset === passed, "a gap between pieces");
        if (parts[0]) assert(parts[0].head === piece.head, "one head for all pieces of a frame");
        if (piece.bytes.length > 0) assert(piece.bytes.buffer === chunk.buffer, "copied");
        else assert(piece.last, "an empty piece that ends nothing");
        parts.push(piece);
        passed += piece.bytes.length;
        if (!piece.last) continue;
        const payload = hex(concat(...parts.map((part) => part.bytes)));
        assertEquals(passed, carriesPayload(kind) ? length : 0);
        frames.push({ kind, id, sid, payload });
        parts = [];
        passed = 0;
      }
      assert(decoder.held < mostHeld, `holds ${decoder.held} bytes`);
    }
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    const again = assertThrows(() => [...decoder.feed(Uint8Array.of(0))], WireError);
    assert(again === error, "another error the second time");
    return { frames, fault: `${error.code} at ${error.offset}` };
  }
  return { frames };
}

const decoded = (bytes: Uint8Array, options?: BmpDecoderOptions): Outcome =>
  decode(new BmpDecoder(options), [bytes]);

function* cut(bytes: Uint8Array, size: () => number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length;) {
    const chunk = bytes.subarray(at, at += size());
    yield chunk;
  }
}

const bytesOf = (form: Form, { payload, ...frame }: Whole): Uint8Array =>
  encode(form, { ...frame, payload: fromHex(payload) });

// --- what the real Blazeio sent ---

interface Capture {
  dialect: Form;
  frames: {
    dir: "c>s" | "s>c";
    at: number;
    size: number;
    header: string;
    kind?: Kind;
    stream: string;
    sid?: string;
    length: number;
  }[];
  clientToServer: string;
  serverToClient: string;
}

const scenarios = ["chunked", "eof-both", "get-hello", "reuse", "two-streams"];
const captures = [
  ...scenarios.map((scenario) => `binary3-2.4.2.0.${scenario}`),
  ...["text-2.2.4.5", "binary4-4.5.2"].flatMap((dialect) =>
    [...scenarios, "get-100k", "post-100k"].map((scenario) => `${dialect}.${scenario}`)
  ),
];

for (const name of captures) {
  test(`BmpDecoder and encode agree with the capture ${name}`, () => {
    const capture = vectors<Capture>(`bmp/${name}.json`);
    const form = capture.dialect;
    for (const dir of ["c>s", "s>c"] as const) {
      const bytes = fromHex(dir === "c>s" ? capture.clientToServer : capture.serverToClient);
      const expected = capture.frames.filter((frame) => frame.dir === dir && frame.kind).map(
        (f) => {
          const kind = f.kind!;
          const payload = bytes.subarray(f.at + f.header.length / 2, f.at + f.size);
          const acked = form === "binary4" && kind === "ack" ? latin1(payload) : "";
          return {
            kind,
            id: f.stream,
            sid: acked || (f.sid ?? ""),
            payload: carriesPayload(kind) ? hex(payload) : "",
          };
        },
      );
      const next = dice();
      const cuts: [string, () => number][] = [
        ["whole", () => bytes.length],
        ["byte by byte", () => 1],
        [`in random cuts, SEED=${seed}`, () => 1 + next(40)],
        [`in segments, SEED=${seed}`, () => 1 + next(3000)],
      ];
      for (const [how, size] of cuts) {
        const decoder = new BmpDecoder();
        const { frames, fault } = decode(decoder, cut(bytes, size));
        assertEquals(fault, undefined, how);
        assertEquals(frames, expected, `${dir} ${how}`);
        assertEquals([decoder.form, decoder.idle], [form, true]);
      }
      const encoded = concat(...expected.map((frame) => bytesOf(form, frame)));
      assert(sameBytes(encoded, bytes), `${dir} is encoded otherwise`);
    }
  });
}

const faulty: Record<string, string> = {
  "garbage": "UNKNOWN_FORM at 0",
  "garbage_before_frame": "UNKNOWN_FORM at 0",
};
for (const dialect of ["text-2.2.4.5", "binary4-4.5.2"]) {
  test(`BmpDecoder reads the probes of ${dialect} and what they were answered`, () => {
    const binary = dialect.startsWith("binary");
    const { probes } = vectors<
      { probes: { probe: string; sent: string[]; received: string; receivedFrames: string[] }[] }
    >(`bmp/${dialect}.probes.json`);
    let read = 0;
    for (const { probe, sent, received, receivedFrames } of probes) {
      if (sent.every((write) => /^[0-9a-f]*$/.test(write))) {
        const expected = probe === "bad_length"
          ? `BAD_LENGTH at ${binary ? 13 : 36}`
          : probe === "delimiter_in_id"
          ? `INVALID_UTF8 at ${binary ? 1 : 3}`
          : faulty[probe];
        const { fault } = decode(new BmpDecoder(), sent.map(fromHex));
        assertEquals(fault, expected, probe);
        read++;
      }
      if (/^[0-9a-f]*$/.test(received)) {
        const { frames } = decoded(fromHex(received));
        const listed = receivedFrames.map((line) => line.split(" ").slice(0, 2).join(" "));
        assertEquals(frames.map(({ id, kind }) => `${id} ${kind}`), listed, probe);
      }
    }
    assert(read >= 35, `only ${read} probes are given in full`);
  });
}

// --- spellings that nobody writes and everybody may send ---

const whole = (kind: Kind, id = "io_0", payload = "", sid = ""): Whole => ({
  kind,
  id,
  sid,
  payload: hex(utf8Bytes(payload)),
});

const accepted: [name: string, bytes: string, frames: Whole[]][] = [
  [
    "the create and the data of the document",
    "<::io_0::><::-create_stream-><::0::><::io_0::><::><::1B::>GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    [whole("create"), whole("data", "io_0", "GET / HTTP/1.1\r\nHost: x\r\n\r\n")],
  ],
  [
    "the other signals spelled like that",
    "<::a::><::-io_ack-><::0::><::a::><::-io_eof-><::0::><::a::><::-io_close-><::0::>",
    [whole("ack", "a"), whole("eof", "a"), whole("close", "a")],
  ],
  ["the document's data before Blazeio's", "<::a::><::><::0::><::a::><::<-io_ack->::><::0::>", [
    whole("data", "a"),
    whole("ack", "a"),
  ]],
  ["the inner name between full marks", "<::a::><::-io_eof-::><::0::>", [whole("eof", "a")]],
  ["a length in lower case", "<::a::><::::><::a::>0123456789", [whole("data", "a", "0123456789")]],
  ["a length with zeros", "<::a::><::::><::0000000000000001::>x", [whole("data", "a", "x")]],
  ["an empty id", "<::::><::::><::1::>x", [whole("data", "", "x")]],
  ["an id that looks like marks", "<::<::><::::><::1::>x", [whole("data", "<", "x")]],
  ["an id that ends in colons", "<::::::><::::><::1::>x", [whole("data", "::", "x")]],
  ["an id in UTF-8", "<::\xc3\xbc::><::::><::1::>x", [whole("data", "ü", "x")]],
  ["an id with a byte order mark", "<::\xef\xbb\xbfa::><::::><::1::>x", [
    whole("data", "\ufeffa", "x"),
  ]],
  ["options nobody knows", "<::a::><::xyz::><::1::>x", [whole("data", "a", "x")]],
  ["options that start with a dash", "<::a::><::-x::><::2::>->", [whole("data", "a", "->")]],
  [
    "payload on control frames",
    "<::a::><::<-io_ack->::><::3::>xyz<::a::><::<-io_eof->::><::1::>z",
    [
      whole("ack", "a"),
      whole("eof", "a"),
    ],
  ],
  ["marks in a payload", "<::a::><::::><::9::><::b::><<<::a::><::::><::0::>", [
    whole("data", "a", "<::b::><<"),
    whole("data", "a"),
  ]],
  ["a sid of any bytes", "\0a\x01\0\x01\0\0\xff\x01\x001\x01x", [
    whole("data", "a", "x", "\0\xff"),
  ]],
  ["binary4 without a sid", "\0a\x01\0\x06\x01\0\x01\x001\x01x", [whole("create", "a", "x")]],
  ["a heartbeat", "\0a\x01\0\x04\x01\0\x01\x001\x01\x04", [whole("heartbeat", "a", "\x04")]],
  [
    "binary options nobody knows",
    "\0a\x01\0\x07\x01\0\x01\x000\x01\0a\x01\0xyz\x01\0\x01\x000\x01",
    [
      whole("data", "a"),
      whole("data", "a"),
    ],
  ],
  ["an ack whose sid field is set too", "\0a\x01\0\x05\x01\x005\x01\x001\x010", [
    whole("ack", "a", "", "0"),
  ]],
  ["an ack of nothing", "\0a\x01\0\x05\x01\0\x01\x000\x01", [whole("ack", "a")]],
  ["an eof with a sid and a long payload", "\0a\x01\0\x02\x01\x001\x01\x003\x01abc", [
    whole("eof", "a"),
  ]],
  ["binary3", "\0a\x01\0\x06\x01\x001\x01x\0a\x01\0\x05\x01\x001\x01\x04", [
    whole("create", "a", "x"),
    whole("ack", "a"),
  ]],
  ["a 00 in an id", "\0\0\x01\0\x01\0\x01\x000\x01", [whole("data", "\0")]],
];

for (const [name, bytes, frames] of accepted) {
  test(`BmpDecoder reads ${name}`, () => {
    assertEquals(decoded(text(bytes)), { frames });
    assertEquals(decode(new BmpDecoder(), cut(text(bytes), () => 1)), { frames });
  });
}

const many = (char: string, length: number) => char.repeat(length);
const refused: [name: string, bytes: string, fault: string][] = [
  ["HTTP without frames", "GET / HTTP/1.1", "UNKNOWN_FORM at 0"],
  ["a lonely 01", "\x01", "UNKNOWN_FORM at 0"],
  ["a TLS hello", "\x16\x03\x01", "UNKNOWN_FORM at 0"],
  ["another start of text", "<:x", "BAD_MARK at 2"],
  ["something between id and options", "<::a::>x", "BAD_MARK at 7"],
  ["something between options and length", "<::a::><::::>x", "BAD_MARK at 13"],
  ["document options closed twice", "<::a::><::-io_ack->::><::0::>", "BAD_MARK at 19"],
  ["binary after text", "<::a::><::::><::0::>\0a", "BAD_MARK at 0"],
  ["text after binary", "\0a\x01\0\x01\0\x01\x000\x01<::", "BAD_MARK at 0"],
  ["an empty length", "<::a::><::::><::::>", "BAD_LENGTH at 16"],
  ["a length with a sign", "<::a::><::::><::+1::>", "BAD_LENGTH at 16"],
  ["a length with 0x", "<::a::><::::><::0x1::>", "BAD_LENGTH at 17"],
  ["a length with a space", "<::a::><::::><::1 ::>", "BAD_LENGTH at 17"],
  ["a length of g", "<::a::><::::><::g::>", "BAD_LENGTH at 16"],
  ["a length of @", "<::a::><::::><::@::>", "BAD_LENGTH at 16"],
  ["a length of backticks", "<::a::><::::><::`::>", "BAD_LENGTH at 16"],
  ["eight raw bytes of length", "<::a::><::::><::\0\0\0\0\0\0\0\x05::>", "BAD_LENGTH at 16"],
  ["a payload one too large", "<::a::><::::><::100001::>", "PAYLOAD_TOO_LARGE at 16"],
  ["the largest length there is", `<::a::><::::><::${many("f", 16)}::>`, "PAYLOAD_TOO_LARGE at 16"],
  ["17 digits", `<::a::><::::><::${many("0", 17)}::>`, "LENGTH_TOO_LONG at 32"],
  ["an id of 65 bytes", `<::${many("i", 65)}::><::::><::0::>`, "ID_TOO_LONG at 67"],
  ["options of 33 bytes", `<::a::><::${many("o", 33)}::>`, "OPTIONS_TOO_LONG at 42"],
  ["document options without an end", `<::a::><::-${many("o", 40)}`, "OPTIONS_TOO_LONG at 42"],
  ["an id that is not UTF-8", "<::\xff\xfe::><::::><::0::>", "INVALID_UTF8 at 3"],
  ["an id that is cut UTF-8", "<::\xe2\x82::><::::><::0::>", "INVALID_UTF8 at 3"],
  ["an id with a surrogate", "<::\xed\xa0\x80::><::::><::0::>", "INVALID_UTF8 at 3"],
  ["a gap between binary fields", "\0a\x01\0\x01\0\x01\x02", "BAD_LENGTH at 6"],
  ["a gap after the options", "\0a\x01\0\x01x", "BAD_MARK at 5"],
  ["a binary id of 65 bytes", `\0${many("i", 66)}`, "ID_TOO_LONG at 65"],
  ["binary options of 33 bytes", `\0a\x01\0${many("o", 34)}`, "OPTIONS_TOO_LONG at 36"],
  ["a sid of 33 bytes", `\0a\x01\0\x01\0${many("s", 34)}`, "SID_TOO_LONG at 38"],
  ["17 binary digits", `\0a\x01\0\x01\0\x01\0${many("0", 18)}`, "LENGTH_TOO_LONG at 24"],
  ["no binary digits", "\0a\x01\0\x01\0\x01\0\x01", "BAD_LENGTH at 8"],
  ["a binary length of zz", "\0a\x01\0\x01\0\x01\0zz\x01", "BAD_LENGTH at 8"],
  ["a binary payload too large", "\0a\x01\0\x01\0\x01\x00100001\x01", "PAYLOAD_TOO_LARGE at 8"],
  ["a binary id that is not UTF-8", "\0\xff\x01\0\x01\0\x01\x000\x01", "INVALID_UTF8 at 1"],
  ["an ack of a long sid", "\0a\x01\0\x05\x01\0\x01\x0021\x01", "SID_TOO_LONG at 12"],
];

for (const [name, bytes, fault] of refused) {
  test(`BmpDecoder refuses ${name}`, () => {
    assertEquals(decoded(text(bytes)).fault, fault);
    assertEquals(decode(new BmpDecoder(), cut(text(bytes), () => 1)).fault, fault);
  });
}

test("BmpDecoder accepts every field at its limit", () => {
  const digits = "5".padStart(16, "0");
  for (
    const { form, bytes, sid } of [
      {
        form: "text",
        bytes: `<::${many("i", 64)}::><::${many("o", 32)}::><::${digits}::>hello`,
        sid: "",
      },
      {
        form: "binary4",
        bytes: `\0${many("i", 64)}\x01\0${many("o", 32)}\x01\0${
          many("s", 32)
        }\x01\0${digits}\x01hello`,
        sid: many("s", 32),
      },
    ]
  ) {
    const decoder = new BmpDecoder();
    const { frames, fault } = decode(decoder, cut(text(bytes), () => 1));
    assertEquals(fault, undefined);
    assertEquals(frames, [whole("data", many("i", 64), "hello", sid)]);
    assertEquals(decoder.form, form);
  }
});

test("BmpDecoder takes other limits", () => {
  const bytes = text(`<::${many("i", 5000)}::><::::><::3::>abc`);
  assertEquals(decoded(bytes, { idBytes: 4999 }).fault, "ID_TOO_LONG at 5002");
  assertEquals(
    decoded(bytes, { idBytes: 5000, payloadBytes: 2 }).fault,
    "PAYLOAD_TOO_LARGE at 5015",
  );
  assertEquals(decoded(bytes, { idBytes: 5000, payloadBytes: 3 }).frames.length, 1);
});

// --- behaviour over time ---

const samples: Record<Form, Whole[]> = {
  text: [whole("create", "io_0", "GET /"), whole("ack", "ü"), whole("data", "x"), whole("close")],
  binary3: [whole("create", "io_0", "GET /"), whole("ack", "ü"), whole("data", "x"), whole("eof")],
  binary4: [
    whole("create", "io_0", "GET /", "0"),
    whole("ack", "ü", "", "17"),
    whole("heartbeat", "", "\x04"),
    whole("data", "x", "", "abc"),
    whole("close"),
  ],
};

for (const form of ["text", "binary3", "binary4"] as const) {
  test(`BmpDecoder waits for the rest of ${form}, cut at any byte`, () => {
    const frames = samples[form];
    const parts = frames.map((frame) => bytesOf(form, frame));
    const bytes = concat(...parts);
    let complete = 0;
    let boundary = parts[0]!.length;
    for (let length = 0; length <= bytes.length; length++) {
      if (length === boundary) boundary += parts[++complete]?.length ?? 0;
      const decoder = new BmpDecoder();
      const first = decode(decoder, [bytes.slice(0, length)]);
      assertEquals(first, { frames: frames.slice(0, complete) }, `${length} bytes`);
      const sum = parts.slice(0, complete).reduce((total, part) => total + part.length, 0);
      assertEquals(decoder.idle, sum === length, `${length} bytes`);
      // Payload that went by as a piece is not given again: only heads that were cut are whole now.
      let last = 0;
      for (const piece of decoder.feed(bytes.slice(length))) if (piece.last) last++;
      assertEquals(last, frames.length - complete);
      assert(decoder.idle);
    }
  });
}

test("BmpDecoder hands payload on as it arrives and says when the frame is whole", () => {
  const decoder = new BmpDecoder();
  const bytes = encode("binary4", { kind: "data", id: "a", sid: "0", payload: text("hello") });
  const seen: [string, number, boolean][] = [];
  for (
    const chunk of [bytes.slice(0, 12), bytes.slice(12, 14), bytes.slice(14, 14), bytes.slice(14)]
  ) {
    for (const { bytes, offset, last } of decoder.feed(chunk)) {
      seen.push([latin1(bytes), offset, last]);
    }
  }
  assertEquals(seen, [["h", 0, false], ["el", 1, false], ["lo", 3, true]]);
});

test("BmpDecoder yields what came before a broken frame, then throws", () => {
  const outcome = decoded(text("<::a::><::::><::1::>x<::a::><::::><::2::>yz<::a:>"));
  assertEquals(outcome, { frames: [whole("data", "a", "x"), whole("data", "a", "yz")] });
  const broken = decoded(text("<::a::><::::><::1::>xboom"));
  assertEquals(broken, { frames: [whole("data", "a", "x")], fault: "BAD_MARK at 0" });
});

test("BmpDecoder told the form does not guess", () => {
  const binary3 = text("\0a\x01\0\x05\x01\x001\x01\0");
  assertEquals(decoded(binary3, { form: "binary3" }), { frames: [whole("ack", "a")] });
  assertEquals(decoded(binary3).frames, []);
  assertEquals(decoded(text("\0"), { form: "text" }).fault, "BAD_MARK at 0");
  assertEquals(decoded(text("<"), { form: "binary4" }).fault, "BAD_MARK at 0");
});

test("encode refuses what its form cannot carry", () => {
  const rows: [Form, Kind, string, string][] = [
    ["text", "data", "a::>b", ""],
    ["text", "heartbeat", "a", ""],
    ["text", "data", "\ud800", ""],
    ["binary3", "data", "a\x01", ""],
    ["binary4", "data", "\udc00ü", ""],
    ["binary4", "data", "a", "\x01"],
    ["binary4", "data", "a", "\u0100"],
    ["binary4", "ack", "a", "\u0100"],
  ];
  for (const [form, kind, id, sid] of rows) {
    assertThrows(() => encode(form, { kind, id, sid }), RangeError, "", `${form} ${kind} ${id}`);
  }
});

// --- properties ---

const formOf = fc.constantFrom<Form[]>("text", "binary3", "binary4");

function frameOf(form: Form): fc.Arbitrary<Whole> {
  const kinds: Kind[] = ["create", "data", "ack", "eof", "close"];
  if (form !== "text") kinds.push("heartbeat");
  const mark = form === "text" ? "::>" : "\x01";
  return fc.record({
    kind: fc.constantFrom(...kinds),
    id: fc.oneof(
      fc.nat(99).map((n) => `io_${n}`),
      fc.string({ unit: "binary", maxLength: 16 }),
      fc.string({ unit: fc.constantFrom(":", ">", "<", "\0", "a"), maxLength: 8 }),
    ).filter((id) => !id.includes(mark)),
    sid: fc.oneof(
      fc.nat(9999).map(String),
      fc.uint8Array({ maxLength: 32 }).map((bytes) => latin1(bytes).replaceAll("\x01", "")),
    ),
    payload: fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.uint8Array({ minLength: 200, maxLength: 600 }),
      fc.constantFrom("<::a::><::::><::1::>", "\0a\x01\0\x01\0\x01\x001\x01").map(text),
    ).map(hex),
  }).map(({ kind, id, sid, payload }) => ({
    kind,
    id,
    sid: form !== "binary4" || kind === "eof" || kind === "close" ? "" : sid,
    payload: carriesPayload(kind) ? payload : "",
  }));
}

const streamOf = formOf.chain((form) =>
  fc.record({
    form: fc.constant(form),
    frames: fc.array(frameOf(form), { minLength: 1, maxLength: 6 }),
    salt: fc.nat(),
  })
);

test("BmpDecoder reads what encode writes, in any cuts", () => {
  holds(fc.property(streamOf, ({ form, frames, salt }) => {
    const bytes = concat(...frames.map((frame) => bytesOf(form, frame)));
    const next = dice(salt);
    for (const size of [bytes.length, 1, 0]) {
      const chunks = cut(bytes, () => size || 1 + next(50));
      assertEquals(decode(new BmpDecoder({ form }), chunks), { frames });
    }
  }));
});

const signals = new Map<string, Kind>([
  ...["<-create_stream->", "-create_stream-", "\x06"].map((name) => [name, "create"] as const),
  ...["<-io_ack->", "-io_ack-", "\x05"].map((name) => [name, "ack"] as const),
  ...["<-io_eof->", "-io_eof-", "\x02"].map((name) => [name, "eof"] as const),
  ...["<-io_close->", "-io_close-", "\x03"].map((name) => [name, "close"] as const),
  ["\x04", "heartbeat"],
]);

/** A decoder without limits, errors or memory: searches for marks in one long string. */
function naive(form: Form, input: string): Whole[] {
  const [open, close, groups] = form === "text"
    ? ["<::", "::>", 3]
    : ["\0", "\x01", form === "binary4" ? 4 : 3];
  const frames: Whole[] = [];
  for (let rest = input;;) {
    const fields: string[] = [];
    while (fields.length < groups) {
      const bare = form === "text" && fields.length === 1 && /^<::(-[^:]*?-)?>/.exec(rest);
      const end = rest.indexOf(close, open.length);
      if (!rest.startsWith(open) || (end < 0 && !bare)) return frames;
      fields.push(bare ? bare[1] ?? "" : rest.slice(open.length, end));
      rest = rest.slice(bare ? bare[0].length : end + close.length);
    }
    const [id, options, length] = [fields[0]!, fields[1]!, parseInt(fields.at(-1)!, 16)];
    if (!/^[0-9a-f]+$/i.test(fields.at(-1)!) || rest.length < length) return frames;
    const kind = signals.get(options) ?? "data";
    const payload = rest.slice(0, length);
    rest = rest.slice(length);
    const sid = form !== "binary4" || kind === "eof" || kind === "close"
      ? ""
      : kind === "ack"
      ? payload
      : fields[2]!;
    let name: string;
    try {
      name = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(text(id));
    } catch {
      return frames;
    }
    frames.push({ kind, id: name, sid, payload: carriesPayload(kind) ? hex(text(payload)) : "" });
  }
}

test("BmpDecoder agrees with a naive one, on whole and on damaged streams", () => {
  const damage = fc.array(
    fc.record({ at: fc.nat(), byte: fc.constantFrom(...text("<:>-09aFg\0\x01\x05\xff")) }),
    { maxLength: 3 },
  );
  holds(
    fc.property(streamOf, damage, ({ form, frames, salt }, damages) => {
      const bytes = concat(...frames.map((frame) => bytesOf(form, frame)));
      for (const { at, byte } of damages) bytes[at % bytes.length] = byte;
      const next = dice(salt);
      const limits = {
        idBytes: 5000,
        optionsBytes: 5000,
        sidBytes: 5000,
        lengthDigits: 5000,
        payloadBytes: 1e9,
      };
      const read = (chunks: Iterable<Uint8Array>) =>
        decode(new BmpDecoder({ form, ...limits }), chunks, headerBytes(limits));
      const outcome = read([bytes]);
      assertEquals(outcome.frames, naive(form, latin1(bytes)));
      assertEquals(read(cut(bytes, () => 1 + next(9))), outcome);
    }),
    500,
  );
});

test("BmpDecoder ends garbage in frames, in waiting or in a WireError, however it is cut", () => {
  const token = fc.constantFrom(
    ...["<::", "::>", "<::>", "-io_ack->", "<-io_eof->", "::><::", "\0", "\x01", "\x01\0", "\x06"],
    ...["0", "a", "1F", "00000000", "\xff", "<", ":", ">", "HTTP/1.1", many("x", 70)],
  ).map(text);
  const garbage = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.tuple(fc.constantFrom("<::", "\0").map(text), fc.array(token, { maxLength: 30 }))
      .map(([first, tokens]) => concat(first, ...tokens)),
  );
  holds(
    fc.property(garbage, fc.nat(), (bytes, salt) => {
      const next = dice(salt);
      const outcome = decoded(bytes);
      assertEquals(decode(new BmpDecoder(), cut(bytes, () => 1)), outcome);
      assertEquals(decode(new BmpDecoder(), cut(bytes, () => 1 + next(30))), outcome);
    }),
    1000,
  );
});

test("BmpDecoder never waits for the end of an endless field", () => {
  for (const start of ["<::", "<::a::><::", "<::a::><::-", "<::a::><::::><::", "\0", "\0a\x01\0"]) {
    for (const filler of ["x", ":", "0", "-", ">"]) {
      const bytes = text(start + many(filler, headerBytes(BMP_LIMITS)));
      const { fault } = decode(new BmpDecoder(), cut(bytes, () => 1));
      assert(fault, `${start}${filler}… is waiting`);
    }
  }
});
