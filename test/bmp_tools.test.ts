import { spawnSync } from "node:child_process";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { BmpConnection } from "../src/client/bmp/bmp_connection.ts";
import { tcp } from "../src/client/bmp/tcp.ts";
import { ListenError } from "../src/runtime/listening.ts";
import { concat } from "../src/wire/bytes.ts";
import { encode } from "../src/wire/bmp/bmp_encoder.ts";
import { place, startGateway } from "../tools/bmp-gateway.ts";
import { bmp } from "../tools/inspect/dissect_bmp.ts";
import { here, root, script } from "../tools/runtimes.ts";
import { bytes, text } from "./kit/mux.ts";
import { fc, holds } from "./kit/random.ts";

// --- the gateway ---

/** A TCP server of one's own, a gateway before it, and a client of that. */
async function withGateway(
  serve: (socket: Socket) => void,
  run: (client: BmpConnection, port: number) => Promise<void>,
  allowHalfOpen = true,
): Promise<void> {
  const target = createServer({ allowHalfOpen }, (socket) => {
    socket.on("error", () => {});
    serve(socket);
  });
  await new Promise<void>((resolve) => target.listen(0, "127.0.0.1", resolve));
  const { port } = target.address() as { port: number };
  const to = { hostname: "127.0.0.1", port };
  const gateway = await startGateway({ listen: { hostname: "127.0.0.1", port: 0 }, to });
  const dial = tcp({ hostname: "127.0.0.1", port: gateway.port });
  const client = await BmpConnection.open({ dial });
  try {
    await run(client, gateway.port);
  } finally {
    client.close();
    await gateway.stop();
    await new Promise((resolve) => target.close(resolve));
  }
}

async function all(readable: ReadableStream<Uint8Array>): Promise<string> {
  let got = "";
  for await (const chunk of readable) got += text(chunk);
  return got;
}

test("startGateway joins each stream with a connection of its own, both ends half-closing", () =>
  withGateway((socket) => {
    let got = "";
    socket.on("data", (chunk: Uint8Array) => got += text(chunk));
    socket.on("end", () => socket.end(got.toUpperCase()));
  }, async (client) => {
    const answers = await Promise.all(Array.from({ length: 50 }, async (_, n) => {
      const stream = client.openStream();
      const writer = stream.writable.getWriter();
      await writer.write(bytes(`stream ${n}`));
      await writer.close();
      const got = await all(stream.readable);
      return [got, await stream.closed];
    }));
    assertEquals(answers, answers.map((_, n) => [`STREAM ${n}`, undefined]));
    assertEquals(client.streams, 0);
  }));

test("startGateway lets a server speak first to an announced stream", () =>
  withGateway((socket) => socket.end("220 ready\r\n"), async (client) => {
    const stream = client.openStream({ announce: true });
    assertEquals(await all(stream.readable), "220 ready\r\n");
    stream.close();
  }));

test("startGateway moves megabytes both ways", () =>
  withGateway((socket) => void socket.pipe(socket), async (client) => {
    const stream = client.openStream();
    const sent = Uint8Array.from({ length: 3_000_000 }, (_, i) => i * 7 + (i >> 8));
    const writing = (async () => {
      const writer = stream.writable.getWriter();
      for (let at = 0; at < sent.length; at += 100_000) {
        await writer.write(sent.subarray(at, at + 100_000));
      }
      await writer.close();
    })();
    const parts: Uint8Array[] = [];
    for await (const chunk of stream.readable) parts.push(chunk);
    await writing;
    assertEquals(concat(...parts), sent);
  }));

test("startGateway closes a stream whose target is not there, and no other", async () => {
  const told: string[] = [];
  const gateway = await startGateway({
    listen: { hostname: "127.0.0.1", port: 0 },
    to: { hostname: "127.0.0.1", port: 1 },
    told: (line) => told.push(line),
  });
  const dial = tcp({ hostname: "127.0.0.1", port: gateway.port });
  const client = await BmpConnection.open({ dial });
  try {
    for (let i = 0; i < 3; i++) {
      const stream = client.openStream({ announce: true });
      assertEquals(await stream.closed, "CLOSED");
    }
    // Once, not for every stream.
    assertEquals(told.length, 1);
    assertMatch(told[0]!, /^127\.0\.0\.1:1 cannot be reached: ECONNREFUSED/);
  } finally {
    client.close();
    await gateway.stop();
  }
});

test("startGateway tells when its target is back", async () => {
  const target = createServer((socket) => socket.end());
  await new Promise<void>((resolve) => target.listen(0, "127.0.0.1", resolve));
  const { port } = target.address() as { port: number };
  const close = () => new Promise((resolve) => target.close(resolve));
  await close();
  const told: string[] = [];
  const to = { hostname: "127.0.0.1", port };
  const listen = { hostname: "127.0.0.1", port: 0 };
  const gateway = await startGateway({ listen, to, told: (line) => told.push(line) });
  const dial = tcp({ hostname: "127.0.0.1", port: gateway.port });
  const client = await BmpConnection.open({ dial });
  try {
    await client.openStream({ announce: true }).closed;
    await new Promise<void>((resolve) => target.listen(port, "127.0.0.1", resolve));
    const stream = client.openStream({ announce: true });
    assertEquals(await all(stream.readable), "");
    stream.close();
    assertEquals(told.map((line) => line.replace(/.*(cannot|can) be reached.*/, "$1")), [
      ...["cannot", "can"],
    ]);
  } finally {
    client.close();
    await gateway.stop();
    await close();
  }
});

