import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  ConnectionClosed,
  EcgClient,
  EcgRefused,
  type EcgStatus,
  Flag,
  MessageType,
  Version,
} from "../src/client/mod.ts";
import { recording } from "../tools/demo/demo_recording.ts";
import { hex } from "../src/wire/bytes.ts";
import { encode, open } from "../src/wire/ecg/ecg_message.ts";
import { framed, oddPayloads } from "./kit/ecg_lab.ts";
import { FakeHost } from "./kit/fake_host.ts";
import { puppet } from "./kit/puppet.ts";
import { withRelay } from "./kit/relay.ts";

for (const version of [Version.V1, Version.V2, Version.V3]) {
  test(`EcgClient watches in V${version} what a monitor publishes, every sample equal`, () =>
    withRelay(async ({ url }) => {
      const { signal, rate } = recording();
      const watcher = EcgClient.open({ url, stream: "ward 1/bed-3", version });
      const messages = await watcher.watch();
      const monitor = EcgClient.open({ url, stream: "ward 1/bed-3" });
      assertEquals((await watcher.ready).version, version);
      for (let second = 0; second < 5; second++) {
        const samples = signal.subarray(second * rate, (second + 1) * rate);
        await monitor.publish({ signal: samples, sampling_rate: rate }, { acknowledged: true });
        const { value } = await messages.next();
        assertEquals((value.payload as { signal: number[] }).signal, [...samples]);
        assertEquals(value.version, version);
      }
      monitor.close();
      watcher.close();
      assertEquals((await messages.next()).done, true);
    }));
}

test("EcgClient passes type, flags and time", () =>
  withRelay(async ({ url }) => {
    const watcher = EcgClient.open({ url, stream: "a" });
    const messages = await watcher.watch();
    const monitor = EcgClient.open({ url, stream: "a" });
    await monitor.publish({ kind: "PVC" }, {
      type: MessageType.ANOMALY_ALERT,
      flags: Flag.PRIORITY,
      timestamp: 2n ** 62n,
    });
    const { value } = await messages.next();
    assertEquals([value.type, value.flags, value.timestamp], [2, Flag.PRIORITY, 2n ** 62n]);
    assert(await monitor.ping() >= 0);
    monitor.close();
    watcher.close();
  }));

test("EcgClient hears what the relay refuses, and goes on", () =>
  withRelay(async ({ url }) => {
    const client = EcgClient.open({ url, stream: "a" });
    const statuses: EcgStatus[] = [];
    client.onStatus((status) => statuses.push(status));
    const error = await assertRejects(
      () => client.publish([1, 2, 3], { acknowledged: true }),
      EcgRefused,
    );
    assertEquals(error.code, 0x200);
    assertEquals(statuses.map(({ kind }) => kind), ["online", "fault"]);
    await client.publish({ signal: [1] }, { acknowledged: true });
    client.close();
  }));

test("EcgClient leaves a stream with its last loop", () =>
  withRelay(async ({ url }) => {
    const [watcher, monitor] = [
      EcgClient.open({ url, stream: "a" }),
      EcgClient.open({ url, stream: "a" }),
    ];
    const first = await watcher.watch();
    await monitor.publish({ signal: [1] });
    for await (const message of first) {
      assertEquals(message.payload, { signal: [1] });
      break;
    }
    await watcher.ping(); // the UNSUBSCRIBE went before it
    await monitor.publish({ signal: [2] }, { acknowledged: true });
    const second = await watcher.watch();
    await monitor.publish({ signal: [3] });
    assertEquals((await second.next()).value.payload, { signal: [3] });
    watcher.close();
    monitor.close();
  }));

test("EcgClient takes up its stream again after the relay was away", async () => {
  let port = 0;
  const backoff = { first: 5, most: 20 };
  let watcher!: EcgClient;
  let messages!: AsyncIterableIterator<{ payload: unknown }>;
  const away = Promise.withResolvers<void>();
  await withRelay(async (relay) => {
    port = relay.port;
    watcher = EcgClient.open({ url: relay.url, stream: "a", backoff });
    watcher.onStatus(({ kind }) => kind === "offline" && away.resolve());
    messages = await watcher.watch();
  });
  // The relay has gone; the watcher may not have heard of it yet.
  await away.promise;
  const { startRelay } = await import("../main.ts");
  const relay = await startRelay({ host: "127.0.0.1", port, token: "" });
  try {
    const monitor = EcgClient.open({ url: relay.url, stream: "a" });
    await watcher.ping(); // the SUBSCRIBE went before it
    await monitor.publish({ signal: [7] });
    assertEquals((await messages.next()).value.payload, { signal: [7] });
    monitor.close();
    watcher.close();
  } finally {
    await relay.stop();
  }
});

