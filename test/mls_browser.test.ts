import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { browserBundle, needsBrowser, withBrowser } from "./kit/browser.ts";
import { withRelay } from "./kit/relay.ts";

test("groups by MLS in Chromium, with both suites", needsBrowser, async () => {
  const script = await browserBundle("test/browser/mls_page.js", "mls");
  await withRelay(async ({ url }) => {
    await withBrowser(async (browser) => {
      const page = await browser.newPage();
      // WebCrypto is there for localhost, whatever page it is.
      await page.goto(`${url}/health`);
      await page.evaluate(script);
      for (const postQuantum of [false, true]) {
        const found = await page.evaluate(`mls.play(${postQuantum})`);
        assertEquals(found, { members: 3, secrets: 1, taken: true });
      }
    });
  });
});
