import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { Page } from "playwright-core";
import { EcgClient, MessageType } from "../src/client/mod.ts";
import { needsBrowser, until, withBrowser } from "./kit/browser.ts";
import { withRelay } from "./kit/relay.ts";

const RATE = 500;

/** A page that watches, and a monitor to feed it. */
function withViewer(
  run: (page: Page, monitor: EcgClient, faults: string[]) => Promise<void>,
  { density = 1, token = "", width = 1200 } = {},
): Promise<void> {
  return withRelay(({ url }) =>
    withBrowser(async (browser) => {
      const monitor = EcgClient.open({ url, stream: "bed 3", ...(token ? { token } : {}) });
      const page = await browser.newPage({
        viewport: { width, height: 600 },
        deviceScaleFactor: density,
      });
      const faults: string[] = [];
      page.on("pageerror", (error) => faults.push(error.message));
      page.on("console", (message) => {
        if (message.type() === "error") faults.push(message.text());
      });
      const hash = new URLSearchParams({ stream: "bed 3", ...(token ? { token } : {}) });
      await page.goto(`${url}/viewer#${hash}`);
      await until(page, "document.getElementById('state').textContent === 'waiting'");
      try {
        await run(page, monitor, faults);
        assertEquals(faults, []);
      } finally {
        monitor.close();
      }
    }), token ? { token } : {});
}

/** Types a token where the page asks for it. The page may load anew then: wait with locators only. */
async function bringToken(page: Page, token: string): Promise<void> {
  await page.fill("#token", token);
  await page.click("#ask button");
}

/** Publishes samples of one or more leads, numbered. */
async function feed(
  monitor: EcgClient,
  leads: Record<string, number[]>,
  sample: number,
  more: Record<string, unknown> = {},
): Promise<void> {
  const signal = Object.values(leads);
  const payload = { signal, leads: Object.keys(leads), sampling_rate: RATE, sample, ...more };
  await monitor.publish(payload, { acknowledged: true });
}

/** By then everything that the page has is painted. */
const TWO_FRAMES = "new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))";

/** Waits until the page has so many samples, and pauses on the newest. */
async function still(page: Page, end: number): Promise<void> {
  await until(page, `viewer.chart.trace?.end === ${end}`);
  await page.keyboard.press("Space");
  await page.evaluate("viewer.chart.scroll(Infinity)");
  await page.evaluate(TWO_FRAMES);
}

/** The canvas that has a column, and where: the pen draws on several, side by side. */
const canvasAt = `(id, column) => {
  let x = Math.floor(column);
  const whole = document.getElementById(id);
  for (const canvas of id === "paper" ? [whole] : whole.children) {
    if (x < canvas.width) return { canvas, x };
    x -= canvas.width;
  }
  throw new Error("no such column");
}`;

/**
 * Middle of the ink of the trace in one column of a canvas, in canvas pixels, looked for within
 * `reach` of `near`: as the pixels have it, whatever the page believes.
 */
const inkAt = `(id, column, near, reach) => {
  const { canvas, x } = (${canvasAt})(id, column);
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--trace").trim();
  const want = [1, 3, 5].map((i) => parseInt(ink.slice(i, i + 2), 16));
  const top = Math.max(0, Math.round(near - reach));
  const { data } = canvas.getContext("2d").getImageData(x, top, 1, Math.round(2 * reach));
  let [sum, weight] = [0, 0];
  for (let i = 0; i < data.length; i += 4) {
    const off = want.reduce((d, one, k) => d + Math.abs(one - data[i + k]), 0);
    // How much of the pixel is ink: its edges are soft.
    const part = data[i + 3] / 255 * (1 - off / 480);
    if (part < 0.25) continue;
    sum += part * (top + i / 4 + 0.5);
    weight += part;
  }
  return weight === 0 ? null : sum / weight;
}`;