test("EcgClient ends with its signal", () =>
  withRelay(async ({ url }) => {
    const controller = new AbortController();
    const client = EcgClient.open({ url, stream: "a", signal: controller.signal });
    const messages = await client.watch();
    controller.abort();
    assertEquals((await messages.next()).done, true);
    await assertRejects(() => client.publish({ signal: [] }), ConnectionClosed);
  }));

// --- a relay that says what none of ours does ------------------------------------------------------

/** A client that has opened, and what it hears and says. The hello is still to come. */
async function strange() {
  const host = new FakeHost();
  const control = puppet(true);
  const client = EcgClient.open({
    url: "ws://relay",
    stream: "a",
    host,
    transport: control.transport,
  });
  const statuses: EcgStatus[] = [];
  client.onStatus((status) => statuses.push(status));
  await new Promise((resolve) => setTimeout(resolve));
  const { last } = control;
  return {
    host,
    client,
    statuses,
    say: (type: MessageType, payload: unknown) =>
      last.message(encode({ version: Version.V1, type, payload })),
    hear: (message: Uint8Array<ArrayBuffer>) => last.message(message),
    /** The oldest that it said, and nobody has looked at. */
    said: () => open(last.sent.shift() as Uint8Array),
  };
}

const hello = {
  supported_versions: [1, 2, 3],
  capabilities: [],
  max_message_size: 1_048_576,
};

test("EcgClient answers a PING with its payload byte for byte", async () => {
  const { client, host, say, hear, said } = await strange();
  say(MessageType.PROTOCOL_NEGOTIATION, hello);
  assertEquals(said().type, MessageType.VERSION_CHECK);
  for (const plain of oddPayloads) {
    hear(framed(2, MessageType.PING, 0, plain));
    await Promise.resolve();
    const { version, type, flags, msgpack, timestamp } = said();
    assertEquals([version, type, flags, timestamp], [3, MessageType.PONG, 0, host.unixMicros()]);
    assertEquals(hex(msgpack!), hex(plain));
  }
  const sealed = Uint8Array.of(0xc1, 1);
  hear(framed(3, MessageType.PING, Flag.ENCRYPTED, sealed));
  await Promise.resolve();
  const { flags, body } = said();
  assertEquals([flags, body], [Flag.ENCRYPTED, sealed]);
  client.close();
});

for (
  const payload of [null, {}, 7, [1], { code: "x", message: {} }, { code: NaN }, { code: 0.5 }]
) {
  test(`EcgClient makes of an ERROR that says ${JSON.stringify(payload)} a code and a text`, async () => {
    const { client, statuses, say } = await strange();
    say(MessageType.PROTOCOL_NEGOTIATION, hello);
    const asked = assertRejects(() => client.ping(), EcgRefused);
    await client.ready;
    await new Promise((resolve) => setTimeout(resolve));
    say(MessageType.ERROR, payload);
    const { code, message } = await asked;
    assertEquals(statuses.at(-1), { kind: "fault", code, message });
    assertEquals([code, message], [0x200, "the relay does not say what"]);
    client.close();
  });
}

for (const size of [-1, 0, 5, 0.5, NaN, Infinity, 2n ** 64n - 1n, "x", null, {}]) {
  test(`EcgClient goes by the protocol's limit where a relay says ${String(size)}`, async () => {
    const { client, host, say, said } = await strange();
    say(MessageType.PROTOCOL_NEGOTIATION, { ...hello, max_message_size: size });
    assertEquals((await client.ready).maxMessageSize, 1_048_576);
    assertEquals(said().type, MessageType.VERSION_CHECK);
    // It asks whether anybody is there, and nothing throws out of a timer.
    host.pass(10_000);
    assertEquals(said().type, MessageType.PING);
    client.close();
  });
}
