/**
 * Everything that has to be true before a change goes in: `deno task ok` or `bun run ok`.
 *
 * Format, lint, types of all files, types of the browser part against the DOM alone, import arrows, lock
 * files that fit `package.json`, and the tests on both runtimes. `--quick` leaves the tests out.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { readArgs } from "./args.ts";
import { bunCommand, type Command, denoCommand, here, root, script } from "./runtimes.ts";

const { flags } = readArgs({
  command: "ok [--quick]",
  about:
    "Everything that has to be true before a change goes in: format, lint, types, import arrows,\n" +
    "lock files, and the tests on both runtimes.",
  flags: { quick: { help: "leave the tests out" } },
});

const deno = denoCommand();
if (!deno) {
  console.error("Deno formats, lints and checks types; get it with `npm install -g deno`.");
  process.exit(1);
}
const bun = bunCommand();

const EVERYTHING = ["main.ts", "src", "routes", "tools", "bench", "test", "deploy"];
/** What a browser loads. */
const BROWSER = [
  ...["src/client/mod.ts", "src/link/memory_link.ts", "src/link/webview_host.ts", "src/close.ts"],
  ...["web/viewer/main.ts", "web/dashboard/main.ts", "web/try/main.ts"],
];
/** Written for one step, beside `deno.json` so that paths mean the same. */
const BROWSER_CONFIG = `${root}.browser.deno.json`;

const steps: [name: string, command: Command][] = [
  ["format", [...deno, "fmt", "--check", "-q"]],
  ["lint", [...deno, "lint", "-q"]],
  ["types", [...deno, "check", "-q", ...EVERYTHING]],
  ["types of the browser part", [...deno, "check", "-q", "--config", browserConfig(), ...BROWSER]],
  ["arrows", [...deno, "test", "-A", "-q", "--no-check", "test/architecture.test.ts"]],
  ["deno.lock fits package.json", [...deno, "install", "-q", "--frozen", "--lockfile-only"]],
];
if (bun) {
  const install = [...bun, "install", "--frozen-lockfile", "--dry-run"];
  steps.push(["bun.lock fits package.json", install]);
}
if (!flags.quick) {
  steps.push(["tests", [...script(here)!, "tools/test.ts"]]);
}

const failed: string[] = [];
try {
  for (const [name, [program, ...args]] of steps) {
    console.log(`== ${name}`);
    const { status } = spawnSync(program!, args, { cwd: root, stdio: "inherit" });
    if (status !== 0) failed.push(name);
  }
} finally {
  rmSync(BROWSER_CONFIG, { force: true });
}
console.log(failed.length === 0 ? "\nok" : `\nnot ok: ${failed.join(", ")}`);
if (!bun) console.log("skipped: bun.lock fits package.json (Bun is not on this machine)");
console.log(`${steps.length - failed.length} passed, ${failed.length} failed`);
process.exit(failed.length === 0 ? 0 : 1);

/** The project's settings with the DOM as the only library: a runtime's name fails there. */
function browserConfig(): string {
  const { compilerOptions } = JSON.parse(readFileSync(`${root}deno.json`, "utf8"));
  const { dependencies } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));
  const imports = Object.fromEntries(
    Object.entries(dependencies).map(([name, version]) => [name, `npm:${name}@${version}`]),
  );
  const lib = ["esnext", "dom", "dom.iterable", "dom.asynciterable"];
  const config = { imports, nodeModulesDir: "none", compilerOptions: { ...compilerOptions, lib } };
  writeFileSync(BROWSER_CONFIG, JSON.stringify(config));
  return BROWSER_CONFIG;
}
