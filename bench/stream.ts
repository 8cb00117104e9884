/**
 * WebSocket over a stream beside a native WebSocket, in one run: latency, throughput, bytes on the
 * wire; and a million frames through random cuts. `deno run -A bench/stream.ts`, `bun bench/stream.ts`.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { type AddressInfo, connect, createServer } from "node:net";
import process from "node:process";
import { Socket } from "../src/client/socket.ts";
import { type Bytes, concat, sameBytes } from "../src/wire/bytes.ts";
import { Decoder } from "../src/wire/websocket/decoder.ts";
import { encodeFrame } from "../src/wire/websocket/frame.ts";
import { Opcode } from "../src/wire/websocket/opcode.ts";
import { here, root, script } from "../tools/runtimes.ts";

const SIZE = 200;
const PINGS = 500;
const BURST = 50_000;
/** Messages under way at once. */
const WINDOW = 1_000;
const transports = ["websocket", "stream"] as const;
type Transport = typeof transports[number];

/** Runs everything. Answers false when a frame came out other than it went in. */
export async function stream(): Promise<boolean> {
  const [program, ...first] = script(here)!;
  const child = spawn(program!, [...first, "bench/stream_server.ts"], { cwd: root });
  try {
    const url = await new Promise<string>((resolve, reject) => {
      child.stdout.on("data", (chunk) => resolve(String(chunk).match(/url (\S+)/)?.[1] ?? ""));
      child.on("exit", () => reject(new Error("the relay has ended")));
    });
    console.log(`\nWebSocket over a stream, ${SIZE} B echoed, client and relay on ${here}`);
    const rows: Row[] = [];
    for (const transport of transports) rows.push(await measure(url, transport));
    table(rows);
  } finally {
    child.kill("SIGKILL");
  }
  return frames(1_000_000);
}

interface Row {
  readonly transport: Transport;
  readonly median: number;
  readonly slow: number;
  readonly perSecond: number;
  readonly alone: readonly [up: number, down: number];
  readonly burst: readonly [up: number, down: number];
}

async function measure(relay: string, transport: Transport): Promise<Row> {
  const direct = await open(relay, transport);
  await rally(direct, 50);
  const times = await rally(direct, PINGS);
  await burst(direct, BURST / 10);
  const since = performance.now();
  await burst(direct, BURST);
  const perSecond = BURST / (performance.now() - since) * 1000;
  direct.close();

  const counter = await countingProxy(relay);
  const counted = await open(counter.url, transport);
  await rally(counted, 10);
  const alone = await counter.during(() => rally(counted, 100), 100);
  const many = await counter.during(() => burst(counted, 10_000), 10_000);
  counted.close();
  counter.stop();
  return {
    transport,
    median: times[Math.floor(times.length / 2)]!,
    slow: times[Math.floor(times.length * 0.99)]!,
    perSecond,
    alone,
    burst: many,
  };
}

async function open(relay: string, transport: Transport): Promise<Socket> {
  const socket = new Socket(`${relay}/echo`, [], { transport });
  socket.binaryType = "arraybuffer";
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onclose = reject;
  });
  return socket;
}

/** One message after the other; milliseconds of each, sorted. */
async function rally(socket: Socket, count: number): Promise<number[]> {
  const message = new Uint8Array(SIZE);
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const since = performance.now();
    const back = new Promise((resolve) => socket.onmessage = resolve);
    socket.send(message);
    await back;
    times.push(performance.now() - since);
  }
  return times.sort((a, b) => a - b);
}

/** As fast as it goes, with a window of messages under way. */
function burst(socket: Socket, count: number): Promise<void> {
  const message = new Uint8Array(SIZE);
  let sent = 0;
  let back = 0;
  return new Promise((resolve) => {
    socket.onmessage = () => {
      if (++back === count) return resolve();
      if (sent < count) {
        sent++;
        socket.send(message);
      }
    };
    for (; sent < Math.min(count, WINDOW); sent++) socket.send(message);
  });
}

