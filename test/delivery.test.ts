import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { BlazePair, type PairStatus } from "../src/client/mod.ts";
import { PacedLink } from "../src/client/pacer.ts";
import { LIMITS } from "../src/limits.ts";
import { Bucket } from "../src/session/rate.ts";
import { FakeHost } from "./kit/fake_host.ts";
import { eventually, group, withDevices } from "./kit/group.ts";
import { withRelay } from "./kit/relay.ts";

const trust = "first";

// -- No more than the relay takes

test("a paced link keeps within the relay's own buckets, and uses four fifths of them", async () => {
  const host = new FakeHost();
  const burst = LIMITS.burstSeconds.value;
  for (const [length, rate] of [[1, LIMITS.messagesPerSecond], [1 << 20, LIMITS.bytesPerSecond]]) {
    const { value } = rate as { value: number };
    const unit = rate === LIMITS.messagesPerSecond ? 1 : length as number;
    const relay = new Bucket(value, burst * value, () => host.now());
    let sent = 0;
    const send = () => {
      assert(relay.take(unit), `message ${sent} is too many`);
      sent++;
    };
    const link = new PacedLink({ remote: "", buffered: 0, send, close() {} }, host, {});
    const message = new Uint8Array(length as number);
    let on = true;
    const sending = (async () => {
      for (; on; await link.turn()) link.send(message);
    })();
    const seconds = 4;
    for (let ms = 0; ms < 1000 * seconds; ms += 20) {
      host.pass(20);
      // What may go has gone once nothing moves any more.
      for (let before = -1; before !== sent;) {
        before = sent;
        await new Promise((resolve) => setTimeout(resolve));
      }
    }
    on = false;
    host.pass(10_000);
    await sending;
    const most = (seconds + burst) * value / unit;
    assert(sent > 0.75 * most && sent < 0.81 * most + 2, `${sent} of ${most}`);
  }
});

const narrow = { messagesPerSecond: 500, burstSeconds: 1 } as const;

test("BlazePair sends what waited no faster than the relay takes it: all of it arrives", () =>
  withRelay(async ({ url }) => {
    const faults: PairStatus[] = [];
    const options = { url, database: "notes", trust, pace: narrow, compress: "never" } as const;
    const a = BlazePair.open(options);
    a.onStatus((status) => status.kind === "offline" && faults.push(status));
    const all = Array.from({ length: 1_200 }, (_, n) => a.collection("x").insert({ n }));
    const b = BlazePair.open(options);
    const arrivals = b[Symbol.asyncIterator]();
    for (let n = 0; n < all.length; n++) {
      assertEquals((await arrivals.next()).value.operation.changes, { n });
    }
    await Promise.all(all);
    assertEquals(faults, []);
    await Promise.all([a.close(), b.close()]);
  }, { limits: narrow }));

test("a group sends what waited no faster than the relay takes it", () =>
  withRelay(({ url }) =>
    withDevices(async (kit) => {
      const { devices: [a, b] } = await group(kit, url, 2, { pace: narrow });
      const offline = a!.statuses.length;
      await Promise.all(
        Array.from({ length: 1_200 }, (_, n) => a!.client.collection("x").insert({ n })),
      );
      await eventually(() => b!.incoming.length === 1_200, "all of them have come");
      assertEquals(a!.statuses.slice(offline).filter(({ kind }) => kind === "offline"), []);
    }), { limits: narrow }));
