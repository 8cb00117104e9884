/**
 * What fell once: each row is an attack on groups, or a mishap without one, that an earlier protocol did
 * not withstand.
 */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { memoryStorage } from "../src/client/mod.ts";
import { checkpointParts, snapshotOf } from "../src/client/group/data/checkpoint.ts";
import { random } from "../src/client/group/e2e/derive.ts";
import { deviceFrame } from "../src/client/group/log/log_entries.ts";
import type { Carry } from "../src/client/group/mls/carry.ts";
import { GroupDoor } from "../src/client/group/mls/door.ts";
import { parseInvitation } from "../src/client/group/mls/invitation_text.ts";
import {
  decodeExtension,
  encodeExtension,
  framesIn,
  openEnvelopes,
  Subtype,
} from "../src/wire/blaze/extension.ts";
import { decodeFrame, encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { Uuid } from "../src/wire/blaze/blaze_record.ts";
import { fromHex } from "../src/wire/bytes.ts";
import {
  backedUp,
  contents,
  converged,
  count,
  type DeviceKit,
  epochOf,
  eventually,
  group,
  insert,
  online,
  stillWork,
  titles,
  type Told,
  twoStored,
  wasRemoved,
  withDevices,
} from "./kit/group.ts";
import { restored, storedAs } from "./kit/kept_group.ts";
import { type Victim, withHostile } from "./kit/hostile.ts";
import { quickHost } from "./kit/quick_host.ts";
import { refusal } from "./kit/refusal.ts";
import { withRelay } from "./kit/relay.ts";
import { type Rogue, withRogue } from "./kit/rogue.ts";

const HIGHEST = 2n ** 64n - 1n;

/** `a`, `b`, and `c`, of which somebody keeps what it has stored before it is removed. */
const removal = (
  run: (
    parts: {
      relay: { url: string };
      kit: DeviceKit;
      a: Told;
      b: Told;
      stored: Map<string, Uint8Array<ArrayBuffer>>;
      storedB: Map<string, Uint8Array<ArrayBuffer>>;
      keptB: ReturnType<typeof backedUp>;
      invitation: string;
    },
  ) => Promise<void>,
  options: { signed?: boolean } = {},
) =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const [keptB, keptC] = [backedUp(), backedUp()];
      const { devices: [a], invitation } = await group(kit, relay.url, 1, options);
      const b = kit.open({ url: relay.url, invitation, storage: keptB.storage });
      await b.client.ready;
      const c = kit.open({ url: relay.url, invitation, storage: keptC.storage });
      await c.client.ready;
      await insert(a!, "before");
      await converged([a!, b, c]);
      const storedB = await keptB.copy();
      const stored = await keptC.copy();
      await a!.client.remove(await c.client.node());
      await eventually(() => wasRemoved(c), "c knows");
      await eventually(() => count(a!) === 2 && count(b) === 2, "it is removed");
      await run({ relay, kit, a: a!, b, stored, storedB, keptB, invitation });
    })
  );

test("1: a removed device that removes its remover, at every place of the old log, changes nothing", () =>
  removal(async ({ relay, kit, a, b, stored, storedB }) => {
    const lost = await a.client.node();
    await withRogue(relay, stored, async (rogue) => {
      await rogue.read();
      const last = rogue.entries.at(-1)!.sequence;
      const removing = { kind: "remove", nodes: [fromHex(lost)] } as const;
      // Where the removal stands nothing else can stand.
      const early = await rogue.commit(removing, { ...rogue.log.cursor, sequence: last - 1n });
      assertEquals(await rogue.append(early.frame, last), "moved");
      assertEquals(await rogue.append(early.frame), "kept");
      const late = await rogue.commit(removing, { ...rogue.log.cursor, sequence: last + 1n });
      assertEquals(await rogue.append(late.frame, last + 2n), "kept");
      // Nobody creates the log anew, nor gets into it with another key.
      const { id, key } = rogue.group.epoch!.log;
      assertEquals(await rogue.open({ id, key: random(32) }), "error 4406");
      assertEquals(await rogue.open({ id, key }), "ok");
      rogue.extend({ subtype: "truncate", sequence: last + 3n });
      assertEquals(await rogue.open({ id, key }), "ok");
      assert(rogue.entries.length >= 3, "the end of a closed log stays");
      // A device that has not heard of the removal reads the same log, and follows the first commit.
      await b.client.close();
      const late2 = kit.open({ url: relay.url, storage: memoryStorage(storedB) });
      await eventually(() => count(late2) === 2, "it follows the removal");
      await stillWork([a, late2], 1);
    });
  }));

