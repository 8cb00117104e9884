import { test } from "node:test";
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { covers, type Grant, openAdmission, tokenAdmission } from "../src/admission.ts";
import { BACKOFF, delay } from "../src/client/backoff.ts";
import { Queue, QueueOverflow } from "../src/client/queue.ts";
import { Close, Refused } from "../src/close.ts";
import { ConfigError, readConfig, SETTINGS, usage } from "../src/config.ts";
import { LIMITS, limits } from "../src/limits.ts";
import { closeReason } from "../src/link/link.ts";
import { MemoryPeer } from "../src/link/memory_link.ts";
import { LinkRegistry } from "../src/link/registry.ts";
import { Outbox } from "../src/session/outbox.ts";
import { Bucket } from "../src/session/rate.ts";
import { MAX_MESSAGE, MAX_PAYLOAD } from "../src/wire/blaze/blaze_frame.ts";
import { MAX_PAYLOAD as ECG_MAX_PAYLOAD } from "../src/wire/ecg/codes.ts";
import { FakeHost } from "./kit/fake_host.ts";
import { fc, holds } from "./kit/random.ts";

const request = (headers: Record<string, string> = {}) =>
  new Request("http://relay.test/sync", { headers });
const isGrant = (answer: ReturnType<ReturnType<typeof openAdmission>>): answer is Grant =>
  "tenant" in answer;

// -- admission

test("openAdmission lets in programs and local pages, and keeps out pages of other sites", () => {
  const admit = openAdmission();
  assert(isGrant(admit(request())));
  for (const origin of ["http://localhost:5173", "http://127.0.0.1:8080", "https://[::1]"]) {
    assert(isGrant(admit(request({ origin }))), origin);
  }
  for (const origin of ["https://evil.example", "http://localhost.evil.example", "null"]) {
    const refusal = admit(request({ origin }));
    assert(!isGrant(refusal) && refusal.status === 403, origin);
  }
});

test("tokenAdmission takes the token from the header or the subprotocols", () => {
  const token = "correct-horse-battery";
  const admit = tokenAdmission(token);
  assert(isGrant(admit(request({ authorization: `Bearer ${token}` }))));
  assert(isGrant(admit(request({ "sec-websocket-protocol": `blaze-relay, bearer.${token}` }))));
  for (const wrong of ["", "correct-horse-batterx", "correct-horse", `${token}x`]) {
    const answer = admit(request({ "sec-websocket-protocol": `bearer.${wrong}` }));
    assert(!isGrant(answer) && answer.status === 401, wrong);
    assert(!answer.message.includes(token));
  }
  const none = admit(request());
  assert(!isGrant(none));
  assertStringIncludes(none.message, "Authorization: Bearer");
});

test("covers takes all names or those listed", () => {
  assert(covers("*", "x"));
  assert(covers(["a", "b"], "b"));
  assert(!covers(["a", "b"], "c"));
  assert(!covers([], "*"));
});

// -- config

test("readConfig has defaults, reads the environment, and lets flags win", () => {
  const store = { kind: "file", path: "./state/relay.db", usual: true };
  const plain = { port: 8080, host: "127.0.0.1", token: "", store, logLevel: "info" };
  assertEquals(readConfig([], {}), plain);
  assertEquals(readConfig([], { PORT: "81" }).port, 81);
  assertEquals(readConfig(["--port", "82", "--log-level=debug"], { PORT: "81" }), {
    ...plain,
    port: 82,
    logLevel: "debug",
  });
});

test("readConfig finds a place for logs: the one that was named, systemd's, or ./state", () => {
  const store = (given: string[], environment = {}) => readConfig(given, environment).store;
  assertEquals(store(["--store", "memory"]), { kind: "memory" });
  assertEquals(store([], { STORE: "off" }), { kind: "off" });
  const named = { kind: "file", path: "/data/logs.db", usual: false };
  assertEquals(store(["--store", "/data/logs.db"], { STATE_DIRECTORY: "/var/lib/a" }), named);
  for (const folders of ["/var/lib/a", "/var/lib/a:/var/lib/b"]) {
    const usual = { kind: "file", path: "/var/lib/a/relay.db", usual: true };
    assertEquals(store([], { STATE_DIRECTORY: folders }), usual);
  }
});

