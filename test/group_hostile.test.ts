/**
 * The relay as an enemy: each attack is a test, and each is noticed or does no harm.
 */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { BlazePair, memoryStorage, type NewGroupOptions } from "../src/client/mod.ts";
import { drawKeyPair } from "../src/client/pair/pair_keys.ts";
import { concat, hex } from "../src/wire/bytes.ts";
import { encodeFault } from "../src/wire/blaze/control.ts";
import { encodeExtension, Subtype } from "../src/wire/blaze/extension.ts";
import { decodeFrame, encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import {
  Capability,
  decodeHandshake,
  encodeHandshake,
  encodeHandshakeAck,
  TlvType,
} from "../src/wire/blaze/handshake.ts";
import { encodeOperation } from "../src/wire/blaze/operation.ts";
import { Uuid } from "../src/wire/blaze/blaze_record.ts";
import {
  converged,
  type DeviceKit,
  eventually,
  group,
  online,
  type Told,
  withDevices,
} from "./kit/group.ts";
import { type Hostile, inner, isSubtype, isType, type Victim, withHostile } from "./kit/hostile.ts";
import { LiteralSocket } from "./kit/literal_socket.ts";
import { withRelay } from "./kit/relay.ts";

type Message = Uint8Array<ArrayBuffer>;

/** Two devices that know each other, through a hostile relay that is still quiet. */
const attack = (
  run: (
    parts: { hostile: Hostile; a: Told; b: Told; secret: string; kit: DeviceKit; toB: Victim },
  ) => Promise<void>,
  options: Partial<NewGroupOptions> = {},
) =>
  withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const { devices, secret } = await group(kit, hostile.url, 2, options);
        const [a, b] = devices as [Told, Told];
        const toB = hostile.victim(await b.client.node());
        await run({ hostile, a, b, secret, kit, toB });
      }))
  );

const insert = ({ client }: Told, title: string) => client.collection("bugs").insert({ title });
const titles = ({ client }: Told) =>
  client.collection("bugs").list().map(({ fields }) => fields.title).sort();

/** The last operation that went up. */
const lastOperation = (hostile: Hostile): Message =>
  hostile.seen.findLast(({ up, message }) => up && isType(message, FrameType.operation))!.message;

/** After an attack everything still works, and both hold the same. */
async function stillWorks(a: Told, b: Told, least: number): Promise<void> {
  await insert(a, "after");
  await insert(b, "after too");
  await converged([a, b], least + 2);
}

for (let bit = 0; bit < 8; bit++) {
  test(`hostile relay flips bit ${bit} of the flags of an operation: noticed, repaired`, () =>
    attack(async ({ hostile, a, b, toB }) => {
      let flipped = false;
      hostile.down = (message, victim) => {
        if (flipped || victim !== toB || !isType(message, FrameType.operation)) return;
        flipped = true;
        const changed = message.slice();
        changed[2]! ^= 1 << bit;
        return [changed];
      };
      await insert(a, "first");
      await eventually(() => flipped, "it was flipped");
      await insert(a, "second");
      await converged([a, b], 2);
      assert(b.faults().length > 0, "b noticed");
      assertEquals(titles(b), ["first", "second"]);
    }));
}

for (const at of [0, 1, 3, 4]) {
  test(`hostile relay changes byte ${at} of the header: noticed, repaired`, () =>
    attack(async ({ hostile, a, b, toB }) => {
      let changedOne = false;
      hostile.down = (message, victim) => {
        if (changedOne || victim !== toB || !isType(message, FrameType.operation)) return;
        changedOne = true;
        const changed = message.slice();
        changed[at]! ^= 0x01;
        return [changed];
      };
      await insert(a, "first");
      await insert(a, "second");
      await converged([a, b], 2);
      assert(b.faults().length > 0);
    }));
}

test("hostile relay changes the type of an operation to QueryResult: noticed", () =>
  attack(async ({ hostile, a, b, toB }) => {
    hostile.down = (message, victim) => {
      if (victim !== toB || !isType(message, FrameType.operation)) return;
      const changed = message.slice();
      changed[2] = changed[2]! & 0xf0 | FrameType.queryResult;
      return [changed];
    };
    await insert(a, "first");
    await eventually(() => b.faults().includes("AUTH_FAILED"), "b noticed");
    hostile.down = () => {};
    await stillWorks(a, b, 1);
  }));