/** Passes connections on and counts what passes. */
async function countingProxy(relay: string) {
  const { hostname, port } = new URL(relay);
  let [up, down] = [0, 0];
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    client.on("data", (chunk: Uint8Array) => {
      up += chunk.length;
      upstream.write(chunk);
    }).on("error", () => {}).on("close", () => upstream.destroy());
    upstream.on("data", (chunk: Uint8Array) => {
      down += chunk.length;
      client.write(chunk);
    }).on("error", () => {}).on("close", () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** Bytes per message beyond the message, each way. */
    async during(run: () => Promise<unknown>, count: number): Promise<[number, number]> {
      [up, down] = [0, 0];
      await run();
      // Answers to the last requests are still on their way.
      await new Promise((resolve) => setTimeout(resolve, 100));
      return [up / count - SIZE, down / count - SIZE];
    },
    stop: () => server.close(),
  };
}

function table(rows: readonly Row[]): void {
  const native = rows[0]!;
  console.log(
    "              median    99 %     added   messages/s   bytes of overhead, up and down:",
  );
  console.log(
    "                                                      one at a time     in a burst",
  );
  for (const { transport, median, slow, perSecond, alone, burst } of rows) {
    console.log([
      transport.padEnd(10),
      `${median.toFixed(3)} ms`.padStart(11),
      `${slow.toFixed(2)} ms`.padStart(9),
      `${(median - native.median).toFixed(3)}`.padStart(7),
      Math.round(perSecond).toLocaleString("en").padStart(12),
      alone.map((bytes) => bytes.toFixed(1).padStart(8)).join(""),
      burst.map((bytes) => bytes.toFixed(1).padStart(8)).join(""),
    ].join(" "));
  }
}

/** Frames of random sizes through chunks that are cut anywhere, compared one by one. */
function frames(count: number): boolean {
  let state = 1;
  const below = (limit: number): number => {
    state = Math.imul(state ^ state >>> 15, 0x2c1b3c6d) + 0x9e3779b9 | 0;
    return ((state ^ state >>> 13) >>> 0) % limit;
  };
  const limits = { maxFrame: 1 << 20, maxMessage: 1 << 20, maxFragments: 9 };
  const decoder = new Decoder("server", limits);
  /** Frames that have not come out yet. */
  let due: Bytes[] = [];
  let [seen, different, bytes, busy] = [0, 0, 0, 0];
  for (let sent = 0; sent < count;) {
    const parts: Bytes[] = [];
    for (let i = 0; i < 1000 && sent < count; i++, sent++) {
      const payload = new Uint8Array(below(below(50) === 0 ? 70_000 : 300)).fill(sent);
      const mask = Uint8Array.of(below(256), below(256), below(256), below(256));
      due.push(payload);
      parts.push(encodeFrame(Opcode.binary, payload, { mask }));
    }
    const wire = concat(...parts);
    let next = 0;
    for (let at = 0; at < wire.length;) {
      const chunk = wire.slice(at, at += 1 + below(below(4) === 0 ? 8 : 4000));
      bytes += chunk.length;
      const since = performance.now();
      const events = [...decoder.push(chunk)];
      busy += performance.now() - since;
      for (const event of events) {
        const wanted = due[next++]!;
        if (event.type !== "message" || !sameBytes(event.data as Bytes, wanted)) different++;
      }
    }
    seen += next;
    due = due.slice(next);
  }
  const rate = Math.round(seen / busy * 1000).toLocaleString("en");
  console.log(
    `\n${count.toLocaleString("en")} masked frames, ${
      Math.round(bytes / 1e6)
    } MB in random cuts: ` +
      `${seen.toLocaleString("en")} read, ${different} different; ` +
      `${rate} frames/s, ${Math.round(bytes / busy / 1000)} MB/s`,
  );
  return seen === count && different === 0;
}

if (import.meta.main) process.exit(await stream() ? 0 : 1);
