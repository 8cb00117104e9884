import { test } from "node:test";
import { assertEquals } from "@std/assert";
import type { Page } from "playwright-core";
import { BlazePair, EcgClient } from "../src/client/mod.ts";
import { needsBrowser, withBrowser, withPage } from "./kit/browser.ts";
import { withRelay } from "./kit/relay.ts";

test(
  "the SDK in a browser pairs, seals with zstd, and reads what a device here sends",
  needsBrowser,
  () =>
    withRelay(({ url }) =>
      withPage((address) =>
        withBrowser(async (browser) => {
          const page = await browser.newPage();
          await page.goto(address);
          const device = BlazePair.open({
            url,
            database: "bugs",
            trust: "first",
            compress: "always",
          });
          const arrivals = device[Symbol.asyncIterator]();
          const inPage = page.evaluate(async (url) => {
            const { BlazePair } = await import("/blaze.js" as string);
            const device = BlazePair.open({
              url,
              database: "bugs",
              trust: "first",
              compress: "always",
            });
            const loop = device[Symbol.asyncIterator]();
            const { code } = await device.ready;
            await device.collection("bugs").insert({ title: "from the page ".repeat(20) });
            const { value } = await loop.next();
            device.close();
            return { code, title: value.operation.changes.title as string };
          }, url);
          await device.ready;
          const { code } = await device.ready;
          const { operation } = (await arrivals.next()).value;
          assertEquals(operation.changes, { title: "from the page ".repeat(20) });
          await device.collection("bugs").insert({ title: "to the page ".repeat(20) });
          assertEquals(await inPage, { code, title: "to the page ".repeat(20) });
          device.close();
        })
      )
    ),
);

test(
  "a page that is opened twice is one device: the second waits until the first is closed",
  needsBrowser,
  () =>
    withRelay(({ url }) =>
      withPage((address) =>
        withBrowser(async (browser) => {
          const context = await browser.newContext();
          const open = async () => {
            const page = await context.newPage();
            await page.goto(address);
            await page.evaluate(async (url) => {
              const { BlazePair, indexedDbStorage } = await import("/blaze.js" as string);
              const storage = indexedDbStorage("bugs");
              const device = BlazePair.open({ url, database: "bugs", trust: "first", storage });
              const shown = (globalThis as unknown as { document: { title: string } }).document;
              device.onStatus((status: { kind: string; fault?: { code: string } }) => {
                shown.title = status.fault?.code ?? status.kind;
              });
            }, url);
            return page;
          };
          const first = await open();
          await first.waitForFunction("document.title === 'waiting'");
          const second = await open();
          await second.waitForFunction("document.title === 'STORAGE_HELD'");
          await first.close();
          await second.waitForFunction("document.title === 'waiting'");
          await context.close();
        })
      )
    ),
);

test(
  "the SDK in a browser watches an ECG, compressed on the way",
  needsBrowser,
  () =>
    withRelay(({ url }) =>
      withPage((address) =>
        withBrowser(async (browser) => {
          const page = await browser.newPage();
          await page.goto(address);
          const signal = Array.from(
            { length: 720 },
            (_, i) => Math.round(1000 * Math.sin(i / 9)) / 1000,
          );
          const monitor = EcgClient.open({ url, stream: "bed-3" });
          const inPage = page.evaluate(async (url) => {
            const { EcgClient } = await import("/blaze.js" as string);
            const watcher = EcgClient.open({ url, stream: "bed-3" });
            const messages = await watcher.watch();
            (globalThis as unknown as { document: { title: string } }).document.title = "watching";
            const { value } = await messages.next();
            watcher.close();
            return { signal: value.payload.signal as number[], flags: value.flags as number };
          }, url);
          await page.waitForFunction("document.title === 'watching'");
          await monitor.publish({ signal });
          assertEquals(await inPage, { signal, flags: 1 });
          monitor.close();
        })
      )
    ),
);

/** How a page may fail to load zstd. */
const obstacles: Record<string, (page: Page) => Promise<unknown>> = {
  "is not there": (page) => page.route("**/zstd.wasm", (route) => route.fulfill({ status: 404 })),
  "cannot be fetched": (page) => page.route("**/zstd.wasm", (route) => route.abort()),
  "is something else": (page) =>
    page.route("**/zstd.wasm", (route) => route.fulfill({ body: "<!doctype html>" })),
  "is forbidden by the page's policy": () => Promise.resolve(),
};

test(
  "the SDK in a browser goes on where zstd.wasm does not load, and uses it once it does",
  needsBrowser,
  () =>
    withRelay(({ url }) =>
      withPage((address) =>
        withBrowser(async (browser) => {
          for (const [name, spoil] of Object.entries(obstacles)) {
            const page = await browser.newPage();
            const errors: string[] = [];
            page.on("pageerror", (error) => errors.push(error.message));
            await spoil(page);
            await page.goto(name.includes("policy") ? `${address}strict` : address);
            const options = { database: name, trust: "first", compress: "always" } as const;
            const device = BlazePair.open({ url, ...options });
            const arrivals = device[Symbol.asyncIterator]();
            const title = "from the page ".repeat(20);
            const send = () =>
              page.evaluate(async (title) => {
                const { insert, faults } = (globalThis as unknown as { lab: PageLab }).lab;
                const { wireLength, plainLength } = await insert(title);
                return { compressed: wireLength < plainLength, faults };
              }, title);
            await page.evaluate(async ({ url, options }) => {
              const { BlazePair } = await import("/blaze.js" as string);
              const device = BlazePair.open({ url, ...options });
              const loop = device[Symbol.asyncIterator]();
              const faults: string[] = [];
              // deno-lint-ignore no-explicit-any
              device.onStatus((status: any) => {
                if (status.kind === "fault") faults.push(status.fault.code);
              });
              const insert = (title: string) => device.collection("bugs").insert({ title });
              const next = async () => (await loop.next()).value.operation.changes.title;
              Object.assign(globalThis, { lab: { insert, next, faults } });
              await device.ready;
            }, { url, options });
            for (let i = 0; i < 3; i++) {
              assertEquals(await send(), { compressed: false, faults: ["NO_ZSTD"] }, name);
              assertEquals((await arrivals.next()).value.operation.changes, { title }, name);
            }
            if (name === "is not there") {
              await page.unroute("**/zstd.wasm");
              // It comes compressed, is kept, and makes the page try again.
              await device.collection("bugs").insert({ title: "to the page ".repeat(20) });
              const came = await page.evaluate(() =>
                (globalThis as unknown as { lab: PageLab }).lab.next()
              );
              assertEquals(came, "to the page ".repeat(20));
              assertEquals(await send(), { compressed: true, faults: ["NO_ZSTD"] });
            }
            assertEquals(errors, [], name);
            await device.close();
            await page.close();
          }
        })
      )
    ),
);

/** What the page of that test keeps. */
interface PageLab {
  insert(title: string): Promise<{ wireLength: number; plainLength: number }>;
  next(): Promise<string>;
  readonly faults: string[];
}
