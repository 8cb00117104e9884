import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { startRelay } from "../main.ts";
import { BmpServer } from "../src/bmp/bmp_server.ts";
import { listenBmp } from "../src/bmp/listen.ts";
import { BmpConnection } from "../src/client/bmp/bmp_connection.ts";
import { tcp } from "../src/client/bmp/tcp.ts";
import { Socket } from "../src/client/socket.ts";
import { webview } from "../src/client/transport/webview_transport.ts";
import { host } from "../src/host.ts";
import { WebviewHost } from "../src/link/webview_host.ts";
import type { Accept, Link, LinkEvents } from "../src/link/link.ts";
import { MemoryPeer } from "../src/link/memory_link.ts";
import { websocketLink } from "../src/link/websocket_link.ts";
import { bun } from "../src/runtime/bun.ts";
import { deno } from "../src/runtime/deno.ts";

/** What a test hears of one link. */
class Ear implements LinkEvents {
  readonly heard: string[] = [];
  readonly messages: Uint8Array[] = [];
  #wake: (() => void) | undefined;

  constructor(readonly link: Link) {}

  message(message: Uint8Array): void {
    this.messages.push(message);
    this.#hear(`message ${[...message.subarray(0, 8)]}`);
  }

  text(): void {
    this.#hear("text");
  }

  drained(): void {}

  closed(code: number, reason: string): void {
    this.#hear(`closed ${code} ${reason}`);
  }

  /** Waits until so much was heard. */
  async until(count: number): Promise<string[]> {
    while (this.heard.length < count) await new Promise<void>((resolve) => this.#wake = resolve);
    return this.heard;
  }

  #hear(what: string): void {
    this.heard.push(what);
    this.#wake?.();
  }
}

/** The far end, whatever carries it. */
interface FarEnd {
  send(message: Uint8Array<ArrayBuffer>): void;
  sendText(): void;
  close(code: number, reason: string): void;
  /** Messages that have arrived there. */
  readonly received: Uint8Array[];
  closed(): Promise<{ code: number; reason: string }>;
}

interface Pair {
  readonly near: Ear;
  readonly far: FarEnd;
}

/** One way to get a link. The same tests run over each. */
interface Carrier {
  readonly name: string;
  open(run: (pair: Pair) => Promise<void>): Promise<void>;
}

const memory: Carrier = {
  name: "memory",
  async open(run) {
    let near!: Ear;
    const peer = new MemoryPeer((link) => near = new Ear(link));
    await run({
      near,
      far: {
        send: (message) => peer.send(message),
        sendText: () => peer.sendText(),
        close: (code, reason) => peer.close(code, reason),
        received: peer.received,
        closed: () => Promise.resolve(peer.closedWith!),
      },
    });
  },
};

const runtime = "Bun" in globalThis ? bun : deno;

/** A server end, and a socket to it. */
interface Both {
  readonly client: WebSocket;
  stop(): Promise<void>;
}

/** Starts both ends of a carrier. */
type Start = (accept: Accept) => Promise<Both>;

/** A server of this runtime and a WebSocket to it. */
const native: Start = async (accept) => {
  const server = await runtime.serve(
    { hostname: "127.0.0.1", port: 0, idleSeconds: 30 },
    (_, peer) => peer.upgrade(accept),
  );
  return {
    client: new WebSocket(`ws://127.0.0.1:${server.port}`),
    stop: () => server.stop(0),
  };
};

/** A relay's stream, with the test in place of the session. */
const overHttp: Start = async (accept) => {
  const relay = await startRelay({ host: "127.0.0.1", port: 0, token: "" }, { wrap: () => accept });
  return {
    client: new Socket(`${relay.url}/echo`, [], { transport: "http" }),
    stop: () => relay.stop(),
  };
};

/** The two halves of a webview, in this process. */
const inWebview: Start = (accept) => {
  const webviewHost = new WebviewHost(host);
  const transport = webview({
    port: (message) => queueMicrotask(() => webviewHost.message(message)),
    async fetch(url) {
      // A page has set its handlers by the time that its host is asked.
      await new Promise((resolve) => setTimeout(resolve));
      return new Response(webviewHost.connect(url, accept).body);
    },
  });
  return Promise.resolve({
    client: new Socket("ws://localhost/echo", [], { transport }),
    stop: () => Promise.resolve(),
  });
};

/** A WebSocket in a stream of a BMP connection, over TCP. */
const inBmp: Start = async (accept) => {
  const bmp = new BmpServer(
    { connections: 1, connectionsPerAddress: 1, httpStreams: 1, idleSeconds: 30 },
    (_, peer) => peer.upgrade(accept),
  );
  const server = await listenBmp({ hostname: "127.0.0.1", port: 0 }, bmp);
  const dial = tcp({ hostname: "127.0.0.1", port: server.port });
  const connection = await BmpConnection.open({ dial });
  return {
    client: new Socket("ws://localhost/echo", [], { transport: connection.transport }),
    async stop() {
      connection.close();
      await connection.closed;
      await bmp.stop(0);
      await server.stop(0);
    },
  };
};