test("1: two devices that remove each other at once: one stays, and the third knows which", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices } = await group(kit, relay.url, 3);
      const [a, b, c] = devices as [Told, Told, Told];
      const [na, nb] = await Promise.all([a.client.node(), b.client.node()]);
      await Promise.allSettled([a.client.remove(nb), b.client.remove(na)]);
      await eventually(() => count(c) === 2, "c knows");
      const [stays, goes] = wasRemoved(a) ? [b, a] : [a, b];
      await eventually(() => wasRemoved(goes), "the other one knows");
      assert(!wasRemoved(stays));
      await stillWork([stays, c], 0);
    })
  ));

test("1: three devices that remove each other in a circle end with one list of devices", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices } = await group(kit, relay.url, 3);
      const nodes = await Promise.all(devices.map(({ client }) => client.node()));
      await Promise.allSettled(devices.map(({ client }, i) => client.remove(nodes[(i + 1) % 3]!)));
      const inside = () => devices.filter((one) => !wasRemoved(one));
      await eventually(
        () => inside().length > 0 && inside().every((one) => count(one) === inside().length),
        () => `${devices.map((one) => `${wasRemoved(one)} ${count(one)}`)}`,
      );
      const lists = inside().map(({ client }) => client.devices().map(({ node }) => node).join());
      assertEquals(new Set(lists).size, 1);
      await stillWork(inside(), 0);
    })
  ));

test("1: commits that are junk, in whatever way, brick nobody", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { kept, a, b, invitation } = await twoStored(kit, relay.url);
      await eventually(() => online(a.client) === 2, "b is here");
      await withRogue(relay, await kept.copy(), async (rogue) => {
        await rogue.read();
        const head = rogue.log.cursor;
        const far = await rogue.commit({ kind: "rotate" }, { ...head, sequence: 1_000n });
        const other = await rogue.commit({ kind: "rotate" }, { ...head, hash: random(32) });
        const good = await rogue.commit({ kind: "rotate" });
        const cut = good.made.message.slice(0, -1);
        const junk = [
          far.frame,
          other.frame,
          await rogue.seal(cut),
          await rogue.seal(random(500)),
          deviceFrame(Subtype.commit, random(600)),
          deviceFrame(Subtype.commit, new Uint8Array()),
        ];
        for (let i = 0; i < 200; i++) {
          assertEquals(await rogue.append(junk[i % junk.length]!), "kept");
        }
      });
      await stillWork([a, b], 0);
      await b.client.rotate();
      await eventually(
        () => epochOf(a) === epochOf(b) && epochOf(b)! > 2,
        "both are in a new one",
      );
      const late = kit.open({ url: relay.url, invitation });
      await converged([a, b, late], 2);
      await stillWork([a, b, late], 2);
    })
  ));

test("2: what is sealed in an epoch that is over counts for nobody, as whoever it is sealed", () =>
  removal(async ({ relay, a, b, stored }) => {
    await withRogue(relay, stored, async (rogue) => {
      await rogue.read();
      const asB = await rogue.speak(fromHex(await b.client.node()));
      const own = await rogue.announce();
      const forged = await rogue.announce(new Map(), asB);
      const frames = [own, await rogue.operation("mine"), forged];
      frames.push(await rogue.operation("as b", { voice: asB, counter: 2n ** 20n }));
      for (const frame of frames) {
        await rogue.append(frame);
        // And live, to everybody who is here.
        rogue.say(frame);
      }
    });
    const { counter } = await insert(b, "the next real one");
    assert(counter < 100n, "its clock is as it was");
    await converged([a, b], 2);
    await eventually(() => b.client.pending === 0, "a has it");
    assertEquals(titles(a), ["before", "the next real one"]);
  }));

