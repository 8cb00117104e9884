import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { BlazePair, EcgClient } from "../src/client/mod.ts";
import { Socket, type SocketOptions } from "../src/client/socket.ts";
import type { Carrier, CarrierEvents } from "../src/client/transport/carrier.ts";
import { fallbackTransport } from "../src/client/transport/fallback_transport.ts";
import { inMemory, type TransportMemory } from "../src/client/transport/transport_memory.ts";
import { ProxyProbe } from "../src/client/transport/proxy_probe.ts";
import { Posts } from "../src/client/transport/posts.ts";
import { subprotocols } from "../src/link/subprotocol.ts";
import type { Bytes } from "../src/wire/bytes.ts";
import {
  bufferingProxy,
  cutsUpgrades,
  dropsUpgrades,
  type Proxy,
  proxy,
  type Spoil,
  swallowsUpgrades,
} from "./kit/proxy.ts";
import { FakeHost } from "./kit/fake_host.ts";
import { puppet } from "./kit/puppet.ts";
import { dice, seed } from "./kit/random.ts";
import { withRelay } from "./kit/relay.ts";

const kinds = ["websocket", "http"] as const;

const once = <K extends keyof WebSocketEventMap>(
  socket: WebSocket,
  type: K,
): Promise<WebSocketEventMap[K]> =>
  new Promise((resolve) => socket.addEventListener(type, resolve, { once: true }));

/** An open socket to the relay's echo. */
async function echo(url: string, options: SocketOptions): Promise<Socket> {
  const socket = new Socket(`${url}/echo`, subprotocols(), options);
  socket.binaryType = "arraybuffer";
  await once(socket, "open");
  return socket;
}

/** Sends each message and checks that it comes back. */
async function converse(socket: Socket, messages: readonly Uint8Array<ArrayBuffer>[]) {
  const back: Uint8Array[] = [];
  const all = new Promise<void>((resolve, reject) => {
    socket.onmessage = ({ data }) => {
      back.push(new Uint8Array(data));
      if (back.length === messages.length) resolve();
    };
    socket.onclose = ({ code, reason }) => reject(new Error(`closed: ${code} ${reason}`));
  });
  for (const message of messages) socket.send(message);
  await all;
  socket.onclose = socket.onmessage = null;
  assertEquals(back.map((one) => one.length), messages.map((one) => one.length));
  assert(back.every((one, i) => one.every((byte, at) => byte === messages[i]![at])));
}

async function close(socket: Socket): Promise<CloseEvent> {
  const closed = once(socket, "close");
  socket.close(1000);
  return await closed;
}

async function withProxy(
  spoil: Spoil,
  run: (proxy: Proxy) => Promise<void>,
  limits = {},
): Promise<void> {
  await withRelay(async (relay) => {
    const between = await proxy(relay.url, spoil);
    try {
      await run(between);
    } finally {
      await between.stop();
    }
  }, { limits });
}

// --- the interface ------------------------------------------------------------------------------