const ink = (page: Page, id: string, x: number, near: number, reach: number) =>
  page.evaluate<number | null>(`(${inkAt})(${JSON.stringify(id)}, ${x}, ${near}, ${reach})`);

for (const [density, calibration, gain] of [[1, 1, 10], [2, 1, 10], [1, 1.4, 5], [3, 0.9, 20]]) {
  test(
    `viewer: 1 mV is ${gain} mm, pulse and samples, at density ${density}, ruler ${calibration}`,
    needsBrowser,
    () =>
      withViewer(async (page, monitor) => {
        await page.evaluate(`localStorage.setItem("blaze-relay viewer",
          JSON.stringify({ speed: 25, gain: ${gain}, calibration: ${calibration} }))`);
        await page.reload();
        await until(page, "document.getElementById('state').textContent === 'waiting'");
        // A second each of 0, 1 and -0.5 mV.
        const level = (value: number) => Array.from({ length: RATE }, () => value);
        await feed(monitor, { II: [...level(0), ...level(1), ...level(-0.5)] }, 0);
        await still(page, 3 * RATE);

        const mm = 96 / 25.4 * density! * calibration!;
        const high = await page.evaluate<number>("document.getElementById('paper').height");
        const baseline = await ink(page, "paper", 8.5 * mm, high / 2, high / 2);
        const top = await ink(page, "paper", 4.5 * mm, high / 2, high / 2);
        assert(baseline !== null && top !== null, "no pulse");
        const near = (found: number | null, wanted: number, what: string) =>
          assert(
            found !== null && Math.abs(found - wanted) <= 1,
            `${what}: at ${found}, wanted ${wanted}`,
          );
        near(baseline - top, gain! * mm, "height of the pulse");

        // From the right edge: the newest sample. 25 mm are a second.
        const wide = await page.evaluate<number>("document.getElementById('paper').width");
        for (const [back, value] of [[0.5, -0.5], [1.5, 1], [2.5, 0]] as const) {
          const y = await ink(page, "pen", wide - back * 25 * mm, high / 2, high / 2);
          near(y, baseline - value * gain! * mm, `the level of ${value} mV`);
        }
        // The step from 0 to 1 mV is two seconds back.
        const step = wide - 2 * 25 * mm;
        const beside = 2 * density! + 2;
        near(
          await ink(page, "pen", step - beside, high / 2, high / 2),
          baseline,
          "before the step",
        );
        near(await ink(page, "pen", step + beside, high / 2, high / 2), top, "after the step");
      }, { density: density! }),
  );
}

test(
  "viewer sweeps a live stream, and every sample stands where it belongs",
  needsBrowser,
  () =>
    withViewer(async (page, monitor) => {
      // Twice the speed on a small sheet, which the pen is soon over.
      await page.keyboard.press("3");
      // No steeper than a pixel a column, so that a column has one height.
      const wave = (i: number) => 0.8 * Math.sin(2 * Math.PI * i / 1000);
      let sent = 0;
      const send = async () => {
        const samples = Array.from({ length: 50 }, (_, i) => wave(sent + i));
        await feed(monitor, { I: samples, II: samples.map((value) => -value) }, sent);
        sent += 50;
      };
      // Fed by the page's own clock, until the pen has gone over a sheet and begun another.
      await send();
      const due = "performance.now() / 1000";
      const began = await page.evaluate<number>(due);
      while (sent < 3.5 * RATE) {
        if (sent / RATE > await page.evaluate<number>(due) - began) await page.waitForTimeout(20);
        else await send();
      }
      const seconds = await page.evaluate<number>("viewer.chart.layout.seconds");
      assert(2.2 < seconds && seconds < 3, `one sheet holds ${seconds} s`);
      // In one go, so that the pen stays where it is.
      const found = await page.evaluate<[number, number, number | null][]>(`(() => {
      const ink = ${inkAt};
      const { chart } = viewer;
      const pen = Math.floor(chart.shown);
      return Array.from({ length: 40 }, (_, i) => {
        const sample = pen - 30 - 25 * i;
        const lead = i % 2;
        const { x, y } = chart.locate(lead, sample);
        return [sample, y, ink("pen", x, y, 12)];
      });
    })()`);
      for (const [sample, y, at] of found) {
        assert(
          at !== null && Math.abs(at - y) <= 1.5,
          `sample ${sample}: ink at ${at}, wanted ${y}`,
        );
      }
      assertEquals(await page.textContent("#state"), "live");
      assertEquals(await page.textContent("#lost"), "0");
    }, { width: 480 }),
);

