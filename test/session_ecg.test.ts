import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { Close } from "../src/close.ts";
import { concat, fromHex, hex } from "../src/wire/bytes.ts";
import { ErrorCode, Flag, MessageType, Version } from "../src/wire/ecg/codes.ts";
import { decode, open } from "../src/wire/ecg/ecg_message.ts";
import { deflate } from "../src/wire/zlib.ts";
import { everything } from "./kit/blaze.ts";
import { framed, Lab, oddPayloads, Peer, VERSIONS } from "./kit/ecg_lab.ts";
import { vectors } from "./kit/vectors.ts";

const data = { signal: [0.1, 0.2, 0.3], sampling_rate: 250 };

test("a session says hello first, in V1", () => {
  const lab = new Lab();
  const peer = new Peer(lab.sessions.accept({ grant: everything }));
  const { version, type, payload } = peer.next();
  assertEquals([version, type], [Version.V1, MessageType.PROTOCOL_NEGOTIATION]);
  const { supported_versions, max_message_size } = payload as Record<string, unknown>;
  assertEquals([supported_versions, max_message_size], [[1, 2, 3], 1_048_576]);
});

test("a session takes a client that just starts talking at its word", () => {
  for (const version of VERSIONS) {
    const peer = new Lab().connect();
    peer.say(version, MessageType.PING, { nonce: 7 });
    const pong = peer.next();
    assertEquals([pong.version, pong.type], [version, MessageType.PONG]);
    assertEquals(pong.payload, { nonce: 7 });
  }
});

test("PONG has the payload of its PING byte for byte, in each version, compressed or not", () => {
  for (const plain of [...oddPayloads, concat(fromHex("dc0800"), new Uint8Array(2048))]) {
    const forms = [[Version.V2, 0], [Version.V3, 0], [Version.V2, 1], [Version.V3, 1]] as const;
    for (const [version, flags] of forms) {
      const body = flags ? deflate(plain) : plain;
      const ping = framed(
        version,
        MessageType.PING,
        flags | (version === 3 ? Flag.PRIORITY : 0),
        body,
      );
      for (const spoken of VERSIONS) {
        const peer = new Lab().connect();
        peer.say(Version.V1, MessageType.VERSION_CHECK, { version: spoken });
        peer.send(ping);
        const pong = open(peer.take()!);
        assertEquals([pong.version, pong.type], [spoken, MessageType.PONG]);
        assertEquals(pong.flags, spoken === Version.V1 ? 0 : flags);
        assertEquals(hex(pong.msgpack!), hex(plain));
        if (spoken !== Version.V1) assertEquals(hex(pong.body), hex(body));
        assertEquals(peer.received, []);
      }
    }
  }
});

test("PONG to an ENCRYPTED PING is as opaque, where the version can carry that", () => {
  const body = Uint8Array.of(0xc1, 1, 2);
  const ping = framed(3, MessageType.PING, Flag.ENCRYPTED | Flag.PRIORITY, body);
  const lab = new Lab();
  const peer = lab.connect();
  peer.send(ping);
  const { flags, body: back, timestamp } = open(peer.take()!);
  assertEquals([flags, back, timestamp], [Flag.ENCRYPTED, body, lab.host.unixMicros()]);
  peer.say(Version.V1, MessageType.VERSION_CHECK, { version: 2 });
  peer.send(ping);
  assertEquals(peer.nextError(), ErrorCode.INVALID_DATA);
});

test("PING with what is no MessagePack is a fault", () => {
  const peer = new Lab().connect();
  peer.send(framed(3, MessageType.PING, 0, Uint8Array.of(0xc1)));
  assertEquals(peer.nextError(), ErrorCode.INVALID_DATA);
});

test("VERSION_CHECK chooses, in whatever framing it comes", () => {
  const lab = new Lab();
  const peer = lab.connect();
  peer.say(Version.V1, MessageType.VERSION_CHECK, { version: 3 });
  assertEquals(peer.received, []);
  peer.say(Version.V1, MessageType.PING, null);
  assertEquals(peer.next().version, Version.V3);
  peer.say(Version.V1, MessageType.VERSION_CHECK, { version: 4 });
  assertEquals(peer.nextError(), ErrorCode.INVALID_VERSION);
});

