import { test } from "node:test";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { assert, assertEquals } from "@std/assert";
import { Socket } from "../src/client/socket.ts";
import { Posts } from "../src/client/transport/posts.ts";

/** What a relay of ours says. */
const opening = {
  id: "0123456789ab-0123456789abcdef0123456789abcdef",
  protocol: "",
  idleSeconds: 30,
  httpGraceMs: 15_000,
  httpPostBytes: 262_144,
  httpMessageBytes: 4_194_304,
};
const PING = [0x89, 0];

interface Script {
  /** What the opening is answered with, in JSON. */
  readonly opening: unknown;
  /** What a GET is answered with: the so manieth. A ping and no end unless given. */
  readonly get?: (response: ServerResponse, nth: number) => void;
  /** What a POST is answered with. 200 unless given. */
  readonly post?: (response: ServerResponse) => void;
}

interface Relay {
  readonly url: string;
  readonly gets: number;
  readonly posts: number;
}

/** A relay that does as it is told, and a socket that reaches it over HTTP only. */
async function withStranger(
  { opening, get, post }: Script,
  run: (socket: Socket, relay: Relay) => Promise<void>,
): Promise<void> {
  let gets = 0, posts = 0;
  const begin = (response: ServerResponse) => {
    response.statusCode = 201;
    response.end(JSON.stringify(opening));
  };
  const server = createServer((request: IncomingMessage, response) => {
    if (request.method === "GET") {
      if (get) get(response, gets);
      else response.write(Uint8Array.from(PING));
      gets++;
      return;
    }
    request.resume().on("end", () => {
      if (request.url === "/stream") return begin(response);
      posts++;
      if (post) post(response);
      else response.end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const socket = new Socket(`${url}/echo`, [], { transport: "http" });
  const relay = {
    url,
    get gets() {
      return gets;
    },
    get posts() {
      return posts;
    },
  };
  try {
    await run(socket, relay);
  } finally {
    socket.abort();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

const closed = (socket: Socket): Promise<CloseEvent> =>
  new Promise((resolve) => socket.addEventListener("close", resolve, { once: true }));

// --- what a relay says when it opens ------------------------------------------------------------

const numbers = ["idleSeconds", "httpGraceMs", "httpPostBytes", "httpMessageBytes"] as const;
const senseless = [-1, 0.5, 1e300, 2 ** 31, "x", null, undefined, [5], {}];

for (const name of numbers) {
  test(`an opening whose ${name} makes no sense is a lost link, and nothing else`, async () => {
    for (const value of name === "idleSeconds" ? senseless : [0, ...senseless]) {
      await withStranger({ opening: { ...opening, [name]: value } }, async (socket, relay) => {
        socket.onopen = () => socket.send("never");
        const { code, reason } = await closed(socket);
        assertEquals([code, relay.gets, relay.posts], [1006, 0, 0], `${name}: ${value}`);
        assert(reason.includes(name), reason);
      });
    }
  });
}

test("an opening without a usable id or protocol, or that is no object, is a lost link", async () => {
  const wrong = [
    ...["", "../../x", "a?b", "é", 7, null].map((id) => ({ ...opening, id })),
    ...["chosen by nobody", null, { a: 1 }].map((protocol) => ({ ...opening, protocol })),
    ...[null, [], "text", 5, true, "x".repeat(100_000)],
  ];
  for (const one of wrong) {
    await withStranger({ opening: one }, async (socket, relay) => {
      assertEquals([(await closed(socket)).code, relay.gets], [1006, 0], JSON.stringify(one));
    });
  }
});

test("an opening with what no client knows yet, and with the smallest numbers, opens", async () => {
  const least = { idleSeconds: 0, httpGraceMs: 1000, httpPostBytes: 1, httpMessageBytes: 1 };
  await withStranger({ opening: { ...opening, ...least, more: {} } }, async (socket, relay) => {
    await new Promise((resolve) => socket.onopen = resolve);
    const ended = closed(socket);
    socket.close(1000);
    // A masked close frame with a code: one byte each.
    while (relay.posts < 8) await new Promise((resolve) => setTimeout(resolve, 1));
    socket.abort();
    await ended;
  });
});

// --- pieces -------------------------------------------------------------------------------------

test("Posts makes nothing of what waits once it is stopped, and leaves nobody waiting", async () => {
  let answer = () => {};
  const pieces: number[] = [];
  const posts = new Posts(1, (number) => {
    pieces.push(number);
    return new Promise((resolve) => answer = resolve);
  }, () => {});
  posts.write(new Uint8Array(9));
  await Promise.resolve();
  const idle = posts.idle();
  posts.stop();
  await idle;
  posts.write(new Uint8Array(9));
  answer();
  await new Promise((resolve) => setTimeout(resolve));
  assertEquals(pieces, [0, 1], "two at once, and none after them");
});

test("a socket that is given up with megabytes unsent posts none of them", async () => {
  const held: ServerResponse[] = [];
  const script = {
    opening: { ...opening, httpPostBytes: 1 },
    post: (r: ServerResponse) => void held.push(r),
  };
  await withStranger(script, async (socket, relay) => {
    await new Promise((resolve) => socket.onopen = resolve);
    socket.send(new Uint8Array(100_000));
    while (relay.posts < 2) await new Promise((resolve) => setTimeout(resolve, 1));
    socket.abort();
    for (const response of held) response.end("{}");
    await new Promise((resolve) => setTimeout(resolve, 50));
    assertEquals([relay.posts, socket.bufferedAmount], [2, 0]);
  });
});

// --- answers ------------------------------------------------------------------------------------

for (const status of [400, 403, 404, 410, 421]) {
  for (const body of ["", "null", "[]", '"text"', "<html>", '{"error":5}', "x".repeat(100_000)]) {
    const shown = body.slice(0, 12) || "nothing";
    test(`${status} with ${shown} for a body ends the stream at once`, async () => {
      const get = (response: ServerResponse) => {
        response.statusCode = status;
        response.end(body);
      };
      await withStranger({ opening, get }, async (socket, relay) => {
        const { code, reason } = await closed(socket);
        assertEquals([code, reason, relay.gets], [1006, `HTTP ${status}`, 1]);
      });
    });
  }
}

test("a stream goes nowhere else: a redirect ends it", async () => {
  await withStranger({ opening }, async (_, elsewhere) => {
    const get = (response: ServerResponse) => {
      response.writeHead(302, { location: `${elsewhere.url}/page` });
      response.end();
    };

    await withStranger({ opening, get }, async (socket, relay) => {
      assertEquals((await closed(socket)).reason, "HTTP 302");
      assertEquals(relay.gets, 1);
    });
  });
});

test("413 without a body ends the stream at once, too", async () => {
  const post = (response: ServerResponse) => {
    response.statusCode = 413;
    response.end();
  };
  await withStranger({ opening, post }, async (socket, relay) => {
    socket.onopen = () => socket.send("one");
    const { code, reason } = await closed(socket);
    assertEquals([code, reason, relay.posts], [1006, "HTTP 413", 1]);
  });
});

test("a body that never ends holds nobody up", async () => {
  const get = (response: ServerResponse) => {
    response.statusCode = 410;
    const timer = setInterval(() => response.write("x".repeat(10_000)), 1);
    response.on("close", () => clearInterval(timer));
  };
  await withStranger({ opening, get }, async (socket) => {
    assertEquals((await closed(socket)).reason, "HTTP 410");
  });
});

test("responses of one byte are not asked for as fast as they come", async () => {
  const COUNT = 20;
  const at: number[] = [];
  let enough = () => {};
  const done = new Promise<void>((resolve) => enough = resolve);
  const get = (response: ServerResponse, nth: number) => {
    at.push(performance.now());
    if (nth === COUNT) enough();
    response.end(Uint8Array.of(PING[nth % 2]!));
  };
  await withStranger({ opening, get }, async () => {
    await done;
    // 20 ms each; nothing but a pause makes it long.
    assert(at[COUNT]! - at[0]! >= COUNT * 10, `${at[COUNT]! - at[0]!} ms`);
  });
});