test(
  "viewer shades what is missing, and counts it",
  needsBrowser,
  () =>
    withViewer(async (page, monitor) => {
      const flat = Array.from({ length: RATE }, () => 0);
      await feed(monitor, { II: flat }, 0);
      await feed(monitor, { II: flat }, RATE + 700);
      await still(page, 2 * RATE + 700);
      const painted = (seconds: number) =>
        page.evaluate<number>(`(() => {
        const wide = document.getElementById("paper").width;
        const back = ${seconds} * viewer.chart.layout.pxPerSecond;
        const { canvas, x } = (${canvasAt})("pen", wide - back);
        return canvas.getContext("2d").getImageData(x, 20, 1, 1).data[3];
      })()`);
      assert(await painted(1 + 0.7) > 20, "the gap is not shaded");
      assertEquals([await painted(0.5), await painted(2.9)], [0, 0]);
      await until(page, "document.getElementById('lost').textContent === '700'");
    }),
);

test(
  "viewer shows an alarm until somebody acknowledges it",
  needsBrowser,
  () =>
    withViewer(async (page, monitor) => {
      await feed(monitor, { II: [0, 0, 0] }, 0);
      const type = MessageType.ANOMALY_ALERT;
      await monitor.publish({ anomaly: "<b>Asystole</b>", severity: "high" }, { type });
      await page.waitForSelector("#alarm:not([hidden])");
      assertEquals(await page.textContent("#alarm-title"), "<b>Asystole</b>");
      await page.keyboard.press("a");
      await page.waitForSelector("#alarm", { state: "hidden" });
      await monitor.publish({ beats: [{ sample: 1, symbol: "N" }], heart_rate: 61 }, {
        type: MessageType.FEATURE_DATA,
      });
      await until(page, "document.getElementById('heart').textContent === '61 /min'");
    }),
);

test(
  "viewer pauses, leafs back and goes live again, by keys",
  needsBrowser,
  () =>
    withViewer(async (page, monitor) => {
      const ramp = Array.from({ length: 20 * RATE }, (_, i) => Math.sin(i / 50));
      await feed(monitor, { II: ramp }, 0);
      await until(page, `viewer.chart.trace?.end === ${20 * RATE}`);
      await page.keyboard.press("Space");
      await until(page, "viewer.chart.paused");
      const shown = () => page.evaluate<number>("viewer.chart.shown");
      const before = await shown();
      for (const key of ["ArrowLeft", "ArrowLeft", "ArrowRight"]) await page.keyboard.press(key);
      assertEquals(await shown(), before - RATE);
      await page.keyboard.press("Home");
      const seconds = await page.evaluate<number>("viewer.chart.layout.seconds");
      assertEquals(await shown(), Math.ceil(seconds * RATE));
      assertEquals(await page.getAttribute("#pause", "aria-pressed"), "true");
      await page.keyboard.press("End");
      await page.waitForSelector("#live", { state: "hidden" });
      for (const [key, field, value] of [["3", "speed", "50"], ["-", "gain", "5"]] as const) {
        await page.keyboard.press(key);
        assertEquals(await page.inputValue(`#${field}`), value);
      }
      // Twice the speed is half a sheet.
      await until(page, `Math.abs(viewer.chart.layout.seconds - ${seconds / 2}) < 0.01`);
    }),
);