test("hostile relay replays operations: taken once", () =>
  attack(async ({ hostile, a, b, toB }) => {
    await insert(a, "once");
    await converged([a, b], 1);
    const operation = lastOperation(hostile);
    for (let i = 0; i < 20; i++) toB.toDevice(operation);
    await eventually(
      () => b.faults().filter((code) => code === "REPLAY").length === 20,
      "each replay was noticed",
    );
    assertEquals(b.incoming.length, 1);
  }));

test("hostile relay replays operations to a device that was restarted: taken once", () =>
  withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const { devices: [a], secret } = await group(kit, hostile.url, 1);
        const storage = memoryStorage();
        const b = kit.open({ url: hostile.url, secret, storage });
        await eventually(() => online(a!.client) === 2, "b is here");
        const before = hostile.seen.length;
        await insert(a!, "once");
        await converged([a!, b], 1);
        await eventually(() => a!.client.pending === 0, "it was acknowledged");
        await b.client.close();
        const again = kit.open({ url: hostile.url, storage });
        await eventually(() => online(again.client) === 2, "b is back");
        const victim = hostile.victim(await again.client.node());
        const old = hostile.seen.slice(before).filter(({ up, message }) =>
          up && isType(message, FrameType.operation)
        );
        assert(old.length > 0);
        for (const { message } of old) victim.toDevice(message);
        await eventually(() => again.faults().includes("REPLAY"), "the mark was kept");
        assertEquals(again.incoming.length, 0);
      }))
  ));

test("hostile relay delivers operations backwards: the same records", () =>
  attack(async ({ hostile, a, b, toB }) => {
    const held: Message[] = [];
    hostile.down = (message, victim) => {
      if (victim !== toB || !isType(message, FrameType.operation)) return;
      held.push(message);
      return [];
    };
    const { id } = await insert(a, "1");
    for (let i = 2; i <= 20; i++) {
      await a.client.collection("bugs").update(id, { title: `${i}`, [`field${i}`]: i });
    }
    await eventually(() => held.length === 20, "all were held back");
    hostile.down = () => {};
    for (const message of held.reverse()) toB.toDevice(message);
    await eventually(() => titles(b)[0] === "20", "the latest won");
    await converged([a, b], 1);
  }));

test("hostile relay drops an operation: the next one shows it, and it is fetched", () =>
  attack(async ({ hostile, a, b, toB }) => {
    let dropped = 0;
    hostile.down = (message, victim) => {
      if (victim !== toB || dropped > 0 || !isType(message, FrameType.operation)) return;
      dropped++;
      return [];
    };
    await insert(a, "dropped");
    await eventually(() => dropped === 1, "it was dropped");
    assertEquals(titles(b), []);
    await insert(a, "next");
    await converged([a, b], 2);
    assertEquals(titles(b), ["dropped", "next"]);
  }));

test("hostile relay injects a plain operation: refused", () =>
  attack(async ({ a, b, toB }) => {
    const payload = encodeOperation({
      kind: "insert",
      collection: "bugs",
      id: Uuid.parse(crypto.randomUUID()),
      counter: 99n,
      node: 0,
      changes: { title: "from the relay" },
    });
    for (const compressed of [false, true]) {
      toB.toDevice(encodeFrame({ type: FrameType.operation, payload, compressed }));
    }
    for (const type of [FrameType.operationAck, FrameType.query, FrameType.queryResult]) {
      toB.toDevice(encodeFrame({ type, payload }));
    }
    await eventually(
      () => b.faults().filter((code) => code === "PLAINTEXT_AFTER_KEY").length === 5,
      "all were refused",
    );
    await stillWorks(a, b, 0);
    assertEquals(titles(b), ["after", "after too"]);
  }));

test("hostile relay clears the E bit of a sealed operation: refused", () =>
  attack(async ({ hostile, a, b, toB }) => {
    await insert(a, "x");
    await converged([a, b], 1);
    const changed = lastOperation(hostile).slice();
    changed[2]! &= ~0x40;
    toB.toDevice(changed);
    await eventually(() => b.faults().includes("PLAINTEXT_AFTER_KEY"), "refused");
  }));

