import { spawn } from "node:child_process";
import { test } from "node:test";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { root, script } from "../tools/runtimes.ts";
import { withRelay } from "./kit/relay.ts";
import { skipped } from "./kit/skip.ts";

/** Runs the tool on a runtime; answers its status and everything it printed. */
function streamTest(
  runtime: "bun" | "deno",
  args: readonly string[],
): Promise<{ status: number | null; output: string }> {
  const [program, ...first] = script(runtime)!;
  const child = spawn(program!, [...first, "tools/stream-test.ts", ...args], { cwd: root });
  let output = "";
  child.stdout.on("data", (chunk) => output += String(chunk));
  child.stderr.on("data", (chunk) => output += String(chunk));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, output }));
  });
}

const token = "a-token-for-tests-only";

for (const runtime of ["bun", "deno"] as const) {
  const skip = script(runtime)
    ? {}
    : { skip: skipped(`${runtime} is not here; npm install -g ${runtime}`) };

  test(
    `stream-test on ${runtime} ends with 0 after three pongs and CLOSE 1000`,
    skip,
    () =>
      withRelay(async (relay) => {
        const { status, output } = await streamTest(runtime, [
          "--url",
          relay.url,
          "--token",
          token,
        ]);
        assertEquals(status, 0, output);
        assertMatch(output, /<- PONG "ping-0"\s+<- PONG "ping-1"\s+<- PONG "ping-2"/);
        assertStringIncludes(output, "<- CLOSE 1000");
      }, { token }),
  );

  test(
    `stream-test on ${runtime} ends with 1 where it is not let in`,
    skip,
    () =>
      withRelay(async (relay) => {
        const { status, output } = await streamTest(runtime, ["--url", relay.url]);
        assertEquals(status, 1);
        assertStringIncludes(output, "FAILED: lost (4401)");
      }, { token }),
  );
}
