/**
 * A member that cannot follow its group any more stands at its own door.
 */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { Saver } from "../src/client/blaze/storage.ts";
import { Group } from "../src/client/group/log/group_state.ts";
import { memoryStorage } from "../src/client/mod.ts";
import type { Bytes } from "../src/wire/bytes.ts";

test("a member keeps what it has knocked with: it may be answered when it waits no more", async () => {
  const saver = new Saver(memoryStorage());
  const kept = new Map<string, Bytes>();
  const { set } = saver;
  saver.set = (key, value) => {
    if (value) kept.set(key, value);
    return set.call(saver, key, value);
  };
  const names = { database: "bugs", constant: new Uint8Array(16) };
  const device = { name: "x", signed: false, postQuantum: false };
  const member = await Group.create(names, saver, device);
  await member.standAtOwnDoor();
  const { reference, door } = member.knock!.newcomer;
  const waiting = await Group.restore(kept, saver);
  assertEquals(waiting.knock!.newcomer.door.value, door.value);
  member.leaveOwnDoor();
  const again = await Group.restore(kept, saver);
  assertEquals([again.knock, again.knocked], [undefined, true]);
  await again.standAtOwnDoor();
  assertEquals(again.knock!.newcomer.reference, reference);
});

test("who comes in again doubts nothing of the epoch that it comes into", async () => {
  const names = { database: "bugs", constant: new Uint8Array(16) };
  const device = { name: "x", signed: false, postQuantum: false };
  const member = await Group.create(names, new Saver(memoryStorage()), device);
  member.doubted();
  await member.standAtOwnDoor();
  await member.enter(member.membership!, []);
  assertEquals([member.doubt, member.looksBack], [false, false]);
});
