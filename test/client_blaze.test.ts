import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { Compression } from "../src/client/blaze/compression.ts";
import { Pairing } from "../src/client/pair/pairing.ts";
import { BlazePair, ConnectionClosed, memoryStorage, type PairStatus } from "../src/client/mod.ts";
import type { Message } from "../src/link/link.ts";
import { sameBytes, utf8Bytes } from "../src/wire/bytes.ts";
import { encodeExtension, Subtype } from "../src/wire/blaze/extension.ts";
import { decodeFrame, encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import {
  decodeHandshakeAck,
  encodeHandshakeAck,
  VERIFY_LENGTH,
} from "../src/wire/blaze/handshake.ts";
import { pair, trusting, until } from "./kit/pair.ts";
import { LiteralClient, literalOperation } from "./kit/literal.ts";
import { refusal } from "./kit/refusal.ts";
import { withRelay } from "./kit/relay.ts";
import { TestSocket } from "./kit/socket.ts";

// -- Pairing over memory links, with somebody in between who may change what passes

const typeOf = (message: Message) => decodeFrame(message).type;
const isVerify = (message: Message) =>
  typeOf(message) === FrameType.handshakeAck &&
  decodeFrame(message).payload.length === VERIFY_LENGTH;
const isAck = (message: Message) =>
  typeOf(message) === FrameType.handshakeAck && !isVerify(message);
const isReveal = (message: Message) =>
  typeOf(message) === FrameType.extension && decodeFrame(message).payload[0] === Subtype.reveal;

test("Pairing gives both the same six digits, verified both ways, and passes what they seal", () =>
  pair(async (a, b) => {
    assert(a.partner && b.partner);
    assertEquals(a.partner.code, b.partner.code);
    assert(/^\d{6}$/.test(a.partner.code));
    assertEquals([a.partner.verified, a.partner.literal], [true, false]);
    await a.pairing.send(FrameType.operation, utf8Bytes("hello"));
    await b.pairing.send(FrameType.query, utf8Bytes("who?"));
    await until(() => a.frames.length + b.frames.length === 2);
    assertEquals(b.frames, [{ type: FrameType.operation, text: "hello" }]);
    assertEquals(a.frames, [{ type: FrameType.query, text: "who?" }]);
    assertEquals([a.faults, b.faults], [[], []]);
  }));

test("Pairing keeps the order of what is sent, however long sealing takes", () =>
  pair(async (a, b) => {
    const texts = Array.from({ length: 50 }, (_, i) => String(i).repeat(i % 7 === 0 ? 3000 : 3));
    await Promise.all(texts.map((text) => a.pairing.send(FrameType.operation, utf8Bytes(text))));
    await until(() => b.frames.length === texts.length);
    assertEquals(b.frames.map(({ text }) => text), texts);
  }));

test("Pairing compresses where that helps, always, or never", async () => {
  for (
    const [compress, expected] of [["auto", [false, false, true]], ["always", [true, true, true]], [
      "never",
      [false, false, false],
    ]] as const
  ) {
    const seen: boolean[] = [];
    await pair(
      async (a, b) => {
        const random = String.fromCharCode(
          ...crypto.getRandomValues(new Uint8Array(150)).map((x) => 33 + x % 90),
        );
        const texts = ["short", random, "again and ".repeat(100)];
        for (const text of texts) await a.pairing.send(FrameType.operation, utf8Bytes(text));
        await until(() => b.frames.length === texts.length);
        assertEquals(b.frames.map(({ text }) => text), texts);
      },
      (message) => {
        if (typeOf(message) === FrameType.operation) seen.push(decodeFrame(message).compressed);
        return message;
      },
      { compress },
    );
    if (compress !== "auto") assertEquals(seen, expected as unknown as boolean[], compress);
    else assertEquals([seen[0], seen[2]], [false, true], compress);
  }
});

test("Pairing reads a batch, in its order", () =>
  pair(
    async (a, b) => {
      for (const text of ["1", "2", "3"]) {
        await a.pairing.send(FrameType.operation, utf8Bytes(text));
      }
      await until(() => b.frames.length === 3);
      assertEquals(b.frames.map(({ text }) => text), ["1", "2", "3"]);
      assertEquals(b.faults, []);
    },
    (() => {
      const held: Message[] = [];
      return (message: Message) => {
        if (typeOf(message) !== FrameType.operation) return message;
        held.push(message);
        if (held.length < 3) return undefined;
        const payload = encodeExtension({ subtype: "batch", frames: held });
        return encodeFrame({ type: FrameType.extension, payload });
      };
    })(),
  ));

test("Pairing refuses frames in the clear once there is a key", () =>
  pair(async (a, b) => {
    for (
      const type of [
        FrameType.operation,
        FrameType.operationAck,
        FrameType.query,
        FrameType.queryResult,
      ]
    ) {
      b.pairing.message(encodeFrame({ type, payload: utf8Bytes("injected") }));
    }
    await until(() => b.faults.length === 4);
    assertEquals(b.frames, []);
    assertEquals(b.faults, Array(4).fill("PLAINTEXT_AFTER_KEY"));
    await a.pairing.send(FrameType.operation, utf8Bytes("still here"));
    await until(() => b.frames.length > 0);
    assertEquals(b.frames.length, 1);
  }));

test("Pairing refuses sealed frames before there is a key", async () => {
  const faults: string[] = [];
  const link = { remote: "", buffered: 0, send() {}, close() {} };
  const compression = new Compression({ mode: "auto", fault: () => {} });
  const options = { node: new Uint8Array(16), database: "b", compression };
  const pairing = new Pairing(link, { ...options, trust: trusting() }, {
    waiting() {},
    met() {},
    paired() {},
    refused() {},
    frame: () => faults.push("taken"),
    fault: ({ code }) => faults.push(code),
  });
  const payload = new Uint8Array(40);
  pairing.message(encodeFrame({ type: FrameType.operation, payload, encrypted: true }));
  await assertRejects(() => pairing.send(FrameType.operation, payload), Error, "NO_KEY");
  while (faults.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  assertEquals(faults, ["NO_KEY"]);
});

test("Pairing finds every bit that was flipped in a sealed frame", () =>
  pair(
    async (a, b) => {
      for (let i = 0; i < 40; i++) await a.pairing.send(FrameType.operation, utf8Bytes("x"));
      await until(() => b.faults.length === 40);
      assertEquals(b.frames, []);
      assert(b.faults.length === 40 && b.faults.every((code) => code === "AUTH_FAILED"));
    },
    (() => {
      let at = 0;
      return (message: Message) => {
        if (typeOf(message) !== FrameType.operation) return message;
        const flipped = message.slice();
        const header = 5;
        flipped[header + (at++ % (message.length - header))]! ^= 1;
        return flipped;
      };
    })(),
  ));

test("Pairing notices a relay that answers with a key of its own", async () => {
  const keys = await crypto.subtle.generateKey({ name: "ECDH", namedCurve: "P-256" }, true, [
    "deriveBits",
  ]);
  const own = new Uint8Array(await crypto.subtle.exportKey("raw", keys.publicKey));
  await pair(
    async (a, b) => {
      // The partner's Verify was made for another secret.
      await until(() => a.faults.includes("VERIFY_FAILED"));
      assertEquals([a.partner, b.partner], [undefined, undefined]);
    },
    (message) => {
      if (!isAck(message)) return message;
      const ack = decodeHandshakeAck(decodeFrame(message).payload);
      const payload = encodeHandshakeAck({ ...ack, publicKey: own });
      return encodeFrame({ type: FrameType.handshakeAck, payload });
    },
    { paired: false },
  );
});

test("Pairing shows other digits when bits of a Handshake were stripped on the way", () =>
  pair(
    async (a, b) => {
      await until(() => a.faults.includes("NOT_AGREED") && b.faults.includes("NOT_AGREED"));
      assert(a.met!.code !== b.met!.code, "the codes differ, and people see it");
      assertEquals([a.partner, b.partner], [undefined, undefined]);
    },
    (message, to) => {
      if (to === "b" || !isAck(message)) return message;
      const ack = decodeHandshakeAck(decodeFrame(message).payload);
      const payload = encodeHandshakeAck({ ...ack, capabilities: ack.capabilities & ~0x02 });
      return encodeFrame({ type: FrameType.handshakeAck, payload });
    },
    { paired: false },
  ));

test("Pairing ends with a partner that reveals another nonce than it committed to", () =>
  pair(
    async (a, b) => {
      await until(() => a.faults.includes("COMMITMENT_BROKEN"));
      assertEquals([a.partner, b.partner], [undefined, undefined]);
    },
    (message) => {
      if (!isReveal(message)) return message;
      const body = new Uint8Array(16).fill(3);
      const payload = encodeExtension({ subtype: "device", code: Subtype.reveal, body });
      return encodeFrame({ type: FrameType.extension, payload });
    },
    { paired: false },
  ));

test("Pairing is not complete without the partner's Verify", () => {
  let reveals = 0;
  return pair(
    async (a, b) => {
      await until(() => reveals === 2);
      await assertRejects(
        () => a.pairing.send(FrameType.query, new Uint8Array()),
        Error,
        "NOT_PAIRED",
      );
      assertEquals([a.partner, b.partner], [undefined, undefined]);
    },
    (message) => {
      if (isReveal(message)) reveals++;
      return isVerify(message) ? undefined : message;
    },
    { paired: false },
  );
});

test("Pairing takes one Ack only", () =>
  pair(
    async (a, b) => {
      await until(() => a.faults.includes("SECOND_ACK") && b.faults.includes("SECOND_ACK"));
      await a.pairing.send(FrameType.operation, utf8Bytes("same key"));
      await until(() => b.frames.length > 0);
      assertEquals(b.frames.length, 1);
    },
    (message) => isAck(message) ? [message, message] : message,
  ));

test("Pairing does not say that something was sent when its link had gone meanwhile", () =>
  pair(async (a, b) => {
    const sent = refusal(() => a.pairing.send(FrameType.operation, utf8Bytes("too late")));
    a.pairing.closed();
    assertEquals([await sent, b.frames], ["NOT_PAIRED", []]);
  }));

test("Pairing survives garbage: each piece is a fault, and the rest passes", () =>
  pair(async (a, b) => {
    const garbage = [[], [0xbf], [0xbf, 1, 0x0f, 0, 0, 0, 0], [1, 2, 3, 4, 5, 6, 7], [
      0xbf,
      1,
      0x0a,
      0,
      0,
      0,
      1,
      9,
    ]];
    for (const bytes of garbage) b.pairing.message(Uint8Array.from(bytes));
    b.pairing.text();
    await until(() => b.faults.length >= garbage.length + 1);
    await a.pairing.send(FrameType.operation, utf8Bytes("fine"));
    await until(() => b.frames.length > 0);
    assertEquals(b.faults.length, garbage.length + 1);
  }));

test("no two frames have the same nonce, and none holds the text", () => {
  const nonces = new Set<string>();
  const text = utf8Bytes("a secret between the two of us");
  return pair(
    async (a) => {
      for (let i = 0; i < 200; i++) await a.pairing.send(FrameType.operation, text);
      assertEquals(nonces.size, 200);
    },
    (message) => {
      if (typeOf(message) !== FrameType.operation) return message;
      const { payload } = decodeFrame(message);
      nonces.add(payload.subarray(0, 12).toString());
      for (let at = 0; at + text.length <= payload.length; at++) {
        assert(!sameBytes(payload.subarray(at, at + text.length), text));
      }
      return message;
    },
  );
});

// -- The client against a real relay

test("BlazePair syncs inserts, updates and deletes, both ways", () =>
  withRelay(async ({ url }) => {
    const [a, b] = [
      BlazePair.open({ url, database: "bugs", trust: "first" }),
      BlazePair.open({ url, database: "bugs", trust: "first" }),
    ];
    const [toA, toB] = [a[Symbol.asyncIterator](), b[Symbol.asyncIterator]()];
    const { id } = await a.collection("bugs").insert({ title: "Crash", priority: 5 });
    const insert = (await toB.next()).value;
    assertEquals(insert.operation.kind, "insert");
    assertEquals(insert.operation.changes, { title: "Crash", priority: 5 });
    assertEquals([insert.operation.id, insert.operation.collection], [id, "bugs"]);
    await b.collection("bugs").update(id, { status: "closed" });
    const update = (await toA.next()).value;
    assertEquals(update.operation.changes, { status: "closed" });
    assert(update.operation.counter > insert.operation.counter, "Lamport: after what it has seen");
    await a.collection("bugs").delete(id);
    const remove = (await toB.next()).value;
    assertEquals([remove.operation.kind, remove.operation.changes], ["delete", {}]);
    a.close();
    b.close();
    assertEquals((await toB.next()).done, true);
  }));

test("BlazePair hands on all that was sent, although its partner leaves right after", () =>
  withRelay(async ({ url }) => {
    for (const transport of ["websocket", "http"] as const) {
      const options = { url, database: transport, trust: "first", transport } as const;
      const [a, b] = [BlazePair.open(options), BlazePair.open(options)];
      const arrivals = b[Symbol.asyncIterator]();
      await Promise.all([a.ready, b.ready]);
      const sent = Array.from(
        { length: 50 },
        (_, n) => a.collection("bugs").insert({ n, text: "x".repeat(200 * n) }),
      );
      await Promise.all(sent);
      a.close();
      for (let n = 0; n < sent.length; n++) {
        assertEquals((await arrivals.next()).value.operation.changes.n, n);
      }
      b.close();
    }
  }));

test("BlazePair answers what it was given before it leaves: its partner waits for nothing", () =>
  withRelay(async ({ url }) => {
    for (let round = 0; round < 10; round++) {
      const options = { url, database: `bugs-${round}`, trust: "first" } as const;
      const [a, b] = [BlazePair.open(options), BlazePair.open(options)];
      const arrivals = b[Symbol.asyncIterator]();
      await Promise.all([a.ready, b.ready]);
      const inserted = a.collection("bugs").insert({ round });
      await arrivals.next();
      await b.close();
      assert((await inserted).wireLength > 0);
      await a.close();
    }
  }));

test("BlazePair comes back by itself when its partner does, and asks nobody again", () =>
  withRelay(async ({ url }) => {
    const storage = memoryStorage();
    const asked: string[] = [];
    const options = {
      url,
      database: "bugs",
      backoff: { first: 1, most: 5 },
      confirm: (code: string) => asked.push(code) > 0,
    };
    const b = BlazePair.open(options);
    const first = BlazePair.open({ ...options, storage });
    const before = await b.ready;
    assertEquals([before.known, before.remembers, asked], [false, true, [
      before.code,
      before.code,
    ]]);
    const arrivals = b[Symbol.asyncIterator]();
    await first.collection("bugs").insert({ title: "there before" });
    await arrivals.next();
    const statuses: PairStatus["kind"][] = [];
    b.onStatus(({ kind }) => statuses.push(kind));
    await first.close();
    // Another run of the same program.
    const again = BlazePair.open({ ...options, storage });
    // Said while nobody was there: it waits for the key.
    await again.collection("bugs").insert({ title: "back" });
    const { operation, sender } = (await arrivals.next()).value;
    assertEquals(operation.changes, { title: "back" });
    assert(operation.counter > 1024n, "counters go on where the last run had reserved them");
    assertEquals([sender.node, sender.known], [before.node, true]);
    assertEquals(asked.length, 2);
    assertEquals(statuses.filter((kind) => kind !== "fault"), [
      "offline",
      "waiting",
      "met",
      "paired",
    ]);
    await again.close();
    await b.close();
  }));

test("BlazePair and a literal client understand each other, with thirty digits", () =>
  withRelay(async ({ url }) => {
    const device = BlazePair.open({ url, database: "bugs", confirm: (code) => code.length === 30 });
    const arrivals = device[Symbol.asyncIterator]();
    const literal = new LiteralClient("bugs");
    const link = await TestSocket.connect({ url }, "/sync/bugs");
    link.send(literal.handshake());
    link.send(literal.acknowledge(literal.read(await link.next()).payload));
    const partner = await device.ready;
    assert(partner.literal && /^\d{30}$/.test(partner.code));
    link.send(literal.operation(literalOperation(0, "bugs", 7n)));
    const { operation } = (await arrivals.next()).value;
    assertEquals([operation.kind, operation.counter], ["insert", 7n]);
    await device.collection("notes").insert({ text: "hello" });
    const { type, encrypted, payload } = literal.read(await link.next());
    assertEquals([type, encrypted], [2, true]);
    const opened = literal.open(payload);
    assertEquals([opened[0], opened.subarray(2, 7).toString()], [0, "notes"]);
    device.close();
    link.close();
  }));

test("BlazePair ends when a token is refused, and says what to do", () =>
  withRelay(async ({ url }) => {
    const device = BlazePair.open({
      url,
      database: "bugs",
      trust: "first",
      token: "wrong-token-wrong-token",
    });
    const error = await assertRejects(() => device.ready, ConnectionClosed, "not valid");
    assertEquals(error.code, 4401);
    await assertRejects(() => device.collection("bugs").insert({}), ConnectionClosed);
  }, { token: "correct-horse-battery" }));

test("BlazePair ends with its signal, and its loops with it", () =>
  withRelay(async ({ url }) => {
    const controller = new AbortController();
    const device = BlazePair.open({
      url,
      database: "bugs",
      trust: "first",
      signal: controller.signal,
    });
    const loop = device[Symbol.asyncIterator]();
    const waiting = loop.next();
    controller.abort();
    assertEquals((await waiting).done, true);
    await assertRejects(() => device.ready, ConnectionClosed);
    device.close();
    const late = BlazePair.open({
      url,
      database: "bugs",
      trust: "first",
      signal: AbortSignal.abort(),
    });
    await assertRejects(() => late.ready, ConnectionClosed);
  }));

test("BlazePair refuses names that no database can have, before it connects", () => {
  for (const database of ["", "a:b", "x".repeat(128)]) {
    let thrown: unknown;
    try {
      BlazePair.open({ url: "ws://127.0.0.1:9", database, trust: "first" });
    } catch (error) {
      thrown = error;
    }
    assert(thrown instanceof Error, database);
  }
});
