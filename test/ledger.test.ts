import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { memoryStorage, Saver } from "../src/client/blaze/storage.ts";
import { Ledger } from "../src/client/group/data/ledger.ts";
import { holdsOperation } from "../src/client/group/data/replica.ts";
import type { Operation } from "../src/wire/blaze/operation.ts";
import { Uuid } from "../src/wire/blaze/blaze_record.ts";
import { type Bytes, hex } from "../src/wire/bytes.ts";
import {
  type Counted,
  stateOf,
  WorldDevice,
  type WorldEntry,
  WorldLog,
} from "./kit/ledger_world.ts";
import { dice, seed, times } from "./kit/random.ts";

/** Lives of each kind. */
const RUNS = 15;

const id = (n: number) => new Uuid(0n, BigInt(n));
const nodeOf = (n: number) => new Uint8Array(16).fill(n);

const open = (n: number) =>
  Ledger.of(new Saver(memoryStorage()), new Map(), { node: nodeOf(n), most: 100 });

test("a Ledger's operation counts at another, comes back to its author, and is covered", async () => {
  const [a, b] = [await open(1), await open(2)];
  const [ours, theirs] = [hex(nodeOf(1)), hex(nodeOf(2))];
  const one = await a.write("insert", "bugs", id(1), { title: "x" });
  const two = await a.write("update", "bugs", id(1), { title: "y" });
  assertEquals([a.settled, a.waitingCount, a.vector.size], [false, 2, 0]);
  for (const body of [one, two]) {
    assertEquals(b.take(ours, body).kind, "counts");
    assertEquals(a.take(ours, body), { kind: "counts", effect: undefined, gap: false, own: true });
  }
  assertEquals(b.take(ours, one).kind, "repeated");
  assertEquals([a.settled, a.waitingCount], [true, 2]);
  assertEquals(hex(await a.digest()), hex(await b.digest()));
  assertEquals(a.covered(theirs, b.having), false);
  assertEquals(a.waitingCount, 0);
});

const KINDS = ["insert", "update", "update", "delete"] as const;

interface Chaos {
  readonly lost: boolean;
  readonly older: boolean;
  readonly twice: boolean;
  readonly checkpoints: boolean;
}