test("readConfig says what is wrong, and never shows a token", () => {
  const cases: [string[], Record<string, string>, string][] = [
    [["--prot", "1"], {}, "--prot: no such flag"],
    [["--port"], {}, "--port: want a value"],
    [["--port", "x"], {}, '--port "x": want a number from 0 to 65535'],
    [[], { PORT: "x" }, 'PORT "x": want a number from 0 to 65535'],
    ...["", "="].flatMap((sign) =>
      ["port", "host", "token", "log-level", "bmp-port", "bmp-tls-cert", "bmp-chunk", "store"].map((
        name,
      ): [string[], Record<string, string>, string] => [
        sign === "=" ? [`--${name}=`] : [`--${name}`, ""],
        {},
        `--${name}: want a value`,
      ])
    ),
    [["--token", "--port", "0"], {}, "--token: want a value after it"],
    [["--bmp-tls-cert", "a", "--bmp-tls-key", "b"], {}, "--bmp-tls-cert: TLS is for BMP over TCP"],
    [[], { BMP_TLS_CERT: "a", BMP_TLS_KEY: "b" }, "BMP_TLS_CERT: TLS is for BMP over TCP"],
    [["--bmp-tls-cert", "a"], { BMP_PORT: "1" }, "--bmp-tls-cert and BMP_TLS_KEY: want both"],
    [[], { PORT: "65536" }, "want a number from 0 to 65535"],
    [[], { LOG_LEVEL: "loud" }, "want one of debug, info, warning, error"],
    [[], { TOKEN: "hunter2" }, "TOKEN: want 16 or more"],
  ];
  for (const [args, environment, text] of cases) {
    const error = assertThrows(() => readConfig(args, environment), ConfigError);
    assertStringIncludes(error.message, text);
    assert(!error.message.includes("hunter2"));
  }
});

test("an empty variable of the environment is one that is not set, and -- may stand in front", () => {
  const empty = Object.fromEntries(SETTINGS.map(({ name }) => [name, ""]));
  assertEquals(readConfig([], empty), readConfig([], {}));
  assertEquals(readConfig(["--", "--port", "82"], empty).port, 82);
  assertEquals(readConfig(["--token=--0123456789abcdef"], {}).token, "--0123456789abcdef");
  assertThrows(() => readConfig(["--port", "82", "--"], {}), ConfigError);
});

test("usage names every setting", () => {
  for (const { name } of SETTINGS) assertStringIncludes(usage(), name);
});

// -- limits and faults

test("limits agree with the codecs, and every one says what happens beyond it", () => {
  assertEquals(limits().payloadBytes, MAX_PAYLOAD);
  assertEquals(limits().payloadBytes, ECG_MAX_PAYLOAD);
  assertEquals(limits().messageBytes, MAX_MESSAGE);
  assertEquals(limits({ links: 3 }).links, 3);
  for (const { unit, beyond } of Object.values(LIMITS)) assert(unit !== "" && beyond !== "");
});

test("faults have numbers and words of their own", () => {
  const all = [...Object.values(Close), ...Object.values(Refused)];
  assertEquals(new Set(all.map(({ code }) => code)).size, all.length);
  assertEquals(new Set(all.map(({ word }) => word)).size, all.length);
  assert(all.every(({ code }) => code < 5000));
});

// -- rate

test("Bucket gives a burst, then the rate, and nothing more", () => {
  holds(fc.property(
    fc.integer({ min: 1, max: 50 }),
    fc.integer({ min: 1, max: 5 }),
    fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 60 }),
    (perSecond, seconds, waits) => {
      const host = new FakeHost();
      const bucket = new Bucket(perSecond, perSecond * seconds, () => host.now());
      let taken = 0;
      for (const wait of waits) {
        host.pass(wait);
        while (bucket.take()) taken++;
        const most = perSecond * seconds + perSecond * host.now() / 1000;
        assert(taken <= most + 1e-6, `${taken} of ${most}`);
        assert(taken > most - perSecond * seconds - 1 - 1e-6);
      }
    },
  ));
});

test("Bucket takes all or nothing, and 0 means no limit", () => {
  const host = new FakeHost();
  const bucket = new Bucket(10, 10, () => host.now());
  assert(!bucket.take(11));
  assert(bucket.take(10));
  assert(!bucket.take(1));
  const open = new Bucket(0, 0, () => host.now());
  assert(open.take(1e12));
});

// -- outbox

function outbox(limit: number) {
  let out!: Outbox;
  const peer = new MemoryPeer((link) => {
    out = new Outbox(link, limit);
    return { message() {}, text() {}, drained() {}, closed() {} };
  });
  return { out, peer };
}

test("Outbox closes a link that lags before it would drop an operation", () => {
  const { out, peer } = outbox(100);
  peer.buffered = 60;
  out.send(new Uint8Array(40));
  assertEquals(peer.received.length, 1);
  out.send(new Uint8Array(41));
  assertEquals(peer.closedWith?.code, Close.tooSlow.code);
  assert(!out.open);
  out.send(new Uint8Array(1));
  assertEquals(peer.received.length, 1);
});