test("hostile relay sets the C bit of an operation: refused before anything is decompressed", () =>
  attack(async ({ hostile, a, b, toB }) => {
    hostile.down = (message, victim) => {
      if (victim !== toB || !isType(message, FrameType.operation)) return;
      const changed = message.slice();
      changed[2]! ^= 0x80;
      return [changed];
    };
    await insert(a, "x");
    await eventually(() => b.faults().includes("AUTH_FAILED"), "noticed");
    assert(!b.faults().includes("NOT_ZSTD"));
  }));

test("hostile relay carries an operation into another database of the same devices: refused", () =>
  withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const { devices: [a, b] } = await group(kit, hostile.url, 2);
        const { devices: [c, d] } = await group(kit, hostile.url, 2, { database: "notes" });
        await insert(a!, "a bug");
        await converged([a!, b!], 1);
        const announces = hostile.seen.filter(({ up, victim, message }) =>
          up && victim === hostile.victims[0] && isSubtype(message, Subtype.announce)
        );
        const toD = hostile.victim(await d!.client.node());
        for (const { message } of announces) toD.toDevice(inner(message).frame);
        toD.toDevice(lastOperation(hostile));
        await eventually(() => d!.faults().includes("UNKNOWN_SENDER"), "refused");
        await stillWorks(c!, d!, 0);
        assertEquals(titles(d!), ["after", "after too"]);
      }))
  ));

test("hostile relay gives one device what is for another: refused", () =>
  withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const { devices } = await group(kit, hostile.url, 2);
        const [a, b] = devices as [Told, Told];
        await insert(a, "x");
        await converged([a, b], 1);
        await eventually(() => a.client.pending === 0, "acknowledged");
        const { message } = hostile.seen.findLast(({ up, message }) =>
          !up && isType(message, FrameType.operationAck)
        )!;
        const late = kit.open({ url: hostile.url, secret: await a.client.secret() });
        await eventually(() => online(late.client) === 3, "c is here");
        await converged([a, b, late], 1);
        hostile.victim(await late.client.node()).toDevice(inner(message).frame);
        await eventually(
          () => late.faults().some((code) => ["AUTH_FAILED", "UNKNOWN_SENDER"].includes(code)),
          "refused",
        );
      }))
  ));

for (
  const [what, change] of [
    ["swaps the key", async (h: ReturnType<typeof decodeHandshake>) => ({
      ...h,
      publicKey: (await drawKeyPair()).publicKey,
    })],
    ["strips the profile bit", (h: ReturnType<typeof decodeHandshake>) => ({
      ...h,
      capabilities: h.capabilities & ~Capability.group,
    })],
    ["strips the encryption bit", (h: ReturnType<typeof decodeHandshake>) => ({
      ...h,
      capabilities: h.capabilities & ~Capability.encryption,
    })],
    ["swaps the database", (h: ReturnType<typeof decodeHandshake>) => ({
      ...h,
      database: "another",
    })],
    ["swaps the node id", (h: ReturnType<typeof decodeHandshake>) => ({
      ...h,
      node: new Uint8Array(16).fill(1),
    })],
    ["changes the proof", (h: ReturnType<typeof decodeHandshake>) => ({
      ...h,
      tlvs: h.tlvs.map((one) =>
        one.type === TlvType.membership
          ? { ...one, value: concat(one.value.subarray(0, 12), new Uint8Array(32)) }
          : one
      ),
    })],
  ] as const
) {
  test(`hostile relay ${what} in a member's Handshake: noticed`, () =>
    withRelay((relay) =>
      withHostile(relay.url, (hostile) =>
        withDevices(async (kit) => {
          const { devices: [a], secret } = await group(kit, hostile.url, 1);
          const storage = memoryStorage();
          const b = kit.open({ url: hostile.url, secret, storage });
          await eventually(() => online(a!.client) === 2, "b is here");
          await b.client.close();
          await eventually(() => online(a!.client) === 1, "b has left");
          const jobs: Promise<void>[] = [];
          const toA = hostile.victim(await a!.client.node());
          hostile.down = (message, victim) => {
            if (victim !== toA || !isType(message, FrameType.handshake)) return;
            const handshake = decodeHandshake(decodeFrame(message).payload.slice());
            jobs.push(
              Promise.resolve(change(handshake)).then((changed) => {
                const payload = encodeHandshake(changed);
                toA.toDevice(encodeFrame({ type: FrameType.handshake, payload }));
              }),
            );
            return [];
          };
          const again = kit.open({ url: hostile.url, storage });
          await eventually(() => a!.faults().includes("NOT_A_MEMBER"), "a noticed");
          await Promise.all(jobs);
          // Its announce, which the relay cannot make, tells them that b is there all the same.
          await stillWorks(a!, again, 0);
        }))
    ));
}

