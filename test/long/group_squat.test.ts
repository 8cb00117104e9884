/**
 * The relay has lost its memory, and a device with keys of before is the first one in a log of before,
 * or opens doors with keys of its own.
 */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { random } from "../../src/client/group/e2e/derive.ts";
import {
  commitIn,
  deviceFrame,
  encodeCommitEntry,
} from "../../src/client/group/log/log_entries.ts";
import { hashOfCommit } from "../../src/client/group/log/past_epochs.ts";
import { GroupDoor } from "../../src/client/group/mls/door.ts";
import { type Bytes, sameBytes } from "../../src/wire/bytes.ts";
import { Subtype } from "../../src/wire/blaze/extension.ts";
import { forgetful } from "../kit/forgetful.ts";
import { type DeviceKit, epochOf, eventually, joined, online, withDevices } from "../kit/group.ts";
import { type Hostile, withHostile } from "../kit/hostile.ts";
import { quickHost } from "../kit/quick_host.ts";
import { withRelay } from "../kit/relay.ts";
import { type Rogue, withRogue } from "../kit/rogue.ts";
import {
  doorOf,
  holds,
  knockAt,
  opens,
  passed,
  quiet,
  type SquatOptions,
  type Squatted,
  squatted,
  targetOf,
} from "../kit/squat.ts";

const host = quickHost(50);
const HINT = { subtype: "device", code: Subtype.commit, body: new Uint8Array() } as const;

interface Parts {
  readonly kit: DeviceKit;
  readonly url: string;
  readonly hostile: Hostile;
  readonly rogue: Rogue;
  readonly world: Squatted;
}

/** The relay has lost its memory; nobody is there but who has the keys. */
async function lost(run: (parts: Parts) => Promise<void>, how: SquatOptions = {}): Promise<void> {
  const { store, forget } = forgetful();
  await withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const { url } = relay;
        const world = await squatted(kit, { url, host }, how);
        forget();
        await withRogue(relay, world.stolen, async (rogue) => {
          await rogue.read();
          await run({ kit, url, hostile, rogue, world });
        });
      })), { store });
}

const doorOfMember = async ({ group }: Rogue, name: string): Promise<GroupDoor> => {
  const { seed, node } = group.peers.find((peer) => peer.name === name)!;
  return await GroupDoor.ofMember(seed, group.id, node);
};

test("a device whose removal the relay forgot lets nobody in, also where it is there first", () =>
  lost(async ({ kit, url, rogue, world }) => {
    const n = kit.open({ url, host, invitation: world.text, name: "N" });
    const door = await doorOf(world.text, rogue.group.id);
    const keyPackage = await knockAt(rogue, door);
    await rogue.read();
    const { frame, made } = await rogue.commit({ kind: "add", keyPackage, door });
    assertEquals(await rogue.append(frame, 1n), "kept");
    const [a, b] = world.back();
    await holds(rogue, world.log, world.ending);
    await rogue.open(targetOf(door));
    assertEquals(await rogue.append(deviceFrame(Subtype.welcome, made.welcome!.body)), "kept");
    await eventually(
      () => n.faults().includes("BAD_WELCOME") || joined(n),
      () => `${n.client.state} ${n.faults()}`,
      10_000,
    );
    assertEquals([joined(n), n.client.devices()], [false, []]);
    await quiet([a, b]);
    assertEquals([a, b].map((one) => one.client.devices().length), [2, 2]);
  }));

test("nor does a commit of such a device send members to their own doors", () =>
  lost(async ({ hostile, rogue, world }) => {
    assert(!world.state, "it cannot be checked");
    const { frame } = await rogue.commit({ kind: "rotate" });
    assertEquals(await rogue.append(frame, 1n), "kept");
    const members = world.back(hostile.url);
    await holds(rogue, world.log, world.ending);
    await quiet(members);
    const nodes = await Promise.all(members.map(({ client }) => client.node()));
    const looks = () => nodes.map((node) => opens(hostile, node, world.log.id));
    const before = looks();
    const looked = () => looks().every((count, i) => count > before[i]!);
    for (let i = 0; i < 10; i++) {
      rogue.extend(HINT);
      await passed(host, 2_000);
    }
    await eventually(looked, () => `they look: ${looks()}`, 10_000);
    const doors = await Promise.all(["A", "B"].map((name) => doorOfMember(rogue, name)));
    const visits = doors.map(({ logId }, i) => opens(hostile, nodes[i]!, logId));
    assertEquals(visits, [0, 0]);
    await quiet(members);
  }, {
    awaits: true,
    async ends(a, node) {
      await a.client.remove(node);
      // More states than are kept.
      for (let i = 0; i < 9; i++) await a.client.rotate();
    },
  }));

/** Ends an epoch so that a commit of somebody else could have ended it as well, as far as one can see. */
const rotates: SquatOptions = { follows: true, ends: (a) => a.client.rotate() };

