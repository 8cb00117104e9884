import { readFileSync } from "node:fs";
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { BlazePair } from "../../src/client/mod.ts";
import { Socket } from "../../src/client/socket.ts";
import { inMemory } from "../../src/client/transport/transport_memory.ts";
import { needsNginx, withNginx } from "../kit/nginx.ts";
import { withRelay } from "../kit/relay.ts";
import { root } from "../../tools/runtimes.ts";

/** Ways in which nginx passes requests on. None passes an upgrade on. */
const ways: Record<string, string[]> = {
  "with its defaults": [],
  "with HTTP/1.0 to the relay, buffering on": [
    "proxy_http_version 1.0;",
    "proxy_set_header Connection close;",
    "proxy_buffering on;",
  ],
  "with HTTP/1.1 and connections that are kept": [
    "proxy_http_version 1.1;",
    'proxy_set_header Connection "";',
  ],
  "told to buffer whatever the relay says": [
    "proxy_ignore_headers X-Accel-Buffering;",
    "proxy_buffering on;",
  ],
};

for (const [way, lines] of Object.entries(ways)) {
  test(`devices sync through nginx ${way}`, needsNginx, async () => {
    await withRelay(async (relay) => {
      await withNginx(relay.url, lines, async (url) => {
        const options = {
          database: "bugs",
          memory: inMemory(),
          patienceMs: 500,
          trust: "first",
        } as const;
        const ann = BlazePair.open({ ...options, url });
        const bob = BlazePair.open({ ...options, url: relay.url, memory: inMemory() });
        try {
          const [a, b] = await Promise.all([ann.ready, bob.ready]);
          assertEquals(a.code, b.code);
          const [fromBob, fromAnn] = [ann[Symbol.asyncIterator](), bob[Symbol.asyncIterator]()];
          for (let i = 0; i < 20; i++) {
            await ann.collection("bugs").insert({ title: `a${i}` });
            await bob.collection("bugs").insert({ title: `b${i}` });
          }
          for (let i = 0; i < 20; i++) {
            const [up, down] = [await fromAnn.next(), await fromBob.next()];
            assertEquals(up.value.operation.changes.title, `a${i}`);
            assertEquals(down.value.operation.changes.title, `b${i}`);
          }
          assertEquals(options.memory.get(url.replace("http", "ws")), "http");
        } finally {
          ann.close();
          bob.close();
        }
      });
    });
  });

  test(`large messages pass nginx ${way}`, needsNginx, async () => {
    await withRelay(async (relay) => {
      await withNginx(relay.url, lines, async (url) => {
        const socket = new Socket(`${url}/echo`, [], { transport: "http", patienceMs: 500 });
        socket.binaryType = "arraybuffer";
        await new Promise((resolve) => socket.onopen = resolve);
        const message = new Uint8Array(1_000_000).map((_, i) => i * i);
        for (let i = 0; i < 3; i++) {
          const back = new Promise<MessageEvent>((resolve, reject) => {
            socket.onmessage = resolve;
            socket.onclose = ({ code, reason }) => reject(new Error(`closed: ${code} ${reason}`));
          });
          socket.send(message);
          assertEquals(new Uint8Array((await back).data), message);
        }
        const closed = new Promise<CloseEvent>((resolve) => socket.onclose = resolve);
        socket.close(1000);
        assertEquals((await closed).code, 1000);
      });
    });
  });
}

test(
  "nginx with the settings of deploy/README.md passes WebSockets and streams",
  needsNginx,
  async () => {
    const [, block] = readFileSync(`${root}deploy/README.md`, "utf8").match(/```nginx\n(.*?)```/s)!;
    const [, beside, inside] = block!.match(/^(map .*?^\})\n\n^location \/ \{\n(.*?)^\}/ms)!;
    const lines = inside!.split("\n").filter((line) => !line.includes("proxy_pass"));
    await withRelay(async (relay) => {
      await withNginx(relay.url, lines, async (url) => {
        for (const transport of ["websocket", "http"] as const) {
          const socket = new Socket(`${url}/echo`, [], { transport });
          socket.binaryType = "arraybuffer";
          const { data } = await new Promise<MessageEvent>((resolve, reject) => {
            socket.onopen = () => socket.send(Uint8Array.of(1, 2, 3));
            socket.onmessage = resolve;
            socket.onclose = ({ code }) => reject(new Error(`${transport}: closed with ${code}`));
          });
          assertEquals(new Uint8Array(data), Uint8Array.of(1, 2, 3));
          socket.onclose = null;
          socket.close();
        }
        assertEquals((await fetch(`${url}/health`)).status, 200);
      }, beside);
    });
  },
);
