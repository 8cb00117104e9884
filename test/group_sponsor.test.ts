import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { ClientRequest } from "../src/client/mod.ts";
import { hex } from "../src/wire/bytes.ts";
import { decodeFrame, encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { channelName, parseInvitation } from "../src/client/group/mls/invitation_text.ts";
import { encodeExtension } from "../src/wire/blaze/extension.ts";
import {
  contents,
  converged,
  eventually,
  group,
  online,
  type Told,
  withDevices,
} from "./kit/group.ts";
import { inner, isType, withHostile } from "./kit/hostile.ts";
import { LiteralClient } from "./kit/literal.ts";
import { LiteralSocket } from "./kit/literal_socket.ts";
import { withRelay } from "./kit/relay.ts";

async function roomOf(invitation: string): Promise<string> {
  const { constant, database } = await parseInvitation(invitation);
  return await channelName(constant, database);
}

test("a sponsor seals anew both ways for a literal client that people said yes to", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const asked: ClientRequest[] = [];
      const sponsor = (client: ClientRequest) => asked.push(client) > 0;
      const { devices, invitation } = await group(kit, relay.url, 2, { sponsor });
      const [a, b] = devices as [Told, Told];
      await a.client.collection("bugs").insert({ title: "there before" });
      await converged([a, b], 1);
      const literal = new LiteralSocket(relay.url, await roomOf(invitation));
      try {
        await literal.ready;
        await eventually(() => literal.operations.length === 1, "it got what was there");
        assertEquals(asked.length, 1);
        assertEquals([asked[0]!.code, asked[0]!.literal], [literal.code, true]);
        await b.client.collection("bugs").insert({ title: "from a device" });
        await eventually(() => literal.operations.length === 2, "it hears a device");
        literal.insert("bugs", { title: "from the literal client" });
        await converged([a, b], 3);
        const { sender } = b.incoming.find(({ sender }) => sender.client)!;
        assertEquals(hex(sender.client!), hex(literal.text.node));
        assertEquals(sender.name, "device 0");
        // Nothing comes back to it, and nothing that its text does not know.
        assertEquals(literal.operations.length, 2);
        assertEquals(literal.refused, []);
      } finally {
        literal.close();
      }
    })
  ));

test("two literal clients of one sponsor hear each other", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices, invitation } = await group(kit, relay.url, 1, { sponsor: () => true });
      const room = await roomOf(invitation);
      const [one, two] = [new LiteralSocket(relay.url, room), new LiteralSocket(relay.url, room)];
      try {
        await Promise.all([one.ready, two.ready]);
        one.insert("bugs", { title: "hello" });
        await eventually(() => two.operations.length === 1, "it came");
        two.insert("bugs", { title: "hello yourself" });
        await eventually(() => one.operations.length === 1, "it came back");
        assertEquals(devices[0]!.client.collection("bugs").list().length, 2);
      } finally {
        one.close();
        two.close();
      }
    })
  ));

test("what a literal client sends again is done once", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices, invitation } = await group(kit, relay.url, 2, { sponsor: () => true });
      const [a, b] = devices as [Told, Told];
      const literal = new LiteralSocket(relay.url, await roomOf(invitation));
      try {
        await literal.ready;
        const first = literal.insert("bugs", { title: "once" });
        await converged([a, b], 1);
        // The same counter under a fresh nonce, as a client would send after a reconnect.
        literal.insert("bugs", { title: "twice" }, first, 1n);
        literal.insert("bugs", { title: "next" });
        await converged([a, b], 2);
        assertEquals(b.client.collection("bugs").get(first), { title: "once" });
      } finally {
        literal.close();
      }
    })
  ));

test("when the sponsor leaves, the literal client is sent away and finds another", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices, invitation } = await group(kit, relay.url, 2, { sponsor: () => true });
      const [a, b] = devices as [Told, Told];
      const room = await roomOf(invitation);
      const literal = new LiteralSocket(relay.url, room);
      await literal.ready;
      await a.client.close();
      await eventually(() => literal.closedWith !== undefined, "it was closed");
      assertEquals(literal.closedWith, 4410);
      assertEquals(literal.types.at(-1), FrameType.disconnect);
      const again = new LiteralSocket(relay.url, room);
      try {
        await again.ready;
        again.insert("bugs", { title: "by another sponsor" });
        await eventually(() => contents(b.client) !== "", "it arrived");
      } finally {
        again.close();
      }
    })
  ));

