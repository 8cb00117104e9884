import { readFileSync } from "node:fs";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { BlazeGroup, BlazePair, EcgClient, webview } from "../../src/client/mod.ts";
import { host } from "../../src/host.ts";
import { WebviewHost } from "../../src/link/webview_host.ts";
import { utf8Bytes } from "../../src/wire/bytes.ts";
import { embedRelay } from "../../routes/embedded.ts";
import { root } from "../../tools/runtimes.ts";
import { recording } from "../../tools/demo/demo_recording.ts";
import { browserBundle } from "../kit/browser.ts";
import { needsWebKit, withWebKit } from "../kit/webkit.ts";

const read = (path: string) => new Uint8Array(readFileSync(`${root}${path}`));

/** A page of the program, and what it loads. */
const pageOf = (script: string, more: Record<string, [type: string, body: BodyInit]> = {}) => {
  const files: typeof more = {
    "/": ["text/html", `<!doctype html><script type="module" src="page.js"></script>`],
    "/page.js": ["text/javascript", read(`test/browser/${script}`)],
    ...more,
  };
  return (url: string): Response => {
    const [type, body] = files[new URL(url).pathname]!;
    return new Response(body, { headers: { "content-type": type } });
  };
};

test(
  "the prototype's --test in WebKitGTK: three PINGs, their PONGs, CLOSE",
  needsWebKit,
  async () => {
    const webviewHost = new WebviewHost(host);
    const page = pageOf("prototype_page.js");
    const pongs: string[] = [];
    let arrays = 0;
    const fetch = (url: string) => {
      if (url.startsWith("app:")) return Promise.resolve(page(url));
      const { body, ping, close } = webviewHost.connect(
        url,
        () => ({ message() {}, text() {}, drained() {}, closed() {} }),
        (data) => {
          if (pongs.push(new TextDecoder().decode(data)) === 3) close(1000, "bye");
        },
      );
      for (const data of ["ping-0", "ping-1", "ping-2"]) ping(utf8Bytes(data));
      const headers = { "access-control-allow-origin": "app://page" };
      return Promise.resolve(new Response(body, { headers }));
    };
    const message = (message: unknown) => {
      arrays += Number(Array.isArray((message as { data: unknown }).data));
      webviewHost.message(message);
    };
    await withWebKit({ fetch, message }, async (window) => {
      window.load("app://page/");
      const said = [];
      for (let line; line !== "end";) said.push(line = await window.said());
      const pings = ["", "ping-0", "ping-1", "ping-2"].map((text) => [9, text]);
      assertEquals(said, [...pings, [8, "bye"], "end"]);
    });
    assertEquals(pongs, ["ping-0", "ping-1", "ping-2"]);
    // The document's Uint32Array arrives as something else.
    assertEquals(arrays, 0);
    assertEquals(webviewHost.size, 0);
  },
);

test(
  "a page in WebKitGTK pairs, joins a group and follows a heart, without any network",
  needsWebKit,
  async () => {
    const COUNT = 50;
    const SAMPLES = 18_000;
    const relay = embedRelay();
    const page = relay.page({ origin: "app://page" });
    const files = pageOf("webview_page.js", {
      "/blaze.js": ["text/javascript", await browserBundle("src/client/mod.ts")],
      "/zstd.wasm": [
        "application/wasm",
        read("node_modules/@bokuweb/zstd-wasm/dist/web/zstd.wasm"),
      ],
    });
    // The other devices are in this process: another window of the program, so to speak.
    const other = relay.page({ origin: "app://other" });
    const here = {
      url: "ws://localhost",
      transport: webview({
        port: (message) => queueMicrotask(() => other.message(message)),
        fetch: (url) => other.fetch(url),
      }),
    };
    const group = BlazeGroup.create({ ...here, database: "bugs" });
    const asked = { count: COUNT, samples: SAMPLES, invitation: await group.invite() };
    const titles = (from: string) =>
      Array.from({ length: COUNT }, (_, at) => `from ${from} ${at}`).sort();
    /** What the page does, from here. */
    const exchange = async (device: BlazePair | BlazeGroup): Promise<void> => {
      const heard: unknown[] = [];
      const all = (async () => {
        for await (const { operation } of device) {
          if (heard.push(operation.changes.title) === COUNT) return;
        }
      })();
      for (const title of titles("the program")) await device.collection("bugs").insert({ title });
      await all;
      assertEquals(heard.sort(), titles("the page"));
    };
    await withWebKit({
      fetch: (url) => url.startsWith("app:") ? Promise.resolve(files(url)) : page.fetch(url),
      message: (message) => void page.message(message),
    }, async (window) => {
      window.load(`app://page/#${encodeURIComponent(JSON.stringify(asked))}`);
      assertEquals(await window.said(), { secure: true, origin: "app://page" });
      const pair = BlazePair.open({ ...here, database: "bugs", trust: "first" });
      const { code } = await pair.ready;
      assertEquals(await window.said(), { code });
      await exchange(pair);
      assertEquals(await window.said(), { pair: titles("the program") });
      pair.close();
      await exchange(group);
      assertEquals(await window.said(), { group: titles("the program") });
      await group.close();

      assertEquals(await window.said(), { watching: true });
      const monitor = EcgClient.open({ ...here, stream: "bed-3" });
      const { signal, rate } = recording();
      let sum = 0;
      for (let sent = 0; sent < SAMPLES; sent += rate / 10) {
        const from = sent % (signal.length - rate);
        const part = signal.subarray(from, from + rate / 10);
        for (const value of part) sum += value;
        await monitor.publish({ signal: part, sampling_rate: rate });
      }
      assertEquals(await window.said(), { heart: { samples: SAMPLES, sum } });
      monitor.close();
    });
    page.lost();
    other.lost();
  },
);