test("hostile relay poses as a literal client: it gets nothing without a yes", () =>
  attack(async ({ hostile, a, b }) => {
    await insert(a, "secret of the group");
    const toA = hostile.victim(await a.client.node());
    const pair = await drawKeyPair();
    const before = hostile.seen.length;
    const payload = encodeHandshakeAck({
      ...toA.handshake!,
      node: new Uint8Array(16).fill(9),
      publicKey: pair.publicKey,
      capabilities: 0x0f,
      tlvs: [],
      challenge: new Uint8Array(16),
    });
    toA.toDevice(encodeFrame({ type: FrameType.handshakeAck, payload }));
    await insert(a, "another");
    await converged([a, b], 2);
    const forged = () =>
      hostile.seen.slice(before).filter(({ up, message, victim }) =>
        up && victim === toA && hex(message).includes("09".repeat(16))
      );
    await eventually(() => forged().length > 0, "it was answered");
    await insert(a, "one more");
    await converged([a, b], 3);
    // All that goes there is a no.
    assertEquals(forged().length, 2);
    assert(isType(forged()[0]!.message, FrameType.error));
    assert(isType(forged()[1]!.message, FrameType.disconnect));
  }));

for (
  const [who, options] of [
    ["serves no clients", {}],
    ["serves clients", { sponsor: () => new Promise<boolean>(() => {}) }],
  ] as const
) {
  test(`hostile relay introduces a member as a client to one that ${who}: it stays a member`, () =>
    attack(async ({ a, b, hostile }) => {
      const [toA, toB] = await Promise.all(
        [a, b].map(async ({ client }) => hostile.victim(await client.node())),
      ) as [Victim, Victim];
      const { publicKey } = await drawKeyPair();
      const { database, node } = toB.handshake!;
      const payload = encodeHandshakeAck({
        ...{ node, database, publicKey, capabilities: 0x0f, timestamp: 0n, tlvs: [] },
        challenge: new Uint8Array(16),
      });
      const ack = encodeFrame({ type: FrameType.handshakeAck, payload });
      const from = { subtype: "direct", node: new Uint8Array(16).fill(9), frame: ack } as const;
      const tagged = { subtype: "tagged", tag: new Uint8Array(8), frame: ack } as const;
      const before = hostile.seen.length;
      toA.toDevice(ack);
      for (const envelope of [from, tagged]) {
        const payload = encodeExtension(envelope);
        toA.toDevice(encodeFrame({ type: FrameType.extension, payload }));
      }
      const noticed = () => a.faults().filter((code) => code === "UNEXPECTED_TYPE").length === 2;
      await eventually(noticed, "a noticed those in envelopes");
      assert(a.faults().includes("NOT_A_CLIENT"));
      // New keys are for one device at a time: a member that counts as gone would not get them.
      await a.client.rotate();
      await stillWorks(a, b, 0);
      const sentAway = hostile.seen.slice(before).some(({ up, message, victim }) =>
        up && victim === toA && isType(message, FrameType.disconnect)
      );
      assert(!sentAway, "the member was told nothing of it");
    }, options));
}

test("hostile relay introduces a client that is served once more: it is served on", () =>
  withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const { devices: [a] } = await group(kit, hostile.url, 1, { sponsor: () => true });
        const literal = new LiteralSocket(relay.url, await a!.client.channel());
        try {
          await literal.ready;
          literal.insert("bugs", { title: "one" });
          await converged([a!], 1);
          const toA = hostile.victim(await a!.client.node());
          const { publicKey } = await drawKeyPair();
          const { database } = toA.handshake!;
          const node = literal.text.node;
          const payload = encodeHandshakeAck({
            ...{ node, database, publicKey, capabilities: 0x0f, timestamp: 0n, tlvs: [] },
            challenge: new Uint8Array(16),
          });
          toA.toDevice(encodeFrame({ type: FrameType.handshakeAck, payload }));
          await eventually(() => a!.faults().includes("NOT_A_CLIENT"), "it was noticed");
          literal.insert("bugs", { title: "two" });
          await converged([a!], 2);
          await insert(a!, "three");
          await eventually(() => literal.operations.length === 1, "it hears the group");
        } finally {
          literal.close();
        }
      }))
  ));

