/**
 * Newcomers that were let in while they were away: whatever becomes of their welcomes, and of the logs that
 * show the way, they are in once they come and somebody is here.
 */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { memoryStorage } from "../src/client/mod.ts";
import { Saver } from "../src/client/blaze/storage.ts";
import { random } from "../src/client/group/e2e/derive.ts";
import { AwaitedNewcomers } from "../src/client/group/log/awaited.ts";
import type { EpochEnd } from "../src/client/group/log/ends.ts";
import { Group } from "../src/client/group/log/group_state.ts";
import type { GroupMembership } from "../src/client/group/mls/group_membership.ts";
import { decodeRecord, encodeRecord } from "../src/wire/blaze/blaze_record.ts";
import { Subtype } from "../src/wire/blaze/extension.ts";
import { type Bytes, hex } from "../src/wire/bytes.ts";
import { change } from "./kit/alone.ts";
import { appended } from "./kit/attack.ts";
import { forgetful } from "./kit/forgetful.ts";
import {
  backedUp,
  converged,
  count,
  type DeviceKit,
  eventually,
  insert,
  stillWork,
  synced,
  type Told,
  withDevices,
} from "./kit/group.ts";
import { storedAs } from "./kit/kept_group.ts";
import { type Hostile, isSubtype, withHostile } from "./kit/hostile.ts";
import { quickHost } from "./kit/quick_host.ts";
import { withRelay } from "./kit/relay.ts";

const host = quickHost(20);
const waits = ({ client }: Told) => eventually(() => client.state === "waiting", "it waits");

const awaits = (count: number) => ({ awaited }: Group) => awaited.length === count;

/** Everybody's links go to a relay that can lose its memory, and pass somebody who can lose messages. */
async function world(
  run: (parts: { kit: DeviceKit; hostile: Hostile; forget(): void }) => Promise<void>,
): Promise<void> {
  const { store, forget } = forgetful();
  await withRelay((relay) =>
    withHostile(
      relay.url,
      (hostile) => withDevices((kit) => run({ kit, hostile, forget })),
    ), { store });
}

/** Somebody knocks with a text, and is gone when it is answered. Answers how it comes back. */
async function knocked(
  kit: DeviceKit,
  url: string,
  invitation: string,
  { storage } = backedUp(),
): Promise<() => Told> {
  const newcomer = kit.open({ url, invitation, storage, host, name: "n" });
  await waits(newcomer);
  await newcomer.client.close();
  return () => kit.open({ url, storage, host });
}

const isWelcome = (message: Bytes) => appended(message) === Subtype.welcome;

for (const goes of [false, true]) {
  const who = goes ? "and another one comes back alone" : "and comes back";
  test(`a welcome that its author could not bring is brought when that one restarts, ${who}`, () =>
    world(async ({ kit, hostile }) => {
      const { url } = hostile;
      const [ofA, ofB] = [backedUp(), backedUp()];
      const a = kit.create({ url, database: "bugs", name: "a", storage: ofA.storage, host });
      const invitation = await a.client.invite();
      const b = kit.open({ url, invitation, name: "b", storage: ofB.storage, host });
      await insert(b, "heard");
      await converged([a, b], 1);
      const text = await a.client.invite();
      let lost = 0;
      hostile.up = (message) => {
        if (!isWelcome(message)) return;
        lost++;
        return [];
      };
      const comeBack = await knocked(kit, url, text);
      await eventually(() => lost > 0 && count(a) === 3 && count(b) === 3, "it is let in");
      await Promise.all([ofA, ofB].map((kept) => storedAs(kept, awaits(1))));
      await Promise.all([a.client.close(), b.client.close()]);
      hostile.up = () => {};
      const kept = goes ? ofB : ofA;
      const member = kit.open({ url, storage: kept.storage, host });
      const newcomer = comeBack();
      await eventually(() => count(newcomer) === 3, () => `${newcomer.faults()}`);
      await stillWork([member, newcomer], 1);
      // It was heard.
      await storedAs(kept, awaits(0));
    }));
}

