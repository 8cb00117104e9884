import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { concat } from "../src/wire/bytes.ts";
import { encode } from "../src/wire/bmp/bmp_encoder.ts";
import type { Form } from "../src/wire/bmp/bmp_frame.ts";
import { greeting, readGreeting } from "../src/link/mux/greeting.ts";
import { MUX, PIECE_COST } from "../src/link/mux/settings.ts";
import { bytes, End, Pair } from "./kit/mux.ts";
import { FakeHost } from "./kit/fake_host.ts";

const FORMS: readonly Form[] = ["text", "binary3", "binary4"];
const server = (options: ConstructorParameters<typeof End>[2] = {}) =>
  new End("server", new FakeHost(), options);

// --- forms and acks ---

for (const form of FORMS) {
  test(`Mux takes ${form} for its form from the first frame and answers in it`, () => {
    const end = server();
    end.frame(form, { kind: "create", id: "io_0", sid: "0", text: "GET /" });
    const [owner] = end.owners;
    assertEquals(owner!.got, "GET /");
    owner!.stream.write(bytes("HTTP/1.1 200 OK"));
    const sid = form === "binary4" ? ":0" : "";
    assertEquals(end.said(form), [`ack${sid}`, `data${sid} HTTP/1.1 200 OK`]);
    owner!.stream.end(true);
    // The real client acks nothing behind a close.
    assertEquals(end.said(form), ["eof"]);
    end.frame(form, { kind: "ack", id: "io_0", sid: "0" });
    assertEquals([end.said(form), end.mux.size], [["close"], 0]);
  });

  test(`Mux reads ${form} cut at every byte`, () => {
    const frames = concat(
      encode(form, { kind: "create", id: "io_0", sid: "0", payload: bytes("one") }),
      encode(form, { kind: "data", id: "io_0", sid: "1", payload: bytes("two") }),
      encode(form, { kind: "eof", id: "io_0" }),
    );
    for (let at = 1; at < frames.length; at++) {
      const end = server();
      end.receive(frames.subarray(0, at));
      end.receive(frames.subarray(at));
      const [owner] = end.owners;
      assertEquals([owner!.got, owner!.ends], ["onetwo", 1], `cut at ${at}`);
      assertEquals(end.said(form).length, 2, `cut at ${at}`);
    }
  });
}

test("Mux answers the document's own spellings", () => {
  const end = server();
  end.receive(bytes("<::io_0::><::-create_stream-><::0::>"));
  // "Server responds with <-io_ack->" (section 3 A): a client of the text waits for it.
  assertEquals(end.said("text"), ["ack"]);
  end.receive(bytes("<::io_0::><::><::5::>hello"));
  assertEquals([end.said("text"), end.owners[0]!.got], [["ack"], "hello"]);
});

test("Mux acks a peer of ours the first frame at once and later ones when they are read", () => {
  const end = server({ reads: false });
  end.frame("binary4", { kind: "create", id: "a", sid: "bx1?40:2000", text: "x" });
  end.frame("binary4", { kind: "data", id: "a", sid: "1", text: "yy" });
  end.frame("binary4", { kind: "data", id: "a", sid: "2", text: "z" });
  assertEquals(end.said(), ["ack:bx1?40:2000", "ack:bx1!80:2000"]);
  const { stream } = end.owners[0]!;
  stream.read();
  assertEquals(end.said(), []);
  stream.read();
  assertEquals(end.said(), ["ack:1"]);
  stream.read();
  assertEquals(end.said(), ["ack:2"]);
});

for (
  const [what, limit] of [["stream", { streamBytes: 200 }], ["connection", {
    unreadBytes: 200,
  }]] as const
) {
  test(`Mux acks a stranger at once until half of what a ${what} may hold waits`, () => {
    const end = server({ reads: false, settings: limit });
    const said: string[][] = [];
    for (let n = 0; n < 3; n++) {
      end.frame("binary4", { kind: n ? "data" : "create", id: "a", sid: String(n), text: "x" });
      said.push(end.said());
    }
    // Each costs PIECE_COST beside its byte: the second goes over a hundred.
    assertEquals(said, [["ack:0"], [], []]);
    const { stream } = end.owners[0]!;
    for (let n = 0; n < 3; n++) said.push((stream.read(), end.said()));
    assertEquals(said.slice(3), [[], ["ack:1"], ["ack:2"]]);
    end.frame("binary4", { kind: "data", id: "a", sid: "3", text: "x" });
    assertEquals(end.said(), ["ack:3"]);
  });
}

