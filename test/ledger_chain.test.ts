/** One author's operations: what counts, what is missing, and what is remembered. */
import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { memoryStorage, Saver } from "../src/client/blaze/storage.ts";
import { AuthorChain } from "../src/client/group/data/author_chain.ts";
import { Ledger } from "../src/client/group/data/ledger.ts";
import {
  type ChainHead,
  includes,
  MAX_AUTHORS,
  NO_HEAD,
} from "../src/client/group/data/link_vector.ts";
import { decodeLinked, encodeLinked } from "../src/client/group/data/linked_body.ts";
import type { RecordState } from "../src/client/group/data/replica.ts";
import { Uuid } from "../src/wire/blaze/blaze_record.ts";
import { hex } from "../src/wire/bytes.ts";
import { encodeLinks } from "./kit/filled.ts";

const at = (counter: number | bigint, link = 1): ChainHead => ({
  counter: BigInt(counter),
  link: new Uint8Array(8).fill(link),
});

/** What is there and counts, up to where nothing is missing, and the last one. */
const ends = (chain: AuthorChain) => [chain.whole.counter, chain.head.counter, chain.missing];

/** As it was saved. */
const restored = (chain: AuthorChain) => AuthorChain.decode(chain.encode());

test("an author with two gaps has what is before the first one, whatever fills the second", () => {
  let chain = new AuthorChain();
  chain.add(at(3));
  assertEquals(chain.place(at(20), at(12)), "gap");
  chain.add(at(20), at(12));
  chain.add(at(40), at(30));
  assertEquals(ends(chain), [3n, 40n, true]);
  chain = restored(chain);
  assertEquals(ends(chain), [3n, 40n, true]);
  // What follows the second gap's beginning fills nothing.
  assertEquals(chain.place(at(25), at(20)), "second");
  assertEquals(chain.place(at(8), at(3)), "filling");
  chain.fill(at(8));
  assertEquals(ends(chain), [8n, 40n, true]);
  assertEquals(chain.place(at(31), at(8)), "second", "it is behind the gap");
  assertEquals(chain.place(at(30, 2), at(8)), "second", "another one stands there");
  assertEquals(chain.place(at(30), at(8)), "filling");
  chain.fill(at(30));
  assertEquals(ends(chain), [40n, 40n, false]);
});

test("a checkpoint brings a part of what is missing, or all of it", () => {
  const chain = new AuthorChain();
  chain.add(at(3));
  chain.add(at(20), at(12));
  chain.reach(at(2));
  assertEquals(ends(chain), [3n, 20n, true], "that was there");
  chain.reach(at(8));
  assertEquals(ends(restored(chain)), [8n, 20n, true]);
  assertEquals(chain.place(at(10), at(8)), "filling");
  assertEquals(chain.place(at(10), at(3)), "second");
  chain.reach(at(12));
  assertEquals(ends(chain), [20n, 20n, false]);
  chain.reach(at(50));
  assertEquals(ends(chain), [50n, 50n, false]);
});

test("behind a gap, and back before it, nothing is missing", () => {
  const chain = new AuthorChain();
  chain.add(at(3));
  chain.add(at(20), at(12));
  chain.add(at(21));
  chain.back(at(20));
  assertEquals(ends(chain), [3n, 20n, true]);
  chain.back(at(12));
  assertEquals(ends(chain), [12n, 12n, false]);
  assertEquals(chain.place(at(20), at(12)), "next");
});

test("a repetition is told from a second operation for the last 64, over a restart too", () => {
  let chain = new AuthorChain();
  for (let i = 1; i <= 65; i++) chain.add(at(i));
  chain = restored(chain);
  const place = (counter: number, link: number) => chain.place(at(counter, link), NO_HEAD);
  assertEquals([place(2, 1), place(2, 2)], ["repeated", "second"]);
  assertEquals([place(1, 1), place(1, 2)], ["repeated", "repeated"], "nobody can tell");
  assertEquals([chain.knows(at(1)), chain.knows(at(2)), chain.knows(at(2, 2))], [
    undefined,
    true,
    false,
  ]);
});

test("who has the same counter with another link has something else", () => {
  const [a, b] = ["aa", "bb"];
  const ours = new Map([[a, at(5)]]);
  assert(includes(ours, ours));
  assert(includes(new Map([[a, at(6, 2)], [b, at(1)]]), ours), "it goes on behind");
  assert(!includes(new Map([[a, at(5, 2)]]), ours));
  assert(!includes(new Map([[a, at(4)]]), ours));
  assert(!includes(new Map([[b, at(9)]]), ours));
  assert(includes(new Map(), new Map()));
});

test("a vector of more authors than a group may have is not written", () => {
  const vector = (count: number) =>
    new Map(Array.from({ length: count }, (_, i) => [i.toString(16).padStart(32, "0"), at(1)]));
  assertEquals(encodeLinks(vector(MAX_AUTHORS)).length, 2 + 32 * MAX_AUTHORS);
  assertThrows(() => encodeLinks(vector(MAX_AUTHORS + 1)), RangeError);
});

const A = new Uint8Array(16).fill(1);
const [a, b, c] = [1, 2, 3].map((n) => hex(new Uint8Array(16).fill(n))) as [string, string, string];
const LEAP = 2n ** 32n;

const ledgerOf = (node: Uint8Array) =>
  Ledger.of(new Saver(memoryStorage()), new Map(), { node, most: 100 });

async function operation(counter: bigint, previous: ChainHead = NO_HEAD) {
  const id = new Uuid(0n, 1n);
  const operation = { kind: "update" as const, collection: "bugs", id, counter, node: 0 };
  return await decodeLinked(
    await encodeLinked({ operation: { ...operation, changes: {} }, previous }),
  );
}

test("rule 6: what a checkpoint brought moves the measure, in its vector and in its records", async () => {
  const state: RecordState = {
    collection: "bugs",
    id: new Uuid(0n, 1n),
    inserted: { counter: LEAP, node: b },
    fields: new Map(),
  };
  const brought: ((ledger: Ledger) => void)[] = [
    (ledger) => ledger.absorb(new Map([[b, at(LEAP)]]), []),
    (ledger) => ledger.absorb(new Map(), [state]),
  ];
  for (const bring of brought) {
    const ledger = await ledgerOf(A);
    const next = await operation(2n * LEAP);
    assertEquals(ledger.take(c, next).kind, "refused");
    bring(ledger);
    assertEquals(ledger.clock, LEAP);
    assertEquals(ledger.take(c, next).kind, "counts");
    const { operation: { counter } } = await ledger.write("update", "bugs", state.id, {});
    assertEquals(counter, 2n * LEAP + 1n);
  }
});

test("a checkpoint that has less of our past, and another one, changes nothing of it", async () => {
  const ledger = await ledgerOf(A);
  const id = new Uuid(0n, 1n);
  const one = await ledger.write("update", "bugs", id, { n: 1 });
  ledger.take(a, one);
  ledger.take(b, await operation(8n));
  const two = await ledger.write("update", "bugs", id, { n: 2 });
  ledger.take(a, two);
  assertEquals([ledger.settled, ledger.stale, two.counter], [true, false, 9n]);
  // Under a number between the two we have made nothing.
  ledger.absorb(new Map([[a, at(5)]]), []);
  assertEquals([ledger.settled, ledger.stale, ledger.waitingCount], [true, false, 2]);
  assertEquals(ledger.vector.get(a), { counter: two.counter, link: two.link });
  assertEquals(ledger.take(a, one).kind, "repeated");
});