test("a subscription moves with the version", () => {
  const lab = new Lab();
  const watcher = lab.watcher(Version.V1);
  watcher.say(Version.V1, MessageType.VERSION_CHECK, { version: 3 });
  lab.connect().say(Version.V2, MessageType.ECG_DATA, { ...data, stream: "bed-3" });
  assertEquals(watcher.next().version, Version.V3);
  assertEquals(watcher.received, []);
});

for (const from of VERSIONS) {
  test(`ECG_DATA from V${from} reaches watchers of every version with the same payload`, () => {
    const lab = new Lab();
    const watchers = VERSIONS.map((version) =>
      [lab.watcher(version), lab.watcher(version)] as const
    );
    const monitor = lab.connect({ stream: "bed-3" });
    // Long enough to be compressed where the version can.
    const signal = Array.from({ length: 360 }, (_, i) => Math.round(1000 * Math.sin(i / 9)) / 1000);
    const message = monitor.say(from, MessageType.ECG_DATA, { signal, sampling_rate: 360 });
    watchers.forEach(([one, other], i) => {
      const version = VERSIONS[i]!;
      const bytes = one.take()!;
      if (version === from) assert(bytes === message, "the very bytes that came");
      assert(bytes === other.take(), "framed once for all of a version");
      const got = decode(bytes);
      assertEquals(got.version, version);
      assertEquals(got.payload, { signal, sampling_rate: 360 });
      if (version === Version.V1) assertEquals(got.flags, 0);
      if (version === Version.V3) {
        const stamp = from === Version.V3 ? 1_705_314_645_123_456n : lab.host.unixMicros();
        assertEquals(got.timestamp, stamp);
      }
    });
    assertEquals(monitor.received, []);
  });
}

test("the stream is the path's, else the payload's, else the default", () => {
  const lab = new Lab();
  const [path, named, fallback] = ["path", "named", "default"].map((stream) =>
    lab.watcher(Version.V3, stream)
  );
  lab.connect({ stream: "path" }).say(Version.V3, MessageType.ECG_DATA, {
    ...data,
    stream: "named",
  });
  assertEquals([path!.received.length, named!.received.length], [1, 0]);
  lab.connect().say(Version.V3, MessageType.ECG_DATA, { ...data, stream: "named" });
  assertEquals(named!.received.length, 1);
  lab.connect().say(Version.V3, MessageType.ECG_DATA, data);
  assertEquals(fallback!.received.length, 1);
});

test("a path alone does not subscribe; SUBSCRIBE without a name takes the path's", () => {
  const lab = new Lab();
  const peer = lab.connect({ stream: "bed-3" });
  const monitor = lab.connect({ stream: "bed-3" });
  monitor.say(Version.V1, MessageType.ECG_DATA, data);
  assertEquals(peer.received, []);
  peer.say(Version.V1, MessageType.SUBSCRIBE, {});
  assertEquals(peer.next().payload, { stream: "bed-3", status: "subscribed" });
  monitor.say(Version.V1, MessageType.ECG_DATA, data);
  assertEquals(peer.next().type, MessageType.ECG_DATA);
  peer.say(Version.V1, MessageType.SUBSCRIBE, { stream: "other" });
  assertEquals(peer.nextError(), ErrorCode.INVALID_DATA);
});

test("UNSUBSCRIBE ends it, and subscribing twice gives each message once", () => {
  const lab = new Lab();
  const watcher = lab.watcher(Version.V2);
  watcher.say(Version.V2, MessageType.SUBSCRIBE, { stream: "bed-3" });
  watcher.next();
  const monitor = lab.connect({ stream: "bed-3" });
  monitor.say(Version.V2, MessageType.ECG_DATA, data);
  assertEquals(watcher.received.length, 1);
  watcher.next();
  watcher.say(Version.V2, MessageType.UNSUBSCRIBE, { stream: "bed-3" });
  assertEquals(watcher.next().payload, { stream: "bed-3", status: "unsubscribed" });
  monitor.say(Version.V2, MessageType.ECG_DATA, data);
  assertEquals(watcher.received, []);
  assertEquals(lab.channels.size, 0);
});

