/**
 * A real Chromium for tests, and what they need beside it.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after } from "node:test";
import { build } from "esbuild";
import type { Browser, Page } from "playwright-core";
import { root } from "../../tools/runtimes.ts";
import { chromiumPath, launch } from "./chromium.ts";
import { skipped } from "./skip.ts";

/** The options of a test that needs a browser. */
export const needsBrowser: { skip?: string } = chromiumPath === undefined
  ? { skip: skipped("no Chromium here; apt-get install chromium, or set CHROMIUM to its path") }
  : {};

/** To start one costs more than most tests do in it: one for all tests of a file. */
let started: Promise<Browser> | undefined;
after(async () => await (await started)?.close());

/** Hands over a browser without pages, and closes what was opened in it whatever happens. */
export async function withBrowser(run: (browser: Browser) => Promise<void>): Promise<void> {
  if (started !== undefined && !(await started).isConnected()) started = undefined;
  const browser = await (started ??= launch());
  try {
    await run(browser);
  } finally {
    // Each has storage and caches of its own; so has a page that was opened without one.
    await Promise.all(browser.contexts().map((context) => context.close()));
  }
}

/** One TypeScript file of ours, with everything it imports, as a script for a page. */
export function browserBundle(entry: string, globalName?: string): Promise<string> {
  const key = `${entry} ${globalName}`;
  let bundle = bundles.get(key);
  if (bundle === undefined) bundles.set(key, bundle = bundled(entry, globalName));
  return bundle;
}

const bundles = new Map<string, Promise<string>>();

async function bundled(entry: string, globalName: string | undefined): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    absWorkingDir: root,
    bundle: true,
    format: globalName === undefined ? "esm" : "iife",
    ...(globalName === undefined ? {} : { globalName }),
    platform: "browser",
    target: "es2022",
    write: false,
    tsconfigRaw: {},
  });
  return outputFiles[0]!.text;
}

/**
 * Waits until an expression holds in a page. (Playwright's own `waitForFunction` needs `eval`, which
 * the pages' policy forbids.)
 */
export async function until(page: Page, expression: string, ms = 20_000): Promise<void> {
  const patience = performance.now() + ms;
  while (!await page.evaluate<boolean>(`Boolean(${expression})`)) {
    if (performance.now() > patience) throw new Error(`never true: ${expression}`);
    await page.waitForTimeout(20);
  }
}

/** Serves a page of another program on this machine: `/blaze.js` is the SDK. */
export async function withPage(run: (page: string) => Promise<void>): Promise<void> {
  const script = await browserBundle("src/client/mod.ts");
  const wasm = readFileSync(`${root}node_modules/@bokuweb/zstd-wasm/dist/web/zstd.wasm`);
  const server = createServer(({ url }, response) => {
    const [type, body] = url === "/blaze.js"
      ? ["text/javascript", script]
      : url === "/zstd.wasm"
      ? ["application/wasm", wasm]
      : ["text/html", "<!doctype html><title>a page</title>"];
    // WebAssembly would need "wasm-unsafe-eval".
    if (url === "/strict") response.setHeader("content-security-policy", "script-src 'self'");
    response.setHeader("content-type", type).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await run(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}
