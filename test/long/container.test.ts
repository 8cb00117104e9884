import { spawn, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { bunCommand, denoCommand, here, root } from "../../tools/runtimes.ts";

/** The steps of one stage of the Dockerfile: instruction and arguments, continued lines joined. */
function stage(name: string): [instruction: string, rest: string][] {
  const file = readFileSync(`${root}deploy/Dockerfile`, "utf8").replace(/\\\n\s*/g, "");
  const [, steps] = file.split(new RegExp(`^FROM .* AS ${name}$`, "m"));
  return steps!.split(/^FROM /m)[0]!.split("\n")
    .filter((line) => /^[A-Z]+ /.test(line))
    .map((line) => [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)]);
}

/** The runtimes of this machine first, as in the image. */
function environment(folder: string): Record<string, string> {
  const runtimes = [bunCommand(), denoCommand()].flatMap((command) =>
    command && command[0]!.includes("/") ? [dirname(command[0]!)] : []
  );
  return {
    ...process.env as Record<string, string>,
    PATH: [...runtimes, process.env.PATH].join(delimiter),
    // An empty cache, as in the image: what the lock file does not bring is not there.
    DENO_DIR: join(folder, ".deno"),
    BUN_INSTALL_CACHE_DIR: join(folder, ".bun"),
    HOST: "127.0.0.1",
    PORT: "0",
  };
}

test(`the ${here} image: what the Dockerfile copies installs from its lock file alone, and serves`, async () => {
  const folder = mkdtempSync(join(tmpdir(), "blaze-relay-image-"));
  const app = join(folder, "app");
  mkdirSync(app);
  const env = environment(folder);
  let start: string[] = [];
  try {
    for (const [instruction, rest] of stage(here)) {
      if (instruction === "COPY") {
        const names = rest.split(" ");
        const to = names.pop()!;
        for (const name of names) {
          const target = to.endsWith("/") ? join(app, to, name.split("/").at(-1)!) : join(app, to);
          cpSync(join(root, name), target, { recursive: true });
        }
      } else if (instruction === "RUN") {
        const { status, stderr } = spawnSync("sh", ["-c", rest], {
          cwd: app,
          env,
          encoding: "utf8",
        });
        assertEquals(status, 0, stderr);
      } else if (instruction === "CMD") {
        start = JSON.parse(rest.replaceAll("/app", app)) as string[];
      }
    }
    const child = spawn(start[0]!, start.slice(1), { cwd: app, env });
    try {
      let output = "";
      const url = await new Promise<string>((resolve, reject) => {
        const read = (chunk: unknown) => {
          output += String(chunk);
          const found = output.match(/what is here +(http\S+?)\/?\s/)?.[1];
          if (found) resolve(found);
        };
        child.stdout.on("data", read);
        child.stderr.on("data", read);
        child.on("exit", (code) => reject(new Error(`ended with ${code}:\n${output}`)));
      });
      assertEquals(await (await fetch(`${url}/health`)).json(), { status: "ok" });
      assertEquals((await fetch(`${url}/viewer`)).status, 200);
      const { logs } = await (await fetch(`${url}/ready`)).json();
      assertEquals(logs, "disk", output);
    } finally {
      child.kill();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
