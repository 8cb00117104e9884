import { test } from "node:test";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { LIMITS } from "../src/limits.ts";
import { Close } from "../src/close.ts";
import { decodeFault } from "../src/wire/blaze/control.ts";
import { decodeFrame, encodeFrame, FrameType, MAX_PAYLOAD } from "../src/wire/blaze/blaze_frame.ts";
import { decodeExtension } from "../src/wire/blaze/extension.ts";
import { recording } from "../tools/demo/demo_recording.ts";
import { greeting } from "./kit/blaze.ts";
import { peerDecode, peerEncode } from "./kit/ecg_peer.ts";
import { LiteralClient, type LiteralFlags, literalOperation } from "./kit/literal.ts";
import { withRelay } from "./kit/relay.ts";
import { rawMessage, rawUpgrade, TestSocket } from "./kit/socket.ts";

/** A profile member that has read what joining brings. */
async function member(relay: { url: string }, node: number, others: number): Promise<TestSocket> {
  const socket = await TestSocket.connect(relay, "/sync/bugs");
  socket.send(greeting(node));
  for (let i = 0; i <= others; i++) await socket.next();
  return socket;
}

const operation = (fill: number, length = 200) =>
  encodeFrame({
    type: FrameType.operation,
    payload: new Uint8Array(length).fill(fill),
    encrypted: true,
  });

// -- Peers that share no code with the relay

for (const style of ["legend", "examples"] as LiteralFlags[]) {
  test(`a literal client in the ${style} reading pairs and exchanges operations`, () =>
    withRelay(async (relay) => {
      const [a, b] = [new LiteralClient("bugs", style), new LiteralClient("bugs")];
      const [linkOfA, linkOfB] = [
        await TestSocket.connect(relay, "/sync"),
        await TestSocket.connect(relay, "/sync/bugs"),
      ];
      linkOfA.send(a.handshake());
      linkOfB.send(b.handshake());
      const sides = [[a, linkOfA], [b, linkOfB]] as const;
      for (const [client, link] of sides) {
        const ack = client.read(await link.next());
        assertEquals([ack.type, ack.encrypted], [1, false]);
        link.send(client.acknowledge(ack.payload));
      }
      assertEquals([...a.partnerNode!], [...b.node]);
      assertEquals(a.proof(), b.proof());
      for (
        const [from, fromLink, to, toLink] of [[a, linkOfA, b, linkOfB], [
          b,
          linkOfB,
          a,
          linkOfA,
        ]] as const
      ) {
        for (let kind = 0; kind < 3; kind++) {
          const plaintext = literalOperation(kind, "bugs", 42n);
          fromLink.send(from.operation(plaintext));
          const { type, encrypted, payload } = to.read(await toLink.next());
          assertEquals([type, encrypted], [2, true]);
          assertEquals(to.open(payload), plaintext);
        }
      }
      linkOfA.close();
      assertEquals(b.read(await linkOfB.next()).type, 0xb);
      assertEquals((await linkOfB.closed()).code, Close.partnerLeft.code);
    }));
}

for (const from of [1, 2, 3]) {
  test(`an independent ECG monitor in V${from} reaches independent watchers, sample for sample`, () =>
    withRelay(async (relay) => {
      const { signal, rate } = recording();
      const watchers = await Promise.all([1, 2, 3].map(async (version) => {
        const socket = await TestSocket.connect(relay, version === 1 ? "/ws" : "/ecg/bed-3");
        const hello = peerDecode(await socket.next());
        assertEquals([hello.version, hello.type], [1, 0xfe]);
        socket.send(peerEncode(version, 0x20, { stream: "bed-3" }));
        const ack = peerDecode(await socket.next());
        assertEquals([ack.version, ack.type], [version, 0x22]);
        assertEquals(ack.payload, { stream: "bed-3", status: "subscribed" });
        return { version, socket };
      }));
      const monitor = await TestSocket.connect(relay, "/ecg/bed-3");
      await monitor.next();
      for (let second = 0; second < 10; second++) {
        const samples = [...signal.subarray(second * rate, (second + 1) * rate)];
        monitor.send(peerEncode(from, 0x01, { signal: samples, sampling_rate: rate }));
        for (const { version, socket } of watchers) {
          let got = peerDecode(await socket.next());
          // On a busy machine this takes longer than the second in which nobody is asked.
          while (got.type === 0x11) got = peerDecode(await socket.next());
          assertEquals([got.version, got.type], [version, 0x01]);
          assertEquals(got.payload, { signal: samples, sampling_rate: rate });
        }
      }
    }));
}

