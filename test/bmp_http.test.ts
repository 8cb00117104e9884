import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { WireError } from "../src/wire/bytes.ts";
import {
  MAX_HEAD,
  requestHead,
  type ResponseHead,
  ResponseParser,
} from "../src/client/bmp/http_parser.ts";
import { bytes, text } from "./kit/mux.ts";
import { fc, holds } from "./kit/random.ts";

interface Outcome {
  head?: ResponseHead;
  body: string;
  rest?: string;
  fault?: string;
}

function parse(chunks: readonly string[], method = "GET", ended = true): Outcome {
  const parser = new ResponseParser(method);
  const outcome: Outcome = { body: "" };
  try {
    for (const chunk of chunks) {
      for (const event of parser.push(bytes(chunk))) {
        if (event.type === "head") outcome.head = event.head;
        else if (event.type === "body") outcome.body += text(event.bytes);
        else outcome.rest = text(event.rest);
      }
    }
    if (ended && !parser.done) parser.end();
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    outcome.fault = error.code;
  }
  return outcome;
}

const OK = "HTTP/1.1 200 OK\r\n";

/** name, bytes, method, status, body, keep, rest */
const good = [
  ["a length", `${OK}Content-Length: 5\r\n\r\nhello`, "GET", 200, "hello", true, ""],
  ["no body by length", `${OK}content-length:0\r\n\r\n`, "GET", 200, "", true, ""],
  [
    "the same length twice",
    `${OK}content-length: 2, 2\r\nContent-Length: 2\r\n\r\nhi`,
    "GET",
    200,
    "hi",
    true,
    "",
  ],
  [
    "chunks",
    `${OK}transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n`,
    "GET",
    200,
    "hello",
    true,
    "",
  ],
  [
    "upper-case chunk sizes",
    `${OK}Transfer-Encoding: Chunked\r\n\r\n0A \r\n0123456789\r\n00\r\n\r\n`,
    "GET",
    200,
    "0123456789",
    true,
    "",
  ],
  [
    "trailers",
    `${OK}transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nETag: 1\r\nX: 2\r\n\r\n`,
    "GET",
    200,
    "x",
    true,
    "",
  ],
  [
    "an end that comes twice",
    `${OK}transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n0\r\n\r\n`,
    "GET",
    200,
    "x",
    true,
    "0\r\n\r\n",
  ],
  ["the end of the stream", `${OK}Server: x\r\n\r\nhello`, "GET", 200, "hello", false, undefined],
  [
    "connection: close",
    `${OK}content-length: 1\r\nConnection: Close\r\n\r\nx`,
    "GET",
    200,
    "x",
    false,
    "",
  ],
  ["HTTP/1.0", "HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx", "GET", 200, "x", false, ""],
  ["HEAD", `${OK}content-length: 5\r\n\r\n`, "HEAD", 200, "", true, ""],
  ["204", "HTTP/1.1 204 No Content\r\n\r\n", "GET", 204, "", true, ""],
  [
    "304 with a length",
    "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
    "GET",
    304,
    "",
    true,
    "",
  ],
  [
    "100 before it",
    `HTTP/1.1 100 Continue\r\n\r\n${OK}content-length: 2\r\n\r\nhi`,
    "GET",
    200,
    "hi",
    true,
    "",
  ],
  ["no reason phrase", "HTTP/1.1 404\r\ncontent-length: 0\r\n\r\n", "GET", 404, "", true, ""],
  [
    "101 and what follows",
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n\x81\x00",
    "GET",
    101,
    "",
    true,
    "\x81\x00",
  ],
] as const;

for (const [name, input, method, status, body, keep, rest] of good) {
  test(`ResponseParser reads ${name}, cut anywhere`, () => {
    for (let at = 0; at <= input.length; at++) {
      const outcome = parse([input.slice(0, at), input.slice(at)], method);
      assertEquals(outcome.fault, undefined, `cut at ${at}`);
      assertEquals([outcome.head!.status, outcome.body, outcome.head!.keep], [status, body, keep]);
    }
    assertEquals(parse([input], method).rest, rest);
    assertEquals(parse([...input], method).body, body);
  });
}