test("ACK_REQUIRED is answered after the message went out, with its type and time", () => {
  const lab = new Lab();
  const watcher = lab.watcher(Version.V3);
  const monitor = lab.connect({ stream: "bed-3" });
  monitor.say(Version.V3, MessageType.ECG_DATA, data, Flag.ACK_REQUIRED, 2n ** 60n);
  assertEquals(watcher.next().flags, Flag.ACK_REQUIRED);
  const { type, payload } = monitor.next();
  assertEquals(type, MessageType.SUBSCRIPTION_ACK);
  assertEquals(payload, { status: "ok", ack_type: MessageType.ECG_DATA, ack_timestamp: 2n ** 60n });
});

test("BROADCAST reaches every watcher of the tenant, and needs its own grant", () => {
  const lab = new Lab();
  const [one, other] = [lab.watcher(Version.V1, "bed-1"), lab.watcher(Version.V3, "bed-2")];
  const alert = { kind: "fire drill" };
  const monitor = lab.connect({ stream: "bed-9" });
  monitor.say(Version.V3, MessageType.ANOMALY_ALERT, alert, Flag.BROADCAST);
  assertEquals([one.next().payload, other.next().payload], [alert, alert]);
  const plain = lab.connect({ stream: "bed-9", grant: { ...everything, broadcast: false } });
  plain.say(Version.V3, MessageType.ANOMALY_ALERT, alert, Flag.BROADCAST);
  assertEquals(plain.nextError(), ErrorCode.PERMISSION_DENIED);
  assertEquals([one.received, other.received], [[], []]);
});

test("ENCRYPTED goes to V3 watchers unopened, and needs the stream in the path", () => {
  const lab = new Lab();
  const watchers = VERSIONS.map((version) => lab.watcher(version));
  const sealed = new Uint8Array(40).fill(9);
  const monitor = lab.connect({ stream: "bed-3" });
  const message = monitor.say(Version.V3, MessageType.ECG_DATA, sealed, Flag.ENCRYPTED);
  assertEquals(watchers[2]!.take(), message);
  const lost = lab.connect();
  lost.say(Version.V3, MessageType.ECG_DATA, sealed, Flag.ENCRYPTED);
  assertEquals(lost.nextError(), ErrorCode.INVALID_DATA);
});

test("publishing and watching need the grant", () => {
  const lab = new Lab();
  const grant = { ...everything, publish: ["bed-1"], watch: ["bed-2"] };
  const peer = lab.connect({ grant });
  peer.say(Version.V1, MessageType.SUBSCRIBE, { stream: "bed-1" });
  assertEquals(peer.nextError(), ErrorCode.PERMISSION_DENIED);
  peer.say(Version.V1, MessageType.ECG_DATA, { ...data, stream: "bed-2" });
  assertEquals(peer.nextError(), ErrorCode.PERMISSION_DENIED);
  peer.say(Version.V1, MessageType.SUBSCRIBE, { stream: "bed-2" });
  assertEquals(peer.next().type, MessageType.SUBSCRIPTION_ACK);
});

const { vectors: malformed } = vectors<{ vectors: { name: string; wire: string; code: string }[] }>(
  "ecg/malformed.json",
);
for (const { name, wire, code } of malformed) {
  test(`a session answers ${name} with ${code}, goes on, and nobody else hears of it`, () => {
    const lab = new Lab();
    const watcher = lab.watcher(Version.V3, "default");
    const peer = lab.connect();
    peer.send(fromHex(wire));
    assertEquals(peer.nextError(), Number(code));
    assertEquals(peer.closedWith, undefined);
    peer.say(Version.V1, MessageType.PING, null);
    assertEquals(peer.next().type, MessageType.PONG);
    assertEquals(watcher.received, []);
  });
}

const { vectors: good } = vectors<
  {
    vectors: {
      name: string;
      wire: string;
      message: { version: Version; type: number; flags: number };
    }[];
  }
>("ecg/messages.json");

