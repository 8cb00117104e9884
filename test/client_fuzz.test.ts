/**
 * Clients against relays that send anything. Whatever comes is at most a fault, and the client goes on:
 * what an honest relay says after it is still heard.
 */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { BmpServer } from "../src/bmp/bmp_server.ts";
import { BmpConnection } from "../src/client/bmp/bmp_connection.ts";
import type { Dial } from "../src/client/bmp/dial.ts";
import { BlazeGroup, BlazePair, EcgClient } from "../src/client/mod.ts";
import { drawKeyPair } from "../src/client/pair/pair_keys.ts";
import type { CarrierEvents, Transport } from "../src/client/transport/carrier.ts";
import type { Mux } from "../src/link/mux/mux.ts";
import { concat, utf8Bytes } from "../src/wire/bytes.ts";
import { decodeFrame, encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { encodeFault } from "../src/wire/blaze/control.ts";
import { encodeExtension } from "../src/wire/blaze/extension.ts";
import { decodeHandshake, encodeHandshakeAck } from "../src/wire/blaze/handshake.ts";
import { encode as encodeBmp } from "../src/wire/bmp/bmp_encoder.ts";
import type { Form, Kind } from "../src/wire/bmp/bmp_frame.ts";
import { MessageType, Version } from "../src/wire/ecg/codes.ts";
import { encode as encodeEcg } from "../src/wire/ecg/ecg_message.ts";
import { answers } from "./kit/bmp.ts";
import { dice, seed, times } from "./kit/random.ts";
import { Chance, written } from "./kit/stranger_talk.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const CLIENTS = 6;
const MESSAGES = 120;
/** The code of what an honest relay says at the end. */
const LAST = 4242;

/** A relay without a network: what clients send is kept, what it says is said at once. */
class Mouth {
  /** What came, the first one first. */
  readonly heard: Bytes[] = [];
  /** What came last, for those who send it back. */
  readonly last: Bytes[] = [];
  readonly #opened = Promise.withResolvers<CarrierEvents>();
  #wake = () => {};

  readonly transport: Transport = (_, events) => {
    queueMicrotask(() => {
      events.opened("blaze-relay");
      this.#opened.resolve(events);
    });
    return {
      buffered: 0,
      send: (data) => {
        if (typeof data === "string") return;
        this.heard.push(data.slice());
        this.last.push(data.slice());
        if (this.last.length > 8) this.last.shift();
        this.#wake();
      },
      close: (code, reason) => queueMicrotask(() => events.closed(code, reason, true)),
      abort: () => {},
    };
  };

  async say(message: Bytes | string): Promise<void> {
    const events = await this.#opened.promise;
    events.message(typeof message === "string" ? message : message.slice());
  }

  async first(): Promise<Bytes> {
    while (this.heard.length === 0) await new Promise<void>((resolve) => this.#wake = resolve);
    return this.heard[0]!;
  }
}

/** What was thrown at nobody: Deno tells it here, Bun fails the test by itself. */
const uncaught: unknown[] = [];
globalThis.addEventListener?.("error", (event) => {
  uncaught.push((event as ErrorEvent).error);
  event.preventDefault();
});

/** Keys of a device that nobody knows. */
const stranger = await drawKeyPair();

/** An Ack made of the client's own Handshake, or of another device's. */
function ackFor(chance: Chance, handshake: Bytes): Bytes {
  const own = decodeHandshake(decodeFrame(handshake).payload);
  const payload = encodeHandshakeAck({
    ...own,
    node: chance.often(50) ? own.node : chance.node(),
    publicKey: chance.often(50) ? own.publicKey : stranger.publicKey,
    tlvs: chance.often(50) ? own.tlvs : [],
    capabilities: chance.often(50) ? own.capabilities : 0x80 | chance.below(0x80),
    challenge: new Uint8Array(16).fill(chance.below(256)),
  }, "drawing");
  return encodeFrame({ type: FrameType.handshakeAck, payload });
}

async function hostileBlaze(chance: Chance, mouth: Mouth): Promise<void> {
  const greeting = await mouth.first();
  const node = decodeHandshake(decodeFrame(greeting).payload).node.slice();
  const speaker = { kind: "blaze", last: mouth.last };
  for (let i = 0; i < MESSAGES; i++) {
    let message = chance.often(6) ? ackFor(chance, greeting) : written(chance, speaker, true);
    if (chance.often(25) && message.length < 100_000) {
      const envelope = chance.often(50)
        ? { subtype: "direct", node, frame: message } as const
        : { subtype: "batch", frames: [message, message] } as const;
      if (message.length > 0) {
        message = encodeFrame({ type: FrameType.extension, payload: encodeExtension(envelope) });
      }
    }
    if (chance.often(20)) message = chance.mutated(message);
    await mouth.say(chance.often(2) ? "text" : message);
  }
  const payload = encodeFault({ code: LAST, message: "the last word" });
  await mouth.say(encodeFrame({ type: FrameType.error, payload }));
}

/** Waits for the fault that an honest relay tells of at the end. */
const lastWord = (
  client: { onStatus(listener: (status: { readonly kind: string }) => void): unknown },
) =>
  new Promise<void>((resolve) =>
    client.onStatus((status) => {
      const { fault, code } = status as { fault?: { code: string }; code?: number };
      if (status.kind === "fault" && (fault?.code === `ERROR_${LAST}` || code === LAST)) resolve();
    })
  );

const clientsOf = (run: (chance: Chance, mouth: Mouth, n: number) => Promise<void>) => async () => {
  for (let n = 0; n < CLIENTS * times; n++) {
    await run(new Chance(dice(seed * 1_000_003 + n)), new Mouth(), n);
    assertEquals(uncaught, []);
  }
};

test(
  "a pair takes whatever a relay sends, and hears what comes after it",
  clientsOf(async (chance, mouth, n) => {
    const pair = BlazePair.open({
      url: "ws://relay",
      database: "bugs",
      transport: mouth.transport,
      ...(n % 2 ? { trust: "first" } : { confirm: () => chance.often(50) }),
    });
    // A relay that poses as a partner may be refused, and the link ends then: that is heard as well.
    const ended = new Promise<void>((resolve) =>
      pair.onStatus(({ kind }) => kind === "offline" && resolve())
    );
    const heard = Promise.race([lastWord(pair), ended]);
    await hostileBlaze(chance, mouth);
    await heard;
    pair.close();
  }),
);

test(
  "a group takes whatever a relay sends, and hears what comes after it",
  clientsOf(async (chance, mouth) => {
    const group = BlazeGroup.create({
      url: "ws://relay",
      database: "bugs",
      transport: mouth.transport,
      sponsor: () => chance.often(50),
    });
    const heard = lastWord(group);
    await hostileBlaze(chance, mouth);
    await heard;
    const { id } = await group.collection("bugs").insert({ title: "after" });
    assertEquals(group.collection("bugs").get(id), { title: "after" });
    await group.close();
  }),
);

test(
  "an ECG client takes whatever a relay sends, and hears what comes after it",
  clientsOf(async (chance, mouth, n) => {
    const seal = {
      seal: (plain: Bytes) => plain,
      open: (sealed: Bytes) => {
        if (chance.often(50)) throw new Error("not ours");
        return sealed;
      },
    };
    const client = EcgClient.open({
      url: "ws://relay",
      stream: "bed",
      transport: mouth.transport,
      ...(n % 2 ? { seal } : {}),
    });
    const heard = lastWord(client);
    const say = (type: MessageType, payload: unknown) =>
      mouth.say(encodeEcg({ version: Version.V1, type, timestamp: null, payload }));
    const speaker = { kind: "ecg", last: mouth.last };
    for (let i = 0; i < MESSAGES; i++) {
      if (i === MESSAGES >> 2) {
        await say(MessageType.PROTOCOL_NEGOTIATION, { supported_versions: [1, 2, 3] });
        void client.watch().catch(() => {});
      }
      const message = written(chance, speaker, true);
      await mouth.say(
        chance.often(2) ? "text" : chance.often(20) ? chance.mutated(message) : message,
      );
    }
    await say(MessageType.ERROR, { code: LAST, message: "the last word" });
    await heard;
    client.close();
  }),
);

const KINDS: readonly Kind[] = ["data", "create", "ack", "eof", "close"];
const HTTP = [
  "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
  "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
  "HTTP/1.1 999 Odd\r\n\r\n",
  "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n\x82\x01x",
  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
  "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n",
  "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 99\r\n\r\nshort",
  "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
  "GET /hello HTTP/1.1\r\nhost: a b\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
  "GET /hello HTTP/1.1\r\n\r\n",
].map(utf8Bytes);

/** Frames of BMP, most of them good ones, about few streams. */
function bmpBytes(chance: Chance, form: Form): Bytes {
  const frames = Array.from({ length: 1 + chance.below(3) }, () => {
    const kind = chance.one(KINDS);
    const frame = {
      kind,
      id: `io_${chance.below(4)}`,
      sid: chance.one(["0", "1", "bx1?w=1", "x"]),
    };
    if (kind !== "data" && kind !== "create") return encodeBmp(form, frame);
    const http = chance.one(HTTP);
    const payload = chance.often(20) ? chance.mutated(http) : http;
    return encodeBmp(form, { ...frame, payload });
  });
  const all = concat(...frames);
  return chance.often(15) ? chance.mutated(all) : all;
}

test("a BMP client takes whatever a server sends: requests fail or are answered, nothing else", async () => {
  for (let n = 0; n < 60 * times; n++) {
    const chance = new Chance(dice(seed * 1_000_003 + n));
    let mux!: Mux;
    const dial: Dial = (connect) => {
      mux = connect({ buffered: 0, write: () => {}, end: () => {} });
      return Promise.resolve(mux);
    };
    const bmp = await BmpConnection.open({ dial });
    const asked = Array.from(
      { length: 3 },
      () =>
        bmp.fetch("/hello").then((answer) => answer.arrayBuffer()).then(
          () => "answered",
          (error) => error instanceof Error ? "failed" : `odd: ${error}`,
        ),
    );
    // The requests are on their way once they have been written.
    for (let turn = 0; turn < 8; turn++) await undefined;
    for (let i = 0; i < 15 && !mux.over; i++) {
      mux.receive(bmpBytes(chance, "binary4"));
      await undefined;
    }
    bmp.close();
    await bmp.closed;
    for (const one of await Promise.all(asked)) assert(one === "answered" || one === "failed", one);
  }
});

test("a BMP server takes whatever a client sends, and forgets it", async () => {
  const server = new BmpServer(
    { connections: 10, connectionsPerAddress: 10, httpStreams: 100, idleSeconds: 30 },
    answers,
  );
  for (let n = 0; n < 60 * times; n++) {
    const chance = new Chance(dice(seed * 1_000_003 + n));
    const form = chance.one<Form>(["binary4", "binary4", "binary3", "text"]);
    const mux = server.connect({ buffered: 0, write: () => {}, end: () => {} }, "10.0.0.1")!;
    for (let i = 0; i < 15 && !mux.over; i++) {
      mux.receive(bmpBytes(chance, form));
      await undefined;
    }
    mux.closed();
  }
  assertEquals([server.connections, server.streams], [0, 0]);
  // Whatever goes wrong later goes wrong while somebody looks.
  await new Promise((resolve) => setTimeout(resolve, 50));
});
