/** An invitation that was made in a branch that nobody follows any more: whoever made it hears of it. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { Saver } from "../src/client/blaze/storage.ts";
import { random } from "../src/client/group/e2e/derive.ts";
import { leftBehind } from "../src/client/group/invitations.ts";
import type { Device } from "../src/client/group/log/device.ts";
import { Group } from "../src/client/group/log/group_state.ts";
import { hex } from "../src/wire/bytes.ts";
import { forgetful } from "./kit/forgetful.ts";
import { change } from "./kit/alone.ts";
import {
  backedUp,
  epochOf,
  eventually,
  faultsOf,
  stillWork,
  type Told,
  withDevices,
} from "./kit/group.ts";
import { restored } from "./kit/kept_group.ts";
import { withRelay } from "./kit/relay.ts";

const voids = (one: Told) => faultsOf(one, "INVITATION_VOID");
const ids = ({ client }: Told) => client.invitations().map(({ id }) => id);

test("invitations of a branch that is left are void, and that is told once where it was followed", async () => {
  const { store, forget } = forgetful();
  await withRelay(({ url }) =>
    withDevices(async (kit) => {
      const [ofA, ofB] = [backedUp(), backedUp()];
      const first = kit.create({ url, database: "bugs", name: "a", storage: ofA.storage });
      await first.client.invite({ permanent: true });
      const [stays] = ids(first);
      const invitation = await first.client.invite();
      const second = kit.open({ url, invitation, name: "b", storage: ofB.storage });
      await eventually(() => epochOf(second) === epochOf(first), "both are in");
      await eventually(() => second.client.state === "synced", "it has read all");
      await second.client.close();
      await first.client.rotate();
      await first.client.close();
      forget();
      // It knows of no rotation; what it makes here loses against it.
      const b = kit.open({ url, storage: ofB.storage });
      await eventually(() => b.client.state === "synced", "it is alone");
      await b.client.invite({ minutes: 1_000 });
      await b.client.invite({ permanent: true });
      const lost = ids(b).filter((id) => id !== stays);
      assertEquals(lost.length, 2);
      const a = kit.open({ url, storage: ofA.storage });
      await eventually(() => voids(b).length > 0, () => `${b.faults()}, ${a.faults()}`);
      await stillWork([a, b], 0);
      assertEquals([ids(a), ids(b)], [[stays], [stays]]);
      assertEquals(voids(b).length, 2);
      for (const [i, id] of lost.entries()) assert(voids(b)[i]!.includes(id), voids(b)[i]);
      await b.client.close();
      const again = kit.open({ url, storage: ofB.storage });
      await eventually(() => again.client.state === "synced", "it is back");
      assertEquals([...voids(again), ...voids(a)], []);
    }), { store });
});

test("who comes in again hears of invitations made in epochs that the group does not have", async () => {
  const { storage, copy } = backedUp();
  const saver = new Saver(storage);
  const names = { database: "bugs", constant: random(16) };
  const one = await Group.create(names, saver, { name: "a", signed: false, postQuantum: false });
  const invite = (group: Group, expires = BigInt(Date.now() + 60_000)) => {
    const value = random(32);
    return change(group, { kind: "invite", value, expires }).then(() => value);
  };
  const before = await invite(one);
  await saver.flush();
  const other = await restored(await copy());
  const made = [await invite(one), await invite(one, 0n)];
  await invite(one, 1n);
  await change(other, { kind: "revoke", values: [before] });
  const told = async (epochs: number) => {
    for (let i = 0; i < epochs; i++) await change(other, { kind: "rotate" });
    const entered = { membership: other.membership!, carry: other.past.all, from: 0 };
    const device = { group: one } as unknown as Device;
    return (await leftBehind(device, entered)).map(({ code, message }) => {
      assertEquals(code, "INVITATION_VOID");
      return made.findIndex((value) => message.includes(hex(value.subarray(0, 8))));
    });
  };
  // Behind in its numbers, and beyond.
  assertEquals([await told(0), await told(3)], [[0, 1], [0, 1]]);
});
