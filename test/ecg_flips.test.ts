import { test } from "node:test";
import { crc32 } from "node:zlib";
import { assert, assertEquals } from "@std/assert";
import { fromHex, WireError } from "../src/wire/bytes.ts";
import { ecgCode, ErrorCode, MessageType, Version } from "../src/wire/ecg/codes.ts";
import { decode, encode } from "../src/wire/ecg/ecg_message.ts";
import { packSamples } from "../src/wire/ecg/samples.ts";
import { Lab } from "./kit/ecg_lab.ts";
import { dice, fc, holds, seed, times } from "./kit/random.ts";
import { recording } from "./kit/recordings.ts";
import { vectors } from "./kit/vectors.ts";

const MESSAGES = 5_000 * times;
const LIMIT = 1_048_576;

const files = ["ecg/messages.json", "ecg/compressed.json"];
const originals = files
  .flatMap((file) => vectors<{ vectors: { wire: string }[] }>(file).vectors)
  .map(({ wire }) => fromHex(wire))
  .filter((bytes) => bytes.length < 3_000);
const whole = recording("mitdb100_20s");
const signal = packSamples(1, 0, whole.leads.map((lead) => lead.slice(0, 90)));
for (const version of [Version.V1, Version.V2, Version.V3]) {
  const timestamp = version === Version.V3 ? 1n : null;
  const payload = { signal, scale: whole.scale };
  originals.push(encode({ version, type: MessageType.ECG_DATA, timestamp, payload }));
}

const TYPES = new Set([1, 2, 3, 4, 0x10, 0x11, 0x12, 0x20, 0x21, 0x22, 0xfd, 0xfe, 0xff]);
const FLAGS = [0, 0x00, 0x01, 0x1f];

/**
 * The code for what a header says, in the order of the checks and by nothing of ours but the text;
 * nothing where header and checksum are right.
 */
function headerCode(bytes: Uint8Array): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = bytes[0]!;
  if (version < 1 || version > 3) return 0x100;
  if (!TYPES.has(bytes[1]!)) return 0x104;
  if (bytes[2]! & ~FLAGS[version]!) return 0x200;
  if (view.getUint32(3) > LIMIT) return 0x102;
  const body = bytes.subarray(version === 3 ? 19 : 11);
  if (bytes.length < (version === 3 ? 19 : 11) || view.getUint32(3) !== body.length) return 0x200;
  return view.getUint32(7) === crc32(body) ? undefined : 0x101;
}

/** The code that reading gives, or nothing for a value. */
function codecCode(bytes: Uint8Array): number | undefined {
  try {
    decode(bytes);
    return undefined;
  } catch (error) {
    assert(error instanceof WireError, String(error));
    return ecgCode(error);
  }
}

const codes: ReadonlySet<number> = new Set(Object.values(ErrorCode));

test("messages with flipped bytes: a value or the right code, and the link goes on", () => {
  const draw = dice();
  const lab = new Lab({ messagesPerSecond: 0, bytesPerSecond: 0, faultsPerSecond: 0 });
  const watcher = lab.watcher(Version.V3, "default");
  const peer = lab.connect();
  const seen = new Map<number, number>();
  for (let i = 0; i < MESSAGES; i++) {
    const original = originals[draw(originals.length)]!;
    const bytes = original.slice();
    for (let left = 1 + draw(4); left > 0; left--) bytes[draw(bytes.length)]! ^= 1 + draw(255);
    // Half of them with a checksum that fits, so that what lies behind it is reached too.
    const head = bytes[0] === 3 ? 19 : 11;
    if (i % 2 && bytes.length > head) {
      new DataView(bytes.buffer).setUint32(7, crc32(bytes.subarray(head)));
    }
    const read = codecCode(bytes);
    const expected = headerCode(bytes) ?? read;
    peer.send(bytes);
    const answer = peer.received.length > 0 ? decode(peer.received[0]!) : undefined;
    const code = answer?.type === MessageType.ERROR
      ? (answer.payload as { code: number }).code
      : undefined;
    // What can be read may still ask for what there is not.
    const right = expected === undefined
      ? code === undefined || codes.has(code)
      : code === expected;
    if (!right || read !== expected || peer.closedWith) {
      throw new Error(`message ${i} of seed ${seed}: ${read}, ${code} instead of ${expected}`);
    }
    seen.set(code ?? 0, (seen.get(code ?? 0) ?? 0) + 1);
    peer.received.length = 0;
    watcher.received.length = 0;
  }
  for (const code of [0, 0x100, 0x101, 0x102, 0x103, 0x104, 0x200, 0x201]) {
    assert(seen.has(code), `no message with code ${code} under seed ${seed}`);
  }
  peer.say(Version.V1, MessageType.PING, null);
  assertEquals(peer.next().type, MessageType.PONG);
});

test("a session answers any bytes with a code, closes for text only, and never throws", () => {
  holds(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 5 }), (messages) => {
      const lab = new Lab();
      const peer = lab.connect();
      for (const bytes of messages) peer.send(Uint8Array.from(bytes));
      for (const bytes of peer.received) {
        assert(codes.has((decode(bytes).payload as { code: number }).code));
      }
      assertEquals(peer.closedWith, undefined);
    }),
    300,
  );
});
