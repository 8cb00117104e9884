/** What fell once, too: outsiders that cost a member a lot, and networks that are slow. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { random } from "../src/client/group/e2e/derive.ts";
import { deviceFrame } from "../src/client/group/log/log_entries.ts";
import { Subtype } from "../src/wire/blaze/extension.ts";
import { encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { type Handshake, TlvType } from "../src/wire/blaze/handshake.ts";
import { fromHex } from "../src/wire/bytes.ts";
import {
  converged,
  count,
  eventually,
  group,
  insert,
  online,
  stillWork,
  titles,
  type Told,
  wasRemoved,
  withDevices,
} from "./kit/group.ts";
import { FakeHost } from "./kit/fake_host.ts";
import { isSubtype, isType, withHostile } from "./kit/hostile.ts";
import { delays, proxy } from "./kit/proxy.ts";
import { quickHost } from "./kit/quick_host.ts";
import { withRelay } from "./kit/relay.ts";
import { Outsider } from "./kit/rogue.ts";

type Message = Uint8Array<ArrayBuffer>;

/** Time that stands still, and chance as it is. */
class Stepped extends FakeHost {
  override random(length: number): Uint8Array<ArrayBuffer> {
    return random(length);
  }
}

test("8: an outsider costs a member less than it sends", () =>
  withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const { devices: [a, b] } = await group(kit, hostile.url, 2);
        await insert(a!, "x");
        await converged([a!, b!], 1);
        await eventually(() => a!.client.pending === 0, "all is quiet");
        const outside = await Outsider.into(relay, await a!.client.channel());
        try {
          const sent = () => hostile.seen.filter(({ up }) => up).length;
          const kinds: [string, () => Uint8Array<ArrayBuffer>][] = [
            ["0x12", () => deviceFrame(Subtype.hold, random(60))],
            ["0x16", () => deviceFrame(Subtype.knock, new Uint8Array())],
            ["0x10", () => deviceFrame(Subtype.announce, random(100))],
            ["0x11", () => deviceFrame(Subtype.commit, random(600))],
          ];
          for (const type of [FrameType.query, FrameType.queryResult, FrameType.operation]) {
            kinds.push([
              `type ${type}`,
              () => encodeFrame({ type, encrypted: true, payload: random(100) }),
            ]);
          }
          const target = fromHex(await a!.client.node());
          for (const [kind, make] of kinds) {
            const before = sent();
            for (let i = 0; i < 40; i++) {
              outside.say(make());
              outside.extend({ subtype: "direct", node: target, frame: make() });
            }
            // What a member writes comes behind all that.
            await outside.answered();
            const already = titles(a!).length;
            await stillWork([a!, b!], already);
            const cost = sent() - before;
            assert(cost <= 80, `${kind}: ${cost} frames for 80`);
          }
        } finally {
          outside.close();
        }
      }))
  ));

test("8: an outsider that hints at knocks, one after the other, costs a member less than it sends", () =>
  withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        // How often doors are looked into is a matter of time, which passes with each hint.
        const host = new Stepped();
        const a = kit.create({ url: hostile.url, database: "bugs", host });
        const soon = <T>(asked: Promise<T>) => {
          let done = false;
          void asked.then(() => done = true);
          return eventually(() => (host.pass(5), done), "it is done");
        };
        await soon(a.client.ready);
        for (let i = 0; i < 8; i++) await soon(a.client.invite());
        const passed = (up: boolean, is: (message: Message) => boolean) =>
          hostile.seen.filter((one) => one.up === up && is(one.message)).length;
        const opens = () => passed(true, (message) => isSubtype(message, Subtype.open));
        const lives = () => passed(false, (message) => isSubtype(message, Subtype.live));
        const pongs = () => passed(true, (message) => isType(message, FrameType.pong));
        const victim = hostile.victim(await a.client.node());
        const [before, HINTS] = [opens(), 100];
        for (let i = 1; i <= HINTS; i++) {
          victim.toDevice(deviceFrame(Subtype.knock, new Uint8Array()));
          // A bit more than members that come one after the other may take.
          host.pass(120);
          victim.toDevice(encodeFrame({ type: FrameType.ping }));
          await eventually(() => pongs() === i && opens() === lives(), "it has done what is due");
        }
        const cost = opens() - before;
        assert(cost >= 2 * 9, `it does look, and again: ${cost}`);
        assert(cost <= 2 * HINTS, `${cost} logs opened for ${HINTS} hints`);
      }))
  ));

test("8: outsiders that come and go, as whoever they like, cost a member a few frames each", () =>
  withRelay((relay) =>
    withHostile(relay.url, (hostile) =>
      withDevices(async (kit) => {
        const { devices: [a, b, away] } = await group(kit, hostile.url, 3);
        await insert(a!, "x");
        await converged([a!, b!, away!], 1);
        await eventually(() => a!.client.pending === 0, "all is quiet");
        const node = fromHex(await away!.client.node());
        const room = await a!.client.channel();
        const present = hostile.victim(await a!.client.node()).handshake!.tlvs;
        await away!.client.close();
        await eventually(() => online(a!.client) === 2 && online(b!.client) === 2, "it is away");
        const claim = (value: Uint8Array<ArrayBuffer>) => [{ type: TlvType.membership, value }];
        const posing: Record<string, () => Partial<Handshake>> = {
          "nobody": () => ({}),
          "somebody of another epoch": () => ({ tlvs: claim(random(100)) }),
          "a member of another epoch": () => ({ node, tlvs: claim(random(100)) }),
          "a member, with what another one said": () => ({ node, tlvs: present }),
        };
        const TIMES = 20;
        let already = 1;
        for (const [who, as] of Object.entries(posing)) {
          const before = hostile.seen.filter(({ up }) => up).length;
          for (let i = 0; i < TIMES; i++) {
            const outsider = await Outsider.into(relay, room, as());
            await outsider.answered();
            outsider.close();
          }
          await stillWork([a!, b!], already);
          already += 2;
          const cost = hostile.seen.filter(({ up }) => up).length - before;
          // Each may be a reason to look into two doors and the log before, and to come back.
          assert(cost <= 2 * TIMES * 5, `${who}: ${cost} frames`);
        }
        assertEquals([a!, b!].map(({ client }) => online(client)), [2, 2]);
        assertEquals([count(a!), count(b!)], [3, 3]);
      }))
  ));

test("9: with 600 ms each way devices join, write, and remove one", () =>
  withRelay(async (relay) => {
    const TIMES = 20;
    const slow = await proxy(relay.url, delays(600 / TIMES));
    try {
      await withDevices(async (kit) => {
        const { devices } = await group(kit, slow.url, 3, { host: quickHost(TIMES) });
        const [a, b, c] = devices as [Told, Told, Told];
        for (const one of devices) await insert(one, "from each");
        await converged(devices, 3);
        await a.client.remove(await c.client.node());
        await eventually(() => wasRemoved(c) && count(b) === 2, "it is removed");
        await stillWork([a, b], 3);
        await eventually(() => a.client.pending + b.client.pending === 0, "all is shared");
        assertEquals(devices.map((one) => one.faults()), [[], [], []]);
      });
    } finally {
      await slow.stop();
    }
  }));
