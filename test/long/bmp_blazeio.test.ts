/**
 * The real Blazeio client with thousands of streams at once: it spins for ever over a header that
 * comes in two reads, which happens where it is sent more than it reads at once.
 */
import { createHash } from "node:crypto";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { blazeioClient, withoutBlazeio } from "../kit/blazeio.ts";
import { BODY, withBmp } from "../kit/bmp.ts";

const ROUNDS = 5;
const sha256 = (bytes: Uint8Array | string) => createHash("sha256").update(bytes).digest("hex");

for (
  const [streams, path, body] of [[5_000, "/hello", "hello"], [512, "/big", BODY]] as const
) {
  test(`the real client makes ${streams} requests for ${path} at once`, {
    skip: withoutBlazeio,
  }, () =>
    withBmp(
      async ({ port }) => {
        const answer = { status: 200, length: body.length, sha256: sha256(body) };
        for (let round = 0; round < ROUNDS; round++) {
          assertEquals(await blazeioClient(port, ["many", String(streams), path], 120_000), [
            [answer, streams],
          ]);
        }
      },
      undefined,
      { httpStreams: 16_384 },
    ));
}