test("every good data message of the vectors passes with its bytes", () => {
  for (const { name, wire, message } of good) {
    if (message.type > MessageType.FEATURE_DATA || message.flags & Flag.BROADCAST) continue;
    const lab = new Lab();
    const watcher = lab.watcher(message.version, "bed-3");
    const monitor = lab.connect({ stream: "bed-3" });
    const bytes = fromHex(wire);
    monitor.send(bytes);
    const signalless = message.type === MessageType.ECG_DATA && !wire.includes("7369676e616c");
    if (signalless) assertEquals(monitor.nextError(), ErrorCode.MISSING_FIELDS, name);
    else assertEquals(watcher.take(), bytes, name);
  }
});

test("HEARTBEAT, PONG, ERROR and SUBSCRIPTION_ACK get no answer", () => {
  const peer = new Lab().connect();
  peer.say(Version.V1, MessageType.HEARTBEAT, null);
  peer.say(Version.V1, MessageType.PONG, null);
  peer.say(Version.V1, MessageType.ERROR, { code: 1, message: "" });
  peer.say(Version.V1, MessageType.SUBSCRIPTION_ACK, { status: "ok" });
  assertEquals([peer.received, peer.closedWith], [[], undefined]);
});

test("stream names have 1 to 127 bytes, and a link follows so many at most", () => {
  const lab = new Lab({ streamsPerLink: 2 });
  const peer = lab.connect();
  for (const stream of ["", "x".repeat(128), "ü".repeat(64), 7]) {
    peer.say(Version.V1, MessageType.SUBSCRIBE, { stream });
    assertEquals(peer.nextError(), ErrorCode.INVALID_DATA);
  }
  for (const stream of ["a", "x".repeat(127)]) {
    peer.say(Version.V1, MessageType.SUBSCRIBE, { stream });
    assertEquals(peer.next().type, MessageType.SUBSCRIPTION_ACK);
  }
  peer.say(Version.V1, MessageType.SUBSCRIBE, { stream: "third" });
  assertEquals(peer.nextError(), ErrorCode.PERMISSION_DENIED);
});

test("too much is answered with 0x204 and left out; what follows in time passes", () => {
  const lab = new Lab({ messagesPerSecond: 10, burstSeconds: 1 });
  const watcher = lab.watcher(Version.V1);
  const monitor = lab.connect({ stream: "bed-3" });
  for (let i = 0; i < 11; i++) monitor.say(Version.V1, MessageType.ECG_DATA, data);
  assertEquals(monitor.nextError(), ErrorCode.RATE_LIMITED);
  assertEquals(watcher.received.length, 10);
  lab.host.pass(200);
  monitor.say(Version.V1, MessageType.ECG_DATA, data);
  assertEquals(watcher.received.length, 11);
  assertEquals(monitor.closedWith, undefined);
});

test("a peer that does nothing but fault is closed", () => {
  const lab = new Lab({ faultsPerSecond: 5, burstSeconds: 1 });
  const peer = lab.connect();
  for (let i = 0; i < 6; i++) peer.send(Uint8Array.of(9));
  assertEquals(peer.closedWith?.code, Close.tooFast.code);
});

test("text is answered with 0x200 and ends the link", () => {
  const peer = new Lab().connect();
  peer.sendText();
  assertEquals(peer.nextError(), ErrorCode.INVALID_DATA);
  assertEquals(peer.closedWith?.code, Close.text.code);
});

test("channels are forgotten when a link is gone", () => {
  const lab = new Lab();
  lab.watcher(Version.V2).close(1006);
  assertEquals(lab.channels.size, 0);
});

for (
  const [name, payload] of [
    ["a map with a toString", { version: { toString: 1, valueOf: 1 } }],
    ["a list of a million versions that are none", {
      supported_versions: new Array(1_000_000).fill(9),
    }],
  ] as const
) {
  test(`a version that is ${name} is answered with 0x100`, () => {
    const peer = new Lab().connect();
    peer.say(Version.V1, MessageType.VERSION_CHECK, payload);
    assertEquals((peer.next().payload as { code: number }).code, ErrorCode.INVALID_VERSION);
  });
}

test("a list of a million versions is read like a short one", () => {
  const peer = new Lab().connect();
  const supported_versions = new Array(1_000_000).fill(1);
  peer.say(Version.V1, MessageType.PROTOCOL_NEGOTIATION, { supported_versions });
  peer.say(Version.V1, MessageType.PING, 5);
  assertEquals(peer.next().payload, 5);
});