test("Mux acks a stranger all that came before it closes a stream", () => {
  const end = server({ reads: false, settings: { streamBytes: 200 } });
  end.frame("binary4", { kind: "create", id: "a", sid: "0", text: "x" });
  end.frame("binary4", { kind: "data", id: "a", sid: "1", text: "y" });
  const half = encode("binary4", { kind: "data", id: "a", sid: "2", payload: bytes("0123456789") });
  end.receive(half.subarray(0, -5));
  end.owners[0]!.stream.close();
  assertEquals(end.said(), ["ack:0", "ack:1", "ack:2", "close"]);
});

test("a silent stranger is sent little, and one stream that is read opens the way for all", () => {
  const end = server();
  const out = () => end.out.splice(0).reduce((sum, { length }) => sum + length, 0);
  for (let n = 0; n < 100; n++) {
    end.frame("binary4", { kind: "create", id: `s${n}`, sid: "0", text: "x" });
    end.owners[n]!.stream.write(new Uint8Array(1_000));
  }
  end.settle();
  assert(out() < 8_192);
  // It may be busy for seconds: a little more after each silence, and each is twice as long.
  for (let silence = 250; silence <= 4_000; silence *= 2) {
    end.host.pass(silence - 1);
    assertEquals(out(), 0);
    end.host.pass(1);
    const more = out();
    assert(0 < more && more < 8_192, `${more} after ${silence} ms`);
  }
  let last = 0;
  while (end.owners[last]!.drains > 0) last++;
  assert(last < 100);
  // Whoever acks the last of them has read them all.
  end.frame("binary4", { kind: "ack", id: `s${last - 1}`, sid: "0" });
  assert(out() > 8_192);
});

test("small frames reach a stranger in writes of one segment, and a peer of ours in large ones", () => {
  for (
    const [sid, least, most] of [["0", 600, 1_200], ["bx1?40:2000", 2_400, 32_768]] as const
  ) {
    const end = server();
    end.frame("binary4", { kind: "create", id: "first", sid, text: "x" });
    end.out.length = 0;
    const creates = Array.from(
      { length: 200 },
      (_, n) => encode("binary4", { kind: "create", id: `s${n}`, sid: "0", payload: bytes("x") }),
    );
    end.receive(concat(...creates));
    const longest = Math.max(...end.out.map(({ length }) => length));
    assert(least <= longest && longest <= most, `${sid}: ${longest}`);
  }
});

test("Mux acks nothing without a sid, and echoes any sid", () => {
  const end = server();
  end.frame("binary4", { kind: "create", id: "a", sid: "", text: "x" });
  end.frame("binary4", { kind: "data", id: "a", sid: "\xff\x00 :", text: "x" });
  assertEquals(end.said(), ["ack:\xff\x00 :"]);
});

test("Mux treats a heartbeat and unknown options as data", () => {
  const end = server();
  end.frame("binary4", { kind: "create", id: "a", sid: "0", text: "x" });
  end.frame("binary4", { kind: "heartbeat", id: "a", sid: "1", text: "y" });
  end.receive(bytes("\0a\x01\0\x09\x01\x002\x01\x001\x01z"));
  assertEquals([end.owners[0]!.got, end.said()], ["xyz", ["ack:0", "ack:1", "ack:2"]]);
});

// --- windows ---

for (const form of FORMS) {
  test(`Mux sends a stranger one frame of ${form} and waits for its ack`, () => {
    const end = server({ settings: { chunkBytes: 4 } });
    end.frame(form, { kind: "create", id: "a", sid: "0", text: "x" });
    end.owners[0]!.stream.write(bytes("0123456789"));
    const sid = (n: number) => form === "binary4" ? `:${n}` : "";
    assertEquals(end.said(form), [`ack${sid(0)}`, `data${sid(0)} 0123`]);
    end.frame(form, { kind: "ack", id: "a", sid: "0" });
    assertEquals(end.said(form), [`data${sid(1)} 4567`]);
    assertEquals(end.owners[0]!.drains, 0);
    end.frame(form, { kind: "ack", id: "a", sid: "1" });
    assertEquals(end.said(form), [`data${sid(2)} 89`]);
    assertEquals(end.owners[0]!.drains, 1);
  });
}

