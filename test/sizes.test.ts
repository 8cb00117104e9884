import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { bug, longBug, pairKeys, SEED_SIZES, sizes } from "../tools/demo/bug.ts";

test("a payload of 165 bytes costs what the seed says: 172 plain, 200 sealed", async () => {
  const payload = new Uint8Array(165);
  const keys = await pairKeys();
  const frame = (bytes: Uint8Array) => encodeFrame({ type: FrameType.operation, payload: bytes });
  assertEquals(frame(payload).length, SEED_SIZES.plain);
  assertEquals(frame(await keys.seal(payload)).length, SEED_SIZES.sealed);
  // The seed's third row assumes that zstd halves it: 80 bytes are then 115 on the wire.
  assertEquals(frame(await keys.seal(new Uint8Array(80))).length, SEED_SIZES.compressed);
});

test("a real bug record: 191 bytes, 232 as an operation, 260 sealed", async () => {
  const { record, plain, sealed, compressed, json } = await sizes(bug);
  assertEquals([record, plain, sealed], [191, 232, 260]);
  assert(compressed > 0.85 * sealed, "one small record hardly compresses");
  assert(sealed < json && sealed < SEED_SIZES.grpc && sealed < SEED_SIZES.json);
});

test("a longer bug record compresses, also under its seal", async () => {
  const { sealed, compressed, json } = await sizes(longBug);
  assert(compressed < 0.7 * sealed, `${compressed} of ${sealed}`);
  assert(compressed < 0.6 * json, `${compressed} of ${json}`);
});
