import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { Close } from "../src/close.ts";
import { BmpConnection } from "../src/client/bmp/bmp_connection.ts";
import { Socket } from "../src/client/socket.ts";
import { FramedLink } from "../src/link/framed_link.ts";
import type { Accept, Link, LinkEvents } from "../src/link/link.ts";
import { encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { encodeHandshake } from "../src/wire/blaze/handshake.ts";
import { concat } from "../src/wire/bytes.ts";
import { encodeFrame as frameWebSocket } from "../src/wire/websocket/frame_encoder.ts";
import { Opcode } from "../src/wire/websocket/opcode.ts";
import { Lab, LITERAL, nodeId, PROFILE, SPONSORS } from "./kit/blaze.ts";
import type { FakeHost } from "./kit/fake_host.ts";
import { withRelay } from "./kit/relay.ts";

const CHANNEL = "blaze:default/bugs";

const greeting = (node: number, capabilities: number) =>
  encodeFrame({
    type: FrameType.handshake,
    payload: encodeHandshake({
      node: nodeId(node),
      database: "bugs",
      publicKey: concat(Uint8Array.of(4), new Uint8Array(64).fill(node)),
      capabilities,
      timestamp: 0n,
      tlvs: [],
    }),
  });

/** A device behind a framed link, which never answers a close. */
function silentDevice(accept: Accept, host: FakeHost) {
  const heard: string[] = [];
  let ended = false;
  const link = new FramedLink(
    { remote: "silent", buffered: 0, write: () => {}, end: () => void (ended = true) },
    (inner) => {
      const events = accept(inner);
      return {
        ...pass(events),
        closed: (code, reason) => {
          heard.push(`closed ${code}`);
          events.closed(code, reason);
        },
      };
    },
    {
      limits: { maxFrame: 1_000, maxMessage: 1_000, maxFragments: 1 },
      idleMs: 60_000,
      clock: host,
    },
  );
  const greet = (node: number, capabilities: number) =>
    link.receive(
      frameWebSocket(Opcode.binary, greeting(node, capabilities), { mask: new Uint8Array(4) }),
    );
  return { greet, heard, ended: () => ended };
}

const pass = (events: LinkEvents): Omit<LinkEvents, "closed"> => ({
  message: (message) => events.message(message),
  text: () => events.text(),
  drained: () => events.drained(),
});

for (const [kind, capabilities] of [["profile", PROFILE], ["literal", LITERAL]] as const) {
  test(`ten takeovers of a ${kind} member whose peer never answers a close leave one member`, () => {
    const lab = new Lab();
    const watcher = lab.join(9, PROFILE).forget();
    const accept = lab.sessions.accept({
      grant: lab.grant,
      layout: "drawing",
    });
    const devices = Array.from({ length: 11 }, () => {
      const device = silentDevice(accept, lab.host);
      device.greet(1, capabilities);
      return device;
    });
    assertEquals(devices.map(({ heard }) => heard.join()), [
      ...Array.from({ length: 10 }, () => `closed ${Close.replaced.code}`),
      "",
    ]);
    assertEquals(lab.channels.get(CHANNEL)!.size, kind === "profile" ? 2 : 1);
    assertEquals(lab.sessions.rooms, 1);
    // The streams below wait for the answer no longer than they must, and nobody hears of it again.
    lab.host.pass(5_000);
    assertEquals(devices.map(({ ended }) => ended()), [
      ...Array.from({ length: 10 }, () => true),
      false,
    ]);
    assertEquals(devices[0]!.heard.length, 1);
    watcher.close();
  });
}

/** A link that tells of its end only when a test says so: no carrier of ours, but nobody shall need luck. */
function lateLink(
  accept: Accept,
): { message(message: Uint8Array<ArrayBuffer>): void; end(): void } {
  const link: Link = { remote: "late", buffered: 0, send: () => {}, close: () => {} };
  const events = accept(link);
  return { message: (message) => events.message(message), end: () => events.closed(1006, "") };
}

test("whoever leaves late leaves the room all the same, and takes nobody else along", () => {
  const lab = new Lab();
  const accept = lab.sessions.accept({ grant: lab.grant, layout: "drawing" });
  const older = lateLink(accept);
  older.message(greeting(1, PROFILE));
  const newer = lab.join(1, PROFILE);
  const watcher = lab.join(2, PROFILE).forget();
  assertEquals(lab.channels.get(CHANNEL)!.size, 3);
  older.end();
  assertEquals(lab.channels.get(CHANNEL)!.size, 2);
  // Its node is still here, so nobody hears that it left.
  assertEquals(watcher.received, []);
  const sealed = newer.frame(FrameType.operation, new Uint8Array(28), true);
  assertEquals(watcher.take(), sealed);
  newer.close();
  watcher.close();
  assertEquals([lab.channels.size, lab.sessions.rooms], [0, 0]);
});

test("a room that was forgotten cannot take the next one of its name along", () => {
  const lab = new Lab();
  const accept = lab.sessions.accept({ grant: lab.grant, layout: "drawing" });
  // Its partner's end sends it away; it hears of that late, when the room is another one.
  const late = lateLink(accept);
  late.message(greeting(1, LITERAL));
  lab.join(2, LITERAL).close();
  assertEquals(lab.sessions.rooms, 0);
  const first = lab.join(3, PROFILE).forget();
  late.end();
  assertEquals(lab.sessions.rooms, 1);
  const second = lab.join(4, PROFILE).forget();
  const sealed = second.frame(FrameType.operation, new Uint8Array(28), true);
  assertEquals(first.received.at(-1), sealed);
});

test("a newcomer that reads nothing is gone before anybody meets it", () => {
  const lab = new Lab({ bufferedBytes: 1_000 });
  const slow = (node: number) => {
    const device = lab.connect();
    device.buffered = 990;
    device.greet(node, PROFILE, SPONSORS);
    assertEquals(device.closedWith?.code, Close.tooSlow.code);
  };
  const waiting = lab.join(1, LITERAL);
  slow(2);
  assertEquals([waiting.received, waiting.closedWith], [[], undefined]);
  const sponsor = lab.join(3, PROFILE, SPONSORS);
  assertEquals(waiting.next().type, FrameType.handshakeAck);
  sponsor.forget();
  slow(4);
  assertEquals(sponsor.nextExtension().subtype, "left");
  assertEquals(sponsor.received, []);
  assertEquals(lab.channels.get(CHANNEL)!.size, 1);
});

test("ten takeovers over BMP leave one channel with one member at a real relay", () =>
  withRelay(async (relay) => {
    const bmp = await BmpConnection.open({ url: `${relay.url}/bmp` });
    try {
      const ends: Promise<number>[] = [];
      let newest!: Socket;
      for (let n = 0; n < 11; n++) {
        const socket = newest = new Socket("ws://relay/sync/bugs", [], {
          transport: bmp.transport,
        });
        ends.push(new Promise((resolve) => socket.onclose = ({ code }) => resolve(code)));
        await new Promise((resolve) => socket.onopen = resolve);
        // Somebody who has joined is told so.
        const joined = new Promise((resolve) => socket.onmessage = resolve);
        socket.send(greeting(1, PROFILE));
        await joined;
      }
      assertEquals(await Promise.all(ends.slice(0, 10)), Array(10).fill(Close.replaced.code));
      const numbers = async () => {
        const { channels, protocols } = await (await fetch(`${relay.url}/metrics.json`)).json();
        const blaze = protocols.find((one: { protocol: string }) => one.protocol === "blaze");
        return [channels, blaze.links, blaze.closes];
      };
      assertEquals(await numbers(), [1, 1, { [Close.replaced.code]: 10 }]);
      newest.close();
      await ends[10];
      while ((await numbers())[1] > 0);
      assertEquals((await numbers())[0], 0);
    } finally {
      bmp.close();
    }
  }));