// -- Fan-out

test("every member gets every frame of the others, in each one's order", () =>
  withRelay(async (relay) => {
    const members: TestSocket[] = [];
    for (let i = 0; i < 10; i++) members.push(await member(relay, i + 1, i));
    for (const [i, socket] of members.entries()) {
      for (let k = i + 1; k < 10; k++) await socket.next(); // those who came later
    }
    for (let round = 0; round < 50; round++) {
      for (const [i, socket] of members.entries()) socket.send(operation(round, 100 + i));
    }
    for (const [i, socket] of members.entries()) {
      const rounds = new Map<number, number>();
      for (let k = 0; k < 9 * 50; k++) {
        const { payload } = decodeFrame(await socket.next());
        const round = rounds.get(payload.length) ?? 0;
        assertEquals(payload[0], round);
        rounds.set(payload.length, round + 1);
      }
      assertEquals(rounds.size, 9);
      assert(!rounds.has(100 + i), "not its own");
    }
  }));

test("a reader that never reads is closed, and takes nothing from the others", () =>
  withRelay(async (relay) => {
    const sender = await member(relay, 1, 0);
    const { socket: slow } = await rawUpgrade(relay, "/sync/bugs");
    slow.write(rawMessage(greeting(2)));
    await sender.next();
    const reader = await member(relay, 3, 2);
    await sender.next();
    let left = false;
    const big = operation(7, 256 * 1024);
    // The kernel takes some megabytes before the relay sees anything waiting.
    for (let sent = 0; sent < 200 && !left; sent++) {
      sender.send(big);
      let frame = decodeFrame(await reader.next());
      if (frame.type === FrameType.extension) {
        const extension = decodeExtension(frame.payload);
        assertEquals(extension.subtype, "left");
        left = true;
        frame = decodeFrame(await reader.next());
      }
      assertEquals(frame.payload.length, 256 * 1024);
    }
    assert(left, "the slow reader was let go");
    slow.destroy();
  }, { limits: { bufferedBytes: 2_097_152, bytesPerSecond: 0 } }));

// -- Hostile clients

test("1 MiB passes; one byte more is answered and closed with 1009, nobody else disturbed", () =>
  withRelay(async (relay) => {
    const good = await member(relay, 1, 0);
    const bad = await member(relay, 2, 1);
    await good.next();
    bad.send(operation(1, MAX_PAYLOAD));
    assertEquals(decodeFrame(await good.next()).payload.length, MAX_PAYLOAD);
    const over = new Uint8Array(MAX_PAYLOAD + 8);
    over.set([0xbf, 0x01, 0x02, 0x00, 0x10, 0x00, 0x01]);
    bad.send(over);
    const { payload } = decodeFrame(await bad.next());
    assertEquals(decodeFault(payload).code, Close.tooLarge.code);
    assertEquals((await bad.closed()).code, 1009);
    assertEquals(decodeExtension(decodeFrame(await good.next()).payload).subtype, "left");
    good.send(encodeFrame({ type: FrameType.ping, payload: Uint8Array.of(1) }));
    assertEquals(decodeFrame(await good.next()).type, FrameType.pong);
  }, { limits: { bytesPerSecond: 0 } }));

test("a message far beyond every limit ends its link only, with 1009", () =>
  withRelay(async (relay) => {
    const good = await member(relay, 1, 0);
    const bad = await TestSocket.connect(relay, "/sync/bugs");
    bad.send(new Uint8Array(8 * 1024 * 1024));
    assertEquals((await bad.closed()).code, 1009);
    good.send(encodeFrame({ type: FrameType.ping }));
    assertEquals(decodeFrame(await good.next()).type, FrameType.pong);
  }, { limits: { bytesPerSecond: 0 } }));

test("text ends a Blaze link with 1003, after an Error", () =>
  withRelay(async (relay) => {
    const socket = await member(relay, 1, 0);
    socket.send("hello");
    assertEquals(decodeFault(decodeFrame(await socket.next()).payload).code, 1003);
    assertEquals((await socket.closed()).code, 1003);
  }));

test("a link that sends nothing is closed after the handshake's time", () =>
  withRelay(async (relay) => {
    const socket = await TestSocket.connect(relay, "/sync");
    assertEquals(decodeFault(decodeFrame(await socket.next()).payload).code, 4408);
    assertEquals((await socket.closed()).code, Close.noHandshake.code);
  }, { limits: { handshakeMs: 50 } }));

// -- Admission

