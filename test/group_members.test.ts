/**
 * Members that want harm, and devices that were members: what each can do ends somewhere.
 */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { NewGroupOptions } from "../src/client/mod.ts";
import { checkpointParts, snapshotOf } from "../src/client/group/data/checkpoint.ts";
import { DoorWatch, knockFrame } from "../src/client/group/log/doors.ts";
import { random } from "../src/client/group/e2e/derive.ts";
import { Holds } from "../src/client/group/log/holds.ts";
import { deviceFrame } from "../src/client/group/log/log_entries.ts";
import { GroupDoor } from "../src/client/group/mls/door.ts";
import { groupIdOf, parseInvitation } from "../src/client/group/mls/invitation_text.ts";
import { isKnockOf } from "../src/client/group/mls/knock_answer.ts";
import { Subtype } from "../src/wire/blaze/extension.ts";
import { decodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { Uuid } from "../src/wire/blaze/blaze_record.ts";
import type { Bytes } from "../src/wire/bytes.ts";
import { Ledger } from "../src/client/group/data/ledger.ts";
import { backedUp, converged, eventually, group, insert, withDevices } from "./kit/group.ts";
import type { DeviceKit, Told } from "./kit/group.ts";
import { doorWith } from "./kit/door_with.ts";
import { quickHost } from "./kit/quick_host.ts";
import { MlsWorld } from "./kit/mls.ts";
import { withRelay } from "./kit/relay.ts";
import { Outsider, type Rogue, withRogue } from "./kit/rogue.ts";

/** A device, and somebody with the keys of another one, who has announced itself. */
const beside = (
  run: (parts: { kit: DeviceKit; a: Told; rogue: Rogue }) => Promise<void>,
  options: Partial<NewGroupOptions> = {},
) =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices: [a], invitation } = await group(kit, relay.url, 1, options);
      const { storage, copy } = backedUp();
      const b = kit.open({ url: relay.url, invitation, storage });
      await b.client.ready;
      await insert(a!, "before");
      await converged([a!, b], 1);
      await eventually(() => a!.client.pending === 0, "b has said so");
      await b.client.close();
      await withRogue(relay, await copy(), async (rogue) => {
        await rogue.read();
        assertEquals(await rogue.append(await rogue.announce()), "kept");
        await run({ kit, a: a!, rogue });
      });
    })
  );

test("invitations that have expired are listed no more, and make room for others", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices: [a] } = await group(kit, relay.url, 1);
      for (let i = 0; i < 31; i++) await a!.client.invite({ minutes: 1e-6 });
      // The permanent one stands.
      assertEquals(a!.client.invitations().map(({ expires }) => expires), [undefined]);
      const invitation = await a!.client.invite();
      assertEquals(a!.client.invitations().length, 2);
      const b = kit.open({ url: relay.url, invitation });
      await b.client.ready;
    })
  ));

test("one hold of a device is honoured in a minute, and none draws out another one", () => {
  const holds = new Holds();
  assert(holds.honours("a", 0));
  assert(!holds.honours("b", 14_999));
  assert(holds.honours("b", 15_000));
  assert(!holds.honours("a", 30_000));
  assert(!holds.honours("a", 59_999));
  assert(holds.honours("a", 60_000));
  assert(!holds.honours("b", 75_000 - 1));
});

