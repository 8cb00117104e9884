/**
 * BMP in figures: requests a second against the real Blazeio, what an idle stream costs, and what one
 * stream moves over a slow line.
 *
 * Each part runs the server as a process of its own, on the same runtime as this one.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { connect, createServer, type Socket } from "node:net";
import process from "node:process";
import { BmpConnection } from "../src/client/bmp/bmp_connection.ts";
import { tcp } from "../src/client/bmp/tcp.ts";
import { blazeio, blazeioClient, withBlazeioServer, withoutBlazeio } from "../test/kit/blazeio.ts";
import { here, root, script } from "../tools/runtimes.ts";

const STREAMS = 64;
const SECONDS = 2;
const ROUNDS = 3;
const IDLE = 10_000;
const MEGABYTES = 20;

interface ServerProcess {
  readonly port: number;
  /** Bytes of memory that are used, after a collection. */
  memory(): Promise<number>;
}

async function withServer(run: (server: ServerProcess) => Promise<void>): Promise<void> {
  const [program, ...first] = script(here)!;
  // Deno hands out its collector only when asked.
  const flags = here === "deno" ? ["--v8-flags=--expose-gc"] : [];
  const child = spawn(program!, [...first, ...flags, "bench/bmp_child.ts"], { cwd: root });
  child.stderr!.pipe(process.stderr);
  let lines = "";
  let heard = (_line: string) => {};
  const line = () => new Promise<string>((resolve) => heard = resolve);
  child.stdout!.on("data", (chunk: unknown) => {
    lines += String(chunk);
    for (let end; (end = lines.indexOf("\n")) >= 0;) {
      heard(lines.slice(0, end));
      lines = lines.slice(end + 1);
    }
  });
  try {
    await run({
      port: Number(await line()),
      async memory() {
        const answer = line();
        child.stdin!.write("memory\n");
        return Number(await answer);
      },
    });
  } finally {
    child.kill("SIGKILL");
  }
}

const open = (port: number) => BmpConnection.open({ dial: tcp({ hostname: "127.0.0.1", port }) });

/** Requests a second of our client at some server. */
async function ours(port: number): Promise<number> {
  const bmp = await open(port);
  const begin = performance.now();
  let count = 0;
  await Promise.all(Array.from({ length: STREAMS }, async () => {
    while (performance.now() - begin < SECONDS * 1_000) {
      const answer = await bmp.fetch("/hello");
      if (await answer.text() !== "hello") throw new Error("a wrong answer");
      count++;
    }
  }));
  const rate = count / (performance.now() - begin) * 1_000;
  bmp.close();
  return rate;
}

async function theirs(port: number): Promise<number> {
  const args = ["bench", String(STREAMS), String(SECONDS)];
  const { requests, seconds } = await blazeioClient(port, args) as Record<string, number>;
  return requests! / seconds!;
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1]!;
const round = (value: number): string => Math.round(value).toLocaleString("en");

async function requests(): Promise<boolean> {
  console.log(
    `requests a second, small GET, ${STREAMS} streams in one TCP connection, median of ${ROUNDS}`,
  );
  const our: number[] = [];
  const real: number[] = [];
  const mixed: number[] = [];
  // In turns, so that whatever else the machine does hits both.
  for (let i = 0; i < ROUNDS; i++) {
    await withServer(async ({ port }) => {
      await ours(port);
      our.push(await ours(port));
      if (blazeio !== undefined) mixed.push(await theirs(port));
    });
    if (blazeio !== undefined) {
      await withBlazeioServer(async (port) => void real.push(await theirs(port)));
    }
  }
  console.log(`  our client, our server         ${round(median(our))}`);
  if (blazeio === undefined) {
    console.log(`  the real pair: ${withoutBlazeio}`);
    return true;
  }
  console.log(`  Blazeio ${blazeio}, client and server ${round(median(real))}`);
  console.log(`  Blazeio's client, our server   ${round(median(mixed))}`);
  const ratio = median(our) / median(real);
  console.log(`  ours to theirs                 ${ratio.toFixed(1)} (goal: 5 or more)`);
  return ratio >= 5;
}

async function idle(): Promise<boolean> {
  let each = 0;
  console.log(`memory of ${round(IDLE)} idle streams on one connection, before HTTP attaches`);
  await withServer(async (server) => {
    const bmp = await open(server.port);
    const warm = bmp.openStream({ announce: true });
    const before = await server.memory();
    for (let i = 0; i < IDLE; i++) {
      bmp.open({ readable() {}, drained() {}, closed() {} }).announce();
    }
    // An answer comes after everything that was sent before its request.
    await (await bmp.fetch("/hello")).text();
    const after = await server.memory();
    warm.close();
    bmp.close();
    each = (after - before) / IDLE;
    console.log(`  per stream, at the server      ${round(each)} bytes`);
    console.log("  the document says              200 bytes (goal here: at most 1,024)");
  });
  return each <= 1_024;
}

/** Carries bytes both ways, each piece `ms` late. */
async function withDelay(ms: number, to: number, run: (port: number) => Promise<void>) {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(to, "127.0.0.1");
    for (const [from, into] of [[near, far], [far, near]] as const) {
      sockets.add(from);
      from.on("data", (chunk: Uint8Array) => setTimeout(() => into.write(chunk), ms));
      from.on("error", () => {});
      from.on("close", () => setTimeout(() => into.destroy(), ms));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await run((server.address() as { port: number }).port);
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

async function far(): Promise<boolean> {
  let good = true;
  console.log(`one stream over a line with delay, ${MEGABYTES} MB, in MB/s (goal at 50 ms: 5)`);
  for (const wait of [50, 100]) {
    await withServer(({ port }) =>
      withDelay(wait / 2, port, async (slow) => {
        const bmp = await open(slow);
        await (await bmp.fetch("/hello")).text();
        const timed = async (what: () => Promise<unknown>) => {
          const begin = performance.now();
          await what();
          const rate = MEGABYTES * 1_000 / (performance.now() - begin);
          if (wait === 50 && rate < 5) good = false;
          return rate.toFixed(1);
        };
        const body = new Uint8Array(MEGABYTES * 1e6);
        const down = await timed(async () =>
          (await bmp.fetch(`/bytes?${body.length}`)).arrayBuffer()
        );
        const up = await timed(async () =>
          (await bmp.fetch("/count", { method: "POST", body })).text()
        );
        console.log(
          `  ${wait} ms there and back          down ${down}, up ${up}` +
            `   (stop-and-wait: ${(8.192 / wait).toFixed(2)})`,
        );
        bmp.close();
      })
    );
  }
  return good;
}

/** All of it; answers false when a goal was missed. */
export async function bmp(): Promise<boolean> {
  const parts = [await requests(), await idle(), await far()];
  return parts.every((good) => good);
}