for (const transport of kinds) {
  test(`Socket has the interface of a WebSocket, over ${transport}`, async () => {
    await withRelay(async (relay) => {
      const socket: WebSocket = new Socket(`${relay.url}/echo`, subprotocols(), { transport });
      assertEquals(socket.url, `${relay.url.replace("http", "ws")}/echo`);
      assertEquals([socket.readyState, socket.protocol], [Socket.CONNECTING, ""]);
      assertThrows(() => socket.send("early"), DOMException);
      const order: string[] = [];
      socket.addEventListener("open", () => order.push("listener"));
      socket.onopen = () => order.push("handler");
      await once(socket, "open");
      assertEquals(order.sort(), ["handler", "listener"]);
      assertEquals([socket.readyState, socket.protocol], [Socket.OPEN, "blaze-relay"]);

      assertEquals(socket.binaryType, "blob");
      socket.send(new Blob([Uint8Array.of(1)]));
      const blob = (await once(socket, "message")).data;
      assert(blob instanceof Blob);
      assertEquals(new Uint8Array(await blob.arrayBuffer()), Uint8Array.of(1));
      socket.binaryType = "arraybuffer";
      socket.send(new DataView(Uint8Array.of(0, 2, 0).buffer, 1, 1));
      const buffer = (await once(socket, "message")).data;
      assert(buffer instanceof ArrayBuffer);
      assertEquals(new Uint8Array(buffer), Uint8Array.of(2));

      assertThrows(() => socket.close(1001), DOMException);
      assertThrows(() => socket.close(1000, "ä".repeat(62)), DOMException);
      const closed = once(socket, "close");
      socket.close(3001, "enough");
      assertEquals(socket.readyState, Socket.CLOSING);
      const { code, wasClean } = await closed;
      assertEquals([code, wasClean, socket.readyState], [3001, true, Socket.CLOSED]);
      socket.send("late");
      assertEquals(socket.bufferedAmount, 4);
    });
  });

  test(`Socket hears the relay's close code, over ${transport}`, async () => {
    await withRelay(async (relay) => {
      const socket = await echo(relay.url, { transport });
      const closed = once(socket, "close");
      socket.send("text, which no protocol has");
      const { code, wasClean } = await closed;
      assertEquals([code, wasClean], [1003, true]);
    });
  });

  test(`Socket carries messages of every size, over ${transport}`, async () => {
    await withRelay(async (relay) => {
      const socket = await echo(relay.url, { transport });
      const sizes = [0, 1, 125, 126, 65_535, 65_536, 1_000_000];
      await converse(socket, sizes.map((size) => new Uint8Array(size).fill(size)));
      // What came back may overtake the word that it had arrived.
      while (socket.bufferedAmount > 0) await new Promise((resolve) => setTimeout(resolve, 1));
      await close(socket);
    });
  });

  test(`Socket that nobody answers says error, then close 1006, over ${transport}`, async () => {
    const nobody = await proxy("http://127.0.0.1", () => {});
    await nobody.stop();
    const socket = new Socket(`${nobody.url}/echo`, [], { transport });
    const told: string[] = [];
    socket.onerror = () => told.push("error");
    socket.onclose = ({ code, wasClean }) => told.push(`close ${code} ${wasClean}`);
    await once(socket, "close");
    assertEquals(told, ["error", "close 1006 false"]);
  });

  test(`Socket closed while connecting never opens, over ${transport}`, async () => {
    await withRelay(async (relay) => {
      const socket = new Socket(`${relay.url}/echo`, [], { transport });
      let opened = false;
      socket.onopen = () => opened = true;
      assertEquals((await close(socket)).code, 1006);
      assertEquals(opened, false);
    });
  });
}

test("Socket gives every message of a chunk a turn of its own", async () => {
  await withRelay(async (relay) => {
    const socket = await echo(relay.url, { transport: "http" });
    for (let i = 0; i < 10; i++) socket.send(Uint8Array.of(i));
    for (let i = 0; i < 10; i++) {
      assertEquals(new Uint8Array((await once(socket, "message")).data), Uint8Array.of(i));
    }
    await close(socket);
  });
});

test("Socket refuses addresses as a WebSocket does", () => {
  for (const url of ["ftp://a/", "ws://a/#b", "no address"]) {
    assertThrows(() => new Socket(url), undefined, undefined, url);
  }
});

test("Socket is told by a stream why it was refused", async () => {
  await withRelay(async (relay) => {
    const socket = new Socket(`${relay.url}/echo`, subprotocols("not-the-token-at-all"), {
      transport: "http",
    });
    const { code, reason } = await once(socket, "close");
    assertEquals([code, reason], [4401, "This token is not valid."]);
  }, { token: "the-token-that-is-meant" });
});

// --- falling back -------------------------------------------------------------------------------

const obstacles = { dropsUpgrades, swallowsUpgrades };
for (const [name, spoil] of Object.entries(obstacles)) {
  test(`Socket falls back to the stream through a proxy that ${name}, and remembers`, async () => {
    await withProxy(spoil, async ({ url, requests }) => {
      const options = { memory: inMemory(), upgradeMs: 300 };
      const first = await echo(url, options);
      await converse(first, [Uint8Array.of(1)]);
      await close(first);
      assertEquals(requests.filter((line) => line.startsWith("GET /echo")).length, 1);
      const second = await echo(url, options);
      await close(second);
      assertEquals(requests.filter((line) => line.startsWith("GET /echo")).length, 1);
      assertEquals(options.memory.get(new URL(url.replace("http", "ws")).origin), "http");
    });
  });
}

