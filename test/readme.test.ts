import { spawn } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { Close, Refused } from "../src/close.ts";
import { here, root, script } from "../tools/runtimes.ts";
import { withRelay } from "./kit/relay.ts";

const readme = readFileSync(`${root}README.md`, "utf8");
const examples = [...readme.matchAll(/```ts\n(.*?)```\n\n```text\n(.*?)```/gs)];

test("the README has examples", () => assert(examples.length >= 2));

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
