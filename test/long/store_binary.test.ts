import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { bunCommand, root } from "../../tools/runtimes.ts";
import { withRelayProcess } from "../kit/relay.ts";
import { skipped } from "../kit/skip.ts";
import { withStorePath } from "../kit/store_file.ts";
import { appendTo } from "../kit/stored.ts";

const skip = bunCommand() ? false : skipped("a binary is built by Bun");

test(
  "the binary has its worker in it: it starts anywhere, stores, and opens again",
  { skip },
  () =>
    withStorePath(async (path) => {
      const folder = dirname(path);
      const binary = join(folder, "blaze-relay");
      const built = spawnSync("deploy/pi/build", [`bun-linux-${process.arch}`, binary], {
        cwd: root,
        encoding: "utf8",
      });
      assertEquals(built.status, 0, built.stderr);
      const start = { cwd: folder, command: [binary] };
      const env = { STORE: "", STATE_DIRECTORY: join(folder, "state") };
      let ring: string | undefined;
      for (const entries of [["#1", "#2", "#3"], ["#1", "#2", "#3", "#4", "#5", "#6"]]) {
        await withRelayProcess(
          "bun",
          async ({ url, child }) => {
            const { logs } = await (await fetch(`${url}/ready`)).json();
            assertEquals(logs, "disk");
            const stored = await appendTo({ url }, 3);
            assertEquals(stored.entries, entries);
            ring ??= stored.ring;
            assertEquals(stored.ring, ring);
            const gone = once(child, "exit");
            process.kill(child.pid!, "SIGKILL");
            await gone;
          },
          [],
          env,
          start,
        );
      }
    }),
);
