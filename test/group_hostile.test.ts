/**
 * The relay as an enemy of a group: each attack is a test, and each is noticed or does no harm.
 */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { concat } from "../src/wire/bytes.ts";
import { encodeFault } from "../src/wire/blaze/control.ts";
import { decodeExtension } from "../src/wire/blaze/extension.ts";
import { decodeFrame, encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { encodeOperation } from "../src/wire/blaze/operation.ts";
import { Uuid } from "../src/wire/blaze/blaze_record.ts";
import { attack, entries, healed, isOperation, word } from "./kit/attack.ts";
import { converged, eventually, insert, stillWork, titles, wasRemoved } from "./kit/group.ts";

type Message = Uint8Array<ArrayBuffer>;

for (const at of [2, 3, 12, 40, -1]) {
  test(`hostile relay flips a bit of byte ${at} of an operation: noticed, named, healed`, () =>
    attack(async (parts) => {
      const { hostile, a, b, toB } = parts;
      let flipped = false;
      entries(hostile, toB, (sequence, frame) => {
        if (flipped || !isOperation(frame)) return;
        flipped = true;
        frame[at < 0 ? frame.length + at : at]! ^= at === 2 ? 0x80 : 1;
        return [word({ subtype: "sequenced", sequence, frame })];
      });
      await insert(a, "flipped");
      await eventually(() => flipped && b.faults().length > 0, "b noticed", 6_000);
      assert(!titles(b).includes("flipped"));
      // What b has read it says when it next acknowledges something.
      await insert(a, "next");
      await eventually(() => a.faults().includes("TWO_PASTS"), "it is named", 6_000);
      await healed(parts, 3);
    }));
}

test("hostile relay shows two devices different pasts: named once a message passes", () =>
  attack(async (parts) => {
    const { hostile, a, toB } = parts;
    // Each gets what the other one wrote as nothing but its number.
    const junk = encodeFrame({
      type: FrameType.operation,
      encrypted: true,
      payload: crypto.getRandomValues(new Uint8Array(90)),
    });
    let swapped = 0;
    entries(hostile, toB, (sequence, frame) => {
      if (swapped > 0 || !isOperation(frame)) return;
      swapped++;
      return [word({ subtype: "sequenced", sequence, frame: junk })];
    });
    await insert(a, "only a sees it");
    await eventually(() => swapped === 1, "b was shown another one");
    await insert(a, "what b acknowledges");
    await eventually(() => a.faults().includes("TWO_PASTS"), "a names it", 6_000);
    await healed(parts, 3);
  }));

test("hostile relay leaves an entry out, or reorders two: noticed, and healed", () =>
  attack(async (parts) => {
    const { hostile, a, b, toB } = parts;
    const held: Message[] = [];
    entries(hostile, toB, (sequence, frame) => {
      if (held.length === 1 && isOperation(frame)) {
        const out = [word({ subtype: "sequenced", sequence, frame }), held[0]!];
        held.push(held[0]!);
        return out;
      }
      if (held.length > 0 || !isOperation(frame)) return;
      held.push(word({ subtype: "sequenced", sequence, frame }));
      return [];
    });
    await insert(a, "one");
    await insert(a, "two");
    await eventually(() => b.faults().includes("LOG_HOLE"), "b noticed", 6_000);
    await healed(parts, 3);
  }));

test("hostile relay withholds the tail: what was written stays pending, and arrives later", () =>
  attack(async (parts) => {
    const { hostile, a, b, toB } = parts;
    entries(hostile, toB, () => []);
    await insert(a, "withheld");
    await eventually(() => a.client.counts.mailbox === 1, "it is in the mailbox");
    assertEquals([a.client.pending, titles(b).length], [1, 1]);
    await healed(parts, 2);
  }));

test("hostile relay says accepted and keeps nothing: it stays pending, and goes again", () =>
  attack(async (parts) => {
    const { hostile, a, b, toA } = parts;
    hostile.up = (message, victim) => {
      if (victim !== toA) return;
      const { type, payload } = decodeFrame(message);
      const extension = type === FrameType.extension ? decodeExtension(payload) : undefined;
      if (extension?.subtype !== "sequenced") return;
      victim.toDevice(word({ subtype: "accepted", count: 1, sequence: 99n }));
      return [];
    };
    await insert(a, "kept by nobody");
    await eventually(() => a.client.counts.mailbox === 1, "it believes so");
    assertEquals(a.client.pending, 1);
    // More than there is to accept costs nothing, either.
    toA.toDevice(word({ subtype: "accepted", count: 0xffffffff, sequence: 2n ** 64n - 1n }));
    hostile.up = () => {};
    toA.close(1012);
    await converged([a, b], 2);
    await healed(parts, 2);
  }));

test("hostile relay puts entries of another epoch's log into this one: they count for nobody", () =>
  attack(async (parts) => {
    const { hostile, a, b, toB } = parts;
    const old: Message[] = [];
    entries(hostile, toB, (_, frame) => void old.push(frame));
    await insert(a, "old");
    await converged([a, b], 2);
    await a.client.rotate();
    const incoming = b.incoming.length;
    await insert(a, "new");
    await converged([a, b], 3);
    let put = false;
    entries(hostile, toB, (sequence, frame) => {
      if (put || !isOperation(frame)) return;
      put = true;
      return old.filter(isOperation)
        .map((frame, i) => word({ subtype: "sequenced", sequence: sequence + BigInt(i), frame }));
    });
    await insert(a, "replaced");
    await eventually(() => put && b.faults().length > 0, "b noticed", 6_000);
    assertEquals(b.incoming.length, incoming + 1);
    await healed(parts, 4);
  }));

test("hostile relay changes ring and check of an answer: the log is read again, and all is there", () =>
  attack(async (parts) => {
    const { hostile, a, b, toB } = parts;
    hostile.down = (message) => {
      const { type, payload } = decodeFrame(message);
      const extension = type === FrameType.extension ? decodeExtension(payload) : undefined;
      if (extension?.subtype !== "recovered") return;
      return [word({ ...extension, complete: false, ring: new Uint8Array(8).fill(7) })];
    };
    toB.close(1012);
    await eventually(() => b.faults().length > 0 || b.client.state === "synced", "it is back");
    await insert(a, "meanwhile");
    await eventually(
      () => [a, b].some((one) => one.faults().includes("TWO_PASTS")),
      "it is named",
      6_000,
    );
    hostile.down = () => {};
    hostile.victims.forEach((victim) => victim.close(1012));
    await stillWork([a, b], 2);
  }));

test("hostile relay forges Errors, Disconnect, plain operations and garbage: no word of any device", () =>
  attack(async (parts) => {
    const { b, toB } = parts;
    for (const code of [4403, 4406, 4422, 4423, 4503, 4507]) {
      const payload = encodeFault({ code, message: "you were removed" });
      toB.toDevice(encodeFrame({ type: FrameType.error, payload }));
    }
    toB.toDevice(encodeFrame({ type: FrameType.disconnect }));
    const payload = encodeOperation({
      kind: "insert",
      collection: "bugs",
      id: Uuid.parse(crypto.randomUUID()),
      counter: 99n,
      node: 0,
      changes: { title: "from the relay" },
    });
    for (const type of [FrameType.operation, FrameType.query, FrameType.queryResult]) {
      toB.toDevice(encodeFrame({ type, payload }));
    }
    const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));
    for (let i = 0; i < 100; i++) toB.toDevice(random(i));
    for (let code = 0x0c; code <= 0x20; code++) {
      for (const length of [0, 1, 11, 40, 100]) {
        const payload = concat(Uint8Array.of(code), random(length));
        toB.toDevice(encodeFrame({ type: FrameType.extension, payload }));
      }
    }
    await eventually(() => b.faults().includes("ERROR_4403"), "b was told");
    assert(!wasRemoved(b));
    await healed(parts, 1);
    assert(!titles(b).includes("from the relay"));
  }));