test("a welcome that the relay has lost with its memory is brought again", () =>
  world(async ({ kit, hostile: { url }, forget }) => {
    const kept = backedUp();
    const a = kit.create({ url, database: "bugs", name: "a", storage: kept.storage, host });
    const ofN = backedUp();
    const comeBack = await knocked(kit, url, await a.client.invite(), ofN);
    await storedAs(kept, awaits(1));
    await a.client.close();
    forget();
    const again = kit.open({ url, storage: kept.storage, host });
    await synced(again);
    const newcomer = comeBack();
    await eventually(() => count(newcomer) === 2, () => `${newcomer.faults()}`);
    await stillWork([again, newcomer], 0);
    // It knows no other life of that log.
    await newcomer.client.close();
    const back = comeBack();
    await stillWork([again, back], 2);
    // The epoch that it came into is in doubt, and the next one is not.
    await storedAs(ofN, ({ doubt }) => doubt);
    await again.client.rotate();
    await stillWork([again, back], 4);
    await back.client.close();
    await storedAs(ofN, ({ doubt, past }) => !doubt && past.all.some(({ shown }) => shown));
  }));

test("a newcomer follows what came behind its welcome, also where the relay has lost both", () =>
  world(async ({ kit, hostile: { url }, forget }) => {
    const kept = backedUp();
    const a = kit.create({ url, database: "bugs", name: "a", storage: kept.storage, host });
    const comeBack = await knocked(kit, url, await a.client.invite());
    await storedAs(kept, awaits(1));
    await a.client.rotate();
    await a.client.close();
    forget();
    const again = kit.open({ url, storage: kept.storage, host });
    await synced(again);
    const newcomer = comeBack();
    await eventually(() => count(newcomer) === 2, () => `${newcomer.faults()}`);
    await stillWork([again, newcomer], 0);
  }));

test("and where the relay loses them as soon as it is in", () =>
  world(async ({ kit, hostile, forget }) => {
    const { url } = hostile;
    const [kept, ofN] = [backedUp(), backedUp()];
    const a = kit.create({ url, database: "bugs", name: "a", storage: kept.storage, host });
    const text = await a.client.invite();
    const newcomer = kit.open({ url, invitation: text, storage: ofN.storage, host });
    const node = await newcomer.client.node();
    let opened = 0;
    hostile.up = (message, victim) => {
      // The door, the log that shows the way, and that once more: to read it.
      if (victim.node !== node || !isSubtype(message, Subtype.open) || ++opened < 3) return;
      victim.close(1012);
      return [];
    };
    await eventually(() => opened >= 3, "it is in");
    await newcomer.client.close();
    await a.client.rotate();
    await a.client.close();
    hostile.up = () => {};
    forget();
    const again = kit.open({ url, storage: kept.storage, host });
    await synced(again);
    const back = kit.open({ url, storage: ofN.storage, host });
    await stillWork([again, back], 0);
  }));

/** As a device that has not kept what the logs have shown it of epochs before its own. */
function withoutShown(stored: Map<string, Bytes>): Map<string, Bytes> {
  const without = (bytes: Bytes) => encodeRecord({ ...decodeRecord(bytes), shown: null });
  return new Map(
    [...stored].map(([key, bytes]) => [key, key.startsWith("past/") ? without(bytes) : bytes]),
  );
}

for (const shown of [true, false]) {
  const who = shown ? "who joined behind its text, alone" : "who comes after somebody was let in";
  test(`the relay has lost its memory: a newcomer is shown the way by a member ${who}`, () =>
    world(async ({ kit, hostile: { url }, forget }) => {
      const [ofA, ofP] = [backedUp(), backedUp()];
      const a = kit.create({ url, database: "bugs", name: "a", storage: ofA.storage, host });
      const text = await a.client.invite({ minutes: 1_000 });
      const invitation = await a.client.invite();
      const p = kit.open({ url, invitation, name: "p", storage: ofP.storage, host });
      await insert(p, "of p");
      await converged([a, p], 1);
      await eventually(() => p.client.pending + a.client.pending === 0, "all is quiet");
      await Promise.all([a.client.close(), p.client.close()]);
      forget();
      const before = await ofP.copy();
      const { storage } = backedUp(shown ? before : withoutShown(before));
      const again = kit.open({ url, storage, host });
      const newcomer = kit.open({ url, invitation: text, name: "n", host });
      if (!shown) {
        // It follows the commit in place that has let in the newcomer, in the log of another ring.
        await eventually(() => count(again) === 3, "it is let in");
        assertEquals(count(newcomer), 0);
        kit.open({ url, storage: ofA.storage, host });
      }
      await eventually(() => count(newcomer) === 3, () => `${newcomer.faults()}`);
      await stillWork([again, newcomer], 1);
    }));
}

