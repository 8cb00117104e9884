import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { loadZstd } from "../src/client/blaze/zstd.ts";
import { BlazePair, type PairOptions, type PairStatus } from "../src/client/mod.ts";
import { PacedLink } from "../src/client/pacer.ts";
import { Deliveries, encodeReceipt, type Way } from "../src/client/pair/deliveries.ts";
import { LIMITS } from "../src/limits.ts";
import { Bucket } from "../src/session/rate.ts";
import type { Bytes } from "../src/wire/bytes.ts";
import { Refused } from "../src/close.ts";
import { encodeFault } from "../src/wire/blaze/control.ts";
import { decodeFrame, encodeFrame, FrameType, frameType } from "../src/wire/blaze/blaze_frame.ts";
import { decodeOperation, encodeOperation } from "../src/wire/blaze/operation.ts";
import { Uuid } from "../src/wire/blaze/blaze_record.ts";
import { scissors } from "./kit/cut.ts";
import { FakeHost } from "./kit/fake_host.ts";
import { eventually, group, withDevices } from "./kit/group.ts";
import { LiteralClient } from "./kit/literal.ts";
import { pair, trusting } from "./kit/pair.ts";
import { refusal } from "./kit/refusal.ts";
import { withRelay } from "./kit/relay.ts";
import { TestSocket } from "./kit/socket.ts";

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

// -- Everything arrives, once

const quick = { database: "notes", trust, backoff: { first: 1, most: 5 } } as const;

/** Numbers that arrive, in their order. */
function numbers(device: BlazePair): number[] {
  const got: number[] = [];
  const collect = async () => {
    for await (const { operation } of device) got.push(Number(operation.changes.n));
  };
  collect().catch(() => {});
  return got;
}

async function twoDevices(
  run: (a: BlazePair, b: BlazePair, got: number[]) => Promise<void>,
  options: { a?: Partial<PairOptions>; b?: Partial<PairOptions> },
): Promise<void> {
  await withRelay(async ({ url }) => {
    const a = BlazePair.open({ url, ...quick, ...options.a });
    const b = BlazePair.open({ url, ...quick, ...options.b });
    try {
      const got = numbers(b);
      await Promise.all([a.ready, b.ready]);
      await run(a, b, got);
    } finally {
      await Promise.all([a.close(), b.close()]);
    }
  });
}

test("an operation that is being sealed when its link goes arrives over the next one", () => {
  const way = scissors();
  const loading = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const slowly = async () => {
    begun.resolve();
    await loading.promise;
    return await loadZstd();
  };
  return twoDevices(async (a, _b, got) => {
    const sent = a.collection("x").insert({ n: 1, text: "x".repeat(500) });
    await begun.promise;
    way.cut();
    loading.resolve();
    await sent;
    await a.collection("x").insert({ n: 2 });
    assertEquals(got, [1, 2]);
  }, { a: { transport: way.transport, loadZstd: slowly } });
});

test("an operation that the network swallows arrives over the next link", () => {
  const way = scissors();
  return twoDevices(async (a, _b, got) => {
    const swallowed = Promise.withResolvers<void>();
    way.passes = (message, up) => {
      if (!up || frameType(message) !== FrameType.operation) return true;
      swallowed.resolve();
      return false;
    };
    const sent = a.collection("x").insert({ n: 1 });
    await swallowed.promise;
    assertEquals(got, []);
    way.passes = () => true;
    way.cut();
    await sent;
    assertEquals(got, [1]);
  }, { a: { transport: way.transport } });
});

test("an operation whose receipt is lost is sent again, and counts once", () => {
  const way = scissors();
  return twoDevices(async (a, _b, got) => {
    const swallowed = Promise.withResolvers<void>();
    way.passes = (message, up) => {
      if (up || frameType(message) !== FrameType.operationAck) return true;
      swallowed.resolve();
      return false;
    };
    let resolved = false;
    const sent = a.collection("x").insert({ n: 1 }).then(() => resolved = true);
    await swallowed.promise;
    assertEquals([resolved, got], [false, [1]]);
    const again = Promise.withResolvers<void>();
    way.passes = (message, up) => {
      if (up && frameType(message) === FrameType.operation) again.resolve();
      return true;
    };
    way.cut();
    await Promise.all([again.promise, sent]);
    await a.collection("x").insert({ n: 2 });
    assertEquals(got, [1, 2]);
  }, { a: { transport: way.transport } });
});

