/**
 * Runs the tests on both runtimes and adds up: `deno task test` or `bun run test`.
 *
 * There are two tiers: the files in `test/`, which somebody waits for, and with `--long` those in
 * `test/long/`. `deno task fuzz` runs the random tests of both with a fresh seed and more cases.
 * Arguments are test files, in place of a tier.
 *
 * Every file runs in a process of its own: one that dies or hangs takes no other with it, and its name is
 * known. Twice as many run at once as the machine has cores, since many wait; of the long tier one at all.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { isAbsolute, normalize } from "node:path";
import process from "node:process";
import { fail, readArgs } from "./args.ts";
import { bunCommand, type Command, denoCommand, root } from "./runtimes.ts";

/** Minutes after which a file hangs. */
const MOST_MINUTES = { test: 3, long: 30 };
/** How many more cases fuzzing tries: 100,000 flipped messages, for one. */
const FUZZ_RUNS = "20";

const { flags: { long, fuzz: fuzzing }, rest: named } = readArgs({
  command: "test [FILE …] [flags]",
  about: "Runs the tests on Deno and on Bun: those in test/, or the files that are named.\n" +
    "SEED=n draws other random cases (fuzz: fresh ones), RUNS=n times as many (fuzz: 20).",
  most: Infinity,
  flags: {
    long: { help: "those in test/long instead" },
    fuzz: { help: "the random ones of both, with more cases; `deno task fuzz`" },
  },
});

const environment = { ...process.env, NO_COLOR: "1" };
if (fuzzing) {
  const fresh = 1 + crypto.getRandomValues(new Uint32Array(1))[0]! % 0x7fff_ffff;
  const SEED = process.env.SEED || `${fresh}`;
  const RUNS = process.env.RUNS || FUZZ_RUNS;
  Object.assign(environment, { SEED, RUNS });
  console.log(`SEED=${SEED} RUNS=${RUNS} (in front of deno task test FILE they draw these again)`);
}

const files = named.length > 0
  ? named
  : fuzzing
  ? [...tier("test"), ...tier("test/long")].filter(isRandom)
  : tier(long ? "test/long" : "test");

const pathOf = (file: string): string => isAbsolute(file) ? file : root + file;
const absent = files.find((file) => !existsSync(pathOf(file)));
if (absent !== undefined) fail(`${absent}: no such file in ${root}`);

/** Nobody waits for these, and what they assert of time holds only where nothing else runs. */
const slow = files.some((file) => file.includes("test/long/"));
const most = slow || fuzzing ? MOST_MINUTES.long : MOST_MINUTES.test;

/** What came of one file, of one runtime, or of all. */
interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

const total: Totals = { passed: 0, failed: 0, skipped: 0 };
const skipped = new Set<string>();
const reports = mkdtempSync(`${tmpdir()}/blaze-relay-`);

interface Runner {
  readonly name: string;
  readonly command: Command;
  /** Arguments that run a file and write a JUnit report. */
  args(file: string, report: string): string[];
}

const runners: Runner[] = [];
add("Deno", denoCommand(), (file, report) => [
  ...["test", "-A", "-q", "--no-check", `--junit-path=${report}`, file],
]);
add("Bun", bunCommand(), (file, report) => [
  ...["test", `--timeout=${most * 60_000}`, "--reporter=junit", `--reporter-outfile=${report}`],
  // Without the dot Bun would take it for a pattern.
  isAbsolute(file) ? file : `./${normalize(file)}`,
]);

// The largest first, so that no long one is left alone at the end.
const bySize = files.map((file) => ({ file, size: statSync(pathOf(file)).size }))
  .sort((one, other) => other.size - one.size);