/** Random work of some devices on one log; then everybody reads to the end, and all is compared. */
async function live(seed: number, steps: number, chaos: Chaos): Promise<void> {
  const draw = dice(seed);
  const log = new WorldLog();
  const counted: Counted[] = [];
  const devices: WorldDevice[] = [];
  for (let i = 0; i < 3; i++) {
    devices.push(await new WorldDevice(`${i}`, nodeOf(i + 1), log, counted).start());
  }
  const copies = new Map<WorldDevice, Map<string, Bytes>>();
  const restored = new Set<string>();
  const written: { operation: Operation; node: string }[] = [];
  const pending: WorldEntry[] = [];
  let uploads = 0;
  for (let step = 0; step < steps; step++) {
    const device = devices[draw(devices.length)]!;
    switch (draw(16)) {
      case 0:
      case 1:
      case 2:
      case 3: {
        const kind = KINDS[draw(KINDS.length)]!;
        const changes: Record<string, number> = {};
        if (kind !== "delete") {
          for (let n = draw(3); n >= 0; n--) changes["abcd"[draw(4)]!] = draw(10);
        }
        written.push({ operation: await device.write(kind, draw(4), changes), node: device.node });
        break;
      }
      case 4:
      case 5:
      case 6:
        await device.read(1 + draw(12));
        break;
      case 7:
        await device.read();
        break;
      case 8:
      case 9:
      case 10:
        await device.append(1 + draw(4));
        break;
      case 11:
        device.announce();
        break;
      case 12: {
        // A crash between operations and cursor: the batch is lost as a whole.
        device.broken = true;
        await device.read(1 + draw(6));
        device.broken = false;
        await device.start();
        break;
      }
      case 13:
        if (chaos.older && draw(2) === 0) {
          const copy = copies.get(device);
          if (!copy || draw(2) === 0) copies.set(device, new Map(device.stored));
          else {
            device.stored = new Map(copy);
            restored.add(device.node);
            await device.start();
          }
        } else if (chaos.twice && devices.length < 5 && draw(2) === 0) {
          const name = `${device.name}'${devices.length}`;
          const twin = new WorldDevice(name, device.id, log, counted, new Map(device.stored));
          devices.push(await twin.start());
        }
        break;
      case 14:
        if (chaos.lost && draw(4) === 0) {
          log.lose();
          pending.length = 0;
        }
        break;
      case 15:
        if (!chaos.checkpoints) break;
        if (pending.length > 0) log.append(pending.shift()!);
        else {
          await device.read();
          const entry = await device.upload(++uploads);
          if (entry) pending.push(entry);
        }
        break;
    }
  }
  for (const device of devices) {
    await device.save();
    assertEquals(
      await device.asStored(),
      stateOf(device.ledger),
      `seed ${seed}: not all is stored`,
    );
  }
  await settle(devices, log, () => ++uploads);
  for (const device of devices) {
    assertEquals(
      await device.asStored(),
      stateOf(device.ledger),
      `seed ${seed}: not all is stored`,
    );
  }
  const digests = new Set<string>();
  for (const { ledger } of devices) digests.add(hex(await ledger.digest()));
  assertEquals(digests.size, 1, `seed ${seed}: records differ`);
  for (const { ledger, name } of devices) {
    assert(ledger.settled && !ledger.missing, `seed ${seed}: ${name} is not settled`);
  }
  // Who lost both its own memory and the log's lost what nobody else had.
  for (const { operation, node } of written) {
    if (restored.has(node) || (chaos.lost && chaos.older)) continue;
    const { collection, id, counter } = operation;
    const state = devices[0]!.ledger.replica.state(collection, id)!;
    const there = state && holdsOperation(state, operation, { counter, node });
    assert(there, `seed ${seed}: ${node}:${counter} is lost`);
  }
  if (!chaos.lost) {
    const links = new Map<string, string>();
    for (const { author, counter, link } of counted) {
      const id = `${author}:${counter}`;
      assertEquals(links.get(id) ?? link, link, `seed ${seed}: two operations count under ${id}`);
      links.set(id, link);
    }
  }
}

/** Reads, appends, announces and uploads until nothing changes any more. */
async function settle(
  devices: readonly WorldDevice[],
  log: WorldLog,
  next: () => number,
): Promise<void> {
  for (let round = 0; round < 40; round++) {
    let quiet = true;
    for (const device of devices) {
      await device.read();
      if (await device.append()) quiet = false;
    }
    for (const device of devices) await device.read();
    if (!quiet) continue;
    for (const device of devices) {
      await device.read();
      if (!device.more && device.logCovers) continue;
      const entry = await device.upload(next(), round > 20);
      if (!entry) continue;
      quiet = false;
      log.append(entry);
      await device.read();
    }
    for (const device of devices) {
      await device.read();
      device.announce();
    }
    for (const device of devices) await device.read();
    if (quiet && devices.every(({ ledger }) => ledger.settled && !ledger.missing)) return;
  }
  throw new Error("it does not come to rest");
}

for (
  const [name, chaos] of Object.entries({
    "that crash": { lost: false, older: false, twice: false, checkpoints: false },
    "that crash, with checkpoints": { lost: false, older: false, twice: false, checkpoints: true },
    "restored from older copies": { lost: false, older: true, twice: false, checkpoints: true },
    "that run twice": { lost: false, older: false, twice: true, checkpoints: true },
    "whose log is lost": { lost: true, older: false, twice: false, checkpoints: true },
    "with all of that": { lost: true, older: true, twice: true, checkpoints: true },
  })
) {
  test(`devices ${name} end with equal records and digests`, async () => {
    for (let i = 0; i < RUNS * times; i++) await live(seed * 1_000 + i, 80, chaos);
  });
}
