/**
 * A real Chromium for tests: the one of the system, driven by `playwright-core`.
 *
 * @module
 */
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { build } from "esbuild";
import { type Browser, chromium, type Page } from "playwright-core";
import { root } from "../../tools/runtimes.ts";
import { skipped } from "./skip.ts";

/** Where the browser is: `CHROMIUM`, or where Linux distributions put it. */
export const chromiumPath: string | undefined = [
  process.env.CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
].find((path) => path !== undefined && existsSync(path));

/** The options of a test that needs a browser. */
export const needsBrowser: { skip?: string } = chromiumPath === undefined
  ? { skip: skipped("no Chromium here; apt-get install chromium, or set CHROMIUM to its path") }
  : {};

/** Starts a browser, hands it over, and ends it whatever happens. */
export async function withBrowser(run: (browser: Browser) => Promise<void>): Promise<void> {
  const browser = await chromium.launch({
    executablePath: chromiumPath!,
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
  });
  try {
    await run(browser);
  } finally {
    await browser.close();
  }
}

/** One TypeScript file of ours, with everything it imports, as a script for a page. */
export async function browserBundle(entry: string, globalName?: string): Promise<string> {
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