test("whoever's link goes, and however often: all that was written arrives once, in order", () => {
  const ways = [scissors(), scissors()];
  return twoDevices(async (a, _b, got) => {
    const all: Promise<unknown>[] = [];
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 50; i++) all.push(a.collection("x").insert({ n: all.length }));
      await eventually(() => got.length > 50 * round, "some have come");
      ways[round % 2]!.cut();
    }
    await Promise.all(all);
    assertEquals(got, Array.from(all, (_, n) => n));
  }, { a: { transport: ways[0]!.transport }, b: { transport: ways[1]!.transport } });
});

test("a partner that leaves with an operation unread gets it when it is back", () => {
  const way = scissors();
  return twoDevices(async (a, _b, got) => {
    const swallowed = Promise.withResolvers<void>();
    way.passes = (message, up) => {
      if (up || frameType(message) !== FrameType.operation) return true;
      swallowed.resolve();
      return false;
    };
    const sent = a.collection("x").insert({ n: 1 });
    await swallowed.promise;
    way.passes = () => true;
    way.cut();
    await sent;
    assertEquals(got, [1]);
  }, { b: { transport: way.transport } });
});

test("for a literal client an operation is sent once the relay has answered behind it", () =>
  withRelay(async ({ url }) => {
    const way = scissors();
    const options = { ...quick, confirm: () => true, transport: way.transport };
    const device = BlazePair.open({ url, ...options });
    const meet = async (): Promise<[LiteralClient, TestSocket]> => {
      const literal = new LiteralClient("notes");
      const link = await TestSocket.connect({ url }, "/sync/notes");
      link.send(literal.handshake());
      link.send(literal.acknowledge(literal.read(await link.next()).payload));
      await device.ready;
      return [literal, link];
    };
    const counter = async ([literal, link]: [LiteralClient, TestSocket]) => {
      const opened = literal.open(literal.read(await link.next()).payload);
      return decodeOperation(new Uint8Array(opened)).counter;
    };
    const first = await meet();
    way.passes = (message, up) => up || frameType(message) !== FrameType.pong;
    let resolved = false;
    const sent = device.collection("x").insert({}).then(() => resolved = true);
    const came = await counter(first);
    assertEquals(resolved, false);
    way.passes = () => true;
    way.cut();
    await first[1].closed();
    const second = await meet();
    assertEquals(await counter(second), came);
    await sent;
    const many = Array.from({ length: 100 }, () => device.collection("x").insert({}));
    for (const _ of many) await counter(second);
    await Promise.all(many);
    await device.close();
    second[1].close();
  }));

test("what a token may not write is refused, and waits for nothing", () =>
  withRelay(async ({ url }) => {
    const a = BlazePair.open({ url, ...quick });
    const way = scissors();
    const b = BlazePair.open({ url, ...quick, transport: way.transport });
    await a.ready;
    // As a relay says it to a token that may only read.
    const error = encodeFrame({
      type: FrameType.error,
      payload: encodeFault({ code: Refused.readOnly.code, message: "read_only" }),
    });
    way.passes = (message, up) => {
      if (!up || frameType(message) !== FrameType.operation) return true;
      queueMicrotask(() => way.hear(error));
      return false;
    };
    await b.ready;
    assertEquals(await refusal(() => b.collection("x").insert({})), "READ_ONLY");
    await Promise.all([a.close(), b.close()]);
  }));

test("a receipt is never compressed: it opens where nothing can be decompressed", () => {
  const way = scissors();
  const compressed: boolean[] = [];
  way.passes = (message, up) => {
    if (up && frameType(message) === FrameType.operationAck) {
      compressed.push(decodeFrame(message).compressed);
    }
    return true;
  };
  return twoDevices(async (a) => {
    for (let n = 0; n < 3; n++) await a.collection("x").insert({ n });
    assertEquals(compressed, [false, false, false]);
  }, { b: { transport: way.transport, compress: "always" } });
});

test("operations are told apart by the bond, too: a partner cannot wear the run of another one", async () => {
  const program = new Uint8Array(16).fill(7);
  const trusts = { a: trusting(), b: trusting() };
  const seen: (string | undefined)[] = [];
  const meet = (trust: typeof trusts) =>
    pair(
      (a, b) => {
        assertEquals(a.pairing.receipts, b.pairing.receipts);
        seen.push(a.pairing.receipts);
        return Promise.resolve();
      },
      undefined,
      { program, trust },
    );
  for (const trust of [trusts, trusts, { a: trusting(), b: trusting() }]) await meet(trust);
  assert(seen.every((one) => one !== undefined));
  assertEquals(seen[1], seen[0], "the same partner");
  assert(seen[2] !== seen[0], "another one");
});