test("what an awaited newcomer has to be shown outlives a checkpoint, and a relay that forgets", () =>
  world(async ({ kit, hostile, forget }) => {
    const { url } = hostile;
    const [ofA, ofB] = [backedUp(), backedUp()];
    const common = { url, host, compress: "never" } as const;
    const a = kit.create({ ...common, database: "bugs", name: "a", storage: ofA.storage });
    const invitation = await a.client.invite();
    const b = kit.open({ ...common, invitation, name: "b", storage: ofB.storage });
    await b.client.ready;
    const text = await a.client.invite();
    await a.client.rotate();
    const comeBack = await knocked(kit, url, text);
    await eventually(() => count(a) === 3 && count(b) === 3, "it is let in");
    const large = hex(random(50_000));
    for (let i = 0; i < 12; i++) {
      await a.client.collection("bugs").insert({ title: `${i}`, large });
    }
    await converged([a, b], 12);
    const checked = ({ past }: Group) => past.unchecked.length === 0;
    await Promise.all([ofA, ofB].map((kept) => storedAs(kept, checked)));
    await Promise.all([a.client.close(), b.client.close()]);
    forget();
    const members = [ofA, ofB].map(({ storage }) => kit.open({ ...common, storage }));
    await synced(...members);
    const newcomer = comeBack();
    await converged([...members, newcomer], 12);
    await stillWork([...members, newcomer], 12);
  }));

test("an invitation is kept the way from for 256 epochs, and no longer", async () => {
  const names = { database: "bugs", constant: random(16) };
  const device = { name: "a", signed: false, postQuantum: false };
  const alone = await Group.create(names, new Saver(memoryStorage()), device);
  const expires = BigInt(Date.now() + 3_600_000);
  await change(alone, { kind: "invite", value: random(32), expires });
  const told: [bigint, bigint][] = [];
  for (let i = 0; i < 257; i++) {
    await change(alone, { kind: "rotate" });
    alone.forgetPast(alone.log!);
    told.push([alone.membership!.number, alone.oldestCarried]);
  }
  assertEquals(told.slice(-2), [[257n, 1n], [258n, 258n]]);
  // What is left are states, which are kept for a day.
  assertEquals(alone.past.all.map(({ state }) => state !== undefined), Array(8).fill(true));
});

test("a device awaits the last 32 that were let in and not heard, as long as they are members", () => {
  const NEWCOMERS = 40;
  const members = Array.from(
    { length: NEWCOMERS + 1 },
    () => ({ node: random(16), seed: random(16) }),
  );
  const state = (number: number, left = members.slice(0, number + 1)) =>
    ({
      number: BigInt(number),
      data: { invitations: [] },
      peers: () => left,
      peer: (node: Uint8Array | string) =>
        left.find((one) => hex(one.node) === (typeof node === "string" ? node : hex(node))),
    }) as unknown as GroupMembership;
  const nodes = members.slice(1).map(({ node }) => hex(node));
  const names = (awaited: AwaitedNewcomers) => awaited.all.map(({ node }) => node);
  const welcome = { door: random(32), frame: random(8) };
  const awaited = new AwaitedNewcomers();
  for (let i = 0; i < NEWCOMERS; i++) {
    awaited.follow(state(i), { next: state(i + 1), welcome, removes: [] } as unknown as EpochEnd);
  }
  assertEquals(names(awaited), nodes.slice(-32));
  assertEquals([awaited.heard(nodes.at(-1)!), awaited.heard(nodes[0]!)], [true, false]);
  const again = AwaitedNewcomers.restore(awaited.save());
  assertEquals(again.all, awaited.all);
  const left = members.slice(0, -2);
  const removal = { next: state(0, left), welcome: undefined, removes: [] } as unknown as EpochEnd;
  again.follow(state(NEWCOMERS), removal);
  assertEquals(names(again), nodes.slice(-32, -2));
  // One that came in again has another door.
  const back = left.map((one, i) => i === 20 ? { ...one, seed: random(16) } : one);
  const rejoin = { next: state(0, back), welcome, removes: [] } as unknown as EpochEnd;
  again.follow(state(NEWCOMERS + 1, left), rejoin);
  assertEquals(names(again).at(-1), hex(left[20]!.node));
  assertEquals(names(again).length, 30);
  again.backTo(BigInt(NEWCOMERS - 10));
  assertEquals(names(again).at(-1), nodes[NEWCOMERS - 11]);
  const saved = again.save();
  const expired = { ...saved, all: saved.all.map((one) => ({ ...one, until: Date.now() - 1 })) };
  assertEquals(AwaitedNewcomers.restore(expired).all, []);
});
