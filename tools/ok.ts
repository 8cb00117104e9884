/**
 * Everything that has to be true before a change goes in: `deno task ok` or `bun run ok`.
 *
 * Format, lint, types of all files, types of the browser part against the DOM alone, and the tests
 * on both runtimes, import arrows among them.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { bunCommand, denoCommand, here, root } from "./runtimes.ts";

const deno = denoCommand();
if (!deno) {
  console.error("Deno formats, lints and checks types; get it with `npm install -g deno`.");
  process.exit(1);
}

/** What a browser loads. */
const BROWSER = [
  ...["src/client/mod.ts", "src/link/memory_link.ts", "src/link/webview_host.ts", "src/close.ts"],
  ...["web/viewer/main.ts", "web/dashboard/main.ts"],
];
/** Written for one step, beside `deno.json` so that paths mean the same. */
const BROWSER_CONFIG = `${root}.browser.deno.json`;

step("format", [...deno, "fmt", "--check", "-q"]);
step("lint", [...deno, "lint", "-q"]);
step("types", [
  ...deno,
  "check",
  "-q",
  "main.ts",
  "src",
  "routes",
  "tools",
  "bench",
  "test",
  "deploy",
]);
step("types of the browser part", [
  ...deno,
  "check",
  "-q",
  "--config",
  browserConfig(),
  ...BROWSER,
]);
rmSync(BROWSER_CONFIG, { force: true });
step("tests", [...(here === "bun" ? bunCommand()! : [...deno, "run", "-A"]), "tools/test.ts"]);
console.log("\nok");

function step(name: string, [program, ...args]: string[]): void {
  console.log(`== ${name}`);
  const { status } = spawnSync(program!, args, { cwd: root, stdio: "inherit" });
  if (status === 0) return;
  rmSync(BROWSER_CONFIG, { force: true });
  console.error(`\nnot ok: ${name}`);
  process.exit(1);
}

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