test("startGateway refuses a certificate that is none, before anybody comes", async () => {
  const address = { hostname: "127.0.0.1", port: 0 };
  const start = (cert: string, key: string) => () =>
    startGateway({ listen: address, to: { ...address, port: 1 }, tls: { cert, key } });
  await assertRejects(start("deno.json", "deno.json"), ListenError, "no PEM certificate");
  await assertRejects(start("/nowhere.pem", "deno.json"), ListenError, "cannot be read");
});

test("startGateway ends the connections of a client that goes away", async () => {
  const ended = Promise.withResolvers<void>();
  const opened = Promise.withResolvers<void>();
  await withGateway((socket) => {
    opened.resolve();
    socket.resume().on("end", () => {
      ended.resolve();
      socket.destroy();
    });
  }, async (_client, port) => {
    const socket = connect(port, "127.0.0.1");
    socket.write(encode("text", { kind: "create", id: "a", payload: bytes("x") }));
    await opened.promise;
    socket.destroy();
    await ended.promise;
  });
});

test("place reads addresses", () => {
  assertEquals(place("db.local:5432"), { hostname: "db.local", port: 5432 });
  assertEquals(place("[::1]:80"), { hostname: "::1", port: 80 });
  assertEquals(place("0", "127.0.0.1"), { hostname: "127.0.0.1", port: 0 });
  for (const bad of ["", "db", "db:", "5432", "db:70000", "a b:1", "::1:80"]) {
    assertThrows(() => place(bad), Error, "want host:port");
  }
});

test("bmp-gateway explains itself, and what it wants", () => {
  const [program, ...first] = script(here)!;
  const start = (...args: string[]) => {
    const run = spawnSync(program!, [...first, "tools/bmp-gateway.ts", ...args], { cwd: root });
    return [run.status, `${run.stdout}${run.stderr}`] as const;
  };
  const [helped, help] = start("--help");
  assertEquals(helped, 0);
  assertMatch(help, /--listen \[host:\]port/);
  const zero = ["--listen", "0", "--to", "host:0"];
  const elsewhere = ["--listen", "203.0.113.9:1", "--to", "x:1"];
  for (
    const [args, words] of [
      [["--listen", "0"], /needed/],
      [["--listen", "0", "--to", "x"], /want host:port/],
      [zero, /^--to host:0: nobody/],
      [elsewhere, /^203\.0\.113\.9 is no address of this machine/],
    ] as const
  ) {
    const [status, output] = start(...args);
    assertEquals(status, 2);
    assertMatch(output, words);
    assertEquals(output.trim().split("\n").length, 1, output);
  }
});

// --- inspect ---

test("bmp dissects frames of every form", () => {
  for (const form of ["text", "binary3", "binary4"] as const) {
    const create = encode(form, { kind: "create", id: "io_0", sid: "0", payload: bytes("GET /") });
    const ack = encode(form, { kind: "ack", id: "io_0", sid: "0" });
    const frames = concat(create, ack);
    assertEquals(bmp.detect(frames), true);
    const rows = bmp.dissect(frames);
    assertEquals(
      rows.filter(({ name }) => name.startsWith(form)).map(({ name, offset }) => [name, offset]),
      [
        [`${form} create`, 0],
        [`${form} ack`, create.length],
      ],
    );
    assertEquals(rows[1], {
      offset: create.length - 5,
      length: 5,
      name: "payload",
      value: '"GET /"',
    });
    assertEquals(rows.reduce((sum, { length }) => sum + length, 0), frames.length);
  }
});

test("bmp says what is cut, what is wrong, and what a greeting is", () => {
  const greets = encode("binary4", {
    kind: "create",
    id: "a",
    sid: "bx1?80:2000",
    payload: bytes("\xff"),
  });
  const [head, payload] = bmp.dissect(greets);
  assertMatch(head!.value, /greets: 128 frames of 8192 bytes/);
  assertEquals(payload!.value, "ff");
  assertEquals(bmp.dissect(greets.subarray(0, 5)).map(({ name }) => name), ["a cut frame"]);
  const broken = bmp.dissect(concat(greets, bytes("oops"))).at(-1)!;
  assertEquals([broken.offset, broken.length, broken.name], [greets.length, 4, "a broken frame"]);
  assertMatch(broken.value, /^BAD_MARK at its byte 0/);
});

test("bmp takes apart any bytes without throwing, and claims few that are not its own", () => {
  holds(fc.property(fc.uint8Array({ maxLength: 64 }), (some) => {
    bmp.detect(some);
    bmp.dissect(some);
  }));
  for (const other of ["GET / HTTP/1.1\r\n", "BLAZE", "\xbe\x01", "", "<html>", "\0\0\0\x05"]) {
    assertEquals(bmp.detect(bytes(other)), false, other);
  }
});