test("a client is served nothing while people have not said yes", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const answer = Promise.withResolvers<boolean>();
      const { devices, invitation } = await group(kit, relay.url, 2, {
        sponsor: () => answer.promise,
      });
      const [a, b] = devices as [Told, Told];
      const literal = new LiteralSocket(relay.url, await roomOf(invitation));
      try {
        await literal.ready;
        await a.client.collection("bugs").insert({ title: "x" });
        for (let i = 0; i < 101; i++) literal.insert("bugs", { title: `early ${i}` });
        await eventually(() => a.faults().includes("NOT_ACCEPTED"), "there is a bound");
        await converged([a, b], 1);
        assertEquals(contents(a.client).includes("early"), false);
        assertEquals(literal.operations, []);
        answer.resolve(true);
        await eventually(() => literal.operations.length === 1, "now it is served");
        await converged([a, b], 101);
      } finally {
        literal.close();
      }
    })
  ));

test("what clients send before a yes is bounded in bytes, and harms no other client", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const answers: ((yes: boolean) => void)[] = [];
      const sponsor = () => new Promise<boolean>((resolve) => void answers.push(resolve));
      const { devices: [a], invitation } = await group(kit, relay.url, 1, { sponsor });
      const room = await roomOf(invitation);
      const greedy = new LiteralSocket(relay.url, room);
      await greedy.ready;
      const modest = new LiteralSocket(relay.url, room);
      try {
        await modest.ready;
        const big = encodeFrame({
          type: FrameType.operation,
          payload: new Uint8Array(1_000_000),
          encrypted: true,
        });
        for (let i = 0; i < 4; i++) greedy.send(big);
        await eventually(() => answers.length === 2, "people were asked about both");
        assertEquals(a!.faults(), []);
        greedy.send(big);
        await eventually(() => a!.faults().includes("NOT_ACCEPTED"), "there is a bound");
        modest.insert("bugs", { title: "early" });
        modest.insert("bugs", { title: "big", text: "x".repeat(400_000) });
        await eventually(() => a!.faults().length === 2, "the greedy one made room");
        answers[1]!(true);
        await converged([a!], 2);
        // What is garbage is left out with a fault each: three of five were kept.
        answers[0]!(true);
        const opened = () => a!.faults().filter((code) => code === "AUTH_FAILED").length;
        await eventually(() => opened() === 3, "the rest was kept");
      } finally {
        greedy.close();
        modest.close();
      }
    })
  ));

/** A client whose key is no point of the curve. */
class OffCurve extends LiteralClient {
  override handshake(): Uint8Array<ArrayBuffer> {
    const message = super.handshake();
    // The last byte of y: capabilities and clock follow.
    message[message.length - 10]! ^= 1;
    return message;
  }
}

test("clients whose key is none are sent away, and leave nothing behind", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices: [a], invitation } = await group(kit, relay.url, 1, { sponsor: () => true });
      const room = await roomOf(invitation);
      // More of them than are served at a time.
      const bad = Array.from(
        { length: 33 },
        () => new LiteralSocket(relay.url, room, new OffCurve(room)),
      );
      const away = () => bad.every(({ closedWith }) => closedWith === 4410);
      await eventually(away, "all were sent away");
      assertEquals(bad[0]!.types.slice(-2), [FrameType.error, FrameType.disconnect]);
      assertEquals(a!.faults().filter((code) => code === "INVALID_POINT").length, 33);
      // A node id that begins as the sample's Ack would is a node id like any other.
      const node = new TextEncoder().encode("\x0bblazedb/1.0 abc");
      const good = new LiteralSocket(relay.url, room, new LiteralClient(room, "legend", node));
      try {
        await good.ready;
        good.insert("bugs", { title: "served" });
        await converged([a!], 1);
      } finally {
        good.close();
      }
    })
  ));

/** Limits that a few records go beyond, for the relay and for the devices. */
const narrow = { messagesPerSecond: 1_000, bytesPerSecond: 1_000_000, burstSeconds: 0.2 };

test("a client gets more than the relay takes at once, over one link and after one yes", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      let asked = 0;
      const sponsor = () => ++asked > 0;
      const options = { sponsor, pace: narrow };
      const { devices: [a], invitation } = await group(kit, relay.url, 1, options);
      const bugs = a!.client.collection("bugs");
      const there = await Promise.all(
        Array.from({ length: 500 }, (_, i) => bugs.insert({ title: `record ${i}` })),
      );
      const literal = new LiteralSocket(relay.url, await roomOf(invitation));
      try {
        await eventually(() => literal.operations.length > 20, "it gets some");
        // While the rest is on its way the group goes on: with a record that it got, one that it has
        // not got yet, and a new one.
        const got = new Set(literal.operations.map(({ id }) => id.toString()));
        const [first, last] = [true, false].map((isIn) =>
          there.find(({ id }) => got.has(id.toString()) === isIn)!.id
        );
        await bugs.update(first!, { title: "changed" });
        await bugs.delete(last!);
        await bugs.insert({ title: "new" });
        const ours = bugs.list().map(({ id, fields }) => `${id} ${fields.title}`).sort().join("\n");
        const records = new Map<string, unknown>();
        const theirs = () => {
          for (const { kind, id, changes } of literal.operations.splice(0)) {
            if (kind === "delete") records.delete(id.toString());
            else records.set(id.toString(), changes.title);
          }
          return [...records].map(([id, title]) => `${id} ${title}`).sort().join("\n");
        };
        await eventually(() => theirs() === ours, () => `it gets all, not ${records.size}`);
        assertEquals([asked, literal.closedWith, a!.faults()], [1, undefined, []]);
        assert(!a!.statuses.some(({ kind }) => kind === "offline"));
      } finally {
        literal.close();
      }
    }), { limits: narrow }));

