/**
 * Runs the tests on both runtimes and adds up: `deno task test` or `bun run test`.
 *
 * There are two tiers: the files in `test/`, which somebody waits for, and with `--long` those in
 * `test/long/`. Arguments are test files, in place of a tier.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import process from "node:process";
import { createInterface } from "node:readline";
import { bunCommand, type Command, denoCommand, root } from "./runtimes.ts";

interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

if (process.argv.includes("--help")) {
  console.log("Runs the tests on Deno and on Bun.\n");
  console.log("  deno task test [--long | test/some.test.ts …]");
  process.exit(0);
}

/** Longest time for one runtime. */
const MOST_MINUTES = 30;

const named = process.argv.slice(2).filter((argument) => argument !== "--long");
const files = named.length > 0
  ? named
  : tier(process.argv.includes("--long") ? "test/long" : "test");
const reports = mkdtempSync(`${tmpdir()}/blaze-relay-`);
const total: Totals = { passed: 0, failed: 0, skipped: 0 };
const skipped = new Set<string>();

try {
  await suite("Deno", denoCommand(), (report) => [
    ...["test", "-A", "-q", "--no-check", `--junit-path=${report}`, "--reporter=dot"],
    ...files,
  ]);
  await suite("Bun", bunCommand(), (report) => [
    ...[
      "test",
      "--only-failures",
      "--timeout=60000",
      "--reporter=junit",
      `--reporter-outfile=${report}`,
    ],
    ...files.map((file) => `./${file.replace(/^\.\//, "")}`),
  ]);
} finally {
  rmSync(reports, { recursive: true });
}
for (const reason of skipped) console.log(reason);
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed > 0 ? 1 : 0);

/** The test files of a folder, without those in folders below it. */
function tier(folder: string): string[] {
  return readdirSync(root + folder).sort()
    .filter((file) => file.endsWith(".test.ts"))
    .map((file) => `${folder}/${file}`);
}

async function suite(
  name: string,
  command: Command | undefined,
  args: (report: string) => string[],
): Promise<void> {
  console.log(`\n== ${name}`);
  if (!command) {
    console.log(`skipped: ${name} is not on this machine`);
    total.skipped++;
    return;
  }
  const report = `${reports}/${name}.xml`;
  const status = await run([...command, ...args(report)]);
  const totals = read(report);
  // A runner that dies without a failed test has failed all the same.
  if (status !== 0 && totals.failed === 0) totals.failed = 1;
  for (const key of ["passed", "failed", "skipped"] as const) total[key] += totals[key];
  const { passed, failed } = totals;
  console.log(`${name}: ${passed} passed, ${failed} failed, ${totals.skipped} skipped`);
}

function run([program, ...args]: string[]): Promise<number> {
  const child = spawn(program!, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  const show = withoutDots();
  createInterface({ input: child.stdout }).on("line", show);
  // Deno knows no time limit for a test: one that hangs would hang for ever.
  const timer = setTimeout(() => {
    console.log(`ended after ${MOST_MINUTES} minutes: a test hangs`);
    child.kill("SIGKILL");
  }, MOST_MINUTES * 60_000);
  return new Promise((resolve) => {
    child.on("error", () => resolve(1));
    child.on("close", (code) => {
      clearTimeout(timer);
      resolve(code ?? 1);
    });
  });
}

/** Deno writes a line with a dot for each test: a number now and then says as much. */
function withoutDots(): (line: string) => void {
  let dots = 0;
  // deno-lint-ignore no-control-regex
  const colours = /\x1b\[[\d;]*m/g;
  return (line) => {
    if (!/^[.,]$/.test(line.replace(colours, ""))) return console.log(line);
    if (++dots % 500 === 0) console.log(`${dots} tests so far`);
  };
}

/** Counts the cases of a JUnit report, and collects why some were skipped. */
function read(report: string): Totals {
  let xml = "";
  try {
    xml = readFileSync(report, "utf8");
  } catch {
    // No report: the caller sees the status.
  }
  const totals: Totals = { passed: 0, failed: 0, skipped: 0 };
  for (
    const [, attributes, body = ""] of xml.matchAll(/<testcase([^>]*?)(?:\/>|>(.*?)<\/testcase>)/gs)
  ) {
    if (/<(?:failure|error)\b/.test(body)) totals.failed++;
    else if (/<skipped\b/.test(body)) totals.skipped++;
    else totals.passed++;
    if (/<skipped\b/.test(body)) {
      const name = attributes!.match(/ name="([^"]*)"/)?.[1] ?? "a test";
      skipped.add(`skipped: ${name}`);
    }
  }
  return totals;
}