const token = "correct-horse-battery";

test("a relay with a token refuses whoever brings none, and says how to bring it", () =>
  withRelay(async (relay) => {
    await assertRejects(() => TestSocket.connect(relay, "/sync"));
    const answer = await fetch(`${relay.url}/ecg`);
    assertEquals(answer.status, 401);
    assertStringIncludes((await answer.json()).error, "Authorization: Bearer");
    assertEquals((await fetch(`${relay.url}/health`)).status, 200);
  }, { token }));

test("a token travels as a subprotocol and is never echoed", () =>
  withRelay(async (relay) => {
    const socket = await TestSocket.connect(relay, "/sync", ["blaze-relay", `bearer.${token}`]);
    assertEquals(socket.protocol, "blaze-relay");
    const offers = [`bearer.${token}, blaze-relay`, `bearer.${token}`, `bearer.${token}, other`];
    for (const offer of offers) {
      const { socket: raw, head } = await rawUpgrade(relay, "/ecg", {
        "Sec-WebSocket-Protocol": offer,
      });
      raw.destroy();
      assertStringIncludes(head, " 101 ");
      assert(!head.includes(token), head);
      assertEquals(/blaze-relay/.test(head), offer.includes("blaze-relay"), head);
    }
    const { socket: raw, head } = await rawUpgrade(relay, "/ecg", {
      authorization: `Bearer ${token}`,
    });
    raw.destroy();
    assertStringIncludes(head, " 101 ");
  }, { token }));

test("an open relay refuses pages of other sites", () =>
  withRelay(async (relay) => {
    const { socket, head } = await rawUpgrade(relay, "/sync", { origin: "https://evil.example" });
    socket.destroy();
    assertStringIncludes(head, " 403 ");
    const local = await rawUpgrade(relay, "/sync", { origin: "http://localhost:3000" });
    local.socket.destroy();
    assertStringIncludes(local.head, " 101 ");
  }));

test("links of one address and links in all have a limit", () =>
  withRelay(async (relay) => {
    const sockets = [await member(relay, 1, 0), await TestSocket.connect(relay, "/ecg")];
    const { socket, head } = await rawUpgrade(relay, "/sync");
    socket.destroy();
    assertStringIncludes(head, " 429 ");
    sockets[1]!.close();
    await sockets[1]!.closed();
    // The relay may hear of it a moment later.
    for (let attempt = 0;; attempt++) {
      const open = await TestSocket.connect(relay, "/ecg").catch(() => undefined);
      if (open) break;
      assert(attempt < 100, "the place never came free");
    }
  }, { limits: { linksPerAddress: 2 } }));

// -- HTTP

test("plain HTTP gets answers that say what to do", () =>
  withRelay(async (relay) => {
    const get = async (path: string) => {
      const answer = await fetch(relay.url + path);
      return { status: answer.status, text: await answer.text() };
    };
    assertEquals(JSON.parse((await get("/health")).text), { status: "ok" });
    const ready = await get("/ready");
    const { status, logs } = JSON.parse(ready.text);
    assertEquals([ready.status, status, logs], [200, "ready", "memory"]);
    for (const path of ["/sync", "/sync/bugs", "/ecg", "/ecg/ward/bed", "/ws"]) {
      const { status, text } = await get(path);
      assertEquals(status, 426, path);
      assertStringIncludes(text, "WebSocket");
    }
    assertEquals((await get("/nothing")).status, 404);
    assertStringIncludes((await get("/")).text, "/sync/:database");
    const published = JSON.parse((await get("/limits")).text);
    assertEquals(Object.keys(published), Object.keys(LIMITS));
    assertEquals(published.links.value, 7);
    assertEquals(published.payloadBytes, { ...LIMITS.payloadBytes });
  }, { limits: { links: 7 } }));

test("a path may name a database with any characters", () =>
  withRelay(async (relay) => {
    const client = new LiteralClient("büro/notes ?");
    const socket = await TestSocket.connect(relay, `/sync/${encodeURIComponent(client.database)}`);
    socket.send(client.handshake());
    socket.send(new Uint8Array([0xbf, 1, 8, 0, 0, 0, 0]));
    assertEquals(client.read(await socket.next()).type, 9);
  }));

test("stop sends everybody away with 1012", async () => {
  let sockets: TestSocket[] = [];
  await withRelay(async (relay) => {
    sockets = [await member(relay, 1, 0), await TestSocket.connect(relay, "/ecg")];
  });
  for (const socket of sockets) assertEquals((await socket.closed()).code, 1012);
});
