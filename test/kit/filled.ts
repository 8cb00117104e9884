/**
 * Records, and what a checkpoint of them says, for tests of checkpoints.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import {
  CheckpointAssembly,
  type CheckpointBase,
  checkpointDigest,
  checkpointParts,
  decodeCheckpoint,
  snapshotOf,
} from "../../src/client/group/data/checkpoint.ts";
import { type LinkVector, writeLinks } from "../../src/client/group/data/link_vector.ts";
import { Replica } from "../../src/client/group/data/replica.ts";
import { Uuid } from "../../src/wire/blaze/blaze_record.ts";
import { type Bytes, hex, Writer } from "../../src/wire/bytes.ts";

export const nodes = ["aa".repeat(16), "bb".repeat(16), "cc".repeat(16)];
export const base: CheckpointBase = {
  ring: new Uint8Array(8).fill(1),
  sequence: 7n,
  hash: new Uint8Array(32).fill(2),
  instances: [{ node: nodes[0]!, instance: "03".repeat(8), counter: 9n }],
};
export const vector: LinkVector = new Map([
  [nodes[1]!, { counter: 5n, link: new Uint8Array(8).fill(4) }],
  [nodes[0]!, { counter: 6n, link: new Uint8Array(8).fill(5) }],
]);

/** So many records of two collections, by three devices. */
export const filled = (count: number, text = "x"): Replica => {
  const replica = new Replica();
  for (let i = 1; i <= count; i++) {
    const operation = {
      kind: "insert" as const,
      collection: i % 2 === 0 ? "notes" : "bugs",
      id: new Uuid(0n, BigInt(i)),
      counter: BigInt(i),
      node: 0,
      changes: { title: text, number: i },
    };
    replica.apply(operation, { counter: BigInt(i), node: nodes[i % 3]! });
  }
  return replica;
};

export const sign = (covered: Bytes) =>
  Promise.resolve(new Uint8Array(64).fill(covered.length & 0xff));

/** So many records go into a checkpoint and come out of it. */
export async function comesBack(count: number): Promise<void> {
  const contents = snapshotOf(vector, filled(count).all());
  assertEquals(contents.records, count);
  const assembly = new CheckpointAssembly(1 << 26);
  let whole: Bytes | undefined;
  for (const part of await checkpointParts(base, contents, sign)) whole = assembly.take("a", part);
  const { states } = await decodeCheckpoint(whole!);
  const copy = new Replica();
  for (const state of states) copy.merge(state);
  assertEquals(copy.size, count);
  assertEquals(
    hex(await checkpointDigest(snapshotOf(vector, copy.all()))),
    hex(await checkpointDigest(contents)),
  );
}

export const encodeLinks = (vector: LinkVector): Bytes =>
  writeLinks(new Writer(1024), vector).finish();
