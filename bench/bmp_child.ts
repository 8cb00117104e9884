/**
 * The server of `bench/bmp.ts`: prints its port, and its memory when a line comes in.
 *
 * @module
 */
import process from "node:process";
import { listenBmp } from "../src/bmp/listen.ts";
import { BmpServer } from "../src/bmp/bmp_server.ts";

const bmp = new BmpServer({
  httpStreams: 16_384,
  connections: 100,
  connectionsPerAddress: 100,
  idleSeconds: 30,
}, async (request) => {
  const { pathname, search } = new URL(request.url);
  if (pathname === "/hello") return new Response("hello", { headers: { "content-length": "5" } });
  if (pathname === "/bytes") {
    let left = Number(search.slice(1));
    return new Response(
      new ReadableStream({
        pull(controller) {
          const piece = new Uint8Array(Math.min(left, 65_536));
          controller.enqueue(piece);
          left -= piece.length;
          if (left === 0) controller.close();
        },
      }),
    );
  }
  let count = 0;
  for await (const piece of request.body ?? []) count += piece.length;
  return new Response(String(count));
});

const { port } = await listenBmp({ hostname: "127.0.0.1", port: 0 }, bmp);
console.log(port);

process.stdin.on("data", () => {
  const { Bun, gc } = globalThis as { Bun?: { gc(force: boolean): void }; gc?: () => void };
  for (let i = 0; i < 3; i++) {
    Bun?.gc(true);
    gc?.();
  }
  console.log(process.memoryUsage().heapUsed);
});
