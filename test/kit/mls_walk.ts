/**
 * What groups go through, for as many devices or steps as there is time for.
 *
 * @module
 */
import { assertEquals, assertRejects } from "@std/assert";
import { MlsWorld } from "./mls.ts";
import { dice } from "./random.ts";

/** In by whoever is there, keys anew, out, and of one mind all the time. At least 7 devices. */
export async function inAndOut(many: number): Promise<void> {
  const world = await MlsWorld.of(1);
  for (let i = 1; i < many; i++) {
    const by = Math.floor(i * 0.6);
    const { judged, entered } = await world.add(`device ${i}`, by);
    for (const { change } of judged) {
      assertEquals([change.kind, change.added?.name, change.removed], ["add", `device ${i}`, []]);
    }
    assertEquals(entered.membership.self.name, `device ${i}`);
    if (i % 3 === 0) {
      const { judged } = await world.commit(Math.floor(i * 0.3), { kind: "rotate" });
      for (const { change } of judged) assertEquals(change, { kind: "rotate", removed: [] });
    }
  }
  const names = world.members[4]!.peers().map(({ name }) => name);
  assertEquals(names, Array.from({ length: many }, (_, i) => `device ${i}`));

  const [second, fifth] = [world.members[2]!, world.members[5]!];
  const gone = [second.self.node, fifth.self.node];
  const { judged, message, head } = await world.commit(many - 4, { kind: "remove", nodes: gone });
  assertEquals(judged.filter(({ next }) => !next).length, 2);
  for (const { change, author } of judged) {
    assertEquals([change.kind, change.removed], ["remove", gone]);
    assertEquals(author.name, `device ${many - 4}`);
  }
  assertEquals(world.members.length, many - 2);
  assertEquals(world.members[0]!.data.removed, gone);
  assertEquals((await second.judge(message, head)).next, undefined);

  // Blank leaves are filled again, in trees that have unmerged leaves.
  for (let i = 0; i < 3; i++) {
    await world.commit(i, { kind: "rotate" });
    await world.add(`later ${i}`, many - 3 - i);
  }
  const last = world.members[0]!.peers().slice(-3).map(({ name }) => name);
  assertEquals(last, ["later 0", "later 1", "later 2"]);
  await assertRejects(() => second.judge(message, { ...head, sequence: 9n }));
  await assertRejects(async () => {
    const next = await world.members[0]!.prepare({ kind: "rotate" }, head, []);
    await second.judge(next.message, head);
  });
}

/** Anything that may happen, so many times. */
export async function anything(steps: number): Promise<void> {
  const world = await MlsWorld.of(3);
  const roll = dice();
  for (let step = 0; step < steps; step++) {
    const { length } = world.members;
    const by = roll(length);
    const other = (by + 1 + roll(length - 1)) % length;
    const { self } = world.members[other]!;
    const what = roll(8);
    if (what < 3 && length < 9) await world.add(`step ${step}`, by);
    else if (what === 3 && length > 2) {
      await world.commit(by, { kind: "remove", nodes: [self.node] });
    } else if (what === 4) {
      // The one that was there stops; its place is taken by the one that comes in again.
      await world.admit(await world.again(world.members[other]!), by);
    } else await world.commit(by, { kind: "rotate" });
  }
}
