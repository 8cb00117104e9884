import { test } from "node:test";
import { EcgClient } from "../src/client/mod.ts";
import { needsBrowser, until, withBrowser } from "./kit/browser.ts";
import { proxy, swallows } from "./kit/proxy.ts";
import { withRelay } from "./kit/relay.ts";

const state = "document.getElementById('state').textContent";

test(
  "the viewer notices a way that swallows everything, and comes back by itself",
  needsBrowser,
  () =>
    withRelay((relay) =>
      withBrowser(async (browser) => {
        const { spoil, swallow } = swallows();
        const between = await proxy(relay.url, spoil);
        const monitor = EcgClient.open({ url: relay.url, stream: "bed-3" });
        try {
          const page = await browser.newPage();
          // Time in the page runs ahead when told to: 15 s of silence need not be sat out.
          await page.clock.install();
          await page.goto(`${between.url}/viewer#stream=bed-3`);
          await until(page, `${state} === 'waiting'`);
          /** Publishes until the page shows it. */
          let sample = 0;
          const shown = async () => {
            const before = sample;
            do {
              const payload = { signal: [0, 0, 0, 0, 0], sampling_rate: 5, sample };
              await monitor.publish(payload, { acknowledged: true });
              sample += 5;
            } while (!await page.evaluate<boolean>(`viewer.chart.trace?.end > ${before}`));
          };
          await shown();
          swallow();
          await page.clock.fastForward(10_100);
          await page.clock.fastForward(5_100);
          await until(page, `${state}.startsWith('offline')`);
          await page.clock.fastForward(1_000);
          await shown();

          // The network comes and goes: asked at once, it need not be silent first.
          swallow();
          await page.evaluate("dispatchEvent(new Event('online'))");
          await page.clock.fastForward(10_100);
          await until(page, `${state}.startsWith('offline')`);
          await page.evaluate("dispatchEvent(new Event('online'))");
          await shown();
        } finally {
          monitor.close();
          await between.stop();
        }
      })
    ),
);
