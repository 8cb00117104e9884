import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { EcgClient, type EcgMessage, MessageType } from "../../src/client/mod.ts";
import { withRelay } from "../kit/relay.ts";
import { throttle } from "../kit/throttle.ts";

/** A watcher behind a throttle: what came, and what it was told that it lost. */
async function behind(url: string, rate: number) {
  const proxy = await throttle({ url }, rate);
  const client = EcgClient.open({ url: proxy.url, stream: "bed-3" });
  const loop = await client.watch();
  const messages: { message: EcgMessage; at: number }[] = [];
  let wake = () => {};
  const reading = (async () => {
    for await (const message of loop) {
      messages.push({ message, at: performance.now() });
      wake();
    }
  })();
  return {
    messages,
    rate,
    proxy,
    until: async (enough: () => boolean) => {
      while (!enough()) await new Promise<void>((resolve) => wake = resolve);
    },
    stop: async () => {
      client.close();
      await reading;
      await proxy.stop();
    },
  };
}

const slow =
  "a watcher throttled to half or a tenth gets every alarm in time, and knows its losses";
test(slow, { timeout: 60_000 }, () =>
  withRelay(async ({ url }) => {
    // Noise, which nothing makes smaller: 10 messages of about 1,000 bytes a second.
    const random = new Int32Array(500);
    const scale = {
      sampling_rate: 5_000,
      leads: [{ name: "x", unit: "mV", gain: 1, baseline: 0 }],
    };
    const size = 1_050;
    const watchers = await Promise.all([behind(url, 10 * size / 2), behind(url, 10 * size / 10)]);
    const monitor = EcgClient.open({ url, stream: "bed-3", scale });
    await monitor.ready;
    const seconds = 6;
    const raised = new Map<number, number>();
    const start = performance.now();
    for (let n = 0; n < 10 * seconds; n++) {
      for (let i = 0; i < random.length; i++) random[i] = (n * 7919 + i * 104_729) % 32_749;
      const timestamp = BigInt(n + 1);
      const wait = start + 100 * n - performance.now();
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, wait)));
      await monitor.publishSamples([random.slice()], {}, { timestamp });
      if (n % 10 !== 5) continue;
      raised.set(n, performance.now());
      await monitor.publish({ n }, { type: MessageType.ANOMALY_ALERT, timestamp });
    }
    const end = BigInt(10 * seconds + 1);
    await monitor.publish({ end: true }, { type: MessageType.ANOMALY_ALERT, timestamp: end });
    for (const watcher of watchers) {
      // After the last alarm comes what still waited, if only word of what was lost.
      await watcher.until(() => {
        let known = 0;
        for (const { message: { gap, type } } of watcher.messages) {
          known += (gap?.messages ?? 0) + (type === MessageType.ECG_DATA ? 1 : 0);
        }
        // The last messages may be lost with none behind them to say so.
        return known >= 10 * seconds - 25 &&
          watcher.messages.some(({ message }) => message.timestamp === end);
      });
      let expected = 1n;
      const alarms: number[] = [];
      for (const { message, at } of watcher.messages) {
        if (message.gap) {
          assertEquals(message.gap.from, expected);
          expected = message.gap.to + 1n;
          assertEquals(message.gap.messages, Number(message.gap.to - message.gap.from) + 1);
          assertEquals(message.gap.samples, 500 * message.gap.messages);
        }
        if (message.type === MessageType.ECG_DATA) assertEquals(message.timestamp, expected++);
        else if (message.timestamp !== end) {
          const n = (message.payload as { n: number }).n;
          alarms.push(n);
          const late = at - raised.get(n)!;
          // Its credit takes this long: one message, and what 200 ms bring. A backlog is ten times that.
          const ratio = late / (1000 * 1.3 * size / watcher.rate + 200);
          assert(ratio < 3, `alarm ${n} came ${ratio} credits late at ${watcher.rate} B/s`);
        }
      }
      assertEquals(alarms, Array.from({ length: seconds }, (_, i) => 10 * i + 5));
      assert(expected < end, "something was lost");
    }
    monitor.close();
    await Promise.all(watchers.map((one) => one.stop()));
  }));

const changing =
  "a watcher that gets slow and fast again knows every message it lost, over topics too";
test(changing, { timeout: 60_000 }, () =>
  withRelay(async ({ url }) => {
    const watcher = await behind(url, 1e9);
    const monitor = EcgClient.open({ url, stream: "bed-3" });
    await monitor.ready;
    // About 8 kB of noise, 40 times a second: enough to fill what lies on the way.
    const publish = async (from: number, to: number) => {
      for (let n = from; n < to; n++) {
        const signal = Int16Array.from({ length: 2_700 }, (_, i) =>
          (n * 7919 + i * 104_729) % 32_749);
        await monitor.publish({ signal }, { timestamp: BigInt(n + 1) });
        await new Promise((resolve) =>
          setTimeout(resolve, 25)
        );
      }
    };
    await publish(0, 80);
    watcher.proxy.rate = 40_000;
    await publish(80, 200);
    watcher.proxy.rate = 1e9;
    await publish(200, 280);
    await watcher.until(() => watcher.messages.at(-1)?.message.timestamp === 280n);
    let expected = 1n;
    let lost = 0;
    for (const { message: { gap, timestamp } } of watcher.messages) {
      if (gap) {
        assertEquals([gap.from, gap.samples], [expected, 2_700 * gap.messages]);
        assertEquals(gap.messages, Number(gap.to - gap.from) + 1);
        expected = gap.to + 1n;
        lost += gap.messages;
      }
      assertEquals(timestamp, expected++);
    }
    assert(lost > 20, `${lost} lost`);
    monitor.close();
    await watcher.stop();
  }));
