/**
 * A hostile relay that changes entries of the logs of a group, of every kind, and its answers about logs,
 * and that shows checkpoints that are old.
 */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { decodeExtension, type Extension, framesIn, Subtype } from "../src/wire/blaze/extension.ts";
import { decodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { hex } from "../src/wire/bytes.ts";
import { digest, random } from "../src/client/group/e2e/derive.ts";
import { chained } from "../src/client/group/log/epoch_log.ts";
import { type Attack, attack, entries, healed, word } from "./kit/attack.ts";
import {
  converged,
  eventually,
  insert,
  online,
  stillWork,
  titles,
  type Told,
  twoStored,
  withDevices,
} from "./kit/group.ts";
import { type Hostile, type Victim, withHostile } from "./kit/hostile.ts";
import { withRelay } from "./kit/relay.ts";
import { withRogue } from "./kit/rogue.ts";

type Message = Uint8Array<ArrayBuffer>;

const isKind = (frame: Message, subtype: number): boolean => {
  const { type, payload } = decodeFrame(frame);
  return type === FrameType.extension && payload[0] === subtype;
};

const extensionIn = (message: Message): Extension | undefined => {
  const { type, payload } = decodeFrame(message);
  return type === FrameType.extension ? decodeExtension(payload) : undefined;
};

/** Enough that a checkpoint is due. */
async function fill(one: Told): Promise<void> {
  const text = hex(random(60_000));
  for (let i = 0; i < 10; i++) {
    await one.client.collection("bugs").insert({ title: `big ${i}`, text });
  }
}

/** How each kind of entry comes about, and how many records there are then. */
const kinds: Record<string, [subtype: number, cause: (parts: Attack) => Promise<number>]> = {
  announce: [Subtype.announce, async ({ a, b }) => {
    await insert(b, "to be acknowledged");
    await converged([a, b], 2);
    return 2;
  }],
  commit: [Subtype.commit, async ({ a }) => {
    await a.client.rotate();
    return 1;
  }],
  checkpoint: [Subtype.checkpoint, async ({ a }) => {
    await fill(a);
    return 11;
  }],
  endorsement: [Subtype.endorsement, async ({ a }) => {
    await fill(a);
    return 11;
  }],
};

for (const [kind, [subtype, cause]] of Object.entries(kinds)) {
  // A checkpoint takes a while.
  for (const at of subtype < Subtype.checkpoint ? [2, -1] : [-1]) {
    test(`hostile relay flips a bit of byte ${at} of one ${kind}: noticed, and healed`, () =>
      attack(async (parts) => {
        const { hostile, b, toB } = parts;
        let flipped = false;
        entries(hostile, toB, (sequence, frame) => {
          if (flipped || !isKind(frame, subtype)) return;
          flipped = true;
          frame[at < 0 ? frame.length + at : at]! ^= 1;
          return [word({ subtype: "sequenced", sequence, frame })];
        });
        const already = await cause(parts);
        await eventually(() => flipped && b.faults().length > 0, "b noticed", 10_000);
        await healed(parts, already);
      }, { compress: "never" }));
  }
}

test("hostile relay flips a bit of one hold: noticed, and it holds nobody", () =>
  withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const { kept, a, b } = await twoStored(kit, hostile.url);
        await insert(a, "before");
        await converged([a, b], 1);
        const toA = hostile.victim(await a.client.node());
        let flipped = 0;
        entries(hostile, toA, (sequence, frame) => {
          if (!isKind(frame, Subtype.hold)) return;
          flipped++;
          frame[frame.length - 1]! ^= 1;
          return [word({ subtype: "sequenced", sequence, frame })];
        });
        await withRogue(relay, await kept.copy(), async (rogue) => {
          await rogue.read();
          assertEquals(await rogue.append(await rogue.announce()), "kept");
          assertEquals(await rogue.append(await (await rogue.voice).hold()), "kept");
        });
        await eventually(() => flipped > 0 && a.faults().length > 0, "a noticed");
        // A true one would keep it for 15 s.
        await insert(a, "after");
        await eventually(() => a.client.counts.local === 0, "it went out", 6_000);
      }))
  ));

for (const kind of ["knock", "welcome"] as const) {
  test(`hostile relay flips a bit of one ${kind}: noticed, and the door is read again`, () =>
    attack(async ({ hostile, kit, invitation, a, b }) => {
      let flipped = 0;
      hostile.down = (message) => {
        const extension = extensionIn(message);
        if (flipped > 0 || extension?.subtype !== "sequenced") return;
        const frame = extension.frame.slice();
        if (!isKind(frame, Subtype[kind])) return;
        flipped++;
        frame[frame.length - 1]! ^= 1;
        return [word({ ...extension, frame })];
      };
      const late = kit.open({ url: hostile.url, invitation });
      await eventually(() => flipped === 1, "it was flipped");
      for (const victim of [...hostile.victims]) victim.close(1012);
      await eventually(
        () => late.client.devices().length === 3,
        () => [a, b, late].map(({ client, faults }) => `${client.state} ${faults()}`).join("; "),
      );
      await converged([a, b, late], 1);
      await stillWork([a, b, late], 1);
    }));
}

