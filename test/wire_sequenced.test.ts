import { test } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { decodeFrame, encodeFrame, FrameType, headerSize } from "../src/wire/blaze/blaze_frame.ts";
import { decodeExtension, encodeExtension } from "../src/wire/blaze/extension.ts";
import {
  sequencedFrame,
  sequencedMessage,
  sequenceOf,
  setSequence,
} from "../src/wire/blaze/sequenced.ts";
import { type Bytes, concat, fromHex, WireError } from "../src/wire/bytes.ts";
import { fc, holds } from "./kit/random.ts";

const SEQUENCES = [0n, 1n, 255n, 256n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n + 1n, 2n ** 64n - 1n];
const SIZES = [0, 1, 200, 985, 986, 2_000, 65_514, 65_521, 65_522, 70_000];

const operation = (bytes: number): Bytes =>
  encodeFrame({ type: FrameType.operation, payload: new Uint8Array(bytes).fill(bytes) });
const around = (sequence: bigint, frame: Bytes, short = true): Bytes => {
  const payload = encodeExtension({ subtype: "sequenced", sequence, frame });
  return encodeFrame({ type: FrameType.extension, payload }, { short });
};

test("a message around a frame is the one that the codec writes", () => {
  for (const sequence of SEQUENCES) {
    for (const size of SIZES) {
      const frame = operation(size);
      assertEquals(sequencedMessage(sequence, frame), around(sequence, frame), `${size}`);
    }
  }
});

test("frame and number are those that the codec reads, after either header", () => {
  for (const sequence of SEQUENCES) {
    for (const size of SIZES) {
      for (const short of [true, false]) {
        const frame = operation(size);
        const message = around(sequence, frame, short);
        const read = sequencedFrame(message, headerSize(message));
        assertEquals(read, frame);
        assertEquals(sequenceOf(message, read.length), sequence);
      }
    }
  }
});

test("another number changes the number, and flags that mean nothing", () => {
  for (const sequence of SEQUENCES) {
    const frame = operation(300);
    const message = around(7n, frame, false);
    message[2] = 0xcf;
    setSequence(message, frame.length, sequence);
    assertEquals(message, around(sequence, frame, false));
  }
});

test("a frame to keep takes no larger thing along, and stays when the number is written", () => {
  const frame = operation(5_000);
  const message = around(1n, frame);
  const part = concat(new Uint8Array(9_000), message).subarray(9_000);
  for (const one of [message, part]) {
    const kept = sequencedFrame(one, 5);
    setSequence(one, kept.length, 2n ** 64n - 1n);
    assertEquals(kept, frame);
    assertEquals(kept.buffer.byteLength < 6_000, true);
  }
});

test("what the codec refuses is refused with the same code", () => {
  const codeOf = (run: () => unknown) => assertThrows(run, WireError).code;
  const whole = around(1n, operation(20));
  const payloads = [
    // All that is shorter than a number and one byte of a frame.
    ...Array.from({ length: 9 }, (_, i) => whole.slice(5, 6 + i)),
    // A batch, and an entry in an entry.
    fromHex(`05${"00".repeat(8)}bf010f000104`),
    fromHex(`05${"00".repeat(8)}bf010f000105`),
  ];
  for (const payload of payloads) {
    for (const short of [true, false]) {
      const message = encodeFrame({ type: FrameType.extension, payload }, { short });
      assertEquals(
        codeOf(() => sequencedFrame(message, headerSize(message))),
        codeOf(() => decodeExtension(payload)),
      );
    }
  }
});

test("whatever is in it, both read the same or refuse the same", () => {
  holds(fc.property(fc.uint8Array({ maxLength: 40 }), fc.boolean(), (bytes, short) => {
    const payload = concat(Uint8Array.of(5), bytes);
    const message = encodeFrame({ type: FrameType.extension, payload }, { short });
    const attempt = <T>(run: () => T): T | string => {
      try {
        return run();
      } catch (error) {
        return (error as WireError).code;
      }
    };
    const one = attempt(() => {
      const frame = sequencedFrame(message, headerSize(message));
      return { subtype: "sequenced", sequence: sequenceOf(message, frame.length), frame };
    });
    assertEquals(one, attempt(() => decodeExtension(decodeFrame(message).payload)));
  }));
});
