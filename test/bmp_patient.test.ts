/**
 * Every kind of answer, to a client that reads nothing before its whole request is written: the real
 * Blazeio does so, and hangs for ever where a server waits for it.
 */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { Form } from "../src/wire/bmp/bmp_frame.ts";
import type { Handler } from "../src/runtime/runtime.ts";
import { answers, BODY, withBmp } from "./kit/bmp.ts";
import { patiently } from "./kit/patient_peer.ts";
import { text } from "./kit/mux.ts";

const BIG = text(BODY);
const SENT = BIG.slice(0, 50_000);

const slowly = () =>
  new ReadableStream<Uint8Array>({
    async start(controller) {
      for (let at = 0; at < 30_000; at += 10_000) {
        controller.enqueue(BODY.slice(at, at + 10_000));
        await new Promise((resolve) => setImmediate(resolve));
      }
      controller.close();
    },
  });

const handler: Handler = async (request, peer) => {
  switch (new URL(request.url).pathname) {
    case "/status":
      return new Response(null, { status: Number(new URL(request.url).search.slice(1)) });
    case "/empty":
      return new Response("");
    case "/pipe":
      return new Response(request.body);
    case "/slowly":
      return new Response(slowly());
    case "/part":
      await request.body!.getReader().read();
      return new Response("a part");
    case "/cancel":
      await request.body!.cancel();
      return new Response("no, thanks");
    case "/throw":
      throw new Error("a handler that fails, as this test wants");
    default:
      return answers(request, peer);
  }
};

const chunked = (body: string): string => {
  let out = "";
  for (let at = 0; at < body.length; at += 7_000) {
    const piece = body.slice(at, at + 7_000);
    out += `${piece.length.toString(16)}\r\n${piece}\r\n`;
  }
  return `${out}0\r\n\r\n`;
};
const head = (line: string, ...more: string[]) =>
  [`${line} HTTP/1.1`, "host: x", ...more, "", ""].join("\r\n");
const post = (path: string, ...more: string[]) =>
  head(`POST ${path}`, `content-length: ${SENT.length}`, ...more) + SENT;
const pieces = (path: string) => head(`POST ${path}`, "transfer-encoding: chunked") + chunked(SENT);

/** name, request, status, body */
const rows: [string, string, number, string][] = [
  ["an answer before the body is read", post("/nothing"), 404, "nothing here"],
  ["the same to a chunked body", pieces("/nothing"), 404, "nothing here"],
  ["a long answer before the body is read", post("/big"), 200, BIG],
  ["a slow answer before the body is read", post("/slowly"), 200, BIG.slice(0, 30_000)],
  ["an answer without a body before the body is read", post("/status?204"), 204, ""],
  ["an answer when a part of the body is read", post("/part"), 200, "a part"],
  ["an answer when the body is refused", post("/cancel"), 200, "no, thanks"],
  ["an answer when the handler fails", post("/throw"), 500, "Internal Server Error\n"],
  ["an answer made of the body", post("/pipe"), 200, SENT],
  ["the same to a chunked body", pieces("/pipe"), 200, SENT],
  ["an answer behind the body", post("/echo"), 200, SENT],
  ["an early answer, the last one", post("/nothing", "connection: close"), 404, "nothing here"],
  ["an early answer, expected", post("/nothing", "expect: 100-continue"), 404, "nothing here"],
  [
    "what is broken in the middle",
    head("POST /echo", "transfer-encoding: chunked") + chunked(SENT).slice(0, -5) + "zz\r\n",
    400,
    "This is not HTTP/1.1.\n",
  ],
  ["HEAD", head("HEAD /big"), 200, ""],
  ["204", head("GET /status?204"), 204, ""],
  ["304", head("GET /status?304"), 304, ""],
  ["no bytes", head("GET /empty"), 200, ""],
  ["an answer without a length", head("GET /slowly"), 200, BIG.slice(0, 30_000)],
  ["GET", head("GET /hello"), 200, "hello"],
  ["GET, the last one", head("GET /hello", "connection: close"), 200, "hello"],
  [
    "a refused upgrade",
    head("GET /status?403", "connection: upgrade", "upgrade: websocket"),
    403,
    "",
  ],
];

for (const form of ["text", "binary3", "binary4"] as Form[]) {
  test(`a client that reads after it has written gets every kind of answer (${form})`, () =>
    withBmp(async ({ port, bmp }) => {
      for (const [name, request, status, body] of rows) {
        const answer = await patiently(port, form, request);
        assertEquals([answer.status, answer.body.length], [status, body.length], name);
        assert(answer.body === body, name);
        // The request is acked before anything is said, and the end is the last that is said.
        assertEquals(answer.kinds[0], "ack", name);
        assertEquals(answer.kinds.slice(-2), ["eof", "close"], name);
      }
      assertEquals(bmp.streams, 0);
    }, handler));
}
