/**
 * Which commit began an epoch, as somebody sees who was not there.
 */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { random } from "../src/client/group/e2e/derive.ts";
import {
  type CommitOutline,
  outlineOf,
  prevails,
  seeCommit,
} from "../src/client/group/mls/epoch_chain.ts";
import type { GroupMembership } from "../src/client/group/mls/group_membership.ts";
import { anyHead, MlsWorld } from "./kit/mls.ts";

test("a commit is the step between two epochs by transcript and confirmation tag, both of them", async () => {
  const world = await MlsWorld.of(3);
  const [author, other] = world.members as [GroupMembership, GroupMembership];
  const head = anyHead();
  const from = await author.witness();
  const { message, next } = await author.prepare({ kind: "rotate" }, head, []);
  const to = await next.witness();
  const { suite } = author.view;
  const seen = await seeCommit(message, head, { suite, from, to });
  assertEquals(seen, {
    epoch: author.number,
    inPlace: true,
    behind: head.sequence,
    doubt: false,
    author: author.self.leaf,
    removes: [],
    isStep: true,
  });
  const isStep = async (bytes = message, step = {}) =>
    (await seeCommit(bytes, head, { suite, from, to, ...step }))?.isStep;
  assertEquals(await isStep(message, { from: { interim: random(32) } }), false);
  assertEquals(await isStep(message, { to: { ...to, interim: random(32) } }), false);
  assertEquals(await isStep(message, { to: { ...to, interim: random(31) } }), false);
  assertEquals(await isStep(message, { to: { ...to, confirmationKey: random(32) } }), false);
  // Another commit of the same epoch leads elsewhere.
  const competing = await other.prepare({ kind: "rotate" }, head, []);
  assertEquals(await isStep(competing.message), false);
  assertEquals(await isStep((await author.prepare({ kind: "rotate" }, head, [])).message), false);
  assertEquals(await isStep(random(40)), undefined);
});

test("the outline of a commit says where it stands, of whom it is, and whom it removes", async () => {
  const world = await MlsWorld.of(3);
  const [author, first, second] = world.members as GroupMembership[];
  const head = { ...anyHead(), doubt: true };
  const nodes = [second!.self.node, first!.self.node];
  const { message } = await author!.prepare({ kind: "remove", nodes }, head, []);
  const outline = outlineOf(message, head)!;
  assertEquals(outline.removes, [second!.self.leaf, first!.self.leaf]);
  assert(outline.doubt && outline.inPlace);
  for (
    const elsewhere of [
      { ...head, ring: random(8) },
      { ...head, sequence: head.sequence + 1n },
      { ...head, hash: random(32) },
    ]
  ) {
    const { inPlace, behind } = outlineOf(message, elsewhere)!;
    assertEquals({ inPlace, behind }, { inPlace: false, behind: elsewhere.sequence });
  }
  assertEquals(outlineOf(message.slice(1), head), undefined);
});

/** A commit of leaf 0 in place behind entry 5, without doubt, that removes nobody. */
const outline = (change: Partial<CommitOutline> = {}): CommitOutline => ({
  epoch: 3n,
  inPlace: true,
  behind: 5n,
  doubt: false,
  author: 0,
  removes: [],
  ...change,
});

const again = (change: Partial<CommitOutline> = {}) => outline({ inPlace: false, ...change });

const table: readonly [string, CommitOutline, CommitOutline[], boolean][] = [
  ["alone", outline(), [], true],
  ["before another one in place", outline(), [outline({ behind: 6n, author: 1 })], true],
  ["behind another one in place", outline(), [outline({ behind: 4n, author: 1 })], false],
  ["behind one, before another one", outline(), [
    outline({ behind: 6n }),
    outline({ behind: 4n }),
  ], false],
  ["in place, the other one in place in doubt and before it", outline(), [
    outline({ behind: 4n, doubt: true }),
  ], false],
  ["without doubt, the other one in doubt", outline(), [again({ doubt: true, author: 1 })], true],
  ["both without doubt", outline(), [again({ author: 1 })], false],
  ["in doubt, the other one too", outline({ doubt: true }), [again({ doubt: true })], false],
  ["in doubt, the other one without", outline({ doubt: true }), [again()], false],
  ["its author removed by one in doubt", outline(), [
    again({ doubt: true, author: 1, removes: [2, 0] }),
  ], false],
  ["others removed by one in doubt", outline(), [
    again({ doubt: true, author: 1, removes: [2, 1] }),
  ], true],
  ["appended again, the other one in place in doubt", again(), [
    outline({ behind: 1n, doubt: true }),
  ], true],
  [
    "appended again, the other one in place without doubt",
    again(),
    [outline({ behind: 9n })],
    false,
  ],
  ["beside one of another epoch", outline(), [outline({ epoch: 2n, behind: 1n })], true],
];

for (const [name, step, others, stands] of table) {
  test(`a step as who is outside weighs it: ${name}`, () => {
    assertEquals(prevails(step, others), stands);
  });
}
