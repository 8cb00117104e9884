/** ECG and epochs that are over: what is taken of them for a moment, and from whom. */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { type EcgSeal, Flag, MessageType, type SealedHeader } from "../src/client/mod.ts";
import { Compression } from "../src/client/blaze/compression.ts";
import { Group } from "../src/client/group/log/group_state.ts";
import { StreamSeal } from "../src/client/group/stream_seal.ts";
import { host } from "../src/host.ts";
import { type Bytes, fromHex, utf8Bytes } from "../src/wire/bytes.ts";
import { backedUp, eventually, group, type Told, withDevices } from "./kit/group.ts";
import { restored } from "./kit/kept_group.ts";
import { withRelay } from "./kit/relay.ts";

const sample: SealedHeader = {
  stream: "bed-3",
  type: MessageType.ECG_DATA,
  flags: Flag.ENCRYPTED,
  timestamp: 1_705_314_645_123_456n,
};
const alarm: SealedHeader = { ...sample, type: MessageType.ANOMALY_ALERT };
/** Where the flag SIGNED is: behind epoch id, node and instance. */
const FLAGS_AT = 32;
const SIGNED = 2;

const text = utf8Bytes("asystole");
const compression = new Compression({ mode: "never", fault: () => {} });

/** Seals as any device, with the keys of an epoch and the signature key of whoever stored this. */
async function forger(stored: Map<string, Bytes>, as: string): Promise<StreamSeal> {
  const { epoch, database, membership } = await restored(stored);
  const made = { epoch, database, membership, nodeId: fromHex(as) } as unknown as Group;
  const device = {
    host,
    ready: Promise.resolve(),
    group: () => made,
    onEpoch: () => () => {},
  };
  return new StreamSeal(device, { compression, pad: true });
}

const opened = async (seal: EcgSeal, sealed: Bytes, header: SealedHeader): Promise<string> => {
  const bytes = await seal.open(sealed, header);
  assertEquals(bytes, text);
  return "opened";
};
const outcome = (seal: EcgSeal, sealed: Bytes, header: SealedHeader): Promise<string> => {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  opened(seal, sealed, header).then(resolve, (error) => {
    const { code } = error as { code?: string };
    if (code === undefined) reject(error);
    else resolve(code);
  });
  return promise;
};

/** Later, while something runs: groups measure by it how long an epoch is heard. */
async function later(ms: number, run: () => Promise<void>): Promise<void> {
  const now = performance.now.bind(performance);
  performance.now = () => now() + ms;
  try {
    await run();
  } finally {
    performance.now = now;
  }
}

/** Runs something, and waits until another device is `epochs` further. */
async function followed(by: Told, epochs: number, run: () => Promise<void>): Promise<void> {
  const number = () => by.statuses.findLast((status) => status.kind === "epoch")!.number;
  const after = number() + epochs;
  await run();
  await eventually(() => number() === after, "it follows");
}

/** Three devices, and what the third has stored. */
const ward = (
  run: (a: Told, b: Told, c: Told, stored: Map<string, Bytes>) => Promise<void>,
) =>
  withRelay(({ url }) =>
    withDevices(async (kit) => {
      const kept = backedUp();
      const { devices: [a, b], invitation } = await group(kit, url, 2);
      const c = kit.open({ url, invitation, storage: kept.storage });
      await c.client.ready;
      await eventually(() => [a!, b!].every(({ client }) => client.devices().length === 3), "in");
      await run(a!, b!, c, await kept.copy());
    })
  );

test("ecgSeal: with an old epoch's keys a removed device forges no alarm and no sample", () =>
  ward(async (a, b, c, stored) => {
    const [na, nc] = await Promise.all([a.client.node(), c.client.node()]);
    const real = a.client.ecgSeal();
    const [realAlarm, secondAlarm] = [await real.seal(text, alarm), await real.seal(text, alarm)];
    const realSample = await real.seal(text, sample);
    const seal = b.client.ecgSeal();
    const [asA, asSelf] = [await forger(stored, na), await forger(stored, nc)];
    // While it is a member its own word counts, and in another one's name none that is signed.
    assertEquals(await outcome(seal, await asSelf.seal(text, alarm), alarm), "opened");
    assertEquals(await outcome(seal, await asA.seal(text, alarm), alarm), "BAD_SIGNATURE");

    await followed(b, 1, () => a.client.remove(nc));
    assertEquals(await outcome(seal, await asA.seal(text, alarm), alarm), "BAD_SIGNATURE");
    assertEquals(await outcome(seal, await asSelf.seal(text, alarm), alarm), "NOT_A_MEMBER");
    assertEquals(await outcome(seal, await asA.seal(text, sample), sample), "OLD_EPOCH");
    assertEquals(await outcome(seal, await asSelf.seal(text, sample), sample), "OLD_EPOCH");
    // What passes for signed is checked as that, and what passes for unsigned is no alarm.
    const posing = await asA.seal(text, sample);
    posing[FLAGS_AT]! |= SIGNED;
    assertEquals(await outcome(seal, posing, sample), "BAD_SIGNATURE");
    const bare = await asA.seal(text, alarm);
    bare[FLAGS_AT]! &= ~SIGNED;
    assertEquals(await outcome(seal, bare, alarm), "UNSIGNED");
    assertEquals(await outcome(seal, realSample, sample), "OLD_EPOCH");
    // An alarm that was under way when the device was removed is heard, as what it was.
    const again = { ...alarm, timestamp: alarm.timestamp + 1n };
    assertEquals(await outcome(seal, realAlarm, again), "AUTH_FAILED");
    assertEquals(await outcome(seal, realAlarm, alarm), "opened");
    assertEquals(await outcome(seal, realAlarm, alarm), "REPLAY");
    await later(
      10_000,
      async () => assertEquals(await outcome(seal, secondAlarm, alarm), "OLD_EPOCH"),
    );
  }));

test("ecgSeal: live frames of the epoch before open for 10 s, and none of the one before that", () =>
  ward(async (a, b) => {
    const [real, seal] = [a.client.ecgSeal(), b.client.ecgSeal()];
    const samples: Bytes[] = [];
    for (let i = 0; i < 4; i++) samples.push(await real.seal(text, sample));
    const rotate = () => followed(b, 1, () => a.client.rotate());
    await rotate();
    await later(
      4_000,
      async () => assertEquals(await outcome(seal, samples[0]!, sample), "opened"),
    );
    await later(
      10_000,
      async () => assertEquals(await outcome(seal, samples[1]!, sample), "OLD_EPOCH"),
    );
    assertEquals(await outcome(seal, samples[2]!, sample), "opened");
    await rotate();
    assertEquals(await outcome(seal, samples[3]!, sample), "OLD_EPOCH");
    const alarms = await real.seal(text, alarm);
    assertEquals(await outcome(seal, alarms, alarm), "opened");
  }));

test("ecgSeal: a rotation right behind a removal leaves nothing of both epochs to whoever left", () =>
  ward(async (a, b, c, stored) => {
    const [na, nc] = await Promise.all([a.client.node(), c.client.node()]);
    const asA = await forger(stored, na);
    const seal = b.client.ecgSeal();
    const old = await asA.seal(text, sample);
    await followed(b, 1, () => a.client.remove(nc));
    await followed(b, 1, () => a.client.rotate());
    assertEquals(await outcome(seal, old, sample), "OLD_EPOCH");
    assertEquals(await outcome(seal, await asA.seal(text, alarm), alarm), "OLD_EPOCH");
  }));