test("Outbox leaves out samples, counts them, and lets alerts pass", () => {
  const { out, peer } = outbox(100);
  peer.buffered = 90;
  out.send(new Uint8Array(20), "live");
  out.send(new Uint8Array(20), "live");
  assertEquals([out.missed, peer.received.length], [2, 0]);
  out.send(new Uint8Array(20), "alert");
  assertEquals([peer.received.length, peer.closedWith], [1, undefined]);
});

// -- registry

test("LinkRegistry counts links by address and closes them all", async () => {
  const registry = new LinkRegistry();
  const quiet = () => ({ message() {}, text() {}, drained() {}, closed() {} });
  const peers = ["a", "a", "b"].map((address) => new MemoryPeer(registry.counted(quiet), address));
  const carrier = new MemoryPeer(registry.counted(quiet, true), "b");
  assertEquals([registry.size, registry.from("a"), registry.from("b")], [4, 2, 2]);
  peers[0]!.close();
  assertEquals([registry.size, registry.from("a")], [3, 1]);
  await registry.closeAll(1012, "restarting", 100);
  assertEquals(peers.map(({ closedWith }) => closedWith?.code), [1000, 1012, 1012]);
  // What carries others knows by itself when those are gone.
  assertEquals([carrier.closedWith, registry.size], [undefined, 1]);
  carrier.close();
  assertEquals([registry.size, registry.from("a"), registry.from("c")], [0, 0, 0]);
});

test("LinkRegistry ends a link whose session throws, and no other", () => {
  const failures: string[] = [];
  const registry = new LinkRegistry(undefined, (error) => failures.push(String(error)));
  const broken = () => ({
    message() {
      throw new TypeError("a fault of ours");
    },
    text() {},
    drained() {},
    closed() {},
  });
  const [bad, other] = [
    new MemoryPeer(registry.counted(broken)),
    new MemoryPeer(registry.counted(broken)),
  ];
  bad.send(Uint8Array.of(1));
  assertEquals(bad.closedWith?.code, Close.internal.code);
  assertEquals(other.closedWith, undefined);
  assertEquals([failures, registry.size], [["TypeError: a fault of ours"], 1]);
});

test("closeReason cuts to 123 bytes between characters", () => {
  assertEquals(closeReason("short"), "short");
  for (const text of ["x".repeat(200), "ü".repeat(100), "心".repeat(60), "𝄞".repeat(40)]) {
    const cut = closeReason(text);
    const length = new TextEncoder().encode(cut).length;
    assert(text.startsWith(cut) && cut.isWellFormed() && length <= 123 && length > 119, text);
  }
});

// -- the client's small parts

test("delay doubles up to its limit, and no two clients wait alike", () => {
  assertEquals([0, 1, 2].map((attempt) => delay(attempt, BACKOFF, 0)), [125, 250, 500]);
  assertEquals(delay(50, BACKOFF, 0.999999) <= BACKOFF.most, true);
  assert(delay(3, BACKOFF, 0.9) > delay(3, BACKOFF, 0.1));
});

test("Queue hands items to one loop in order, whoever comes first", async () => {
  const queue = new Queue<number>(10);
  queue.push(1);
  queue.push(2);
  assertEquals([(await queue.next()).value, (await queue.next()).value], [1, 2]);
  const waiting = queue.next();
  queue.push(3);
  assertEquals((await waiting).value, 3);
  queue.push(4);
  queue.end();
  const rest: number[] = [];
  for await (const item of queue) rest.push(item);
  assertEquals(rest, [4]);
});

test("Queue throws when nobody takes what comes, after what it still holds", async () => {
  const queue = new Queue<number>(2);
  for (const item of [1, 2, 3]) queue.push(item);
  const got: number[] = [];
  let thrown: unknown;
  try {
    for await (const item of queue) got.push(item);
  } catch (error) {
    thrown = error;
  }
  assertEquals(got, [1, 2]);
  assert(thrown instanceof QueueOverflow);
});

test("Queue counts what waits in bytes, too, however few items it is", async () => {
  const queue = new Queue<{ changes: unknown }>(1_000, () => {}, 100_000);
  queue.push({ changes: new Uint8Array(200_000) });
  await queue.next();
  // As bytes, as text, and as many small values.
  const kinds = [new Uint8Array(30_000), "x".repeat(15_000), Array(2_000).fill(0)];
  for (const changes of kinds) queue.push({ changes });
  for (const _ of kinds) await queue.next();
  for (const changes of [...kinds, ...kinds]) queue.push({ changes });
  for (const _ of kinds) await queue.next();
  await assertRejects(() => queue.next(), QueueOverflow, "bytes wait");
});

test("Queue tells its owner when a loop is left", async () => {
  let left = 0;
  const queue = new Queue<number>(2, () => left++);
  queue.push(1);
  for await (const _ of queue) break;
  assertEquals(left, 1);
});