test("Mux ignores acks of frames that were never sent, late ones and early ones", () => {
  const end = server({ settings: { chunkBytes: 1 } });
  end.frame("binary4", { kind: "create", id: "a", sid: "0", text: "x" });
  end.owners[0]!.stream.write(bytes("ab"));
  assertEquals(end.said(), ["ack:0", "data:0 a"]);
  for (const sid of ["1", "7", "-1", "00", "0x0", "", "9999999999999999999", "bx1!1:1"]) {
    end.frame("binary4", { kind: "ack", id: "a", sid });
    assertEquals(end.said(), [], sid);
  }
  for (let flood = 0; flood < 10_000; flood++) {
    end.frame("binary4", { kind: "ack", id: "a", sid: "5" });
  }
  end.frame("binary4", { kind: "ack", id: "nobody", sid: "0" });
  end.frame("binary4", { kind: "ack", id: "a", sid: "0" });
  assertEquals([end.said(), end.ended], [["data:1 b"], undefined]);
});

test("two of ours find each other and send many frames before an ack", () => {
  const pair = new Pair({ settings: { chunkBytes: 10 } }, {
    settings: { chunkBytes: 8 },
    reads: false,
  });
  const mine = pair.client.open();
  mine.stream.write(bytes("GET"));
  pair.run();
  assertEquals(pair.client.mux.agreed, { window: MUX.window, chunkBytes: 8 });
  assertEquals(pair.server.mux.agreed, { window: MUX.window, chunkBytes: 8 });
  mine.stream.write(bytes("x".repeat(1000)));
  pair.run();
  // Nobody reads, so the window stays where it starts: the second ack belongs to a reader.
  assertEquals(mine.stream.queued, 1000 - 8 * 9);
  const theirs = pair.server.owners[0]!;
  theirs.reads = true;
  theirs.take();
  pair.run();
  assertEquals([theirs.got.length, mine.stream.queued], [1003, 0]);
});

test("a peer of ours gets one ack for many frames", () => {
  const pair = new Pair({ settings: { chunkBytes: 4 } }, {});
  const mine = pair.client.open();
  mine.stream.write(bytes("GET"));
  pair.run();
  mine.stream.write(bytes("x".repeat(32)));
  assert(pair.up(), "nothing was sent");
  assertEquals(pair.server.said(), ["ack:8"]);
});

test("a greeting names a window and a chunk, within bounds", () => {
  assertEquals(greeting("client", { window: 128, chunkBytes: 8192 }), "bx1?80:2000");
  assertEquals(readGreeting("client", "bx1?80:2000"), { window: 128, chunkBytes: 8192 });
  const refused = [
    ...["bx1!80:2000", "bx1?0:2000", "bx1?80:0", "bx1?80", "bx1?80:2000 ", "bx1?-1:1", "0", ""],
    ...["bx1?10000:1", "bx1?1:1000000", "bx1?AA:1", "bx1?080:1"],
  ];
  for (const sid of refused) assertEquals(readGreeting("client", sid), undefined, sid);
});

test("a greeting cannot make this side send more than it would by itself", () => {
  const end = server({ settings: { chunkBytes: 4, window: 2 } });
  end.frame("binary4", { kind: "create", id: "a", sid: "bx1?ffff:ffffff", text: "x" });
  end.owners[0]!.stream.write(bytes("0123456789"));
  assertEquals(end.said(), ["ack:bx1?ffff:ffffff", "ack:bx1!2:4", "data:0 0123", "data:1 4567"]);
});

test("only binary4 is greeted in", () => {
  for (const form of FORMS) {
    const end = new End("client", new FakeHost(), { form });
    end.open().stream.write(bytes("GET"));
    const [first] = end.seen(form);
    assertEquals(first!.sid.startsWith("bx1?"), form === "binary4", form);
  }
});

test("Mux puts what is written first into one frame, whatever the chunk", () => {
  const end = new End("client", new FakeHost(), { settings: { chunkBytes: 16 } });
  const head = "GET / HTTP/1.1\r\nx: " + "y".repeat(500) + "\r\n\r\n";
  const { stream } = end.open();
  stream.write(bytes(head));
  stream.write(bytes("body"));
  assertEquals(end.seen().map(({ text }) => text), [head]);
});

// --- streams come and go ---

