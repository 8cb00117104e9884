/**
 * A BMP server with a few answers of its own, the same that `test/peers/blazeio_server.py` gives.
 *
 * @module
 */
import { MUX, type MuxSettings } from "../../src/link/mux/settings.ts";
import { listenBmp } from "../../src/bmp/listen.ts";
import { BmpServer, type BmpServerOptions } from "../../src/bmp/bmp_server.ts";
import type { Handler } from "../../src/runtime/runtime.ts";

/** The body that the captures were made with. */
export const BODY = Uint8Array.from(
  { length: 100_000 },
  (_, i) => (i * 7 + Math.floor(i / 251)) % 256,
);

/** `/hello`, `/big`, `/chunked`, `/echo`. */
export const answers: Handler = async (request) => {
  switch (new URL(request.url).pathname) {
    case "/hello":
      return new Response("hello", { headers: { "content-length": "5" } });
    case "/big":
      return new Response(BODY, { headers: { "content-length": String(BODY.length) } });
    case "/chunked":
      return new Response(
        new ReadableStream({
          async start(controller) {
            for (let n = 0; n < 5; n++) {
              controller.enqueue(new TextEncoder().encode(`piece ${n}\n`));
              await new Promise((resolve) => setTimeout(resolve, 1));
            }
            controller.close();
          },
        }),
      );
    case "/echo": {
      const body = await request.arrayBuffer();
      return new Response(body, { headers: { "content-length": String(body.byteLength) } });
    }
    default:
      return new Response("nothing here", { status: 404 });
  }
};

export interface TestServer {
  readonly port: number;
  readonly bmp: BmpServer;
}

/** Serves on a free port and stops whatever happens. */
export async function withBmp(
  run: (server: TestServer) => Promise<void>,
  handler: Handler = answers,
  { settings, ...options }: Partial<BmpServerOptions> & { settings?: Partial<MuxSettings> } = {},
): Promise<void> {
  const bmp = new BmpServer({
    settings: { ...MUX, ...settings },
    httpStreams: 1_000,
    connections: 100,
    connectionsPerAddress: 100,
    idleSeconds: 30,
    ...options,
  }, handler);
  const server = await listenBmp({ hostname: "127.0.0.1", port: 0 }, bmp);
  try {
    await run({ port: server.port, bmp });
  } finally {
    await bmp.stop(0);
    await server.stop(0);
  }
}