test("Socket begins with the stream after a proxy has cut its WebSocket", async () => {
  await withProxy(cutsUpgrades, async ({ url }) => {
    const options = { memory: inMemory() };
    const cut = await echo(url, options);
    assertEquals((await once(cut, "close")).code, 1006);
    const second = await echo(url, options);
    await converse(second, [Uint8Array.of(1)]);
    await close(second);
  });
});

test("Socket can be forced: no fallback where only a WebSocket will do", async () => {
  await withProxy(dropsUpgrades, async ({ url, requests }) => {
    const socket = new Socket(`${url}/echo`, [], { transport: "websocket" });
    assertEquals((await once(socket, "close")).code, 1006);
    assertEquals(requests.filter((line) => line.includes("/stream")), []);
  });
});

test("Socket uses a WebSocket where one works, and asks for no stream", async () => {
  await withProxy(({ pass }) => void pass(), async ({ url, requests }) => {
    const socket = await echo(url, { memory: inMemory() });
    await converse(socket, [Uint8Array.of(1)]);
    await close(socket);
    assertEquals(requests.filter((line) => line.includes("/stream")), []);
  });
});

test("Socket works through a proxy that holds responses back until they are whole", async () => {
  await withRelay(async (relay) => {
    const between = await bufferingProxy(relay.url);
    try {
      const socket = await echo(between.url, { transport: "http", patienceMs: 200 });
      for (let i = 0; i < 5; i++) await converse(socket, [new Uint8Array(1000).fill(i)]);
      assertEquals((await close(socket)).code, 1000);
      const asked = between.requests.filter((line) => line.startsWith("GET")).length;
      assert(asked <= 12, `${asked} responses for five messages`);
    } finally {
      await between.stop();
    }
  });
});

function probe() {
  const host = new FakeHost();
  const told: string[] = [];
  const made = new ProxyProbe(100, {
    ping: () => void told.push(`ping ${host.now()}`),
    held: () => void told.push(`held ${host.now()}`),
  }, host);
  return { host, told, made };
}

test("ProxyProbe sees a response of which nothing comes", () => {
  const { host, told, made } = probe();
  made.begin();
  host.pass(1000);
  assertEquals(told, ["held 100"]);
  made.begin();
  host.pass(1000);
  assertEquals(told.length, 1, "said once");
});

test("ProxyProbe pings in the first quiet moment, and is content with a pong that comes alone", () => {
  const { host, told, made } = probe();
  made.begin();
  for (let i = 0; i < 5; i++) {
    host.pass(90);
    made.bytes(1000);
  }
  host.pass(100);
  assertEquals(told, ["ping 550"]);
  made.bytes(2);
  made.pong();
  made.begin();
  host.pass(1000);
  assertEquals(told.length, 1);
  assertEquals(host.waiting, 0);
});

test("ProxyProbe sees that the end of a response is held back", () => {
  const { host, told, made } = probe();
  made.begin();
  made.bytes(1000);
  host.pass(1000);
  assertEquals(told, ["ping 100", "held 200"]);
});

test("ProxyProbe asks again when the pong came with other bytes, which may have pushed it", () => {
  const { host, told, made } = probe();
  made.begin();
  made.bytes(1000);
  host.pass(100);
  made.bytes(500);
  made.bytes(2);
  made.pong();
  host.pass(1000);
  assertEquals(told, ["ping 100", "ping 200", "held 300"]);
});

test("ProxyProbe expects nothing between responses", () => {
  const { host, told, made } = probe();
  made.begin();
  made.bytes(2);
  made.end();
  host.pass(1000);
  assertEquals([told, host.waiting], [[], 0]);
});