test("hostile relay poses as a literal client and people say no: it gets nothing", () =>
  withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const codes: string[] = [];
        const sponsor = ({ code }: { code: string }) => codes.push(code) < 0;
        const { devices: [a] } = await group(kit, hostile.url, 1, { sponsor });
        await insert(a!, "secret of the group");
        const literal = BlazePair.open({
          url: hostile.url,
          database: hostile.victims[0]!.handshake!.database,
          confirm: () => true,
        });
        try {
          // The relay puts its own key in the place of the device's.
          hostile.down = (message, victim) => {
            if (!isType(message, FrameType.handshakeAck) || victim === hostile.victims[0]) return;
            return [];
          };
          await eventually(() => codes.length === 1, "people were asked");
          assert(/^\d{30}$/.test(codes[0]!));
          await eventually(
            () => hostile.seen.some(({ up, message }) => up && isType(message, FrameType.error)),
            "it was told no",
          );
          const sealed = hostile.seen.filter(({ up, message }) =>
            up && isType(message, FrameType.operation)
          );
          assertEquals(sealed.length, 0);
        } finally {
          literal.close();
        }
      }))
  ));

test("hostile relay forges Error and Disconnect: no statement of any device", () =>
  attack(async ({ a, b, toB }) => {
    const payload = encodeFault({ code: 4403, message: "you were removed" });
    toB.toDevice(encodeFrame({ type: FrameType.error, payload }));
    toB.toDevice(encodeFrame({ type: FrameType.disconnect }));
    await eventually(() => b.faults().includes("ERROR_4403"), "b was told");
    await stillWorks(a, b, 0);
    assert(!b.statuses.some(({ kind }) => kind === "removed"));
  }));

test("hostile relay closes the link in the middle: the device comes back and loses nothing", () =>
  attack(async ({ a, b, toB }) => {
    await insert(a, "before");
    toB.close(1012);
    for (let i = 0; i < 10; i++) await insert(b, `offline ${i}`);
    await converged([a, b], 11);
  }));

test("hostile relay plays back an old epoch package: nobody goes back", () =>
  attack(async ({ hostile, a, b, toB }) => {
    const packages = () =>
      hostile.seen.filter(({ up, message, victim }) =>
        !up && victim === toB && isSubtype(message, Subtype.epochPackage)
      );
    await a.client.rotate();
    await eventually(() => packages().length > 0, "b got a package");
    const old = packages().map(({ message }) => message);
    await a.client.rotate();
    await insert(a, "x");
    await converged([a, b], 1);
    for (const message of old) toB.toDevice(message);
    await stillWorks(a, b, 1);
    assertEquals(b.statuses.findLast(({ kind }) => kind === "epoch"), { kind: "epoch", number: 4 });
  }));

test("hostile relay keeps an epoch package back: the device asks for it", () =>
  attack(async ({ hostile, a, b, toB }) => {
    let kept = 0;
    hostile.down = (message, victim) => {
      if (victim !== toB || kept > 0 || !isSubtype(message, Subtype.epochPackage)) return;
      kept++;
      return [];
    };
    await a.client.rotate();
    await insert(a, "in the new epoch");
    await converged([a, b], 1);
    assertEquals(kept, 1);
  }));

test("hostile relay drops announces: the device asks for them", () =>
  attack(async ({ hostile, a, b, toB }) => {
    let dropped = 0;
    hostile.down = (message, victim) => {
      if (victim !== toB || dropped >= 2 || !isSubtype(message, Subtype.announce)) return;
      dropped++;
      return [];
    };
    await a.client.rotate();
    await insert(a, "x");
    await converged([a, b], 1);
    assertEquals(dropped, 2);
  }));

