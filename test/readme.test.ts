import { spawn, spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { Close, Refused } from "../src/close.ts";
import { here, root, script } from "../tools/runtimes.ts";
import { withRelay } from "./kit/relay.ts";

const readme = readFileSync(`${root}README.md`, "utf8");
const codeIn = (page: string) => [...page.matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code!);
const examples = [...readme.matchAll(/```ts\n(.*?)```\n\n```text\n(.*?)```/gs)];

test("the README has examples", () => assert(examples.length >= 2));

// What Deno finds it finds once, whatever runs this file.
if (here === "deno") {
  test(
    "complete examples have no type errors: all of the README, and what begins with an import in docs/",
    { timeout: 60_000 },
    () => {
      const docs = readdirSync(`${root}docs`).filter((file) => file.endsWith(".md"));
      const complete = docs.flatMap((page) => codeIn(readFileSync(`${root}docs/${page}`, "utf8")))
        .filter((code) => code.startsWith("import "));
      assert(complete.length >= 3);
      const files = [...codeIn(readme), ...complete].map((code, i) => {
        const file = `.example-types-${i}.ts`;
        writeFileSync(root + file, code);
        return file;
      });
      try {
        const args = ["check", "-q", ...files];
        const { status, stderr } = spawnSync(process.execPath, args, {
          cwd: root,
          encoding: "utf8",
          env: { ...process.env, NO_COLOR: "1" },
        });
        assertEquals([status, stderr], [0, ""]);
      } finally {
        for (const file of files) rmSync(root + file);
      }
    },
  );
}

for (const [i, [, code, output]] of examples.entries()) {
  test(`example ${i + 1} of the README runs and prints what it says`, () =>
    withRelay(async ({ url }) => {
      // Beside the README, so that its imports are those of the reader.
      const file = `${root}.example-${here}-${i}.ts`;
      writeFileSync(file, code!.replaceAll("ws://127.0.0.1:8080", url.replace("http", "ws")));
      try {
        const [program, ...args] = [...script(here)!, file];
        const child = spawn(program!, args, { cwd: root });
        let printed = "";
        child.stdout.on("data", (chunk) => printed += chunk);
        child.stderr.on("data", (chunk) => printed += chunk);
        const status = await new Promise((resolve) => child.on("close", resolve));
        assertEquals([status, printed], [0, output!]);
      } finally {
        rmSync(file);
      }
    }));
}

test("files that the README and the other pages name exist", () => {
  for (
    const page of [
      "README.md",
      "ARCHITECTURE.md",
      "PROTOCOL.md",
      "deploy/README.md",
      "bench/README.md",
      "docs/security.md",
      ...readdirSync(`${root}docs`).filter((file) => file.endsWith(".md")).map((file) =>
        `docs/${file}`
      ),
      ...readdirSync(`${root}docs/protocol`).map((file) => `docs/protocol/${file}`),
    ]
  ) {
    const text = readFileSync(root + page, "utf8");
    for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)) {
      const folder = page.includes("/") ? page.replace(/[^/]+$/, "") : "";
      readFileSync(root + folder + target);
    }
  }
});

test("the systemd unit names no file that the installation does not bring", () => {
  const read = (file: string) => readFileSync(`${root}deploy/pi/${file}`, "utf8");
  const named = [...read("blaze-relay.service").matchAll(/^\w+=(?:file:\/\/)?(\/\S+)/gm)];
  assert(named.length >= 2);
  for (const [, file] of named) assert(read("install").includes(` ${file}\n`), file);
});

test("docs/tools.md tells of every tool that the README names", () => {
  const tools = readFileSync(`${root}docs/tools.md`, "utf8");
  const [row] = readme.match(/^\| What passes .*$/m)!;
  for (const [, name] of row.matchAll(/`(?:deno task )?([a-z-]+)`/g)) {
    assert(tools.includes(`| \`${name}\``), name);
  }
});

test("tasks have the same names for Deno and for Bun", () => {
  const { tasks } = JSON.parse(readFileSync(`${root}deno.json`, "utf8"));
  const { scripts } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));
  assertEquals(Object.keys(tasks).sort(), Object.keys(scripts).sort());
});

test("PROTOCOL.md has every fault with its number and how to come back", () => {
  const protocol = readFileSync(`${root}PROTOCOL.md`, "utf8");
  const table = protocol.slice(protocol.indexOf("## Close codes"));
  const rows = [...table.matchAll(/^\| (\d+)\s*\| (\w+)\s*\| (\w+)\s*\|$/gm)];
  assertEquals(
    rows.map(([, code, word, comeBack]) => `${code} ${word} ${comeBack}`),
    Object.values(Close).map(({ code, word, comeBack }) => `${code} ${word} ${comeBack}`),
  );
  for (const { code, word } of Object.values(Refused)) {
    assert(new RegExp(`\\| ${code}\\s*\\| ${word}\\s`).test(protocol), `${code} ${word}`);
  }
});