function fallback(memory: TransportMemory = inMemory(), host = new FakeHost()) {
  const [websocket, stream] = [puppet(), puppet()];
  const told: string[] = [];
  const open = () =>
    fallbackTransport({
      websocket: websocket.transport,
      http: stream.transport,
      memory,
      upgradeMs: 60_000,
      cutMs: 60_000,
    }, host)({ url: new URL("ws://relay/echo"), protocols: [] }, {
      opened: () => void told.push("opened"),
      message: () => {},
      closed: (code) => void told.push(`closed ${code}`),
    });
  return { websocket, stream, told, open };
}

test("fallbackTransport tells one end when both fail, and remembers neither", () => {
  const { websocket, stream, told, open } = fallback();
  open();
  websocket.attempts[0]!.closed(1006, "", false);
  assertEquals(told, []);
  stream.attempts[0]!.closed(1006, "", false);
  assertEquals(told, ["closed 1006"]);
  open();
  assertEquals([websocket.attempts.length, stream.attempts.length], [2, 1]);
  websocket.attempts[1]!.opened("");
});

test("fallbackTransport goes back to WebSocket when the stream it remembers fails", () => {
  const memory = inMemory();
  memory.set("ws://relay", "http");
  const { websocket, stream, told, open } = fallback(memory);
  open();
  assertEquals(websocket.attempts.length, 0);
  stream.attempts[0]!.closed(1006, "", false);
  websocket.attempts[0]!.opened("");
  assertEquals(told, ["opened"]);
  assertEquals(memory.get("ws://relay"), "websocket");
});

test("fallbackTransport takes the relay's own refusal for an answer", () => {
  const memory = inMemory();
  memory.set("ws://relay", "http");
  const { websocket, stream, told, open } = fallback(memory);
  open();
  stream.attempts[0]!.closed(4401, "", false);
  assertEquals(told, ["closed 4401"]);
  assertEquals(websocket.attempts.length, 0);
});

test("fallbackTransport suspects a proxy only where a WebSocket ended unasked and unheard", () => {
  const ends: [name: string, how: (events: CarrierEvents, carrier: Carrier) => void, string][] = [
    ["cut", (events) => events.closed(1006, "", false), "http"],
    ["closed by the relay", (events) => events.closed(1012, "", true), "websocket"],
    ["cut after a message", (events) => {
      events.message("x");
      events.closed(1006, "", false);
    }, "websocket"],
    ["cut while closing", (events, carrier) => {
      carrier.close(1000, "");
      events.closed(1006, "", false);
    }, "websocket"],
    ["given up", (_, carrier) => carrier.abort(), "http"],
    ["given up after a message", (events, carrier) => {
      events.message("x");
      carrier.abort();
    }, "websocket"],
  ];
  for (const [name, end, expected] of ends) {
    const memory = inMemory();
    const { websocket, open } = fallback(memory);
    const carrier = open();
    websocket.attempts[0]!.opened("");
    end(websocket.attempts[0]!, carrier);
    assertEquals(memory.get("ws://relay"), expected, name);
  }
});

test("fallbackTransport leaves no timer behind, however it ends", () => {
  const ends: ((attempt: CarrierEvents, carrier: Carrier) => void)[] = [
    (_, carrier) => carrier.abort(),
    ({ opened }) => opened(""),
    ({ closed }) => closed(1006, "", false),
  ];
  for (const end of ends) {
    const host = new FakeHost();
    const { websocket, open } = fallback(inMemory(), host);
    const carrier = open();
    assertEquals(host.waiting, 1);
    end(websocket.last, carrier);
    assertEquals(host.waiting, 0);
  }
});

test("inMemory gives WebSockets another chance after ten minutes, however often streams worked", () => {
  let now = 0;
  const memory = inMemory(() => now);
  memory.set("ws://a", "http");
  memory.set("ws://b", "websocket");
  now = 599_000;
  memory.set("ws://a", "http");
  assertEquals([memory.get("ws://a"), memory.get("ws://b")], ["http", "websocket"]);
  now = 600_001;
  assertEquals([memory.get("ws://a"), memory.get("ws://b")], [undefined, "websocket"]);
});

