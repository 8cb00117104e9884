import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { here, root, script } from "../tools/runtimes.ts";
import { withRelay, withRelayProcess } from "./kit/relay.ts";

const [program, ...first] = script(here)!;

/** Starts the relay with settings that it cannot start with. */
function refused(...args: string[]): string {
  const start = [...first, "main.ts", "--store", "memory", ...args];
  const { status, stdout, stderr } = spawnSync(program!, start, {
    cwd: root,
    encoding: "utf8",
    timeout: 30_000,
  });
  assertEquals([status, stdout], [2, ""], stderr);
  const lines = stderr.trim().split("\n");
  assertEquals(lines.length, 1, stderr);
  return lines[0]!;
}

test("a relay that cannot listen says in one line what to change", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const port = String((taken.address() as { port: number }).port);
  try {
    assertMatch(refused("--port", port), new RegExp(`^port ${port} is taken: .*choose another`));
    assertMatch(refused("--port", "0", "--bmp-port", port), new RegExp(`^port ${port} is taken`));
  } finally {
    taken.close();
  }
  assertMatch(
    refused("--port", "0", "--host", "203.0.113.9"),
    /^203.0.113.9 is no address of this/,
  );
  assertMatch(
    refused("--port", "0", "--host", "no.such.invalid"),
    /^no.such.invalid is no address/,
  );
  const pem = (path: string) =>
    refused("--port", "0", "--bmp-port", "0", "--bmp-tls-cert", path, "--bmp-tls-key", path);
  assertMatch(pem("/nowhere.pem"), /^the PEM file \/nowhere.pem cannot be read: .*ENOENT/);
  assertMatch(pem("deno.json"), /^deno.json and deno.json are no PEM certificate and its key/);
});

test("what was typed is shown without its controls", () => {
  assertEquals(
    refused("--po\x1b[31mrt", "1"),
    "--po\\u{1b}[31mrt: no such flag; --help lists them",
  );
  assertMatch(refused("--port", "\x1b]0;x\x07"), /^--port "\\u\{1b\}\]0;x\\u\{7\}": want a number/);
  assertMatch(
    refused("--port", "0", "--host", "no\u202ex.invalid"),
    /^no\\u\{202e\}x.invalid is no/,
  );
});

test("the entry point of Deno Deploy says in one line that it needs a token", () => {
  const { status, stderr } = spawnSync(program!, [...first, "deploy/deno_deploy.ts"], {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, TOKEN: "" },
    timeout: 30_000,
  });
  assertEquals([status, stderr.trim().split("\n").length], [2, 1], stderr);
  assertMatch(stderr, /^Set the environment variable TOKEN: /);
});

test("the words of the start are the same at every level of the log", () =>
  withRelayProcess(here, (relay) => {
    const [first] = relay.output().split("\n");
    assertMatch(first!, /^Blaze Relay on (bun|deno) .* listens at http:\/\/127\.0\.0\.1:\d+$/);
    assertMatch(relay.output(), /BMP at 127\.0\.0\.1:\d+, without TLS\n/);
    return Promise.resolve();
  }, ["--log-level", "error", "--bmp-port", "0"]));

test("--help leaves a gap between its columns", () => {
  for (const file of ["main.ts", "tools/play.ts"]) {
    const { stdout } = spawnSync(program!, [...first, file, "--help"], {
      cwd: root,
      encoding: "utf8",
    });
    const rows = stdout.split("\n").filter((row) => /^ {2}--/.test(row));
    assert(rows.length > 5, stdout);
    for (const row of rows) assertMatch(row, /^ {2}--[a-z-]+ {2}/, row);
    for (const row of rows) assertMatch(row, /^ {2}--[a-z-]+ +([A-Z_]+ {2,})?[A-Za-z0-9]/, row);
  }
});

// Not `child.kill`: on Deno its exit code is then unknown.
/** `play` towards `url`, told to end as soon as `until` has come. */
async function interrupt(url: string, until: (output: string) => boolean) {
  const child = spawn(program!, [...first, "tools/play.ts", "--url", url], { cwd: root });
  let output = "";
  const ready = new Promise<void>((resolve) => {
    const look = (chunk: unknown) => {
      output += String(chunk);
      if (until(output)) resolve();
    };
    child.stdout.on("data", look);
    child.stderr.on("data", look);
  });
  await ready;
  process.kill(child.pid!, "SIGINT");
  const [code] = await once(child, "exit");
  return { code, output };
}

test("play ends at Ctrl-C while it plays, and while the relay is away or says nothing", async () => {
  await withRelay(async ({ url }) => {
    const { code } = await interrupt(url, (output) => output.includes("into"));
    assertEquals(code, 0);
  });
  const { code, output } = await interrupt(
    "ws://127.0.0.1:9",
    (output) => output.includes("offline"),
  );
  assertEquals(code, 0, output);
  assertStringIncludes(output, "offline");

  // Somebody who takes connections and answers nothing.
  const sockets: Socket[] = [];
  const silent = createServer((socket) => void sockets.push(socket)).listen(0, "127.0.0.1");
  await once(silent, "listening");
  const { port } = silent.address() as { port: number };
  const connected = once(silent, "connection");
  const child = spawn(program!, [...first, "tools/play.ts", "--url", `ws://127.0.0.1:${port}`], {
    cwd: root,
    stdio: "ignore",
  });
  await connected;
  process.kill(child.pid!, "SIGINT");
  assertEquals((await once(child, "exit"))[0], 0);
  for (const socket of sockets) socket.destroy();
  silent.close();
});

test("the banner says how a browser brings the token, and prints none that was set", () => {
  const token = "0123456789abcdef-token";
  return withRelayProcess(here, async ({ output }) => {
    while (!/^ {2}token .*\n/m.test(output())) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assertMatch(
      output(),
      /^ {2}token +as set in TOKEN; pages ask for it, or take it as #token=…$/m,
    );
    assert(!output().includes(token), output());
  }, ["--token", token]);
});