// -- What is on the way

const plaintext = (counter: bigint, bytes = 1): Bytes =>
  encodeOperation({
    kind: "insert",
    collection: "x",
    id: Uuid.from(new Uint8Array(16)),
    counter,
    node: 1,
    changes: { filler: new Uint8Array(bytes) },
  });

/** A way that remembers what went, and answers nothing by itself. */
function silent(receipts: string | undefined, host = new FakeHost()) {
  const sent: bigint[] = [];
  const asked: bigint[] = [];
  const way: Way = {
    hash: 1,
    live: true,
    receipts,
    send(_type, bytes) {
      sent.push(decodeOperation(bytes).counter);
      return Promise.resolve(bytes.length);
    },
    ask: (number) => asked.push(number),
  };
  const settled = () => new Promise((resolve) => setTimeout(resolve, 5));
  return { sent, asked, way, host, delivery: new Deliveries(host), settled };
}

const upTo = (n: number): bigint[] => Array.from({ length: n }, (_, i) => BigInt(i + 1));

test("no more is on the way than a partner and a relay can hold", async () => {
  const { sent, way, delivery, settled } = silent("b");
  delivery.begin(way);
  const all = upTo(3_000).map((n) => delivery.add(plaintext(n), n, 1));
  await settled();
  assertEquals(sent.length, 1024);
  // The oldest is missing: nothing goes on, however much else is taken.
  delivery.taken(upTo(1024).slice(1));
  await settled();
  assertEquals(sent.length, 1024);
  delivery.taken([1n]);
  await settled();
  assertEquals(sent.length, 2048);
  delivery.taken(upTo(2048));
  await settled();
  delivery.taken(upTo(3_000));
  await Promise.all(all);
  const big = upTo(9).map((n) => delivery.add(plaintext(n, 1 << 20), n, 1));
  await settled();
  assertEquals(sent.length, 3_004);
  for (const _ of big) {
    delivery.taken(sent);
    await settled();
  }
  await Promise.all(big);
});

test("what nobody answers for a minute is sent again, in its order, over the same link", async () => {
  const { sent, way, host, delivery, settled } = silent("b");
  delivery.begin(way);
  const all = upTo(3).map((n) => delivery.add(plaintext(n), n, 1));
  await settled();
  delivery.taken([2n]);
  host.pass(59_000);
  await settled();
  assertEquals(sent, [1n, 2n, 3n]);
  host.pass(1_000);
  await settled();
  assertEquals(sent, [1n, 2n, 3n, 1n, 3n]);
  delivery.taken([1n, 3n]);
  await Promise.all(all);
  assertEquals(host.waiting, 0);
});

test("one Ping stands for many operations, and never for one that has not left", async () => {
  const { sent, asked, way, delivery, settled } = silent(undefined);
  const gates: (() => void)[] = [];
  const slow: Way = {
    ...way,
    async send(type, bytes) {
      await new Promise<void>((resolve) => gates.push(resolve));
      return await way.send(type, bytes);
    },
  };
  const done: number[] = [];
  delivery.begin(slow);
  for (const n of upTo(4)) void delivery.add(plaintext(n), n, 1).then(() => done.push(Number(n)));
  const open = async () => {
    await settled();
    gates.shift()!();
    await settled();
  };
  await open();
  assertEquals([sent, asked], [[1n], [1n]]);
  await open();
  await open();
  assertEquals([sent.length, asked], [3, [1n]]);
  // The fourth is being sealed.
  delivery.passed(1n);
  assertEquals(asked, [1n, 3n]);
  delivery.passed(4n);
  await settled();
  assertEquals(done, [1]);
  delivery.passed(3n);
  await settled();
  assertEquals(done, [1, 2, 3]);
  await open();
  delivery.passed(asked.at(-1)!);
  await settled();
  assertEquals(done, [1, 2, 3, 4]);
});

test("a receipt names each operation by eight bytes", () =>
  assertEquals(encodeReceipt([1n, 2n ** 64n - 1n]).join(), "0,0,0,0,0,0,0,1" + ",255".repeat(8)));
