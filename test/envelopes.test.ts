/**
 * Envelopes: the nesting of PROTOCOL.md is read, and nothing deeper; whatever a frame makes somebody throw
 * stays a fault of that frame.
 */
import { test } from "node:test";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { BmpConnection } from "../src/client/bmp/bmp_connection.ts";
import type { Dial } from "../src/client/bmp/dial.ts";
import { faultOf } from "../src/client/client_error.ts";
import { BlazePair, EcgClient, type PairStatus } from "../src/client/mod.ts";
import { Close } from "../src/close.ts";
import { host } from "../src/host.ts";
import { Mux } from "../src/link/mux/mux.ts";
import { MUX } from "../src/link/mux/settings.ts";
import { MemoryPeer } from "../src/link/memory_link.ts";
import { LinkRegistry } from "../src/link/registry.ts";
import { concat, utf8Bytes, WireError } from "../src/wire/bytes.ts";
import { encode as encodeBmp } from "../src/wire/bmp/bmp_encoder.ts";
import { encodeFrame, FrameType, MAX_MESSAGE } from "../src/wire/blaze/blaze_frame.ts";
import {
  decodeExtension,
  encodeExtension,
  framesIn,
  LARGEST_BATCH,
  openEnvelopes,
  Subtype,
} from "../src/wire/blaze/extension.ts";
import { MessageType, Version } from "../src/wire/ecg/codes.ts";
import { encode } from "../src/wire/ecg/ecg_message.ts";
import { SUBPROTOCOL } from "../src/link/subprotocol.ts";
import { bun } from "../src/runtime/bun.ts";
import { deno } from "../src/runtime/deno.ts";
import { Lab, LITERAL, nodeId, PAIRED, PROFILE } from "./kit/blaze.ts";
import { FakeHost } from "./kit/fake_host.ts";
import { converged, eventually, group, withDevices } from "./kit/group.ts";
import { withHostile } from "./kit/hostile.ts";
import { type Envelope, nested } from "./kit/nested.ts";
import { withRelay } from "./kit/relay.ts";

const ping = encodeFrame({ type: FrameType.ping });
/** As many as a message has room for. */
const DEEP = {
  direct: Math.floor((MAX_MESSAGE - 7) / 24),
  tagged: Math.floor((MAX_MESSAGE - 7) / 16),
  sequenced: Math.floor((MAX_MESSAGE - 7) / 16),
  batch: Math.floor((MAX_MESSAGE - 7) / 12),
};
const LEVEL = { batch: 0, sequenced: 1, direct: 2, tagged: 2 };
const KINDS = Object.keys(LEVEL) as Envelope[];

/** Every way to put up to three envelopes into each other. */
const orders: Envelope[][] = [1, 2, 3, 4].flatMap((depth) => {
  let all: Envelope[][] = [[]];
  for (let i = 0; i < depth; i++) all = all.flatMap((one) => KINDS.map((kind) => [...one, kind]));
  return all;
});

const allowed = (order: readonly Envelope[]): boolean =>
  order.every((kind, i) => i === 0 || LEVEL[kind] > LEVEL[order[i - 1]!]);

const open = (message: Uint8Array) => framesIn(message).map((frame) => openEnvelopes(frame));

test("openEnvelopes reads the nesting of the protocol and no other, at any depth", () => {
  for (const order of orders) {
    const message = nested(order, order.length);
    if (!allowed(order)) {
      const error = assertThrows(() => open(message), WireError, "NESTING", order.join());
      assertEquals(error.code, "NESTING");
      continue;
    }
    const [one, ...more] = open(message);
    assertEquals([[...one!.frame], more.length], [[...ping], 0], order.join());
    assertEquals(one!.from !== undefined, order.includes("direct"));
    assertEquals(one!.tag !== undefined, order.includes("tagged"));
    assertEquals(one!.sequence !== undefined, order.includes("sequenced"));
  }
  for (const kind of KINDS) {
    const code = kind === "batch" ? "TOO_LARGE" : "NESTING";
    assertThrows(() => open(nested([kind], DEEP[kind])), WireError, code);
    assertThrows(() => open(nested(["direct", "batch"], 50_000)), WireError, "NESTING");
  }
});

test("devices cannot put the relay's own words into what they send", () => {
  const words = [
    encodeExtension({ subtype: "joined", node: nodeId(1), members: 1 }),
    encodeExtension({ subtype: "left", node: nodeId(1), members: 1 }),
    encodeExtension({ subtype: "accepted", count: 1, sequence: 1n }),
  ];
  for (const payload of words) {
    const frame = encodeFrame({ type: FrameType.extension, payload });
    for (const kind of ["direct", "tagged"] as const) {
      assertThrows(() => open(nested([kind], 1, frame)), WireError, "NESTING");
    }
    assertEquals(open(nested(["batch", "sequenced"], 2, frame)).length, 1);
  }
  const payload = encodeExtension({ subtype: "device", code: Subtype.hold, body: ping });
  const frame = encodeFrame({ type: FrameType.extension, payload });
  assertEquals(open(nested(["direct"], 1, frame))[0]!.from, nodeId(9));
});

