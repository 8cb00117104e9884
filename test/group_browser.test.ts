/** Groups in a real browser: devices whose storage is the page's, and that are there at different times. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { openSqlite } from "../src/store/sqlite.ts";
import { needsBrowser, until, withBrowser, withPage } from "./kit/browser.ts";
import { withRelay } from "./kit/relay.ts";
import { STORE_LIMITS, withStorePath } from "./kit/store_file.ts";

/** Opens a device in a page, as its global `device`; what it is told stands in the page's title. */
async function open(
  page: Page,
  url: string,
  options: { database?: string; invitation?: string } = {},
): Promise<void> {
  await page.evaluate(async ({ url, options }) => {
    const { BlazeGroup, indexedDbStorage } = await import("/blaze.js" as string);
    const all = { url, storage: indexedDbStorage("bugs"), ...options };
    const device = options.database ? BlazeGroup.create(all) : BlazeGroup.open(all);
    const faults: string[] = [];
    const shown = (globalThis as unknown as { document: { title: string } }).document;
    // deno-lint-ignore no-explicit-any
    device.onStatus((status: any) => {
      if (status.kind === "fault") faults.push(shown.title = status.fault.code);
      if (status.kind === "state") shown.title = status.state;
    });
    const bugs = device.collection("bugs");
    Object.assign(globalThis, {
      device: {
        faults,
        state: () => device.state,
        devices: () => device.devices().length,
        pending: () => device.pending,
        titles: () =>
          bugs.list().map((one: { fields: { title: string } }) => one.fields.title).sort(),
        invite: () => device.invite(),
        insert: async (title: string) => {
          await bugs.insert({ title });
          await device.sent();
        },
      },
    });
  }, { url, options });
}

/** Two browsers' profiles, of which never more than one has a page open. */
async function withProfiles(
  browser: Browser,
  run: (a: BrowserContext, b: BrowserContext) => Promise<void>,
): Promise<void> {
  const [a, b] = [await browser.newContext(), await browser.newContext()];
  await run(a, b);
  await a.close();
  await b.close();
}

test(
  "author and reader that are never online together, in pages that are reloaded",
  needsBrowser,
  () =>
    withStorePath((path) =>
      withPage((address) =>
        withBrowser((browser) =>
          withProfiles(browser, async (ofA, ofB) => {
            /** One device alone, with a relay that was started for it. */
            const alone = async (
              context: BrowserContext,
              options: { database?: string; invitation?: string },
              run: (page: Page, again: () => Promise<void>) => Promise<void>,
            ) =>
              withRelay(async ({ url }) => {
                const page = await context.newPage();
                await page.goto(address);
                await open(page, url, options);
                await run(page, async () => {
                  await page.reload();
                  await open(page, url);
                });
                assertEquals(await page.evaluate("device.faults"), []);
                await page.close();
              }, { store: await openSqlite({ path, limits: STORE_LIMITS }) });
            let invitation = "";
            await alone(ofA, { database: "bugs" }, async (page, again) => {
              invitation = await page.evaluate("device.invite()");
              await page.evaluate("device.insert('first')");
              await again();
              await until(page, "device.state() === 'synced'");
              assertEquals(await page.evaluate("device.titles()"), ["first"]);
            });
            await alone(ofB, { invitation }, async (page, again) => {
              await until(page, "device.state() === 'waiting'");
              await again();
              await until(page, "device.state() === 'waiting'");
            });
            await alone(ofA, {}, async (page) => {
              await until(page, "device.devices() === 2");
              await page.evaluate("device.insert('second')");
              assertEquals(await page.evaluate("device.pending()"), 2);
            });
            await alone(ofB, {}, async (page, again) => {
              await until(page, "device.titles().length === 2");
              await page.evaluate("device.insert('answer')");
              await again();
              await until(page, "device.state() === 'synced'");
              assertEquals(await page.evaluate("device.titles()"), ["answer", "first", "second"]);
            });
            await alone(ofA, {}, async (page, again) => {
              await until(page, "device.titles().length === 3 && device.pending() === 0");
              await again();
              await until(page, "device.state() === 'synced'");
              assertEquals(await page.evaluate("device.titles()"), ["answer", "first", "second"]);
              // What the other one has said is kept over reloads.
              assertEquals(await page.evaluate("device.pending()"), 0);
            });
          })
        )
      )
    ),
);

test(
  "two tabs of one device: the second waits, and goes on where the first was",
  needsBrowser,
  () =>
    withRelay(({ url }) =>
      withPage((address) =>
        withBrowser(async (browser) => {
          const context = await browser.newContext();
          const tab = async (options = {}) => {
            const page = await context.newPage();
            await page.goto(address);
            await open(page, url, options);
            return page;
          };
          const first = await tab({ database: "bugs" });
          await until(first, "device.state() === 'synced'");
          const second = await tab();
          await until(second, "document.title === 'STORAGE_HELD'");
          await first.evaluate("device.insert('of the first')");
          assertEquals(await second.evaluate("device.titles()"), []);
          await first.close();
          await until(second, "device.state() === 'synced'");
          assertEquals(await second.evaluate("device.titles()"), ["of the first"]);
          await second.evaluate("device.insert('of the second')");
          assertEquals(await second.evaluate("[device.faults, device.devices()]"), [
            ["STORAGE_HELD"],
            1,
          ]);
          await context.close();
        })
      )
    ),
);