test("a commit that cannot be checked any more sends members to their own doors once", () =>
  lost(async ({ hostile, rogue, world }) => {
    assert(!world.state, "it cannot be checked");
    const { frame } = await rogue.commit({ kind: "rotate" });
    assertEquals(await rogue.append(frame, 1n), "kept");
    const members = world.back(hostile.url);
    const nodes = await Promise.all(members.map(({ client }) => client.node()));
    const doors = await Promise.all(["A", "B"].map((name) => doorOfMember(rogue, name)));
    const visits = () => doors.map(({ logId }, i) => opens(hostile, nodes[i]!, logId));
    await eventually(() => visits().every((count) => count > 0), () => `${visits()}`, 10_000);
    await quiet(members);
    // Less than ten minutes.
    for (let i = 0; i < 20; i++) {
      rogue.extend(HINT);
      await passed(host, 3_000);
    }
    // Once by itself; and perhaps once for a welcome, where the other has found its knock.
    assert(visits().every((count) => count <= 2), `${visits()}`);
    await quiet(members);
  }, rotates));

test("a member whose own door does not open goes on in its log, also after a restart", () =>
  lost(async ({ hostile, rogue, world }) => {
    assert(!world.state, "it cannot be checked");
    const { frame } = await rogue.commit({ kind: "rotate" });
    assertEquals(await rogue.append(frame, 1n), "kept");
    const doors = await Promise.all(["A", "B"].map((name) => doorOfMember(rogue, name)));
    for (const { logId: id } of doors) {
      assertEquals(await rogue.open({ id, key: random(32) }), "ok");
    }
    for (let times = 0; times < 2; times++) {
      const members = world.back(hostile.url);
      const nodes = await Promise.all(members.map(({ client }) => client.node()));
      const visits = () => doors.map(({ logId }, i) => opens(hostile, nodes[i]!, logId));
      await eventually(
        () => visits().every((count) => count > times),
        () => `visits: ${visits()}`,
        10_000,
      );
      await quiet(members);
      assertEquals(members.map(({ client }) => online(client)), [2, 2]);
      for (const { client } of members) await client.close();
    }
  }, rotates));

test("where a log of before holds more commits than are weighed, members bring theirs once", () =>
  lost(async ({ hostile, rogue, world }) => {
    for (let i = 0; i < 16; i++) {
      assertEquals(await rogue.append(await rogue.seal(random(32))), "kept");
    }
    const members = world.back(hostile.url);
    await holds(rogue, world.log, world.ending);
    await quiet(members);
    const nodes = await Promise.all(members.map(({ client }) => client.node()));
    const looks = () => nodes.map((node) => opens(hostile, node, world.log.id));
    for (let i = 0; i < 5; i++) {
      const before = looks();
      rogue.extend(HINT);
      const looked = () => looks().every((count, i) => count > before[i]!);
      await eventually(looked, () => `they look: ${looks()}`, 10_000);
    }
    await quiet(members);
    await rogue.open(world.log);
    const brought = rogue.entries.filter(({ frame }) => sameBytes(frame, world.ending)).length;
    // Both may have found that it was not there.
    assert(brought >= 1 && brought <= 2, `${brought} times`);
    assertEquals(rogue.entries.length, 16 + brought);
  }, { awaits: true }));

/** The same commit in another frame, whose hash is lower. */
async function lower({ group }: Rogue, frame: Bytes): Promise<Bytes> {
  const commit = (await commitIn(frame, group.epoch!))!;
  const hash = await hashOfCommit(frame);
  for (;;) {
    const copy = await encodeCommitEntry(commit, group.epoch!);
    if (await hashOfCommit(copy) < hash) return copy;
  }
}

test("the commit that members follow, sealed once more, is no other one", () =>
  lost(async ({ hostile, rogue, world }) => {
    assert(world.state, "it could be followed");
    const copy = await lower(rogue, world.ending);
    assertEquals(await rogue.append(copy), "kept");
    const members = world.back(hostile.url);
    await quiet(members);
    const nodes = await Promise.all(members.map(({ client }) => client.node()));
    await eventually(
      () => nodes.every((node) => opens(hostile, node, world.log.id) > 0),
      "they have looked",
    );
    await quiet(members);
    const after = (number: number | undefined) => world.number + 2 === number;
    assert(members.every((one) => after(epochOf(one))), `${members.map(epochOf)}`);
    for (const { statuses, faults } of members) {
      assertEquals(faults().filter((code) => code === "INVITATION_VOID"), []);
      assertEquals(statuses.filter(({ kind }) => kind === "epoch").length, 1);
    }
    // Nor without its memory lost.
    const [first] = members;
    await first.client.rotate();
    await rogue.open(world.log);
    assertEquals(await rogue.append(await lower(rogue, copy)), "kept");
    const looks = () => nodes.map((node) => opens(hostile, node, world.log.id));
    const before = looks();
    rogue.extend(HINT);
    const looked = () => looks().every((count, i) => count > before[i]!);
    await eventually(looked, () => `they look: ${looks()}`, 10_000);
    await quiet(members);
    assertEquals(members.map(epochOf), members.map(() => world.number + 3));
  }, {
    awaits: true,
    async ends(a, node) {
      await a.client.remove(node);
      // One that would be void if another commit were followed.
      await a.client.invite({ minutes: 60 });
    },
  }));