for (const signed of [false, true]) {
  const kind = signed ? "signs" : "does not sign";
  test(`2: nobody forges acknowledgements in a group that ${kind}, member or not`, () =>
    removal(async ({ relay, a, b, stored, keptB }) => {
      const [na, nb] = await Promise.all([a.client.node(), b.client.node()]);
      await eventually(() => a.client.pending === 0 && b.client.pending === 0, "all have all");
      // The checkpoint that a removal calls for would bring what b writes then, too.
      await storedAs(keptB, ({ past }) => past.unchecked.length === 0);
      await a.client.close();
      await insert(b, "nobody else has it");
      await eventually(() => b.client.counts.mailbox === 1, "it is in the mailbox");
      const having = await rogueVector(relay, keptB, nb);
      await withRogue(relay, stored, async (rogue) => {
        await rogue.read();
        const asA = await rogue.speak(fromHex(na));
        for (const frame of [await rogue.announce(having), await rogue.announce(having, asA)]) {
          await rogue.append(frame);
          rogue.say(frame);
        }
      });
      // A member that speaks as another one: here with the keys of b itself, which is worse.
      await withRogue(relay, await keptB.copy(), async (rogue) => {
        await rogue.read();
        const asA = await rogue.speak(fromHex(na));
        assertEquals(await rogue.append(await rogue.announce(having, asA)), "kept");
        const key = rogue.group.peer(na)!.signKey;
        const again = await rogue.speak(fromHex(na));
        assertEquals(await rogue.append(await rogue.announce(having, again, { key })), "kept");
      });
      const signatures = () => b.faults().filter((code) => code === "BAD_SIGNATURE").length;
      await eventually(() => signatures() === 2, "b has read them");
      assertEquals([b.client.pending, b.client.counts.mailbox], [1, 1]);
    }, { signed }));
}

/** What covers all that a device has written, as an announce would say it. */
async function rogueVector(
  relay: { url: string },
  kept: ReturnType<typeof backedUp>,
  node: string,
): Promise<Map<string, { counter: bigint; link: Uint8Array<ArrayBuffer> }>> {
  const saved = await kept.copy();
  const key = [...saved.keys()].filter((key) => key.startsWith("queue/")).sort().at(-1)!;
  assert(relay.url !== "");
  const link = saved.get(key)!.slice(1, 9);
  return new Map([[node, { counter: BigInt(key.slice("queue/".length)), link }]]);
}

test("3: a counter of 2^64−1 in operation, announce or checkpoint is refused, and freezes nobody", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { kept, a, b, invitation } = await twoStored(kit, relay.url);
      await insert(a, "before");
      await converged([a, b], 1);
      const node = await b.client.node();
      const stored = await kept.copy();
      await b.client.close();
      await insert(a, "pending");
      await withRogue(relay, stored, async (rogue) => {
        await rogue.read();
        const link = random(8);
        const wild = (who: string) => new Map([[who, { counter: HIGHEST, link }]]);
        const send = async (frame: Uint8Array<ArrayBuffer>) =>
          assertEquals(await rogue.append(frame), "kept");
        await send(await rogue.announce());
        await send(await rogue.announce(wild(node)));
        await send(await rogue.announce(wild(await a.client.node())));
        await send(await rogue.operation("wild", { counter: HIGHEST }));
        const previous = { counter: HIGHEST - 1n, link };
        await send(await rogue.operation("wild", { counter: HIGHEST, previous }));
        await rogue.read();
        const { ring, sequence, hash } = rogue.log.cursor;
        const membership = rogue.group.membership!;
        const stamp = { counter: HIGHEST, node };
        const id = Uuid.parse(crypto.randomUUID());
        const state = {
          collection: "bugs",
          id,
          inserted: stamp,
          fields: new Map([["title", { value: "wild", stamp }]]),
        };
        for (
          const contents of [snapshotOf(wild(node), []), snapshotOf(new Map(), [state])]
        ) {
          const parts = await checkpointParts(
            { ring, sequence, hash, instances: [] },
            contents,
            (covered) => membership.sign("BX2 checkpoint", covered),
          );
          for (const part of parts) await send(await (await rogue.voice).checkpoint(part, false));
        }
        await send(await rogue.announce());
      });
      const refused = () => a.faults().filter((code) => code === "BAD_COUNTER").length;
      await eventually(() => refused() >= 4, () => `${a.faults()}`);
      const { counter } = await insert(a, "after");
      assert(counter < 100n, "the clock stands where it stood");
      const late = kit.open({ url: relay.url, invitation });
      await converged([a, late], 3);
      await stillWork([a, late], 3);
    })
  ));

test("4: an invitation lets in once, and not through another member either", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices } = await group(kit, relay.url, 2);
      const [a, b] = devices as [Told, Told];
      const once = await a.client.invite();
      const third = kit.open({ url: relay.url, invitation: once });
      await third.client.ready;
      await a.client.close();
      const fourth = kit.open({ url: relay.url, invitation: once, host: quickHost(20) });
      assertEquals(await refusal(() => fourth.client.ready), "NOT_ADMITTED");
      assertEquals([count(b), count(third)], [3, 3]);
      await stillWork([b, third], 0);
      assertEquals([count(b), count(third)], [3, 3]);
    })
  ));

