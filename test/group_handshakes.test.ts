/** A hostile relay that changes Handshakes of a group's devices, or introduces whom it likes. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { decodeFrame, encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import {
  Capability,
  decodeHandshake,
  encodeHandshake,
  encodeHandshakeAck,
  type Handshake,
  TlvType,
} from "../src/wire/blaze/handshake.ts";
import { concat, hex } from "../src/wire/bytes.ts";
import { random } from "../src/client/group/e2e/derive.ts";
import { drawKeyPair } from "../src/client/pair/pair_keys.ts";
import { attack, word } from "./kit/attack.ts";
import { converged, eventually, group, insert, stillWork, withDevices } from "./kit/group.ts";
import { isType, withHostile } from "./kit/hostile.ts";
import { LiteralSocket } from "./kit/literal_socket.ts";
import { withRelay } from "./kit/relay.ts";

type Message = Uint8Array<ArrayBuffer>;

const changes: Record<string, (handshake: Handshake) => Handshake | Promise<Handshake>> = {
  "swaps the key": async (h) => ({ ...h, publicKey: (await drawKeyPair()).publicKey }),
  "strips the profile bit": (h) => ({ ...h, capabilities: h.capabilities & ~Capability.group }),
  "strips the encryption bit": (h) => ({
    ...h,
    capabilities: h.capabilities & ~Capability.encryption,
  }),
  "strips the compression bit": (h) => ({
    ...h,
    capabilities: h.capabilities & ~Capability.compression,
  }),
  "changes the time": (h) => ({ ...h, timestamp: h.timestamp + 1n }),
  "changes the proof": (h) => ({
    ...h,
    tlvs: h.tlvs.map((one) =>
      one.type === TlvType.membership
        ? { ...one, value: concat(one.value.subarray(0, 20), new Uint8Array(80)) }
        : one
    ),
  }),
};

for (const [what, change] of Object.entries(changes)) {
  test(`hostile relay ${what} of a member's Handshake: noticed, and all goes on`, () =>
    attack(async ({ hostile, a, b, toA, toB }) => {
      const jobs: Promise<void>[] = [];
      hostile.down = (message, victim) => {
        if (victim !== toA || !isType(message, FrameType.handshake)) return;
        const handshake = decodeHandshake(decodeFrame(message).payload.slice());
        jobs.push((async () => {
          const payload = encodeHandshake(await change(handshake));
          toA.toDevice(encodeFrame({ type: FrameType.handshake, payload }));
        })());
        return [];
      };
      toB.close(1012);
      await eventually(() => a.faults().includes("NOT_A_MEMBER"), "a noticed");
      await Promise.all(jobs);
      // Its announce, which the relay cannot make, tells that b is there all the same.
      await stillWork([a, b], 1);
      await a.client.rotate();
      await stillWork([a, b], 3);
    }));
}

const introduction = async (from: Handshake, node: Uint8Array): Promise<Message> => {
  const { publicKey } = await drawKeyPair();
  const payload = encodeHandshakeAck({
    ...{ node, database: from.database, publicKey, capabilities: 0x0f, timestamp: 0n, tlvs: [] },
    challenge: new Uint8Array(16),
  });
  return encodeFrame({ type: FrameType.handshakeAck, payload });
};

for (
  const [who, options] of [
    ["serves no clients", {}],
    ["serves clients", { sponsor: () => new Promise<boolean>(() => {}) }],
  ] as const
) {
  test(`hostile relay introduces a member as a client to one that ${who}: it stays a member`, () =>
    attack(async ({ a, b, hostile, toA, toB }) => {
      const ack = await introduction(toB.handshake!, toB.handshake!.node);
      const before = hostile.seen.length;
      toA.toDevice(ack);
      toA.toDevice(word({ subtype: "direct", node: random(16), frame: ack }));
      toA.toDevice(word({ subtype: "tagged", tag: random(8), frame: ack }));
      const noticed = () => a.faults().filter((code) => code === "UNEXPECTED_TYPE").length === 2;
      await eventually(noticed, "a noticed those in envelopes");
      assert(a.faults().includes("NOT_A_CLIENT"));
      await a.client.rotate();
      await stillWork([a, b], 1);
      const sentAway = hostile.seen.slice(before).some(({ up, message, victim }) =>
        up && victim === toA && isType(message, FrameType.disconnect)
      );
      assert(!sentAway, "the member was told nothing of it");
    }, options));
}

test("hostile relay poses as a client, also of one that is served: nothing without a yes", () =>
  withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const nodes: string[] = [];
        // People know the first one.
        const sponsor = ({ node }: { node: string }) => nodes.push(node) === 1;
        const { devices: [a] } = await group(kit, hostile.url, 1, { sponsor });
        const literal = new LiteralSocket(relay.url, await a!.client.channel());
        try {
          await literal.ready;
          literal.insert("bugs", { title: "one" });
          await converged([a!], 1);
          const toA = hostile.victim(await a!.client.node());
          toA.toDevice(await introduction(toA.handshake!, literal.text.node));
          await eventually(() => a!.faults().includes("NOT_A_CLIENT"), "it was noticed");
          const stranger = new Uint8Array(16).fill(9);
          const before = hostile.seen.length;
          toA.toDevice(await introduction(toA.handshake!, stranger));
          const told = () =>
            hostile.seen.slice(before).filter(({ up, message, victim }) =>
              up && victim === toA && hex(message).includes(hex(stranger))
            ).map(({ message }) => message);
          await eventually(() => told().length === 2, "it was told no");
          literal.insert("bugs", { title: "two" });
          await converged([a!], 2);
          await insert(a!, "three");
          await eventually(() => literal.operations.length === 1, "it hears the group");
          assert(isType(told()[0]!, FrameType.error) && isType(told()[1]!, FrameType.disconnect));
          assertEquals([told().length, nodes.length], [2, 2]);
        } finally {
          literal.close();
        }
      }))
  ));