test("a batch is as long as a device says that it may be", () => {
  const filled = (length: number) => {
    const frame = encodeFrame({ type: FrameType.pong, payload: new Uint8Array(length - 7) });
    const payload = encodeExtension({ subtype: "batch", frames: [frame] });
    return framesIn(encodeFrame({ type: FrameType.extension, payload }));
  };
  const around = 7 + 1 + 4;
  assertEquals(filled(LARGEST_BATCH - around).length, 1);
  assertThrows(() => filled(LARGEST_BATCH - around + 1), WireError, "TOO_LARGE");
});

test("a bad frame of a batch takes none of the others along", () => {
  const deep = nested(["batch"], 3);
  const frames = [ping, deep, Uint8Array.of(1, 2, 3), ping];
  const payload = encodeExtension({ subtype: "batch", frames });
  const inside = framesIn(encodeFrame({ type: FrameType.extension, payload }));
  assertEquals(inside.map((frame) => frame.length), frames.map((frame) => frame.length));
  assertThrows(() => openEnvelopes(inside[1]!), WireError, "NESTING");
  assertEquals([...openEnvelopes(inside[3]!).frame], [...ping]);
  assertThrows(
    () => decodeExtension(concat(Uint8Array.of(Subtype.batch), new Uint8Array(4))),
    WireError,
    "EMPTY_FRAME",
  );
});

test("a relay ends the link of whoever nests envelopes, and nobody else hears of it", () => {
  for (
    const [kinds, depth] of [
      [["direct"], DEEP.direct],
      [["tagged"], DEEP.tagged],
      [["direct", "batch"], 50_000],
      [["direct", "sequenced"], 2],
      [["tagged", "direct"], 2],
    ] as [Envelope[], number][]
  ) {
    const lab = new Lab();
    const victim = lab.join(9, PROFILE);
    const literal = lab.join(8, LITERAL);
    const enemy = lab.join(1, PROFILE).forget();
    victim.forget();
    literal.forget();
    enemy.send(nested(kinds, depth));
    assertEquals(enemy.nextFault(), Close.badFrame.code);
    assertEquals(enemy.closedWith?.code, Close.badFrame.code);
    assertEquals(victim.nextExtension().subtype, "left");
    assertEquals([victim.received, literal.received], [[], []]);
  }
});

test("a relay passes no envelope of a paired client to anybody", () => {
  const lab = new Lab();
  const sponsor = lab.join(9, PROFILE);
  const client = lab.join(1, PAIRED).forget();
  sponsor.forget();
  client.send(nested(["direct", "batch"], 2));
  assert(client.received.length === 1 || client.closedWith);
  assertEquals(sponsor.received.filter((message) => message[2] === 0x0f && message[7] === 2), []);
});

for (
  const [what, message] of [
    ["batches in direct", () => nested(["direct", "batch"], 50_000)],
    ["direct in direct", () => nested(["direct"], DEEP.direct)],
    ["batches in batches", () => nested(["batch"], 20_000)],
    ["tagged in tagged", () => nested(["tagged"], DEEP.tagged)],
  ] as const
) {
  test(`a device of a group takes ${what} for one fault, and goes on`, () =>
    withRelay((relay) =>
      withHostile(relay.url, (hostile) =>
        withDevices(async (kit) => {
          const { devices: [a, b] } = await group(kit, hostile.url, 2);
          hostile.victim(await b!.client.node()).toDevice(message());
          await eventually(() => b!.faults().length > 0, "the fault is told");
          assertEquals(b!.faults(), ["NESTING"]);
          await a!.client.collection("bugs").insert({ title: "after" });
          await converged([a!, b!], 1);
        }))
    ));

  test(`a device of a pair takes ${what} for one fault, and goes on`, () =>
    withRelay((relay) =>
      withHostile(relay.url, async (hostile) => {
        const options = { url: hostile.url, database: "notes", trust: "first" } as const;
        const [a, b] = [BlazePair.open(options), BlazePair.open(options)];
        try {
          await Promise.all([a.ready, b.ready]);
          const faults: PairStatus[] = [];
          const told = new Promise<void>((resolve) =>
            b.onStatus((status) => {
              if (status.kind !== "fault") return;
              faults.push(status);
              resolve();
            })
          );
          hostile.victim(toHex((await b.node()).bytes())).toDevice(message());
          await told;
          assertEquals(faults.map((one) => one.kind === "fault" && one.fault.code), ["NESTING"]);
          const arrivals = b[Symbol.asyncIterator]();
          await a.collection("notes").insert({ title: "after" });
          assertEquals((await arrivals.next()).value.operation.changes.title, "after");
        } finally {
          a.close();
          b.close();
        }
      })
    ));
}