test("4: an invitation that expired, was revoked, or is void after a removal lets nobody in, whoever is here", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices, invitation } = await group(kit, relay.url, 3);
      const [a, b, c] = devices as [Told, Told, Told];
      const expired = await a.client.invite({ minutes: 1e-6 });
      const revoked = await a.client.invite();
      const standing = a.client.invitations().filter(({ expires }) => expires);
      await a.client.revoke(standing.sort((x, y) => +x.expires! - +y.expires!).at(-1)!.id);
      const removed = await a.client.invite();
      const wait = (text: string) => kit.open({ url: relay.url, invitation: text });
      const outside = [wait(expired), wait(revoked)];
      await eventually(() => b.faults().includes("NOT_ADMITTED"), "b refuses it, too");
      await a.client.remove(await c.client.node());
      outside.push(wait(removed), wait(invitation));
      await eventually(() => outside.every(({ client }) => client.state === "waiting"), "all wait");
      await a.client.close();
      // A member that comes anew looks into all doors that it knows of.
      await b.client.rotate();
      await insert(b, "of the group");
      await eventually(() => online(b.client) === 1, "only b is here");
      assertEquals(b.client.invitations(), []);
      for (const one of outside) {
        assertEquals([one.client.devices(), one.client.state], [[], "waiting"]);
      }
      assertEquals(count(b), 2);
    })
  ));

/** Answers what knocks at a door as a member would that knows of no removal. */
async function answerDoor(rogue: Rogue, text: string, carry?: Carry): Promise<void> {
  const { key } = await parseInvitation(text);
  const door = await GroupDoor.ofInvitation(key, rogue.group.id);
  await rogue.open({ id: door.logId, key: door.logKey });
  const knocks = [];
  for (const { frame } of rogue.entries) {
    const extension = decodeExtension(decodeFrame(frame).payload);
    if (extension.subtype !== "device" || extension.code !== Subtype.knock) continue;
    knocks.push(await door.openKnock(extension.body));
  }
  const keyPackage = knocks.at(-1)!;
  await rogue.read();
  const { frame, made } = await rogue.commit({ kind: "add", keyPackage, door }, {}, carry);
  assertEquals(await rogue.append(frame), "kept");
  await rogue.open({ id: door.logId, key: door.logKey });
  const welcome = deviceFrame(Subtype.welcome, made.welcome!.body);
  assertEquals(await rogue.append(welcome), "kept");
}

const branches: Record<string, Carry | undefined> = {
  "tells where it stands": undefined,
  "tells nothing of it": [],
};
for (const [what, carry] of Object.entries(branches)) {
  test(`5: an old text does not lead into the branch of a removed device that ${what}`, () =>
    removal(async ({ relay, kit, a, b, stored, invitation }) => {
      const kept = backedUp();
      const late = kit.open({ url: relay.url, invitation, storage: kept.storage });
      await eventually(() => late.client.state === "waiting", "it waits");
      await withRogue(relay, stored, (rogue) => answerDoor(rogue, invitation, carry));
      await eventually(() => late.faults().includes("BAD_WELCOME"), "it has seen that");
      assert(!late.statuses.some(({ kind }) => kind === "joined"));
      await late.client.close();
      const again = kit.open({ url: relay.url, invitation, storage: kept.storage });
      await eventually(() => again.client.state === "waiting", "it still waits, or once more");
      await stillWork([a, b], 1);
    }));
}

test("5: a welcome into a group of somebody else's is none, even in the right door", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const [keptA, keptEvil] = [backedUp(), backedUp()];
      const { devices: [a] } = await group(kit, relay.url, 1, { storage: keptA.storage });
      const text = await a!.client.invite();
      const { devices: [evil] } = await group(kit, relay.url, 1, { storage: keptEvil.storage });
      const evilText = await evil!.client.invite();
      const evilStored = await keptEvil.copy();
      const { key } = await parseInvitation(text);
      await a!.client.close();
      const late = kit.open({ url: relay.url, invitation: text });
      await eventually(() => late.client.state === "waiting", "it waits");
      await withRogue(relay, evilStored, async (rogue) => {
        // It reads the knock, as whoever has the text could, and answers with a door of its own group.
        const stored = await keptA.copy();
        const { id } = await restored(stored);
        const door = await GroupDoor.ofInvitation(key, id);
        const evilKey = (await parseInvitation(evilText)).key;
        const evilDoor = await GroupDoor.ofInvitation(evilKey, rogue.group.id);
        assertEquals(await rogue.open({ id: door.logId, key: door.logKey }), "ok");
        const { payload } = decodeFrame(rogue.entries[0]!.frame);
        const knock = await door.openKnock(payload.slice(1));
        await rogue.read();
        const { made } = await rogue.commit({ kind: "add", keyPackage: knock, door: evilDoor });
        const { reference, message } = await evilDoor.openWelcome(made.welcome!.body);
        await rogue.open({ id: door.logId, key: door.logKey });
        const body = await door.sealWelcome({ reference, message });
        assertEquals(await rogue.append(deviceFrame(Subtype.welcome, body)), "kept");
      });
      await eventually(() => late.faults().includes("BAD_WELCOME"), () => `${late.faults()}`);
      assertEquals(late.client.devices(), []);
      assertEquals(late.client.state, "waiting");
    })
  ));