test("Mux drops what is for a stream that is not there", () => {
  const end = server();
  for (const kind of ["data", "heartbeat", "ack", "eof", "close"] as const) {
    end.frame("binary4", { kind, id: "gone", sid: "0", ...(kind === "data" ? { text: "x" } : {}) });
  }
  assertEquals([end.owners.length, end.said("binary4"), end.ended], [0, [], undefined]);
});

test("Mux drops the rest of a frame whose stream ends in the middle of it", () => {
  const end = server();
  end.frame("binary4", { kind: "create", id: "a", sid: "0", text: "x" });
  const frame = encode("binary4", {
    kind: "data",
    id: "a",
    sid: "1",
    payload: bytes("0123456789"),
  });
  end.receive(frame.subarray(0, frame.length - 5));
  end.owners[0]!.stream.close();
  end.receive(frame.subarray(frame.length - 5));
  assertEquals([end.owners.length, end.owners[0]!.got], [1, "x01234"]);
  assertEquals(end.said(), ["ack:0", "ack:1", "close"]);
});

test("the rest of a create whose stream ended in the middle of it opens none", () => {
  const end = server();
  const frame = encode("binary4", {
    kind: "create",
    id: "a",
    sid: "0",
    payload: bytes("0123456789"),
  });
  end.receive(frame.subarray(0, frame.length - 5));
  end.owners[0]!.stream.close();
  end.receive(frame.subarray(frame.length - 5));
  assertEquals([end.owners.length, end.mux.size, end.said()], [1, 0, ["ack:0", "close"]]);
});

test("an id can be used again after its stream", () => {
  const end = server();
  for (let round = 0; round < 3; round++) {
    end.frame("binary4", { kind: "create", id: "a", sid: "0", text: `round ${round}` });
    end.owners[round]!.stream.write(bytes("answer"));
    assertEquals(end.said(), ["ack:0", "data:0 answer"]);
    end.frame("binary4", { kind: "ack", id: "a", sid: "0" });
    end.frame("binary4", { kind: "close", id: "a" });
  }
  assertEquals(end.owners.map(({ got }) => got), ["round 0", "round 1", "round 2"]);
  assertEquals([end.mux.size, end.ended], [0, undefined]);
});

test("create on an open stream is data", () => {
  const end = server();
  end.frame("text", { kind: "create", id: "a", text: "x" });
  end.frame("text", { kind: "create", id: "a", text: "y" });
  assertEquals([end.owners.length, end.owners[0]!.got], [1, "xy"]);
});

test("any id is an id, the empty one too", () => {
  const end = server();
  for (const id of ["", "\u{1f525}", "a b", "io_0"]) {
    end.frame("binary4", { kind: "create", id, sid: "0", text: id });
  }
  assertEquals(end.owners.length, 4);
});

test("a close lets go of a writer that waits, and keeps what came before it", () => {
  const end = server({ reads: false, settings: { chunkBytes: 1 } });
  end.frame("binary4", { kind: "create", id: "a", sid: "0", text: "x" });
  const [owner] = end.owners;
  owner!.stream.write(bytes("never sent"));
  end.frame("binary4", { kind: "eof", id: "a" });
  end.frame("binary4", { kind: "close", id: "a" });
  assertEquals([owner!.closes, owner!.stream.queued], [[undefined], 0]);
  owner!.take();
  assertEquals([owner!.got, owner!.ends, end.mux.unreadBytes], ["x", 1, 0]);
});

test("a client refuses streams that a server opens", () => {
  const end = new End("client", new FakeHost());
  end.frame("binary4", { kind: "create", id: "io_7", sid: "0", text: "x" });
  assertEquals([end.mux.size, end.said(), end.ended], [0, [], undefined]);
});

test("a stream that says nothing is unknown to the peer, unless announced", () => {
  const end = new End("client", new FakeHost());
  end.open().stream.close();
  end.open().stream.end(true);
  assertEquals([end.said(), end.mux.size], [[], 0]);
  end.mux.open({ readable() {}, drained() {}, closed() {} }).announce();
  assertEquals(end.said(), ["create:bx1?80:2000"]);
});

// --- fairness and backpressure ---

