import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { BlazeGroup, BlazePair, EcgClient } from "../src/client/mod.ts";
import { Compression } from "../src/client/blaze/compression.ts";
import { whyRefused } from "../src/client/refusal.ts";
import { framedTransport, type PipeEvents } from "../src/client/transport/framed_transport.ts";
import type { Message } from "../src/link/link.ts";
import { type Bytes, utf8Bytes } from "../src/wire/bytes.ts";
import { encodeFrame, FrameType, frameType } from "../src/wire/blaze/blaze_frame.ts";
import { MessageType, Version } from "../src/wire/ecg/codes.ts";
import { decode, encode } from "../src/wire/ecg/ecg_message.ts";
import { FakeHost } from "./kit/fake_host.ts";
import { pair, until } from "./kit/pair.ts";
import { puppet } from "./kit/puppet.ts";
import { eventually } from "./kit/group.ts";

// -- What a hostile relay could make a device keep

/** Pings, and what tells an answer. */
const blaze = {
  hello: undefined,
  ping: encodeFrame({ type: FrameType.ping, payload: new Uint8Array(100) }),
  answers: (sent: Bytes) => frameType(sent) === FrameType.pong,
};
const ecg = {
  hello: encode({
    version: Version.V3,
    type: MessageType.PROTOCOL_NEGOTIATION,
    payload: { supported_versions: [3] },
    timestamp: 0n,
  }),
  ping: encode({
    version: Version.V3,
    type: MessageType.PING,
    payload: "are you there?",
    timestamp: 0n,
  }),
  answers: (sent: Bytes) => decode(sent).type === MessageType.PONG,
};
const MIB = 1 << 20;

test("a device answers no Ping while a megabyte waits to be sent", async () => {
  const { transport, attempts } = puppet(true);
  const options = { url: "ws://127.0.0.1:1", transport, idleMs: 0 };
  const kinds = [
    [() => BlazePair.open({ ...options, database: "x", trust: "first" }), blaze],
    [() => BlazeGroup.create({ ...options, database: "x" }), blaze],
    [() => EcgClient.open({ ...options, stream: "x" }), ecg],
  ] as const;
  for (const [open, { hello, ping, answers }] of kinds) {
    const before = attempts.length;
    const client = open();
    await eventually(() => attempts.length > before, "an attempt");
    const attempt = attempts[before]!;
    // Everybody but ECG speaks first.
    if (hello) await eventually(() => (attempt.message(hello), attempt.sent.length > 0), "hello");
    else await eventually(() => attempt.sent.length > 0, "hello");
    const pongs = () => attempt.sent.filter((sent) => answers(sent as Bytes)).length;
    for (const [buffered, expected] of [[MIB, 1], [MIB + 1, 1], [0, 2]] as const) {
      attempt.buffered = buffered;
      attempt.message(ping);
      // Also the one that stays without an answer has had its turn.
      await new Promise((resolve) => setTimeout(resolve, 20));
      await eventually(() => pongs() >= expected, "an answer");
      assertEquals(pongs(), expected);
    }
    await client.close();
  }
});

test("over an HTTP stream no ping is answered either while a megabyte waits", () => {
  const written: Bytes[] = [];
  let pipe: PipeEvents | undefined;
  const state = { buffered: 0 };
  const transport = framedTransport((_target, events) => {
    pipe = events;
    return {
      get buffered() {
        return state.buffered;
      },
      write: (bytes) => written.push(bytes),
      end() {},
      abort() {},
    };
  }, new FakeHost());
  const events = { opened() {}, message() {}, closed() {} };
  transport({ url: new URL("ws://127.0.0.1/"), protocols: [] }, events);
  pipe!.opened({ protocol: "", idleSeconds: 0, maxMessage: 100 });
  for (const [buffered, expected] of [[MIB, 1], [MIB + 1, 1], [0, 2]] as const) {
    state.buffered = buffered;
    pipe!.bytes(Uint8Array.of(0x89, 0)); // a ping without a payload
    assertEquals(written.length, expected);
  }
});

test("a frame that comes again is not opened again", () => {
  let operation: Message | undefined;
  return pair(
    async (a, b) => {
      await a.pairing.send(FrameType.operation, utf8Bytes("x".repeat(10_000)));
      await until(() => b.frames.length === 1);
      for (let i = 0; i < 3; i++) b.pairing.message(operation!);
      await a.pairing.send(FrameType.operation, utf8Bytes("next"));
      await until(() => b.frames.length === 2);
      assertEquals(b.frames[1]!.text, "next");
      assertEquals(b.faults, ["REPLAY", "REPLAY", "REPLAY"]);
    },
    (message) => {
      if (frameType(message) === FrameType.operation) operation ??= message;
      return message;
    },
  );
});

// -- Who answers in place of a relay

async function withServer(
  serve: Parameters<typeof createServer>[1],
  run: (address: URL) => Promise<void>,
): Promise<void> {
  const server: Server = createServer(serve as () => void);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await run(new URL(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/sync/x`));
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

const lost = { code: 1006, reason: "lost" };
const ask = (address: URL) => whyRefused(address, "token", lost.code, lost.reason);

test("only the relay's own words end a client for good", async () => {
  const answers: [number, string, { code: number; reason: string }][] = [
    [401, '{"error":"No."}', { code: 4401, reason: "No." }],
    [403, '{"error":"No."}', { code: 4403, reason: "No." }],
    [503, '{"error":"Full."}', { code: 1006, reason: "Full." }],
    [403, '{"message":"Sign in to this WiFi first"}', lost],
    [401, '{"error":{"code":401}}', lost],
    [403, "null", lost],
    [403, "<html>", lost],
    [401, "", lost],
  ];
  for (const [status, body, expected] of answers) {
    await withServer((_request, answer) => {
      answer.writeHead(status, { "content-type": "application/json" }).end(body);
    }, async (address) => assertEquals(await ask(address), expected, body));
  }
});

test("of what answers in place of a relay little is read", async () => {
  let written = 0;
  await withServer((_request, answer) => {
    answer.writeHead(403, { "content-type": "application/json" });
    // It never ends.
    const more = () => {
      do written += 65_536; while (!answer.destroyed && answer.write(" ".repeat(65_536)));
    };
    answer.on("drain", more).on("error", () => {});
    more();
  }, async (address) => assertEquals(await ask(address), lost));
  // What the system holds on its way, and no more.
  assert(written < 16 * MIB, `${written} bytes`);
});

test("a token is not carried elsewhere", async () => {
  const seen: (string | undefined)[] = [];
  await withServer((request, answer) => {
    seen.push(request.headers.authorization);
    answer.writeHead(403).end('{"error":"No."}');
  }, (elsewhere) =>
    withServer((_request, answer) => {
      answer.writeHead(307, { location: elsewhere.href.replace("ws", "http") }).end();
    }, async (address) => assertEquals(await ask(address), lost)));
  assertEquals(seen, []);
});

// -- What an application brings

test("a loadZstd that throws is one that fails: what is sent goes out as it is", async () => {
  const faults: string[] = [];
  const compression = new Compression({
    mode: "always",
    fault: ({ code }) => faults.push(code),
    load() {
      throw new Error("forbidden by policy");
    },
  });
  const plaintext = new Uint8Array(500);
  assertEquals(await compression.shrink(plaintext), { bytes: plaintext, compressed: false });
  assertEquals(faults, ["NO_ZSTD"]);
});