test("somebody who asks for silence all the time does not keep a device from writing", () =>
  beside(async ({ a, rogue }) => {
    const voice = await rogue.voice;
    assertEquals(await rogue.append(await voice.hold()), "kept");
    await rogue.append(await rogue.operation("behind it"));
    await eventually(() => a.client.collection("bugs").list().length === 2, "a has read it");
    await insert(a, "held");
    for (let asked = 0; a.client.counts.local > 0; asked++) {
      assert(asked < 100, "it never went out");
      assertEquals(await rogue.append(await voice.hold()), "kept");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }, { host: quickHost(20) }));

test("first parts of checkpoints cost no digest each", async () => {
  const { digest } = Ledger.prototype;
  let digests = 0;
  Ledger.prototype.digest = function (this: Ledger) {
    digests++;
    return digest.call(this);
  };
  try {
    await beside(async ({ a, rogue }) => {
      digests = 0;
      const { ring, sequence, hash } = rogue.log.cursor;
      const [part] = await checkpointParts(
        { ring, sequence, hash, instances: [] },
        snapshotOf(new Map(), []),
        () => Promise.resolve(new Uint8Array(64)),
      );
      // Another one is to follow.
      part![4] = 0;
      const voice = await rogue.voice;
      for (let i = 0; i < 20; i++) await rogue.append(await voice.checkpoint(part!, false));
      await rogue.append(await rogue.operation("behind them"));
      await eventually(() => a.client.collection("bugs").list().length === 2, "a has read all");
      assertEquals(digests, 1);

      // One that lies behind them is not overlooked.
      const { membership } = rogue.group;
      const lie = {
        collection: "bugs",
        id: Uuid.parse(crypto.randomUUID()),
        inserted: { counter: 1n, node: rogue.group.node },
        fields: new Map(),
      };
      let answer = "";
      // What others say meanwhile moves the log.
      while (answer !== "kept") {
        await rogue.read();
        const { ring, sequence, hash } = rogue.log.cursor;
        const [whole] = await checkpointParts(
          { ring, sequence, hash, instances: [] },
          snapshotOf(new Map(), [lie]),
          (covered) => membership!.sign("BX2 checkpoint", covered),
        );
        answer = await rogue.append(await voice.checkpoint(whole!, false), sequence + 1n);
      }
      await eventually(() => a.faults().includes("CHECKPOINT_DIFFERS"), "a is told");
      assertEquals(digests, 1);
    });
  } finally {
    Ledger.prototype.digest = digest;
  }
});

test("a door that a removed device has filled with junk and with knocks still tells of a member's own", async () => {
  const world = await MlsWorld.of(3);
  const [member, lost, removed] = world.members;
  const own = await world.again(lost!);
  const { door } = own;
  const junk = deviceFrame(Subtype.knock, random(40));
  const others: Bytes[] = [];
  for (let i = 0; i < 70; i++) {
    // In the member's name, too.
    const { keyPackage } = await world.again(removed!);
    others.push(await knockFrame(door, keyPackage));
  }
  const sealed = await knockFrame(door, random(40));
  const knock = await knockFrame(door, own.keyPackage);
  const frames = [...Array<Bytes>(2_500).fill(junk), sealed, knock, ...others];
  const more = [...frames, ...Array<Bytes>(2_500).fill(junk)];
  const peer = member!.peer(lost!.self.node)!;
  const watch = new DoorWatch(door, (keyPackage) => isKnockOf(member!, peer, keyPackage));
  assertEquals(await watch.look(doorWith(more)), [own.keyPackage]);
  const late = new DoorWatch(door);
  assertEquals(await late.look(doorWith([...more, knock])).then(({ length }) => length), 64);
  const behind = [...Array<Bytes>(5_000).fill(junk), knock];
  assertEquals(await new DoorWatch(door).look(doorWith(behind)), [own.keyPackage]);
});

/** Puts a welcome of nobody's into the door of an invitation, as whoever has seen the text can. */
async function letNobodyIn(relay: { url: string }, room: string, text: string): Promise<void> {
  const { key, database, constant } = await parseInvitation(text);
  const door = await GroupDoor.ofInvitation(key, await groupIdOf(constant, database));
  const outsider = await Outsider.into(relay, room);
  try {
    assertEquals(await outsider.open({ id: door.logId, key: door.logKey }), "ok");
    const body = await door.sealWelcome({ reference: random(32), message: random(4) });
    assertEquals(await outsider.append(deviceFrame(Subtype.welcome, body)), "kept");
  } finally {
    outsider.close();
  }
}

test("a welcome of nobody's in its door does not keep a newcomer out", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices: [a] } = await group(kit, relay.url, 1);
      const room = await a!.client.channel();
      const invitation = await a!.client.invite();
      await letNobodyIn(relay, room, invitation);
      const late = kit.open({ url: relay.url, invitation });
      await late.client.ready;
      assertEquals(late.faults(), ["NOT_ADMITTED"]);
    })
  ));

test("a checkpoint that comes right after another one is endorsed, too, a little later", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const host = quickHost(20);
      const { devices: [a, c], invitation } = await group(kit, relay.url, 2, { host });
      const { storage, copy } = backedUp();
      const b = kit.open({ url: relay.url, invitation, storage, host });
      await b.client.ready;
      await insert(a!, "before");
      const all = [a!, b, c!];
      await converged(all, 1);
      await eventually(() => all.every(({ client }) => client.pending === 0), "all is said");
      await b.client.close();
      await withRogue(relay, await copy(), async (rogue) => {
        await rogue.read();
        assertEquals(await rogue.append(await rogue.announce()), "kept");
        const voice = await rogue.voice;
        const { membership } = rogue.group;
        let answer = "";
        while (answer !== "kept") {
          await rogue.read();
          const { ring, sequence, hash } = rogue.log.cursor;
          const [empty] = await checkpointParts(
            { ring, sequence, hash, instances: [] },
            snapshotOf(new Map(), []),
            (covered) => membership!.sign("BX2 checkpoint", covered),
          );
          answer = await rogue.append(await voice.checkpoint(empty!, false), sequence + 1n);
        }
        // Both take that for a lie, and one brings what is true before the other may make a digest again.
        const { log } = rogue.log.epoch;
        const endorsed = () =>
          rogue.entries.some(({ frame }) => {
            const { type, payload } = decodeFrame(frame);
            return type === FrameType.extension && payload[0] === Subtype.endorsement;
          });
        for (let looks = 0; !endorsed(); looks++) {
          assert(looks < 200, "nobody endorses it");
          await new Promise((resolve) => setTimeout(resolve, 50));
          await rogue.open(log);
        }
        assert([a!, c!].some((one) => one.faults().includes("CHECKPOINT_DIFFERS")));
      });
    })
  ));
