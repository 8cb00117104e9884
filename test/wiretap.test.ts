import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { EcgClient } from "../src/client/ecg/ecg_client.ts";
import { ConnectionClosed } from "../src/client/connection.ts";
import { ListenError } from "../src/runtime/listening.ts";
import { startWiretap, type Tap } from "../tools/inspect/wiretap.ts";
import { withRelay } from "./kit/relay.ts";
import { rawMessage, rawUpgrade, TestSocket } from "./kit/socket.ts";

/** A wiretap in front of an address, what it has heard, and how to wait for more. */
async function withTap(
  target: string,
  run: (
    tapped: { url: string },
    heard: string[],
    until: (pattern: RegExp) => Promise<void>,
  ) => Promise<void>,
): Promise<void> {
  const heard: string[] = [];
  const told = new EventTarget();
  const hear = (line: string) => {
    heard.push(line);
    told.dispatchEvent(new Event("line"));
  };
  const tap: Tap = {
    message: (link, direction, bytes) => hear(`${link} ${direction} ${bytes.join(" ")}`),
    closed: (link, code, reason) => hear(`${link} closed ${code} ${reason}`),
    failed: (link, code, text) => hear(`${link} ${code}: ${text}`),
  };
  const until = async (pattern: RegExp) => {
    while (!heard.some((line) => pattern.test(line))) {
      await new Promise((resolve) => told.addEventListener("line", resolve, { once: true }));
    }
  };
  const wiretap = await startWiretap(new URL(target.replace("http", "ws")), 0, tap);
  try {
    await run({ url: `http://127.0.0.1:${wiretap.port}` }, heard, until);
  } finally {
    await wiretap.stop();
  }
}

/** Somebody who takes connections. */
async function withServer(
  serve: (socket: Socket) => void,
  run: (url: string) => Promise<void>,
): Promise<void> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    serve(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    await run(`http://127.0.0.1:${(server.address() as { port: number }).port}`);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

test("startWiretap hands on messages and the code of a close, both ways, and reads along", () =>
  withRelay((relay) =>
    withTap(relay.url, async (tapped, heard, until) => {
      const socket = await TestSocket.connect(tapped, "/echo", ["blaze-relay"]);
      assertEquals(socket.protocol, "blaze-relay");
      socket.send(Uint8Array.of(1, 2, 3));
      assertEquals(await socket.next(), Uint8Array.of(1, 2, 3));
      // Larger than any piece that travels at once.
      const large = new Uint8Array(300_000).fill(7);
      socket.send(large);
      assertEquals(await socket.next(), large);
      await until(/^1 < 7 7/);
      assertEquals(heard.map((line) => line.slice(0, 9)), [
        ...["1 > 1 2 3", "1 < 1 2 3", "1 > 7 7 7", "1 < 7 7 7"],
      ]);
      socket.close();
      await socket.closed();
      await until(/^1 closed 100[05] /);
    })
  ));

test("startWiretap lets a client read why it is refused, and says so itself", () =>
  withRelay((relay) =>
    withTap(relay.url, async (tapped, _heard, until) => {
      const { socket, head } = await rawUpgrade(tapped, "/nowhere");
      assertMatch(head, /^HTTP\/1\.1 404 /);
      socket.destroy();
      await until(/^1 refused 404: Nothing at \/nowhere/);
      const answer = await fetch(`${tapped.url}/health`);
      assertEquals(answer.status, 200);
      await answer.body?.cancel();
    })
  ));

test("a client behind startWiretap learns from its relay that it wants a token", () =>
  withRelay((relay) =>
    withTap(relay.url, async (tapped, _heard, until) => {
      const client = EcgClient.open({ url: tapped.url, stream: "a" });
      const why = await assertRejects(() => client.ready, ConnectionClosed) as ConnectionClosed;
      assertEquals(why.code, 4401);
      await until(/^1 refused 401: /);
    }), { token: "a-token-for-tests-only" }));

test("startWiretap says that a relay is away, and the client hears 502", async () => {
  const gone = createServer().listen(0, "127.0.0.1");
  await once(gone, "listening");
  const { port } = gone.address() as { port: number };
  gone.close();
  await once(gone, "close");
  await withTap(`http://127.0.0.1:${port}`, async (tapped, _heard, until) => {
    const { socket, head } = await rawUpgrade(tapped, "/echo");
    assertMatch(head, /^HTTP\/1\.1 502 /);
    socket.destroy();
    await until(/^1 unreachable: 127\.0\.0\.1:\d+ cannot be reached/);
  });
});

test("startWiretap makes no close out of a connection that just ends, on either side", async () => {
  const ended = Promise.withResolvers<string>();
  let bytes = "";
  await withServer((socket) => {
    socket.once("data", () => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
      socket.on("data", (chunk: Uint8Array) => bytes += [...chunk].join(" ") + " ");
      socket.on("close", () => ended.resolve(bytes));
    });
  }, (url) =>
    withTap(url, async (tapped, _heard, until) => {
      const { socket } = await rawUpgrade(tapped, "/echo");
      socket.write(rawMessage(Uint8Array.of(5)));
      await until(/^1 > 5$/);
      socket.destroy();
      // The message and no close frame after it.
      assertEquals((await ended.promise).trim(), [...rawMessage(Uint8Array.of(5))].join(" "));
      await until(/^1 closed 1006 the client ended the connection without a close/);
    }));
  await withServer((socket) => {
    socket.once("data", () => {
      socket.end("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
    });
  }, (url) =>
    withTap(url, async (tapped, _heard, until) => {
      const { socket } = await rawUpgrade(tapped, "/echo");
      const end = once(socket, "close");
      socket.resume();
      await end;
      await until(/^1 closed 1006 the relay ended the connection without a close/);
    }));
});

test("startWiretap reports what is no WebSocket, and asks for no extension", async () => {
  const request = Promise.withResolvers<string>();
  await withServer((socket) => {
    socket.once("data", (chunk: Uint8Array) => {
      request.resolve(new TextDecoder().decode(chunk));
      socket.write("HTTP/1.1 101 Switching Protocols\r\n\r\n\xc1\x00", "latin1");
    });
  }, (url) =>
    withTap(url, async (tapped, _heard, until) => {
      const deflate = { "Sec-WebSocket-Extensions": "permessage-deflate" };
      const { socket } = await rawUpgrade(tapped, "/echo", deflate);
      await until(/^1 RESERVED_BITS: the relay sent/);
      const head = await request.promise;
      assertEquals(/permessage-deflate/.test(head), false);
      assertStringIncludes(head, `Host: ${new URL(url).host}\r\n`);
      socket.destroy();
    }));
});

test("startWiretap lets go of who sends no end of a head, and refuses a port that is taken", () =>
  withRelay((relay) =>
    withTap(relay.url, async (tapped) => {
      const socket = connect(Number(new URL(tapped.url).port), "127.0.0.1");
      socket.on("error", () => {});
      socket.write("GET / HTTP/1.1\r\n" + "x: y\r\n".repeat(20_000));
      await once(socket, "close");
      const port = Number(new URL(relay.url).port);
      await assertRejects(
        () => startWiretap(new URL(relay.url), port, {} as Tap),
        ListenError,
        "taken",
      );
    })
  ));