// --- what is lost on the way --------------------------------------------------------------------

test("Posts gathers what is sent while requests are under way, and cuts it to size", async () => {
  const posted: [number, Bytes][] = [];
  const answers: (() => void)[] = [];
  const posts = new Posts(4, (number, piece) => {
    posted.push([number, piece]);
    return new Promise((resolve) => answers.push(resolve));
  }, () => {});
  posts.write(Uint8Array.of(1, 2));
  posts.write(Uint8Array.of(3));
  await Promise.resolve();
  assertEquals(posted, [[0, Uint8Array.of(1, 2, 3)]]);
  posts.write(Uint8Array.of(4, 5, 6, 7, 8));
  await Promise.resolve();
  posts.write(Uint8Array.of(9));
  await Promise.resolve();
  assertEquals(posted.length, 2, "two at once");
  assertEquals(posts.buffered, 9);
  answers[0]!();
  await Promise.resolve().then(() => {});
  assertEquals(posted.slice(1), [[1, Uint8Array.of(4, 5, 6, 7)], [2, Uint8Array.of(8, 9)]]);
  const idle = posts.idle();
  answers.forEach((answer) => answer());
  await idle;
  assertEquals(posts.buffered, 0);
});

test("Socket loses and repeats nothing through a proxy that cuts connections all the time", async () => {
  const below = dice();
  let cuts = 0;
  const spoil: Spoil = ({ client, pass }) => {
    const upstream = pass();
    let left = 200 + below(20_000);
    for (const side of [client, upstream]) {
      side.on("data", (chunk: Uint8Array) => {
        left -= chunk.length;
        if (left > 0 || client.destroyed) return;
        cuts++;
        client.destroy();
      });
    }
  };
  await withProxy(spoil, async ({ url }) => {
    // The opening itself is not repeated; only a stream that is open is looked after.
    let socket: Socket | undefined;
    while (!socket) {
      const attempt = new Socket(`${url}/echo`, [], { transport: "http" });
      attempt.binaryType = "arraybuffer";
      await Promise.race([once(attempt, "open"), once(attempt, "close")]);
      if (attempt.readyState === Socket.OPEN) socket = attempt;
    }
    const messages = Array.from({ length: 300 }, (_, i) => {
      const message = new Uint8Array(below(600));
      return message.fill(i);
    });
    for (let at = 0; at < messages.length; at += 20) {
      await converse(socket, messages.slice(at, at + 20));
    }
    await close(socket);
    assert(cuts > 3, `${cuts} cuts, seed ${seed}`);
  });
});

test("BlazePair syncs through a proxy that drops upgrades, with nothing said about transports", async () => {
  await withProxy(dropsUpgrades, async ({ url }) => {
    const options = { url, database: "bugs", trust: "first", memory: inMemory() } as const;
    const [ann, bob] = [BlazePair.open(options), BlazePair.open(options)];
    try {
      const [a, b] = await Promise.all([ann.ready, bob.ready]);
      assertEquals(a.code, b.code);
      const incoming = bob[Symbol.asyncIterator]();
      const { id } = await ann.collection("bugs").insert({ title: "Crash on start" });
      const { value } = await incoming.next();
      assertEquals(String(value.operation.id), String(id));
    } finally {
      ann.close();
      bob.close();
    }
  });
});

test("EcgClient watches over a stream what a monitor publishes over a WebSocket, and back", async () => {
  await withRelay(async ({ url }) => {
    for (const [from, to] of [["websocket", "http"], ["http", "websocket"]] as const) {
      const watcher = EcgClient.open({ url, stream: "bed-3", transport: to });
      const monitor = EcgClient.open({ url, stream: "bed-3", transport: from });
      const messages = await watcher.watch();
      for (let second = 0; second < 3; second++) {
        const signal = Array.from({ length: 360 }, (_, i) => Math.sin(second + i));
        await monitor.publish({ signal, sampling_rate: 360 }, { acknowledged: true });
        assertEquals((await messages.next()).value.payload, { signal, sampling_rate: 360 });
      }
      watcher.close();
      monitor.close();
    }
  });
});