test("a client that proves another secret is dropped", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices, invitation } = await group(kit, relay.url, 1, { sponsor: () => true });
      const [a] = devices as [Told];
      const literal = new LiteralSocket(relay.url, await roomOf(invitation));
      try {
        await literal.ready;
        literal.send(
          encodeFrame({ type: FrameType.handshakeAck, payload: new Uint8Array(32) }),
        );
        await eventually(() => a.faults().includes("VERIFY_FAILED"), "it was noticed");
        await eventually(() => literal.types.includes(FrameType.error), "it was told");
        literal.insert("bugs", { title: "x" });
        await a.client.collection("bugs").insert({ title: "mine" });
        assertEquals(a.client.collection("bugs").list().length, 1);
        assertEquals(online(a.client), 1);
      } finally {
        literal.close();
      }
    })
  ));

test("a literal client meets the member that sponsors, though another was there before", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const { devices: [first], invitation } = await group(kit, relay.url, 1);
      const channel = await first!.client.channel();
      assertEquals(channel, await roomOf(invitation));
      const early = new LiteralSocket(relay.url, channel);
      const asked: string[] = [];
      const sponsor = ({ code }: ClientRequest) => asked.push(code) > 0;
      // It is introduced before it is let into the group, and waits for that.
      const second = kit.open({ url: relay.url, invitation, sponsor });
      await second.client.ready;
      const late = new LiteralSocket(relay.url, channel);
      try {
        await Promise.all([early.ready, late.ready]);
        early.insert("bugs", { title: "early" });
        late.insert("bugs", { title: "late" });
        await converged([first!, second], 2);
        assertEquals(new Set(asked), new Set([early.code, late.code]));
        assertEquals([...early.types, ...late.types].includes(FrameType.error), false);
      } finally {
        early.close();
        late.close();
      }
    })
  ));

test("a client that one sponsor refuses is tried with the next, and is told why", () =>
  withRelay((relay) =>
    withDevices(async (kit) => {
      const no = { sponsor: () => false };
      const { devices: [first], invitation } = await group(kit, relay.url, 1, no);
      const second = kit.open({ url: relay.url, invitation, sponsor: () => true });
      await second.client.ready;
      await eventually(() => online(second.client) === 2, "both are here");
      const channel = await first!.client.channel();
      const text = new LiteralClient(channel);
      const refused = new LiteralSocket(relay.url, channel, text);
      await eventually(() => refused.closedWith !== undefined, "it was sent away");
      assertEquals(refused.closedWith, 4410);
      assertEquals(refused.types.slice(-2), [FrameType.error, FrameType.disconnect]);
      // The same device again, as its program would.
      const again = new LiteralSocket(
        relay.url,
        channel,
        new LiteralClient(channel, "legend", text.node),
      );
      try {
        await again.ready;
        again.insert("bugs", { title: "by the other one" });
        await converged([first!, second], 1);
      } finally {
        again.close();
      }
    })
  ));

test("what a sponsor sealed for a client is nobody's when the relay sends it back", () =>
  withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const { devices: [a] } = await group(kit, hostile.url, 1, { sponsor: () => true });
        const literal = new LiteralSocket(relay.url, await a!.client.channel());
        try {
          await literal.ready;
          await eventually(() => hostile.seen.length > 0, "it was introduced");
          hostile.up = (message, victim) => {
            const { payload } = decodeFrame(message);
            if (isType(message, FrameType.operation) && payload[0] === 0x02) {
              const node = literal.text.node;
              const frame = inner(message).frame;
              const back = encodeExtension({ subtype: "direct", node, frame });
              victim.toDevice(encodeFrame({ type: FrameType.extension, payload: back }));
            }
          };
          const { id } = await a!.client.collection("bugs").insert({ title: "old" });
          await eventually(() => a!.faults().includes("REFLECTED"), "it was noticed");
          assertEquals(a!.client.collection("bugs").get(id), { title: "old" });
          assertEquals(a!.incoming, []);
        } finally {
          literal.close();
        }
      }))
  ));
