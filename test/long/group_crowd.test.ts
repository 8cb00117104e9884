/** Many at the doors at once: all of them come in, and one member is enough. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { DoorWatch, knockFrame } from "../../src/client/group/log/doors.ts";
import { GroupDoor } from "../../src/client/group/mls/door.ts";
import { groupIdOf, parseInvitation } from "../../src/client/group/mls/invitation_text.ts";
import { GroupNewcomer } from "../../src/client/group/mls/newcomer.ts";
import { random } from "../../src/client/group/e2e/derive.ts";
import { type Bytes, sameBytes } from "../../src/wire/bytes.ts";
import { Subtype } from "../../src/wire/blaze/extension.ts";
import { appended } from "../kit/attack.ts";
import { doorWith } from "../kit/door_with.ts";
import { backedUp, count, eventually, group, stillWork, withDevices } from "../kit/group.ts";
import { withHostile } from "../kit/hostile.ts";
import { quickHost } from "../kit/quick_host.ts";
import { withRelay } from "../kit/relay.ts";
import { Outsider } from "../kit/rogue.ts";

/** Days in the past, as a clock has it that shows them. */
const daysAgo = (days: number) => Date.now() - days * 86_400_000;

/** So many devices knock with a text, by a clock that shows `now`, and go again. */
async function knock(
  relay: { url: string },
  room: string,
  text: string,
  times: number,
  now = Date.now(),
): Promise<void> {
  const { key, constant, database, postQuantum } = await parseInvitation(text);
  const id = await groupIdOf(constant, database);
  const door = await GroupDoor.ofInvitation(key, id);
  const outsider = await Outsider.into(relay, room);
  try {
    assertEquals(await outsider.open({ id: door.logId, key: door.logKey }), "ok");
    for (let i = 0; i < times; i++) {
      const { keyPackage } = await GroupNewcomer.draw(
        { group: id, name: `${i}`, door, postQuantum },
        now,
      );
      assertEquals(await outsider.append(await knockFrame(door, keyPackage)), "kept");
    }
  } finally {
    outsider.close();
  }
}

test("whoever stood at a door while nobody was there comes in, and knows the group when it is back", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { url } = relay;
      const kept = backedUp();
      const before = kit.create({ url, database: "bugs", storage: kept.storage });
      const invitation = await before.client.invite({ permanent: true });
      await before.client.close();
      const storages = Array.from({ length: 10 }, () => backedUp().storage);
      for (const storage of storages) {
        const newcomer = kit.open({ url, invitation, storage });
        await eventually(() => newcomer.client.state === "waiting", "it has knocked");
        await newcomer.client.close();
      }
      const alone = kit.open({ url, storage: kept.storage });
      await eventually(() => count(alone) === 11, () => `${count(alone)} of 11 are in`);
      const [first, last] = [storages[0]!, storages[9]!].map((storage) =>
        kit.open({ url, invitation, storage })
      );
      await stillWork([alone, first!, last!], 0);
      assertEquals([alone, first!, last!].map((one) => one.faults()), [[], [], []]);
    })
  ));

test("who is let in or refused already takes nobody's place at a door, however many they are", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { url } = relay;
      const kept = backedUp();
      const first = kit.create({ url, database: "bugs", storage: kept.storage });
      const text = await first.client.invite({ permanent: true });
      const room = await first.client.channel();
      await first.client.close();
      // Before more than are kept.
      await knock(relay, room, text, 6);
      await knock(relay, room, text, 70, daysAgo(100));
      const second = kit.open({ url, storage: kept.storage });
      await eventually(() => count(second) === 7, () => `${count(second)} of 7 are in`);
      assertEquals(second.faults(), ["BAD_KNOCK"]);
      await second.client.close();
      // Beside those that are members by now.
      await knock(relay, room, text, 6);
      const third = kit.open({ url, storage: kept.storage });
      await eventually(() => count(third) === 13, () => `${count(third)} of 13 are in`);
      assertEquals(third.faults(), ["BAD_KNOCK"]);
    })
  ));

test("of more than are kept the others are read once all are served, and not before", async () => {
  const door = await GroupDoor.ofValue(random(32));
  const newcomers = await Promise.all(
    Array.from(
      { length: 70 },
      (_, i) => GroupNewcomer.draw({ group: random(16), name: `${i}`, door, postQuantum: false }),
    ),
  );
  const frames = await Promise.all(newcomers.map((one) => knockFrame(door, one.keyPackage)));
  const log = doorWith(frames);
  const served: Bytes[] = [];
  const watch = new DoorWatch(door, (one) => !served.some((other) => sameBytes(one, other)));
  assertEquals(await watch.look(log).then(({ length }) => length), 64);
  const [newest, ...next] = watch.take(4);
  assertEquals(newest, newcomers.at(-1)!.keyPackage);
  assertEquals([next.length, watch.take(4).length], [3, 0]);
  watch.release(newest!);
  assertEquals(watch.take(4), [newest]);
  for (const one of await watch.look(log)) {
    assert(!watch.crowded);
    served.push(one);
    watch.done(one);
  }
  assert(watch.crowded);
  const others = newcomers.slice(0, 6).map(({ keyPackage }) => keyPackage);
  assertEquals(await watch.look(log), others);
  assertEquals(watch.take(9), others.reverse());
  for (const one of others) watch.done(one);
  assert(!watch.crowded);
});

/** Those whose commits went to the relay. */
const authors = ({ seen }: { seen: readonly Passed[] }) =>
  new Set(
    seen.flatMap(({ up, message, victim }) =>
      up && appended(message) === Subtype.commit ? [victim.node] : []
    ),
  );
type Passed = {
  readonly up: boolean;
  readonly message: Uint8Array<ArrayBuffer>;
  readonly victim: { readonly node: string };
};

test("where several members are here one of them lets in all, and takes nobody's turn", () =>
  withRelay(({ url }) =>
    withHostile(url, (hostile) =>
      withDevices(async (kit) => {
        const TEXTS = 8;
        const { devices: [a], invitation } = await group(kit, hostile.url, 1);
        // The others leave it more time than all this takes.
        const host = quickHost(1 / 10);
        for (let i = 0; i < 2; i++) {
          await kit.open({ url: hostile.url, invitation, host }).client.ready;
        }
        const texts = [];
        for (let i = 0; i < TEXTS; i++) texts.push(await a!.client.invite());
        hostile.seen.length = 0;
        const late = texts.map((invitation) => kit.open({ url: hostile.url, invitation }));
        await Promise.all(late.map(({ client }) => client.ready));
        assertEquals([...authors(hostile)], [await a!.client.node()]);
      }))
  ));

test("a member that lets in nobody is waited for a moment, not longer", () =>
  withRelay(({ url }) =>
    withHostile(url, (hostile) =>
      withDevices(async (kit) => {
        const { devices, invitation } = await group(kit, hostile.url, 3, { host: quickHost(10) });
        const mute = await devices[0]!.client.node();
        hostile.up = (message, { node }) =>
          node === mute && appended(message) === Subtype.commit ? [] : undefined;
        const late = kit.open({ url: hostile.url, invitation });
        await late.client.ready;
        assert(authors(hostile).size > 1);
      }))
  ));
