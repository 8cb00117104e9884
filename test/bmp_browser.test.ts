import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { BlazePair } from "../src/client/mod.ts";
import { browserBundle, needsBrowser, withBrowser } from "./kit/browser.ts";
import { withRelay } from "./kit/relay.ts";

test("a page fetches and pairs through one BMP connection over /bmp", needsBrowser, async () => {
  const script = await browserBundle("src/client/mod.ts");
  const server = createServer(({ url }, response) => {
    const [type, body] = url === "/blaze.js"
      ? ["text/javascript", script]
      : ["text/html", "<!doctype html><title>a page</title>"];
    response.setHeader("content-type", type).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  try {
    await withRelay(({ url }) =>
      withBrowser(async (browser) => {
        const page = await browser.newPage();
        await page.goto(address);
        const device = BlazePair.open({ url, database: "bugs", trust: "first" });
        const arrivals = device[Symbol.asyncIterator]();
        const inPage = page.evaluate(async (url) => {
          const { BlazePair, BmpConnection } = await import("/blaze.js" as string);
          const bmp = await BmpConnection.open({ url: `${url}/bmp` });
          const status = await (await bmp.fetch("/health")).json();
          const lengths = await Promise.all(
            Array.from({ length: 100 }, async () =>
              (await (await bmp.fetch("/limits")).text()).length),
          );
          const options = { url: "ws://relay", database: "bugs", transport: bmp.transport };
          const device = BlazePair.open({ ...options, trust: "first" });
          const loop = device[Symbol.asyncIterator]();
          const { code } = await device.ready;
          await device.collection("bugs").insert({ title: "from the page" });
          const { value } = await loop.next();
          const title = value.operation.changes.title as string;
          const extended = bmp.extended as boolean;
          await device.close();
          bmp.close();
          await bmp.closed;
          return { status, lengths: new Set(lengths).size, code, title, extended };
        }, url);
        const { code } = await device.ready;
        const { operation } = (await arrivals.next()).value;
        assertEquals(operation.changes, { title: "from the page" });
        await device.collection("bugs").insert({ title: "to the page" });
        assertEquals(await inPage, {
          status: { status: "ok" },
          lengths: 1,
          code,
          title: "to the page",
          extended: true,
        });
        device.close();
      })
    );
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