test("streams take turns, one chunk each", () => {
  const end = server({ settings: { chunkBytes: 2, window: 64 } });
  for (const id of ["a", "b", "c"]) {
    end.frame("binary4", { kind: "create", id, sid: id === "a" ? "bx1?40:2" : "0", text: "x" });
  }
  end.said();
  end.owners[0]!.stream.write(bytes("a".repeat(12)));
  end.owners[1]!.stream.write(bytes("b".repeat(4)));
  end.owners[2]!.stream.write(bytes("c".repeat(8)));
  assertEquals(end.seen().map(({ id }) => id).join(""), "abcabcacacaa");
});

test("data waits for a carrier that is full; acks and ends do not", () => {
  const end = server({ settings: { carrierBytes: 100 } });
  end.buffered = 100;
  end.frame("binary4", { kind: "create", id: "a", sid: "0", text: "x" });
  end.owners[0]!.stream.write(bytes("answer"));
  assertEquals(end.said(), ["ack:0"]);
  end.buffered = 0;
  end.mux.drained();
  assertEquals(end.said(), ["data:0 answer"]);
});

test("a stream that nobody reads stops only itself", () => {
  const pair = new Pair({}, { reads: false });
  const slow = pair.client.open();
  const fast = pair.client.open();
  slow.stream.write(bytes("s".repeat(1_000_000)));
  fast.stream.write(bytes("f".repeat(1_000_000)));
  pair.run();
  const theirs = pair.server.owners.find(({ stream }) => stream.id === fast.stream.id)!;
  theirs.reads = true;
  theirs.take();
  pair.run();
  assertEquals([theirs.got.length, fast.stream.queued], [1_000_000, 0]);
  const held = pair.server.mux.unreadBytes;
  assert(
    slow.stream.queued > 850_000 && held < 150_000,
    `${slow.stream.queued} left, ${held} held`,
  );
});

// --- limits ---

const APOLOGY = bytes("HTTP/1.1 503 Service Unavailable\r\n\r\n");

test("Mux answers one stream too many with an apology before the close", () => {
  const end = server({ settings: { streams: 2 }, apology: APOLOGY });
  for (const id of ["a", "b", "c"]) {
    end.frame("binary4", { kind: "create", id, sid: "0", text: "x" });
  }
  const last = end.seen().filter(({ id }) => id === "c").map(({ kind }) => kind);
  assertEquals([last, end.mux.size, end.owners.length], [["ack", "data", "eof", "close"], 2, 2]);
  end.frame("binary4", { kind: "close", id: "a" });
  end.frame("binary4", { kind: "create", id: "d", sid: "0", text: "x" });
  assertEquals(end.owners.length, 3);
});

test("a million creates cost one connection and no memory", () => {
  const end = server({ settings: { streams: 100 } });
  const frame = encode("binary4", { kind: "create", id: "0", sid: "", payload: bytes("x") });
  let sent = 0;
  for (; sent < 1_000_000 && !end.ended; sent++) {
    end.mux.receive(
      encode("binary4", { kind: "create", id: String(sent), sid: "", payload: frame }),
    );
    end.out.length = 0;
  }
  assertEquals(end.ended?.fault?.code, "TOO_MANY_RESETS");
  assertEquals([sent, end.mux.size, end.mux.unreadBytes], [100 + MUX.resetsBurst + 1, 0, 0]);
});

test("opening and dropping unanswered uses up the budget; answered streams do not", () => {
  const drop = (end: End, answer: boolean) => {
    end.frame("binary4", { kind: "create", id: "a", sid: "0", text: "x" });
    if (answer) end.owners.at(-1)!.stream.write(bytes("y"));
    end.settle();
    end.frame("binary4", { kind: "close", id: "a" });
    end.out.length = 0;
  };
  const fine = server();
  for (let i = 0; i < 3_000; i++) drop(fine, true);
  assertEquals(fine.ended, undefined);
  const end = server();
  for (let i = 0; i < MUX.resetsBurst; i++) drop(end, false);
  assertEquals(end.ended, undefined);
  end.host.pass(1_000);
  for (let i = 0; i < MUX.resetsPerSecond; i++) drop(end, false);
  assertEquals(end.ended, undefined);
  drop(end, false);
  assertEquals([end.ended?.fault?.code, end.carrierEnds], ["TOO_MANY_RESETS", 1]);
});

test("a peer that sends on without acks loses its stream, and only that", () => {
  const end = server({ reads: false, settings: { streamBytes: 1_000 } });
  end.frame("binary4", { kind: "create", id: "a", sid: "0", text: "x" });
  end.frame("binary4", { kind: "create", id: "b", sid: "0", text: "x" });
  for (let i = 0; i < 1_000; i++) {
    end.frame("binary4", { kind: "data", id: "a", sid: "1", text: "x" });
  }
  assertEquals(end.owners.map(({ closes }) => closes), [["UNREAD"], []]);
  assertEquals(end.mux.unreadBytes, 1 + PIECE_COST);
});

