/**
 * A client of the stream that was written from its text alone, in Python.
 *
 * @module
 */
import type { Limits } from "../../src/limits.ts";
import { runPythonFile } from "./python.ts";
import { seed } from "./random.ts";
import { withRelay } from "./relay.ts";

const token = "a-token-for-tests-only";

/** Tries what is named, or everything that is quick: `"ok"`, or what was wrong, for each. */
export async function streamPeer(
  names: readonly string[] = [],
  limits: Partial<Limits> = {},
): Promise<Record<string, string>> {
  let results: Record<string, string> = {};
  await withRelay((relay) =>
    withRelay(async (other) => {
      const args = [relay.url, token, other.url, `${seed}`, ...names];
      results = await runPythonFile("test/peers/stream_client.py", ...args);
    }, { token }), { token, limits });
  return results;
}