test("hostile relay answers a joining device itself: it joins the true group only", () =>
  withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const { devices: [a], secret } = await group(kit, hostile.url, 1);
        // A group of the relay's own, whose packages it tries to pass off as answers.
        const { devices: [evil] } = await group(kit, hostile.url, 2, { database: "evil" });
        const packages = hostile.seen.filter(({ up, message }) =>
          !up && isSubtype(message, Subtype.epochPackage)
        ).map(({ message }) => message);
        hostile.down = (message, victim) => {
          const joining = victim === hostile.victims.at(-1) && isSubtype(message, Subtype.joined);
          return joining ? [message, ...packages] : undefined;
        };
        const late = kit.open({ url: hostile.url, secret });
        await late.client.ready;
        await eventually(() => late.faults().includes("NOT_FOR_US"), "it noticed");
        await stillWorks(a!, late, 0);
        assertEquals(evil!.client.devices().length, 2);
      }))
  ));

test("hostile relay plays back the join request of a removed device: it stays out", () =>
  attack(async ({ hostile, a, b }) => {
    const node = await b.client.node();
    const { message } = hostile.seen.find(({ up, message, victim }) =>
      up && victim.node === node && isSubtype(message, Subtype.joinRequest)
    )!;
    await a.client.remove(node);
    const toA = hostile.victim(await a.client.node());
    toA.toDevice(message);
    await insert(a, "x");
    assertEquals(a.client.devices().length, 1);
    await a.client.rotate();
    assertEquals(a.client.devices().length, 1);
  }));

test("hostile relay keeps a removed device's link: nothing newer opens there", () =>
  withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const { devices } = await group(kit, hostile.url, 3);
        const [a, b, c] = devices as [Told, Told, Told];
        const node = await c.client.node();
        const toC = hostile.victim(node);
        // The removed device is never told; it gets everything else.
        hostile.down = (message, victim) =>
          victim === toC && isSubtype(message, Subtype.epochPackage) ? [] : undefined;
        await a.client.remove(node);
        await eventually(() => b.client.devices().length === 2, "b knows");
        await insert(a, "not for c");
        await insert(b, "nor this");
        await converged([a, b], 2);
        await eventually(() => c.faults().includes("UNKNOWN_SENDER"), "c got them sealed");
        assertEquals(titles(c), []);
        // And what it writes in the old epoch is refused.
        await c.client.collection("bugs").insert({ title: "from c" });
        await eventually(
          () => [a, b].every((one) => one.faults().includes("NOT_A_MEMBER")),
          "both refuse it",
        );
        assertEquals(titles(a), titles(b));
        assertEquals(titles(a).length, 2);
      }))
  ));

test("hostile relay sends garbage of every kind: no crash, and all goes on", () =>
  attack(async ({ hostile, a, b, toB }) => {
    await insert(a, "x");
    await converged([a, b], 1);
    const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));
    for (let i = 0; i < 200; i++) toB.toDevice(random(i));
    for (let code = 0x00; code <= 0x20; code++) {
      for (const length of [0, 1, 11, 40, 100]) {
        const payload = concat(Uint8Array.of(code), random(length));
        toB.toDevice(encodeFrame({ type: FrameType.extension, payload }));
      }
    }
    for (let type = 0; type < 16; type++) {
      for (const encrypted of [false, true]) {
        const frame = { type: type as FrameType, encrypted, payload: random(60) };
        if (type !== FrameType.disconnect) toB.toDevice(encodeFrame(frame));
      }
    }
    for (const { message, up } of [...hostile.seen]) {
      if (!up) toB.toDevice(message.subarray(0, message.length - 1).slice());
    }
    await stillWorks(a, b, 1);
  }));

test("hostile relay changes the tag of a frame: who gets it still checks everything", () =>
  attack(async ({ hostile, a, b, toB }) => {
    hostile.down = (message, victim) => {
      if (victim !== toB || !isSubtype(message, Subtype.tagged)) return;
      const payload = encodeExtension({
        subtype: "tagged",
        tag: new Uint8Array(8),
        frame: inner(message).frame,
      });
      return [encodeFrame({ type: FrameType.extension, payload })];
    };
    await insert(a, "x");
    await converged([a, b], 1);
    await stillWorks(a, b, 1);
  }, { tagged: true }));
