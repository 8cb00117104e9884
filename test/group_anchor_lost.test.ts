/**
 * The text of an invitation leads into its group also where the relay has lost its memory since, and not
 * into the branch of a device whose removal was brought again.
 */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { deviceFrame } from "../src/client/group/log/log_entries.ts";
import { GroupDoor } from "../src/client/group/mls/door.ts";
import { parseInvitation } from "../src/client/group/mls/invitation_text.ts";
import { decodeExtension, framesIn, Subtype } from "../src/wire/blaze/extension.ts";
import { decodeFrame } from "../src/wire/blaze/blaze_frame.ts";
import { appended } from "./kit/attack.ts";
import { forgetful } from "./kit/forgetful.ts";
import {
  backedUp,
  converged,
  epochOf,
  eventually,
  faultsOf,
  group,
  insert,
  joined,
  online,
  stillWork,
  type Told,
  withDevices,
} from "./kit/group.ts";
import { withHostile } from "./kit/hostile.ts";
import { quickHost } from "./kit/quick_host.ts";
import { withRelay } from "./kit/relay.ts";
import { withRogue } from "./kit/rogue.ts";

const refusals = (one: Told) => faultsOf(one, "BAD_WELCOME");

test("a text leads into the group though the relay has lost its memory since", async () => {
  const { store, forget } = forgetful();
  await withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const { devices: [a, b] } = await group(kit, hostile.url, 2);
        const text = await a!.client.invite();
        await insert(a!, "before");
        await a!.client.rotate();
        await eventually(() => epochOf(b!) === epochOf(a!), "b follows");
        await converged([a!, b!], 1);
        forget();
        for (const victim of hostile.victims) victim.close(1012);
        const late = kit.open({ url: hostile.url, invitation: text });
        await converged([a!, b!, late], 1);
        assertEquals(refusals(late), []);
        await stillWork([a!, b!, late], 1);
      })), { store });
});

test("where the relay has lost its memory, nobody is in before members have shown the way", async () => {
  const { store, forget } = forgetful();
  await withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const [kept, ofLate] = [backedUp(), backedUp()];
        const options = { url: hostile.url, host: quickHost(10) };
        const { devices: [a] } = await group(kit, hostile.url, 1, {
          host: quickHost(10),
          storage: kept.storage,
        });
        const text = await a!.client.invite();
        await a!.client.rotate();
        // It goes as soon as it has brought the welcome, and so does the memory of the relay.
        const late = kit.open({ ...options, invitation: text, storage: ofLate.storage });
        const node = await late.client.node();
        let brought = false;
        hostile.down = (message, victim) => {
          const kinds = [...framesIn(message)].map(appended);
          if (brought || victim.node !== node || !kinds.includes(Subtype.welcome)) return;
          brought = true;
          forget();
        };
        await eventually(() => brought, "it is answered");
        await a!.client.close();
        for (const victim of hostile.victims) victim.close(1012);
        const back = () => hostile.victims.filter((victim) => victim.node === node).length;
        await eventually(() => back() > 1, "it has come back");
        await insert(late, "before it is in");
        for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 10));
        assertEquals([joined(late), late.client.devices(), refusals(late)], [false, [], []]);
        await late.client.close();
        const again = kit.open({ ...options, storage: ofLate.storage });
        const member = kit.open({ ...options, storage: kept.storage });
        await converged([member, again], 1);
        assertEquals(refusals(again), []);
        await stillWork([member, again], 1);
      })), { store });
});

test("nor into the branch of a device behind its removal, which was brought again", async () => {
  const { store, forget } = forgetful();
  await withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const kept = backedUp();
        const options = { url: hostile.url, host: quickHost(10) };
        const { devices: [a], invitation } = await group(kit, hostile.url, 1, options);
        const x = kit.open({ ...options, invitation, storage: kept.storage });
        await x.client.ready;
        const text = await a!.client.invite();
        await eventually(() => epochOf(x) === epochOf(a!), "x follows");
        await x.client.close();
        const stored = await kept.copy();
        await a!.client.remove(await x.client.node());
        forget();
        for (const victim of hostile.victims) victim.close(1012);
        await withRogue(relay, stored, async (rogue) => {
          do await rogue.open(rogue.group.epoch!.log); while (rogue.entries.length === 0);
          const n = kit.open({ ...options, invitation: text });
          await eventually(() => n.client.state === "waiting", "it waits");
          const { key } = await parseInvitation(text);
          const door = await GroupDoor.ofInvitation(key, rogue.group.id);
          const at = { id: door.logId, key: door.logKey };
          await rogue.open(at);
          const knock = decodeExtension(decodeFrame(rogue.entries.at(-1)!.frame).payload);
          assert(knock.subtype === "device");
          const keyPackage = await door.openKnock(knock.body);
          await rogue.read();
          const add = { kind: "add", keyPackage, door } as const;
          const { frame, made } = await rogue.commit(add, { ring: rogue.ring });
          assertEquals(await rogue.append(frame), "kept");
          await rogue.open(at);
          const welcome = deviceFrame(Subtype.welcome, made.welcome!.body);
          assertEquals(await rogue.append(welcome), "kept");
          await eventually(() => refusals(n).length > 0, () => `${n.faults()}`);
          assertEquals([joined(n), n.client.devices()], [false, []]);
        });
      })), { store });
});

test("a commit that lost keeps nobody out: the text leads where the members went", async () => {
  const { store, forget } = forgetful();
  await withRelay(({ url }) =>
    withDevices(async (kit) => {
      const [ofA, ofB] = [backedUp(), backedUp()];
      const options = { url, host: quickHost(20) };
      let a = kit.create({ ...options, database: "bugs", storage: ofA.storage });
      const first = await a.client.invite();
      let b = kit.open({ ...options, invitation: first, storage: ofB.storage });
      await b.client.ready;
      const text = await a.client.invite({ minutes: 1_000 });
      await eventually(() => epochOf(b) === epochOf(a), "b follows");
      await b.client.close();
      await a.client.rotate();
      await a.client.close();
      forget();
      b = kit.open({ ...options, storage: ofB.storage });
      await eventually(() => b.client.state === "synced", "b reads");
      await b.client.rotate();
      await b.client.close();
      a = kit.open({ ...options, storage: ofA.storage });
      b = kit.open({ ...options, storage: ofB.storage });
      const both = [a, b];
      await eventually(() => both.every(({ client }) => online(client) === 2), "they are one");
      const n = kit.open({ ...options, invitation: text });
      await eventually(() => online(n.client) === 3, () => `${n.faults()} ${n.client.state}`);
      await stillWork([a, b, n], 0);
    }), { store });
});
