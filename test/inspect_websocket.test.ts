import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { fromHex, utf8Bytes } from "../src/wire/bytes.ts";
import { uint32, websocket } from "../tools/inspect/dissect_websocket.ts";
import { fc, holds } from "./kit/random.ts";
import { vectors } from "./kit/vectors.ts";

interface FrameVector {
  readonly name: string;
  readonly frame?: string;
}

const rows = (hex: string): string[] =>
  websocket.dissect(fromHex(hex)).map(({ offset, length, name, value }) =>
    `${offset}+${length} ${name}: ${value}`
  );

test("websocket names the bytes of RFC 6455's own examples", () => {
  assertEquals(rows("818537fa213d7f9f4d5158"), [
    "0+1 opcode: text, FIN 1",
    "1+1 length: 5, masked, from a client",
    "2+4 masking key: 37fa213d",
    '6+5 payload: "Hello"',
  ]);
  assertEquals(rows("010348656c80026c6f"), [
    "0+1 opcode: text, FIN 0",
    "1+1 length: 3, not masked, from a server",
    '2+3 payload: "Hel"',
    "5+1 opcode: continuation, FIN 1",
    "6+1 length: 2, not masked, from a server",
    '7+2 payload: "lo"',
  ]);
  assertEquals(rows("880403e86f6b").at(-1), '2+4 payload: code 1000, "ok"');
});

test("websocket says why bytes are no frame, or where one is cut off", () => {
  for (
    const [hex, last] of [
      ["c100", "0+2 fault: reserved bits 100 are set"],
      ["8300", "0+2 fault: no opcode 3"],
      ["82", "1+0 cut off: the length is missing"],
      ["827e01", "2+1 cut off: 2 bytes of length"],
      ["82850102", "2+2 cut off: the masking key"],
      ["820301", "2+1 cut off: 1 of 3 payload bytes"],
      ["897e00800000", "0+6 fault: a control frame of more than 125 bytes"],
    ] as const
  ) {
    assertEquals(rows(hex).at(-1), last);
    assert(!websocket.detect(fromHex(hex)), hex);
  }
});

test("websocket covers every byte exactly once, whatever they are", () => {
  holds(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      const found = websocket.dissect(bytes);
      const fault = found.at(-1)?.name === "fault" ? found.pop()!.offset : bytes.length;
      let at = 0;
      for (const { offset, length } of found) {
        assertEquals(offset, at);
        at += length;
      }
      assert(at >= fault || fault === bytes.length && at === bytes.length);
    }),
    2000,
  );
});

test("websocket recognizes every frame of the vectors", () => {
  const { frames } = vectors<{ frames: FrameVector[] }>("rfc6455/frames.json");
  const whole = frames.filter(({ frame }) => frame !== undefined);
  assert(whole.length > 10);
  for (const { name, frame } of whole) assert(websocket.detect(fromHex(frame!)), name);
});

test("uint32 names words, and the frame in them", () => {
  const found = uint32.dissect(utf8Bytes('{"length":4,"data":[1768424073]}'));
  assertEquals(
    found.map(({ offset, length, name, value }) => `${offset}+${length} ${name}: ${value}`),
    [
      "0+4 word 0: 1768424073 holds 89026869",
      "0+1 opcode: ping, FIN 1",
      "1+1 length: 2, not masked, from a server",
      '2+2 payload: "hi"',
    ],
  );
  assertEquals(uint32.dissect(utf8Bytes('{"length":9,"data":[1]}'))[0]!.value, "LENGTH_MISMATCH");
  assertEquals(uint32.dissect(utf8Bytes("nonsense"))[0]!.name, "fault");
  assert(!uint32.detect(utf8Bytes("{}")) && !uint32.detect(fromHex("8100")));
});