const waiting = bySize.flatMap(({ file }) => runners.map((runner) => ({ file, runner })));
const began = performance.now();
try {
  // While one file waits for something, another one works.
  const lanes = slow && !fuzzing ? 1 : 2 * availableParallelism();
  await Promise.all(Array.from({ length: lanes }, async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      await runFile(next.file, next.runner);
    }
  }));
} finally {
  rmSync(reports, { recursive: true });
}
for (const one of skipped) console.log(one);
console.log(`${((performance.now() - began) / 1000).toFixed(0)} s, ${total.skipped} skipped`);
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exit(total.failed > 0 ? 1 : 0);

function add(name: string, command: Command | undefined, args: Runner["args"]): void {
  if (command) return void runners.push({ name, command, args });
  skipped.add(`skipped: all on ${name}, which is not on this machine`);
  total.skipped++;
}

/** The test files of a folder, without those in folders below it. */
function tier(folder: string): string[] {
  return readdirSync(root + folder).sort()
    .filter((file) => file.endsWith(".test.ts"))
    .map((file) => `${folder}/${file}`);
}

function isRandom(file: string): boolean {
  return readFileSync(root + file, "utf8").includes("kit/random.ts");
}

async function runFile(file: string, { name, command, args }: Runner): Promise<void> {
  const report = `${reports}/${name}-${file.replaceAll("/", "-")}.xml`;
  const since = performance.now();
  const { status, output } = await run([...command, ...args(file, report)]);
  const totals = read(report);
  // A runner that dies without a failed test, or without a word, has failed all the same.
  if (status !== 0 && totals.failed === 0) totals.failed = 1;
  for (const key of ["passed", "failed", "skipped"] as const) total[key] += totals[key];
  for (const line of output.matchAll(/^skipped: .*$/gm)) skipped.add(line[0]);
  const seconds = ((performance.now() - since) / 1000).toFixed(1).padStart(5);
  const { passed, failed } = totals;
  console.log(
    `${name.padEnd(4)} ${seconds} s  ${file}: ${passed} passed` +
      (totals.skipped > 0 ? `, ${totals.skipped} skipped` : "") +
      (failed > 0 ? `, ${failed} FAILED` : ""),
  );
  if (failed > 0) console.log(output.replace(/^(?:.* \.\.\. ok \(.*|\(pass\) .*)\n/gm, ""));
}

/** Runs a program to its end, and answers what it wrote. */
function run([program, ...args]: string[]): Promise<{ status: number; output: string }> {
  const child = spawn(program!, args, {
    cwd: root,
    env: environment,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const read = (chunk: unknown) => void (output += String(chunk));
  child.stdout.on("data", read);
  child.stderr.on("data", read);
  // Deno knows no time limit for a test: one that hangs would hang for ever.
  const timer = setTimeout(() => {
    output += `ended after ${most} minutes: a test hangs\n`;
    child.kill("SIGKILL");
  }, most * 60_000);
  return new Promise((resolve) => {
    const end = (status: number) => {
      clearTimeout(timer);
      resolve({ status, output });
    };
    child.on("error", (error) => {
      output += `${error}\n`;
      end(1);
    });
    child.on("close", (code) => end(code ?? 1));
  });
}

/** Counts the cases of a JUnit report, and collects the names of those that were skipped. */
function read(report: string): Totals {
  const totals: Totals = { passed: 0, failed: 0, skipped: 0 };
  let xml = "";
  try {
    xml = readFileSync(report, "utf8");
  } catch {
    return { ...totals, failed: 1 };
  }
  for (
    const [, attributes, body = ""] of xml.matchAll(/<testcase([^>]*?)(?:\/>|>(.*?)<\/testcase>)/gs)
  ) {
    if (/<(?:failure|error)\b/.test(body)) totals.failed++;
    else if (/<skipped\b/.test(body)) {
      totals.skipped++;
      skipped.add(`skipped: ${plain(attributes!.match(/ name="([^"]*)"/)?.[1] ?? "a test")}`);
    } else totals.passed++;
  }
  return totals;
}

/** Text out of XML. */
function plain(text: string): string {
  const entities: Record<string, string> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text.replace(/&(\w+);/g, (whole, name) => entities[name] ?? whole);
}