const refused = [
  ["no status line", "HELLO\r\n\r\n", "BAD_STATUS_LINE"],
  ["another protocol", "HTTP/2 200 OK\r\n\r\n", "BAD_STATUS_LINE"],
  ["a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", "BAD_STATUS_LINE"],
  ["a status below 100", "HTTP/1.1 099 OK\r\n\r\n", "BAD_STATUS_LINE"],
  ["a header without a colon", `${OK}oops\r\n\r\n`, "BAD_HEADER"],
  ["a space before the colon", `${OK}a : b\r\n\r\n`, "BAD_HEADER"],
  ["a folded line", `${OK}a: b\r\n c\r\n\r\n`, "BAD_HEADER"],
  ["a lone LF", `${OK}a: b\nc: d\r\n\r\n`, "BAD_HEADER"],
  ["a NUL in a value", `${OK}a: \0\r\n\r\n`, "BAD_HEADER"],
  ["an empty name", `${OK}: b\r\n\r\n`, "BAD_HEADER"],
  ["a length that is no number", `${OK}content-length: 5x\r\n\r\n`, "BAD_LENGTH"],
  ["a negative length", `${OK}content-length: -1\r\n\r\n`, "BAD_LENGTH"],
  ["two lengths", `${OK}content-length: 1\r\ncontent-length: 2\r\n\r\n`, "BAD_LENGTH"],
  ["another coding", `${OK}transfer-encoding: gzip, chunked\r\n\r\n`, "BAD_CODING"],
  [
    "chunked twice",
    `${OK}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n`,
    "BAD_CODING",
  ],
  ["a chunk without a size", `${OK}transfer-encoding: chunked\r\n\r\nx\r\n`, "BAD_CHUNK"],
  ["an empty size", `${OK}transfer-encoding: chunked\r\n\r\n\r\n`, "BAD_CHUNK"],
  ["a negative size", `${OK}transfer-encoding: chunked\r\n\r\n-1\r\n`, "BAD_CHUNK"],
  ["a huge size", `${OK}transfer-encoding: chunked\r\n\r\n1000000000000\r\n`, "BAD_CHUNK"],
  ["a chunk that is too long", `${OK}transfer-encoding: chunked\r\n\r\n1\r\nxx\r\n`, "BAD_CHUNK"],
  [
    "a size that never ends",
    `${OK}transfer-encoding: chunked\r\n\r\n${"0".repeat(1_100)}`,
    "BAD_CHUNK",
  ],
  ["a head that never ends", OK + "a: b\r\n".repeat(MAX_HEAD / 6 + 10), "HEAD_TOO_LONG"],
  ["a head that is too long", `${OK}a: ${"b".repeat(MAX_HEAD)}\r\n\r\n`, "HEAD_TOO_LONG"],
  ["an end in the head", OK, "TRUNCATED"],
  ["an end in the body", `${OK}content-length: 5\r\n\r\nhell`, "TRUNCATED"],
  ["an end in a chunk", `${OK}transfer-encoding: chunked\r\n\r\n5\r\nhell`, "TRUNCATED"],
  [
    "an end before the last chunk",
    `${OK}transfer-encoding: chunked\r\n\r\n1\r\nx\r\n`,
    "TRUNCATED",
  ],
  ["nothing", "", "TRUNCATED"],
] as const;

for (const [name, input, code] of refused) {
  test(`ResponseParser refuses ${name}`, () => {
    assertEquals(parse([input]).fault, code);
    if (input.length < 500) assertEquals(parse([...input]).fault, code);
  });
}

test("ResponseParser does not care how an answer is cut", () => {
  const rows: [string, string][] = [
    ...good.map(([, input, method]): [string, string] => [input, method]),
    ...refused.filter(([, input]) => input.length < 500)
      .map(([, input]): [string, string] => [input, "GET"]),
  ];
  holds(fc.property(
    fc.constantFrom(...rows),
    fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1 }),
    ([input, method], sizes) => {
      const chunks: string[] = [];
      for (let at = 0, i = 0; at < input.length; i++) {
        chunks.push(input.slice(at, at += sizes[i % sizes.length]!));
      }
      const whole = parse([input], method);
      const cut = parse(chunks, method);
      assertEquals([cut.fault, cut.head, cut.body], [whole.fault, whole.head, whole.body]);
    },
  ));
});

test("ResponseParser throws nothing but its errors for any bytes", () => {
  holds(fc.property(fc.uint8Array({ maxLength: 200 }), (tail) => {
    const outcome = parse([`${OK}transfer-encoding: chunked\r\n\r\n`, text(tail)]);
    assert(outcome.head?.status === 200);
  }));
});

test("requestHead writes a head and refuses what would break it", () => {
  assertEquals(
    requestHead("GET", "/a?b", [["host", "x"], ["a", "b c"]]),
    "GET /a?b HTTP/1.1\r\nhost: x\r\na: b c\r\n\r\n",
  );
  for (
    const [method, target, name, value] of [
      ["GE T", "/", "a", "b"],
      ["GET", "/ HTTP/1.1\r\nx: y", "a", "b"],
      ["GET", "/\u{fc}", "a", "b"],
      ["GET", "/", "a\r\nb", "c"],
      ["GET", "/", "a", "b\r\nc: d"],
      ["GET", "/", "a", "\u{1f525}"],
    ] as const
  ) assertThrows(() => requestHead(method, target, [[name, value]]), RangeError);
});
