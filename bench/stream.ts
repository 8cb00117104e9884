/**
 * WebSocket over a stream beside a native WebSocket, in one run: latency, throughput, bytes on the
 * wire; and a million frames through random cuts.
 *
 * @module
 */
import { type AddressInfo, connect, createServer } from "node:net";
import { Socket } from "../src/client/socket.ts";
import { startChild } from "./child.ts";
import { frames } from "./frames.ts";
import { print, quantile, short, title } from "./table.ts";

const SIZE = 200;
const PINGS = 500;
const BURST = 50_000;
/** Messages under way at once. */
const WINDOW = 1_000;
const transports = ["websocket", "http"] as const;
type Transport = typeof transports[number];

/** Runs everything. Answers false when a frame came out other than it went in. */
export async function stream(): Promise<boolean> {
  title(
    "WebSocket over a stream",
    `${SIZE} B echoed; the relay is a process of its own, client and proxy share another.`,
    "Overhead: bytes on the wire beyond the message, up and down, HTTP and frames together.",
  );
  const relay = await startChild("ours");
  try {
    const rows: Row[] = [];
    for (const transport of transports) {
      rows.push(await measure(`http://127.0.0.1:${relay.port}`, transport));
    }
    show(rows);
  } finally {
    await relay.stop();
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
    median: quantile(times, 0.5),
    slow: quantile(times, 0.99),
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

/** One message after the other; milliseconds of each. */
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
  return times;
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

function show(rows: readonly Row[]): void {
  const native = rows[0]!;
  const ms = (value: number) => `${value.toFixed(2)} ms`;
  const bytes = (pair: readonly number[]) => pair.map((value) => value.toFixed(1)).join(", ");
  print(
    ["", "median", "99 %", "added", "messages/s", "overhead alone", "in a burst"],
    rows.map(({ transport, median, slow, perSecond, alone, burst }) => [
      transport,
      ms(median),
      ms(slow),
      ms(median - native.median),
      short(perSecond),
      bytes(alone),
      bytes(burst),
    ]),
  );
}
