/**
 * The real Blazeio at the other end, and where there is none, what it sent when it was captured.
 */
import { createHash } from "node:crypto";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { BmpConnection } from "../src/client/bmp/bmp_connection.ts";
import { tcp } from "../src/client/bmp/tcp.ts";
import { fromHex } from "../src/wire/bytes.ts";
import { BmpDecoder } from "../src/wire/bmp/bmp_decoder.ts";
import { carriesPayload, type Form, type Kind } from "../src/wire/bmp/bmp_frame.ts";
import { blazeioClient, withBlazeioServer, withoutBlazeio } from "./kit/blazeio.ts";
import { answers, BODY, withBmp } from "./kit/bmp.ts";
import { text } from "./kit/mux.ts";
import { vectors } from "./kit/vectors.ts";

const sha256 = (bytes: Uint8Array | string) => createHash("sha256").update(bytes).digest("hex");
const skip = withoutBlazeio;

test(
  "the real client makes every kind of request at our port",
  { skip },
  () =>
    withBmp(async ({ port, bmp }) => {
      const { version: _, ...got } = await blazeioClient(port, ["requests"]) as Record<
        string,
        unknown
      >;
      const hello = { status: 200, length: 5, sha256: sha256("hello") };
      const big = { status: 200, length: BODY.length, sha256: sha256(BODY) };
      const missing = { status: 404, length: 12, sha256: sha256("nothing here") };
      const pieces = "piece 0\npiece 1\npiece 2\npiece 3\npiece 4\n";
      assertEquals(got, {
        get: hello,
        get100k: big,
        post100k: big,
        chunked: { status: 200, length: 40, sha256: sha256(pieces) },
        upload: { status: 200, length: 30_000, sha256: sha256(BODY.subarray(0, 30_000)) },
        two: [big, hello],
        missing,
        early: missing,
        early100k: big,
        head: { status: 200, length: 0, sha256: sha256("") },
      });
      assertEquals(bmp.streams, 0);
    }),
);

test(
  "our client makes every kind of request at the real server",
  { skip },
  () =>
    withBlazeioServer(async (port) => {
      const bmp = await BmpConnection.open({ dial: tcp({ hostname: "127.0.0.1", port }) });
      const get = async (path: string, init?: RequestInit) => {
        const response = await bmp.fetch(path, init);
        return [response.status, sha256(new Uint8Array(await response.arrayBuffer()))];
      };
      const hello = [200, sha256("hello")];
      const big = [200, sha256(BODY)];
      assertEquals(await get("/hello"), hello);
      assertEquals(await get("/big"), big);
      assertEquals(await get("/echo", { method: "POST", body: BODY }), big);
      const body = new Blob([BODY]).stream();
      assertEquals(
        await get("/echo", { method: "POST", body, duplex: "half" } as RequestInit),
        big,
      );
      assertEquals((await bmp.fetch("/chunked").then((answer) => answer.text())).length, 40);
      assertEquals(await Promise.all([get("/big"), get("/hello")]), [big, hello]);
      assertEquals((await get("/nothing-here"))[0], 404);
      const many = await Promise.all(Array.from({ length: 64 }, () => get("/hello")));
      assertEquals(many, many.map(() => hello));
      assertEquals([bmp.extended, bmp.streams], [false, 0]);
      bmp.close();
    }),
);

// --- captured bytes, played by a peer that waits where the real one waits ---

interface Capture {
  dialect: Form;
  frames: {
    dir: "c>s" | "s>c";
    at: number;
    size: number;
    kind: Kind;
    stream: string;
    sid?: string;
    length: number;
  }[];
  clientToServer: string;
  serverToClient: string;
}

/** The captured frames of one side, in order, with the bytes of each. */
function sideOf(capture: Capture, dir: "c>s" | "s>c") {
  const bytes = fromHex(dir === "c>s" ? capture.clientToServer : capture.serverToClient);
  // The last entries tell of the sockets' ends and are no frames.
  return capture.frames.filter((frame) => frame.dir === dir && frame.kind !== undefined)
    .map((frame) => ({ ...frame, bytes: bytes.subarray(frame.at, frame.at + frame.size) }));
}

/** Collects whole frames of a socket, and wakes whoever waits for one. */
class Listener {
  readonly frames: { kind: Kind; id: string; payload: string }[] = [];
  #wake = () => {};

  constructor(socket: Socket, form: Form) {
    const decoder = new BmpDecoder({ form });
    let payload = "";
    socket.on("data", (chunk: Uint8Array) => {
      for (const { head, bytes, last } of decoder.feed(chunk)) {
        if (carriesPayload(head.kind)) payload += text(bytes);
        if (!last) continue;
        this.frames.push({ kind: head.kind, id: head.id, payload });
        payload = "";
      }
      this.#wake();
    });
  }

  count(id: string, kind: Kind): number {
    return this.frames.filter((frame) => frame.id === id && frame.kind === kind).length;
  }