test(
  "viewer takes the token out of the address, and says what a relay refuses",
  needsBrowser,
  () =>
    withViewer(async (page, monitor) => {
      assert(!page.url().includes("0123456789abcdef"), page.url());
      await page.reload();
      await until(page, "document.getElementById('state').textContent === 'waiting'");
      await monitor.publish({ signal: "nothing to draw", sampling_rate: 1 });
      await until(page, "document.getElementById('empty').textContent.includes('signal')");
    }, { token: "0123456789abcdef-token" }),
);

test(
  "viewer asks for the token that it lacks, and again for one that is not taken",
  needsBrowser,
  () =>
    withRelay(({ url }) =>
      withBrowser(async (browser) => {
        const page = await browser.newPage();
        await page.goto(`${url}/viewer#stream=a`);
        await page.waitForSelector("#token");
        assertEquals(await page.textContent("#state"), "not let in");
        assertEquals(await page.isVisible("#box"), false);
        assertEquals(await page.isVisible(".refused"), false);
        const words = await page.textContent("#ask");
        assert(!/bearer|subprotocol|header/i.test(words!), words!);
        await bringToken(page, "not-the-right-token");
        await page.waitForSelector(".refused");
        await bringToken(page, "0123456789abcdef-token");
        await page.locator("#state", { hasText: "waiting" }).waitFor();
        assert(await page.isVisible("#box"));
        assertEquals(new URL(page.url()).hash, "#stream=a");
        // Kept for the tab.
        await page.goto(`${url}/viewer#stream=b`);
        await page.locator("#title", { hasText: /^b$/ }).waitFor();
        await page.locator("#state", { hasText: "waiting" }).waitFor();
      }), { token: "0123456789abcdef-token" }),
);

test(
  "viewer asks what to watch: nothing connects before, and a name that is none is said to be",
  needsBrowser,
  () =>
    withRelay(({ url }) =>
      withBrowser(async (browser) => {
        const page = await browser.newPage();
        await page.goto(`${url}/viewer`);
        await page.waitForSelector("#stream");
        for (const id of ["state", "readings", "box", "controls", "unfit"]) {
          assertEquals(await page.isVisible(`#${id}`), false, id);
        }
        await page.fill("#stream", "../sync");
        await page.click("#ask button");
        await page.waitForSelector("#unfit");
        assert((await page.textContent("#unfit"))!.includes('".."'));
        assertEquals(await page.inputValue("#stream"), "../sync");
        await page.fill("#stream", "bed 3");
        await page.click("#ask button");
        await page.locator("#state", { hasText: "waiting" }).waitFor();
        assertEquals(await page.textContent("#title"), "bed 3");
      })
    ),
);

test(
  "viewer fits a phone: nothing to scroll sideways, controls large enough",
  needsBrowser,
  () =>
    withViewer(async (page, monitor) => {
      await feed(monitor, { I: [0, 1], II: [1, 0] }, 0);
      await until(page, "viewer.chart.trace?.end === 2");
      const wide = await page.evaluate<number>("document.documentElement.scrollWidth");
      assertEquals(wide, 360);
      const low = await page.evaluate<number>(
        "Math.min(...[...document.querySelectorAll('nav button:not([hidden]), nav select')]" +
          ".map((one) => one.getBoundingClientRect().height))",
      );
      assert(low >= 40, `a control is ${low} px high`);
    }, { width: 360 }),
);

