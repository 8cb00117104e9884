import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { Page } from "playwright-core";
import { type Relay, startRelay } from "../main.ts";
import { BlazePair, type ConnectOptions, EcgClient } from "../src/client/mod.ts";
import type { Limits } from "../src/limits.ts";
import type { Accept } from "../src/link/link.ts";
import { recording } from "../tools/demo/demo_recording.ts";
import { root } from "../tools/runtimes.ts";
import { browserBundle, needsBrowser, withBrowser } from "./kit/browser.ts";
import { dropsUpgrades, proxy } from "./kit/proxy.ts";
import { withRelay } from "./kit/relay.ts";

const token = "a-token-for-tests-only";

/** Serves the page, from an origin that is not the relay's. */
async function withSite(run: (address: string) => Promise<void>): Promise<void> {
  const scripts: Record<string, string> = {
    "/blaze.js": await browserBundle("src/client/mod.ts"),
    "/page.js": readFileSync(`${root}test/browser/stream_page.js`, "utf8"),
  };
  const server = createServer(({ url = "" }, response) => {
    const script = scripts[url];
    response.setHeader("content-type", script ? "text/javascript" : "text/html");
    response.end(script ?? "<!doctype html><title>a page</title>");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await run(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** Calls a function of the page's script. */
const call = (page: Page, name: string, argument?: unknown): Promise<unknown> =>
  page.evaluate(
    async ([name, argument]) => {
      const script = await import("/page.js" as string);
      return await script[name as string](argument);
    },
    [name, argument] as const,
  );

/** Syncs a device here with the page, and lets it draw five seconds of a heart. */
async function syncAndDraw(page: Page, relay: Relay, options: ConnectOptions): Promise<void> {
  const { token } = options;
  const here = { url: relay.url, ...(token === undefined ? {} : { token }) };
  const device = BlazePair.open({ ...here, database: "bugs", trust: "first" });
  const monitor = EcgClient.open({ ...here, stream: "bed-3" });
  try {
    const incoming = device[Symbol.asyncIterator]();
    const [partner, code] = await Promise.all([device.ready, call(page, "sync", options)]);
    assertEquals(code, partner.code);
    await call(page, "insert", "from the page");
    assertEquals((await incoming.next()).value.operation.changes, { title: "from the page" });
    await device.collection("bugs").insert({ title: "to the page" });
    assertEquals(await call(page, "next"), "to the page");

    await call(page, "watch", options);
    const { signal, rate } = recording();
    for (let at = 0; at < 5 * rate; at += rate / 10) {
      await monitor.publish({ signal: signal.subarray(at, at + rate / 10), sampling_rate: rate });
    }
    await page.waitForFunction(
      async (count) => (await import("/page.js" as string)).samples() === count,
      5 * rate,
    );
    // Drawn with the next frame of the page.
    await page.waitForFunction(async () => (await import("/page.js" as string)).ink() > 500);
    if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT });
  } finally {
    device.close();
    monitor.close();
  }
}

test(
  "a page without WebSocket syncs end to end and shows ECG, with a token",
  needsBrowser,
  () =>
    withRelay((relay) =>
      withSite((site) =>
        withBrowser(async (browser) => {
          const page = await browser.newPage();
          await page.addInitScript("delete globalThis.WebSocket");
          const asked: string[] = [];
          page.on("request", (request) => asked.push(`${request.method()} ${request.url()}`));
          await page.goto(site);
          assertEquals(await page.evaluate(() => "WebSocket" in globalThis), false);
          await syncAndDraw(page, relay, { url: relay.url, token });
          assert(asked.includes(`POST ${relay.url}/stream`));
        })
      ), { token }),
);

test(
  "a page behind a proxy that drops upgrades falls back by itself",
  needsBrowser,
  () =>
    withRelay((relay) =>
      withSite((site) =>
        withBrowser(async (browser) => {
          const between = await proxy(relay.url, dropsUpgrades);
          try {
            const page = await browser.newPage();
            await page.goto(site);
            await syncAndDraw(page, relay, { url: between.url });
          } finally {
            await between.stop();
          }
        })
      )
    ),
);

/** A page that holds a stream to a relay, and how the relay sees it end. */
async function withEnd(
  limits: Partial<Limits>,
  run: (page: Page, ended: Promise<number>) => Promise<void>,
): Promise<void> {
  const ended = Promise.withResolvers<number>();
  const wrap = (accept: Accept): Accept => (link) => {
    const events = accept(link);
    return {
      message: (message) => events.message(message),
      text: () => events.text(),
      drained: () => events.drained(),
      closed(code, reason) {
        events.closed(code, reason);
        ended.resolve(code);
      },
    };
  };
  const relay = await startRelay({ host: "127.0.0.1", port: 0, token }, { limits, wrap });
  try {
    await withSite((site) =>
      withBrowser(async (browser) => {
        const page = await browser.newPage();
        await page.goto(site);
        await call(page, "watch", { url: relay.url, transport: "http", token });
        await run(page, ended.promise);
        const { links } = await (await fetch(`${relay.url}/ready`)).json();
        assertEquals(links, 0);
      })
    );
  } finally {
    await relay.stop();
  }
}

for (
  const [how, leave] of [
    ["closed", (page: Page) => page.close()],
    ["left for another", (page: Page) => page.goto("about:blank")],
  ] as const
) {
  test(
    `a page that is ${how} in the middle says so, and is gone at once`,
    needsBrowser,
    () =>
      withEnd({}, async (page, ended) => {
        await leave(page);
        assertEquals(await ended, 1001);
      }),
  );
}

test(
  "a page that dies in the middle is missed after the grace time",
  needsBrowser,
  () =>
    withEnd({ httpGraceMs: 2_000 }, async (page, ended) => {
      await page.goto("chrome://crash").catch(() => {});
      assertEquals(await ended, 1006);
    }),
);

test(
  "the page at /stream/try connects, echoes, disconnects, and asks for the token that it lacks",
  needsBrowser,
  () =>
    withRelay((relay) =>
      withBrowser(async (browser) => {
        const page = await browser.newPage();
        const faults: string[] = [];
        page.on("pageerror", (error) => faults.push(error.message));
        await page.goto(`${relay.url}/stream/try#token=${token}`);
        assert(!page.url().includes(token));
        await page.click("#connect");
        await page.fill("#text", "grüße ".repeat(50));
        await page.click("#send");
        await page.getByText(`← BINARY "${"grüße ".repeat(50)}"`).waitFor();
        await page.click("#ping");
        await page.getByText('← PONG "ping"').waitFor();
        await page.click("#disconnect");
        await page.getByText("← CLOSE 1000").waitFor();
        assertEquals(await page.textContent("#state"), "closed");
        const other = await browser.newPage();
        await other.goto(`${relay.url}/stream/try`);
        await other.click("#connect");
        for (const tried of ["not-the-token", token]) {
          await other.fill("#token", tried);
          await other.click("#ask button");
          if (tried !== token) await other.waitForSelector(".refused");
        }
        await other.getByText("is open").waitFor();
        assertEquals(await other.textContent("#state"), "open");
        assertEquals(faults, []);
      }), { token }),
);