test("6: a copy that runs at the same time as its original: all end with the same records", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const kept = backedUp();
      const host = quickHost(10);
      const { devices: [a], invitation } = await group(kit, relay.url, 1, { host });
      const b = kit.open({ url: relay.url, invitation, storage: kept.storage, host });
      await b.client.ready;
      await insert(b, "before");
      await converged([a!, b], 1);
      const storage = memoryStorage(await kept.copy());
      const clone = kit.open({ url: relay.url, storage, host });
      await clone.client.ready;
      const all = [];
      for (let i = 0; i < 10; i++) {
        all.push(insert(b, `original ${i}`), insert(clone, `clone ${i}`), insert(a!, `a ${i}`));
        if (i % 4 === 3) await Promise.all(all);
      }
      await Promise.all(all);
      await converged([a!, b, clone], 31);
      assertEquals(contents(a!.client).split("\n").length, 31);
    })
  ));

test("6: a copy that was restored after its original has written on: all end with the same records", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { kept, a, b, invitation } = await twoStored(kit, relay.url);
      await insert(b, "before");
      const backup = await kept.copy();
      for (let i = 0; i < 5; i++) await insert(b, `lost ${i}`);
      await converged([a, b], 6);
      await b.client.close();
      // It writes before it has heard of anything, with counters that were used.
      const offline = backedUp(backup);
      const away = kit.open({ url: "ws://127.0.0.1:1", storage: offline.storage });
      for (let i = 0; i < 3; i++) await insert(away, `anew ${i}`);
      await away.client.close();
      const back = kit.open({ url: relay.url, storage: offline.storage });
      await converged([a, back], 9);
      const third = kit.open({ url: relay.url, invitation });
      await converged([a, back, third], 9);
      await stillWork([a, back, third], 9);
    })
  ));

test("7: entries that a relay repeats under new numbers, before and after restarts, count once", () =>
  withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const { kept, a, b } = await twoStored(kit, hostile.url);
        for (let i = 0; i < 3; i++) await insert(a, `${i}`);
        await converged([a, b], 3);
        await a.client.rotate();
        for (let i = 3; i < 8; i++) await insert(a, `${i}`);
        await a.client.collection("bugs").insert({ title: "counted" });
        await converged([a, b], 9);
        const node = await b.client.node();
        const entries = () =>
          hostile.seen.filter(({ up, victim }) => !up && victim.node === node)
            .flatMap(({ message }) => [...framesIn(message)].map(openEnvelopes))
            .filter(({ sequence }) => sequence !== undefined);
        const repeat = (victim: Victim) => {
          const before = entries();
          let next = before.at(-1)!.sequence!;
          for (const { frame } of before) {
            victim.toDevice(encodeFrame({
              type: FrameType.extension,
              payload: encodeExtension({ subtype: "sequenced", sequence: ++next, frame }),
            }));
          }
          return before.length;
        };
        const toB = hostile.victim(node);
        const incoming = b.incoming.length;
        const repeated = repeat(toB);
        const noticed = ({ faults }: Told) => faults().length;
        await eventually(() => noticed(b) >= repeated - 3, () => `${repeated}: ${b.faults()}`);
        assertEquals(b.incoming.length, incoming);
        // Its log is another one now: the relay has to say which, and the device reads it anew.
        toB.close(1012);
        await stillWork([a, b], 9);
        await b.client.close();
        const again = kit.open({ url: hostile.url, storage: kept.storage });
        await eventually(() => again.client.state === "synced", "it is back");
        // It may be looking into a door just then, and what comes is for nobody.
        let turns = 0;
        await eventually(() => {
          if (turns++ % 20 === 0) repeat(hostile.victim(node));
          return noticed(again) > 0;
        }, "it noticed");
        assertEquals(again.incoming.length, 0);
        hostile.victim(node).close(1012);
        await stillWork([a, again], 11);
      }))
  ));