test(
  "viewer bears streams that make no sense, and goes on",
  needsBrowser,
  () =>
    withViewer(async (page, monitor) => {
      const odd = [
        { signal: [1, 2, 3], sampling_rate: 0.001 },
        { signal: [1e300, -1e300, NaN], sampling_rate: 1e5 },
        { signal: Array.from({ length: 32 }, () => [1]), sampling_rate: 1e5 },
        { signal: Array.from({ length: 50_000 }, () => 1), sampling_rate: 0.5 },
        { signal: [[], []], sampling_rate: 1 },
        { signal: [1], sampling_rate: 500, sample: 2 ** 52, timestamp: 1e300 },
      ];
      for (const payload of odd) {
        await monitor.publish(payload, { acknowledged: true });
        await page.evaluate(TWO_FRAMES);
      }
      for (let i = 0; i < 60; i++) {
        await monitor.publish({ signal: [[1], [2]], leads: ["a", `b${i}`], sampling_rate: 1e5 });
      }
      const type = MessageType.FEATURE_DATA;
      await monitor.publish({ beats: [1e300, -5, NaN, { sample: "x" }], heart_rate: 1e9 }, {
        type,
      });
      await feed(monitor, { II: [0.5, 0.25] }, 0);
      await until(page, "viewer.chart.trace.end === 2 && viewer.chart.trace.rate === 500");
      await page.evaluate(TWO_FRAMES);
      assertEquals(await page.evaluate("viewer.chart.trace.value(0, 1)"), 0.25);
    }),
);

test(
  "viewer joins late and shows the past, and an alarm in its place",
  needsBrowser,
  () =>
    withRelay(({ url }) =>
      withBrowser(async (browser) => {
        const leads = [{ name: "II", unit: "uV", gain: 1, baseline: 0 }];
        const monitor = EcgClient.open({ url, stream: "a", scale: { sampling_rate: RATE, leads } });
        const second = new Int32Array(RATE).fill(1000);
        const publish = () => monitor.publishSamples([second], {}, { acknowledged: true });
        for (let i = 0; i < 5; i++) await publish();
        await monitor.publish({ anomaly: "PVC", sample: 1200 }, {
          type: MessageType.ANOMALY_ALERT,
        });
        const page = await browser.newPage({ viewport: { width: 1200, height: 400 } });
        await page.goto(`${url}/viewer#stream=a`);
        await until(page, `globalThis.viewer?.chart.trace?.end === ${5 * RATE}`);
        await publish();
        await until(page, `viewer.chart.trace.end === ${6 * RATE}`);
        const found = await page.evaluate<unknown[]>(`(() => {
        const { trace, marks } = viewer.chart;
        const at = [];
        marks.within(0, 1e9, ({ sample }) => at.push(sample));
        return [trace.leads[0].units, trace.value(0, 700), trace.gaps.length, ...at];
      })()`);
        assertEquals(found, ["mV", 1, 0, 1200]);
        assertEquals(await page.textContent("#alarm-title"), "PVC");
        monitor.close();
      })
    ),
);

test(
  "dashboard shows what passes, and asks for a token where one is needed",
  needsBrowser,
  () =>
    withRelay(({ url }) =>
      withBrowser(async (browser) => {
        const token = "0123456789abcdef-token";
        const monitor = EcgClient.open({ url, stream: "a", token });
        const page = await browser.newPage();
        await page.goto(`${url}/dashboard`);
        await page.waitForSelector("#token");
        await bringToken(page, "not-the-right-token");
        await page.waitForSelector(".refused");
        await bringToken(page, token);
        await monitor.publish({ signal: [1, 2], sampling_rate: 2 }, { acknowledged: true });
        await until(
          page,
          "[...document.querySelectorAll('td')].some((cell) => cell.textContent === 'ECG_DATA')",
        );
        assertEquals(await page.textContent("#state"), "");
        // However few seconds are known, they fill the line.
        await until(
          page,
          `(() => {
            const { width, height } = document.querySelector("canvas");
            const pen = document.querySelector("canvas").getContext("2d");
            const { data } = pen.getImageData(0, 0, Math.ceil(width / 50), height);
            return data.some((part) => part > 0);
          })()`,
        );
        const other = await browser.newPage();
        await other.goto(`${url}/dashboard#token=${token}`);
        await other.waitForSelector("td");
        assert(!other.url().includes(token));
        monitor.close();
      }), { token: "0123456789abcdef-token" }),
);