/** `near` is the end that `side` names. */
const socket = (start: Start, name: string, side: "server" | "client"): Carrier => ({
  name: `${name}, ${side} side`,
  async open(run) {
    const serverEar = Promise.withResolvers<Ear>();
    const clientEar = Promise.withResolvers<Ear>();
    const ear = (found: PromiseWithResolvers<Ear>): Accept => (link) => {
      const made = new Ear(link);
      found.resolve(made);
      return made;
    };
    const { client, stop } = await start(ear(serverEar));
    websocketLink(client, ear(clientEar), "server");
    try {
      const ears = { server: await serverEar.promise, client: await clientEar.promise };
      const other = ears[side === "server" ? "client" : "server"];
      await run({
        near: ears[side],
        far: {
          send: (message) => other.link.send(message),
          // Both ends are ours, and ours send no text: only the client's socket is at hand here.
          sendText: () => client.send("text"),
          close: (code, reason) => other.link.close(code, reason),
          get received() {
            return other.messages;
          },
          async closed() {
            for (let n = 1;; n++) {
              const [, code, reason] =
                (await other.until(n)).at(-1)!.match(/^closed (\d+) ?(.*)$/) ??
                  [];
              if (code) return { code: Number(code), reason: reason! };
            }
          },
        },
      });
    } finally {
      client.close();
      await stop();
    }
  },
});

const starts = {
  [`${runtime.name}'s WebSocket`]: native,
  "a stream": overHttp,
  "a webview": inWebview,
  "a BMP stream": inBmp,
};
const servers = Object.entries(starts).map(([name, start]) => socket(start, name, "server"));
const clients = Object.entries(starts).map(([name, start]) => socket(start, name, "client"));

for (const carrier of [memory, ...servers, ...clients]) {
  test(`a link over ${carrier.name} passes whole messages in order, both ways`, () =>
    carrier.open(async ({ near, far }) => {
      const big = new Uint8Array(1_000_000).fill(5);
      for (const message of [Uint8Array.of(1, 2), new Uint8Array(), big, Uint8Array.of(3)]) {
        far.send(message);
        near.link.send(message);
      }
      assertEquals((await near.until(4))[3], "message 3");
      assertEquals(near.messages[2]!.length, 1_000_000);
      while (far.received.length < 4) await new Promise((resolve) => setTimeout(resolve, 1));
      assertEquals(far.received.map((message) => message.length), [2, 0, 1_000_000, 1]);
    }));

  test(`a link over ${carrier.name} says at once that it was closed from here, and only once`, () =>
    carrier.open(async ({ near, far }) => {
      near.link.close(4400, "because");
      assertEquals(near.heard, ["closed 4400 because"]);
      assertEquals(await far.closed(), { code: 4400, reason: "because" });
      near.link.close(4401, "again");
      near.link.send(Uint8Array.of(1));
      far.send(Uint8Array.of(2));
      await new Promise((resolve) => setTimeout(resolve, 20));
      assertEquals(near.heard, ["closed 4400 because"]);
    }));

  test(`a link over ${carrier.name} hears of the other end's close, with code and reason`, () =>
    carrier.open(async ({ near, far }) => {
      far.send(Uint8Array.of(7));
      far.close(4409, "bye");
      assertEquals(await near.until(2), ["message 7", "closed 4409 bye"]);
      near.link.send(Uint8Array.of(1));
    }));

  test(`a link over ${carrier.name} cuts a long reason instead of failing`, () =>
    carrier.open(async ({ near, far }) => {
      near.link.close(4400, "心".repeat(100));
      const { code } = await far.closed();
      assertEquals(code, 4400);
    }));

  test(`a link over ${carrier.name} may be closed with any code of ours`, () =>
    carrier.open(async ({ near, far }) => {
      near.link.close(1003, "text");
      assertEquals(near.heard, ["closed 1003 text"]);
      const { code } = await far.closed();
      // What only servers may say is 4000 from a client.
      assert(code === 1003 || code === 4000, `${code}`);
    }));

  test(`a link over ${carrier.name} knows what is buffered`, () =>
    carrier.open(async ({ near }) => {
      assertEquals(near.link.buffered, 0);
      assert(near.link.remote.length > 0);
      await Promise.resolve();
    }));
}

for (const carrier of [memory, ...servers]) {
  test(`a link over ${carrier.name} tells text from messages`, () =>
    carrier.open(async ({ near, far }) => {
      far.sendText();
      assertEquals(await near.until(1), ["text"]);
    }));
}

for (const [name, start] of Object.entries(starts)) {
  test(`a link over ${name} that is closed while it is accepted hears of it`, async () => {
    const server = Promise.withResolvers<Ear>();
    const { client, stop } = await start((link) => {
      const ear = new Ear(link);
      link.close(4400, "not today");
      server.resolve(ear);
      return ear;
    });
    const closed = new Promise<number>((resolve) => client.onclose = ({ code }) => resolve(code));
    assertEquals(await closed, 4400);
    assertEquals(await (await server.promise).until(1), ["closed 4400 not today"]);
    await stop();
  });
}

test("a link over memory that is closed while it is accepted hears of it", () => {
  let near: Ear | undefined;
  const peer = new MemoryPeer((link) => {
    link.close(4400, "not today");
    return near = new Ear(link);
  });
  assertEquals(peer.closedWith, { code: 4400, reason: "not today" });
  assertEquals(near!.heard, ["closed 4400 not today"]);
});