  async until(done: () => boolean): Promise<void> {
    while (!done()) await new Promise<void>((resolve) => this.#wake = resolve);
  }
}

/** The paths of the captures, answered with what the real server answered. */
const captured = (request: Request): Response | Promise<Response> => {
  const { pathname } = new URL(request.url);
  if (pathname === "/events") return answers(new Request("http://x/chunked"), undefined as never);
  if (pathname === "/echo") return answers(request, undefined as never);
  if (pathname === "/hello") return answers(request, undefined as never);
  return answers(new Request("http://x/big"), undefined as never);
};

for (const dialect of ["text-2.2.4.5", "binary4-4.5.2"]) {
  for (const scenario of ["get-hello", "get-100k", "post-100k", "two-streams", "chunked"]) {
    test(`what the client ${dialect} sent for ${scenario} is answered in its manner`, () =>
      withBmp(async ({ port }) => {
        const capture = vectors<Capture>(`bmp/${dialect}.${scenario}.json`);
        const form = capture.dialect;
        const socket = connect(port, "127.0.0.1");
        const heard = new Listener(socket, form);
        const acked = new Map<string, number>();
        for (const { kind, stream, bytes } of sideOf(capture, "c>s")) {
          const sends = carriesPayload(kind);
          // Our answer may come in more or fewer frames; each is acked as the real client would.
          if (kind === "ack") continue;
          if (kind === "close" || kind === "eof") {
            await heard.until(() => answered(heard, stream, socket, form));
          }
          socket.write(bytes);
          if (!sends) continue;
          acked.set(stream, (acked.get(stream) ?? 0) + 1);
          await heard.until(() => heard.count(stream, "ack") >= acked.get(stream)!);
        }
        const ids = new Set(sideOf(capture, "c>s").map(({ stream }) => stream));
        for (const id of ids) {
          await heard.until(() => answered(heard, id, socket, form));
          const own = heard.frames.filter((frame) => frame.id === id);
          // The real text client hangs if data comes before the ack of its request.
          assertEquals(own[0]!.kind, "ack");
          assert(
            own.find(({ kind }) => kind === "data")!.payload.startsWith("HTTP/1.1 200 OK\r\n"),
          );
        }
        socket.destroy();
      }, captured));
  }
}

/** Acks what came and says whether a whole answer is there. */
function answered(heard: Listener, id: string, socket: Socket, form: Form): boolean {
  const own = heard.frames.filter((frame) => frame.id === id && carriesPayload(frame.kind));
  const state = acks.get(socket) ?? new Map<string, number>();
  acks.set(socket, state);
  for (let n = state.get(id) ?? 0; n < own.length; n++) {
    const ack = form === "text"
      ? `<::${id}::><::<-io_ack->::><::0::>`
      : `\0${id}\x01\0\x05\x01\0\x01\0${String(n).length}\x01${n}`;
    socket.write(Uint8Array.from(ack, (char) => char.charCodeAt(0)));
    state.set(id, n + 1);
  }
  const answer = own.map(({ payload }) => payload).join("");
  const [head, ...body] = answer.split("\r\n\r\n");
  const length = /content-length: (\d+)/i.exec(head!)?.[1];
  if (length !== undefined) return body.join("\r\n\r\n").length >= Number(length);
  return answer.endsWith("0\r\n\r\n");
}
const acks = new WeakMap<Socket, Map<string, number>>();

for (const dialect of ["text-2.2.4.5", "binary4-4.5.2"]) {
  for (const scenario of ["get-hello", "get-100k", "chunked"]) {
    test(`what the server ${dialect} sent for ${scenario} is understood by our client`, async () => {
      const capture = vectors<Capture>(`bmp/${dialect}.${scenario}.json`);
      const form = capture.dialect;
      const server = createServer((socket) => {
        const heard = new Listener(socket, form);
        socket.on("error", () => {});
        void (async () => {
          await heard.until(() => heard.frames.length > 0);
          let waiting = 0;
          for (const { kind, bytes } of sideOf(capture, "s>c")) {
            // It stops and waits: the next frame leaves after the ack of the last one.
            const data = carriesPayload(kind);
            if (data) await heard.until(() => heard.count("io_0", "ack") >= waiting);
            socket.write(bytes);
            if (data) waiting++;
          }
        })();
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const { port } = server.address() as { port: number };
      const bmp = await BmpConnection.open({ dial: tcp({ hostname: "127.0.0.1", port }), form });
      try {
        const answer = await bmp.fetch("/");
        const body = new Uint8Array(await answer.arrayBuffer());
        assertEquals(answer.status, 200);
        if (scenario === "get-hello") assertEquals(text(body), "hello");
        else if (scenario === "get-100k") assertEquals(sha256(body), sha256(BODY));
        else assertEquals(text(body), "event 0\nevent 1\nevent 2\n".slice(0, body.length));
        assert(body.length > 0);
      } finally {
        bmp.close();
        await new Promise((resolve) => server.close(resolve));
      }
    });
  }
}