const toHex = (bytes: Uint8Array): string =>
  [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

test("whatever was thrown is a fault", () => {
  assertEquals(faultOf(new WireError("NESTING", 0)).code, "NESTING");
  assertEquals(faultOf(new RangeError("why")), {
    code: "UNEXPECTED",
    message: "RangeError: why",
  });
  for (const odd of [undefined, null, "text", { toString: 5 }]) {
    assertEquals(faultOf(odd).code, "UNEXPECTED");
  }
});

const runtime = "Bun" in globalThis ? bun : deno;

test("an ECG client takes what a relay may not send for faults, and goes on", async () => {
  const send: ((message: Uint8Array<ArrayBuffer>) => void)[] = [];
  const server = await runtime.serve(
    { hostname: "127.0.0.1", port: 0, idleSeconds: 30 },
    (_, peer) =>
      peer.upgrade((link) => {
        send.push((message) => link.send(message));
        return { message() {}, text() {}, drained() {}, closed() {} };
      }, SUBPROTOCOL),
  );
  const client = EcgClient.open({
    url: `ws://127.0.0.1:${server.port}`,
    stream: "bed",
    transport: "websocket",
  });
  const told: string[] = [];
  const online = new Promise<void>((resolve) =>
    client.onStatus((status) => {
      told.push(status.kind === "fault" ? `fault ${status.code}` : status.kind);
      if (status.kind === "online") resolve();
    })
  );
  const v1 = (type: MessageType, payload: unknown) =>
    encode({ version: Version.V1, type, timestamp: null, payload });
  try {
    while (send.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    const toClient = send[0]!;
    // Nobody may ask before the hello, and this hello leaves no room for the answer to it.
    toClient(v1(MessageType.PING, 1));
    toClient(v1(MessageType.SUBSCRIPTION_ACK, { status: "gap", messages: 1e300, scales: [1] }));
    toClient(v1(MessageType.ECG_DATA, { signal: { __ndarray__: [], dtype: "?", shape: [] } }));
    toClient(Uint8Array.of(3, 3, 3));
    toClient(v1(MessageType.PROTOCOL_NEGOTIATION, { supported_versions: [3] }));
    await online;
    toClient(v1(MessageType.PING, "x".repeat(1_048_500)));
    assert(told.filter((one) => one.startsWith("fault")).length >= 3, told.join());
    assertEquals(told.at(-1), "online");
  } finally {
    client.close();
    await server.stop(0);
  }
});

/** A BMP server in this process that says the same to every request. */
const saying = (answer: string): Dial => (connect) => {
  const carrier = (other: () => Mux) => ({
    buffered: 0,
    write: (bytes: Uint8Array) => queueMicrotask(() => other().receive(bytes)),
    end: () => {},
  });
  const server: Mux = new Mux({
    role: "server",
    settings: MUX,
    carrier: carrier(() => client),
    clock: host,
    accept: (stream) => ({
      readable() {
        if (stream.read()) stream.write(utf8Bytes(answer));
      },
      drained() {},
      closed() {},
    }),
  });
  const client = connect(carrier(() => server));
  return Promise.resolve(client);
};

test("a BMP client takes an answer that no Response can have for a failed request", async () => {
  for (
    const answer of [
      "HTTP/1.1 999 No\r\ncontent-length: 0\r\n\r\n",
    ]
  ) {
    const bmp = await BmpConnection.open({ dial: saying(answer) });
    await assertRejects(() => bmp.fetch("/"), Error, undefined, answer);
    bmp.close();
    await bmp.closed;
  }
  const bmp = await BmpConnection.open({ dial: saying("HTTP/1.1 204 Fine\r\n\r\n") });
  assertEquals((await bmp.fetch("/")).status, 204);
  bmp.close();
});

test("a multiplexer whose owner throws ends, with a fault", () => {
  const ended: unknown[] = [];
  const mux = new Mux({
    role: "server",
    settings: MUX,
    carrier: { buffered: 0, write: () => {}, end: () => {} },
    clock: new FakeHost(),
    accept: () => {
      throw new RangeError("why");
    },
    ended: (fault) => ended.push(fault),
  });
  mux.receive(encodeBmp("binary4", { kind: "create", id: "io_0", sid: "0", payload: ping }));
  assertEquals(ended, [{ code: "UNEXPECTED", message: "why" }]);
});

test("a session that throws wherever it is called ends its own link and nothing else", () => {
  for (const where of ["accept", "message", "text", "drained", "closed"] as const) {
    const failed: unknown[] = [];
    const links = new LinkRegistry(undefined, (error) => failed.push(error));
    const fail = (here: typeof where) => () => {
      if (here === where) throw new Error(where);
    };
    const peer = new MemoryPeer(links.counted(() => {
      fail("accept")();
      return {
        message: fail("message"),
        text: fail("text"),
        drained: fail("drained"),
        closed: fail("closed"),
      };
    }));
    peer.send(Uint8Array.of(1));
    peer.sendText();
    peer.drain();
    peer.close();
    assertEquals(failed.map(String), [`Error: ${where}`]);
    const ended = where === "closed" ? 1000 : Close.internal.code;
    assertEquals(peer.closedWith?.code, ended, where);
    assertEquals([links.size, links.from("memory")], [0, 0]);
  }
});