test("a small piece that waits does not keep the chunk it came in", () => {
  const end = server({ reads: false });
  const chunk = new Uint8Array(65_536);
  chunk.set(encode("binary4", { kind: "create", id: "a", sid: "0", payload: bytes("x") }));
  end.mux.receive(chunk.subarray(0, 18 - 4 + 1));
  const piece = end.owners[0]?.stream.read();
  assertEquals([piece?.length, piece?.buffer.byteLength], [1, 1]);
});

test("a connection holds so much for all its streams", () => {
  const end = server({ reads: false, settings: { unreadBytes: 5_000 } });
  const frame = "x".repeat(1_000);
  for (let i = 0; i < 6; i++) {
    end.frame("binary4", { kind: "create", id: `${i}`, sid: "0", text: frame });
  }
  assertEquals(end.owners.flatMap(({ closes }) => closes), ["UNREAD", "UNREAD"]);
  assert(end.mux.unreadBytes <= 5_000, `${end.mux.unreadBytes}`);
});

test("a peer that sends and reads nothing is given up", () => {
  const end = server({ settings: { backlogBytes: 1_000 } });
  end.frame("binary4", { kind: "create", id: "a", sid: "0", text: "x" });
  end.buffered = 1_001;
  end.frame("binary4", { kind: "data", id: "a", sid: "1", text: "x" });
  assertEquals([end.ended?.fault?.code, end.owners[0]!.closes], ["NOT_READING", [
    "CONNECTION_LOST",
  ]]);
});

test("a broken header ends the connection, after what came before it", () => {
  const end = server();
  const good = encode("binary4", { kind: "create", id: "a", sid: "0", payload: bytes("x") });
  end.receive(concat(good, bytes("GET / HTTP/1.1")));
  assertEquals([end.owners[0]!.got, end.ended?.fault?.code], ["x", "BAD_MARK"]);
  end.receive(good);
  assertEquals(end.owners.length, 1);
  assertThrows(() => end.open(), Error, "over");
});

test("a carrier that ends within a frame says so", () => {
  const end = server();
  end.receive(
    encode("binary4", { kind: "create", id: "a", payload: bytes("xyz") }).subarray(0, 12),
  );
  end.mux.closed();
  assertEquals(end.ended?.fault?.code, "CUT_FRAME");
});

// --- time ---

test("a stream that owes an ack for too long is closed", () => {
  const end = server();
  end.frame("binary4", { kind: "create", id: "a", sid: "0", text: "x" });
  const [owner] = end.owners;
  owner!.stream.busy = true;
  owner!.stream.write(bytes("answer"));
  end.said();
  end.host.pass(MUX.idleMs - 1);
  assertEquals(owner!.closes, []);
  end.host.pass(MUX.idleMs / 4 + 1);
  assertEquals([owner!.closes, end.said(), end.ended], [["TIMEOUT"], ["close"], undefined]);
});

test("a stream with nothing to do is closed, a busy one is not", () => {
  const end = server({ apology: APOLOGY });
  for (const id of ["idle", "busy"]) {
    end.frame("binary4", { kind: "create", id, sid: "0", text: "x" });
  }
  end.owners[1]!.stream.busy = true;
  end.said();
  end.host.pass(2 * MUX.idleMs);
  assertEquals(end.owners.map(({ closes }) => closes), [["TIMEOUT"], []]);
  // The real client never comes back from a close without an answer.
  assertEquals(end.seen().map(({ kind }) => kind), ["data", "eof", "close"]);
});

test("a connection without streams ends after a while, and one with streams does not", () => {
  const end = server();
  end.frame("binary4", { kind: "create", id: "a", sid: "0", text: "x" });
  end.owners[0]!.stream.busy = true;
  end.host.pass(2 * MUX.vacantMs);
  assertEquals(end.ended, undefined);
  end.frame("binary4", { kind: "close", id: "a" });
  end.host.pass(MUX.vacantMs + MUX.idleMs);
  assertEquals(end.ended?.fault?.code, "VACANT");
  assertEquals(end.host.waiting, 0);
});