test("hostile relay swaps the check of an open, and the hash of the answer: nothing is lost", () =>
  attack(async (parts) => {
    const { hostile, a, b, toB } = parts;
    const node = await b.client.node();
    let swapped = 0;
    hostile.up = (message, victim) => {
      const extension = extensionIn(message);
      if (victim.node !== node || extension?.subtype !== "open") return;
      swapped++;
      return [word({ ...extension, check: new Uint8Array(8).fill(7) })];
    };
    const incoming = b.incoming.length;
    toB.close(1012);
    await eventually(() => swapped > 0 && online(b.client) === 2, "it reads all again");
    await insert(a, "once");
    await converged([a, b], 2);
    assertEquals([titles(b), b.incoming.length], [["before", "once"], incoming + 1]);
    hostile.down = (message, victim) => {
      const extension = extensionIn(message);
      if (victim.node !== node || extension?.subtype !== "recovered") return;
      return [word({ ...extension, hash: new Uint8Array(32).fill(7) })];
    };
    hostile.victim(node).close(1012);
    await eventually(() => online(b.client) === 2, "it reads on another chain");
    await insert(b, "on another chain");
    await eventually(
      () => [a, b].some((one) => one.faults().includes("TWO_PASTS")),
      "it is named",
      6_000,
    );
    await healed({ ...parts, toB: hostile.victim(node) }, 3);
  }));

/** The log that holds a checkpoint as a victim was shown it: its id, and its frames from the first one on. */
function checkpointed({ seen }: Hostile, victim: Victim): { id: Message; frames: Message[] } {
  const opened: Message[] = [];
  const logs = new Map<string, { id: Message; frames: Message[] }>();
  let open: { id: Message; frames: Message[] } | undefined;
  for (const { up, message, victim: whose } of seen) {
    if (whose !== victim) continue;
    for (const one of framesIn(message)) {
      const extension = extensionIn(one.slice());
      if (up && extension?.subtype === "open") opened.push(extension.log.slice());
      if (up) continue;
      if (extension?.subtype === "recovered") {
        const id = opened.shift()!;
        open = logs.get(hex(id)) ?? { id, frames: [] };
        logs.set(hex(id), open);
      }
      if (extension?.subtype !== "sequenced") continue;
      open!.frames[Number(extension.sequence) - 1] = extension.frame.slice();
    }
  }
  return [...logs.values()].find(({ frames }) =>
    frames.some((frame) => isKind(frame, Subtype.checkpoint))
  )!;
}

test("hostile relay shows an old checkpoint and nothing behind it: what is newer stays", () =>
  attack(async (parts) => {
    const { hostile, a, b, toB } = parts;
    const bugs = a.client.collection("bugs");
    const { id: changed } = await bugs.insert({ title: "old" });
    const { id: deleted } = await bugs.insert({ title: "deleted later" });
    await fill(a);
    await converged([a, b], 13);
    let first = 0n;
    await eventually(() => {
      for (const { up, message } of hostile.seen) {
        const extension = up ? extensionIn(message) : undefined;
        if (extension?.subtype === "truncate") first = extension.sequence;
      }
      return first > 0n;
    }, "a checkpoint was endorsed");
    await eventually(() => a.client.pending + b.client.pending === 0, "all is quiet");
    const { id, frames } = checkpointed(hostile, toB);
    let hash = await digest("BX2 log", id);
    for (const frame of frames.slice(0, Number(first) - 1)) hash = await chained(hash, frame);
    const last = BigInt(frames.length);
    const state = { complete: false, durability: 0, ring: random(8), first, last, hash };
    const old = [word({ subtype: "recovered", ...state })];
    for (let at = first; at <= last; at++) {
      old.push(word({ subtype: "sequenced", sequence: at, frame: frames[Number(at) - 1]! }));
    }
    old.push(word({ subtype: "live", sequence: last }));

    await bugs.update(changed, { title: "new" });
    await bugs.delete(deleted);
    await eventually(() => titles(b).length === 12 && titles(b).includes("new"), "b has it");
    const before = titles(b);
    const node = await b.client.node();
    let shown = false;
    hostile.down = (message, victim) => {
      if (victim.node !== node) return;
      return [...framesIn(message)].flatMap((frame) => {
        const one = frame.slice();
        const kind = extensionIn(one)?.subtype;
        if (kind === "recovered" && !shown) {
          shown = true;
          return old;
        }
        return shown && ["recovered", "sequenced", "live"].includes(kind!) ? [] : [one];
      });
    };
    const synced = () => b.statuses.filter((one) => one.kind === "state" && one.state === "synced");
    const times = synced().length;
    toB.close(1012);
    await eventually(() => shown && synced().length > times, "b has read what is old");
    assertEquals(titles(b), before);
    hostile.down = () => {};
    hostile.victim(node).close(1012);
    await stillWork([a, b], 12);
    // Nor does it come back with the device that was shown it.
    assert(titles(a).includes("new") && !titles(a).includes("deleted later"));
  }, { compress: "never" }));
