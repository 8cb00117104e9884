/**
 * Tries WebSocket over a stream: three PINGs `ping-0` to `ping-2`, their PONGs, CLOSE 1000.
 *
 * Twice: over HTTP, where this program pings the relay, and through a webview's two halves in this
 * process, where the host pings the page, as the prototype's `--test` does.
 *
 * @module
 */
import process from "node:process";
import { startRelay } from "../main.ts";
import { utf8Bytes } from "../src/wire/bytes.ts";
import { Socket } from "../src/client/socket.ts";
import { httpPipe } from "../src/client/transport/http_pipe.ts";
import { webview } from "../src/client/transport/webview_transport.ts";
import { host } from "../src/host.ts";
import { Endpoint } from "../src/link/endpoint.ts";
import { subprotocols } from "../src/link/subprotocol.ts";
import { WebviewHost } from "../src/link/webview_host.ts";
import { readArgs } from "./args.ts";
import { TOKEN_FLAG, tokenOf, typedAddress } from "./relay_flags.ts";
import { note, say } from "./say.ts";

/** Milliseconds for everything together. */
const PATIENCE_MS = 10_000;
const PINGS = ["ping-0", "ping-1", "ping-2"];

const tell = (direction: "->" | "<-", what: string) => say(`  ${direction} ${what}`);

/** Takes pongs: `done` when all have come in order, `fail` for any other. */
function pongs(done: () => void, fail: (error: Error) => void): (data: Uint8Array) => void {
  let at = 0;
  return (data) => {
    const text = new TextDecoder().decode(data);
    tell("<-", `PONG "${text}"`);
    if (text !== PINGS[at]) return fail(new Error(`PONG "${text}", due is "${PINGS[at]}"`));
    if (++at === PINGS.length) done();
  };
}

/** The client pings the relay. */
function overHttp(base: URL, token: string | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const url = new URL("/echo", base);
    url.protocol = url.protocol.replace(/^http/, "ws");
    let endpoint: Endpoint | undefined;
    const take = pongs(() => {
      tell("->", "CLOSE 1000");
      endpoint?.close(1000);
    }, reject);
    const pipe = httpPipe()({ url, protocols: subprotocols(token) }, {
      opened({ idleSeconds, maxMessage }) {
        endpoint = new Endpoint({
          role: "client",
          limits: { maxFrame: maxMessage, maxMessage, maxFragments: 1024 },
          idleMs: 2_000 * idleSeconds,
          closeMs: PATIENCE_MS,
          clock: host,
        }, {
          write: (frame) => pipe.write(frame),
          message: () => reject(new Error("a message that nobody asked for")),
          pong: take,
          closed(code, reason) {
            tell("<-", `CLOSE ${code}`);
            pipe.end();
            if (code === 1000) resolve();
            else reject(new Error(`closed with ${code} ${reason}`));
          },
        });
        for (const ping of PINGS) {
          tell("->", `PING "${ping}"`);
          endpoint.ping(utf8Bytes(ping));
        }
      },
      bytes: (chunk) => endpoint?.receive(chunk),
      probe: () => {},
      lost: (code, reason) => reject(new Error(`lost (${code}): ${reason}`)),
    });
  });
}

/** The host pings the page: frames down a response, packed words up a port. */
function throughWebview(): Promise<void> {
  return new Promise((resolve, reject) => {
    const webviewHost = new WebviewHost(host);
    const socket = new Socket("ws://localhost/echo", [], {
      transport: webview({
        port: (message) => queueMicrotask(() => webviewHost.message(message)),
        fetch: (url) => {
          const connection = webviewHost.connect(
            url,
            () => ({
              message: () => {},
              text: () => {},
              drained: () => {},
              closed: (code) => tell("<-", `CLOSE ${code}`),
            }),
            pongs(() => {
              tell("->", "CLOSE 1000");
              connection.close(1000);
            }, reject),
          );
          queueMicrotask(() => {
            for (const ping of PINGS) {
              tell("->", `PING "${ping}"`);
              connection.ping(utf8Bytes(ping));
            }
          });
          return Promise.resolve(new Response(connection.body));
        },
      }),
    });
    socket.addEventListener("close", ({ code, wasClean }) => {
      if (code === 1000 && wasClean) resolve();
      else reject(new Error(`the page saw ${code}`));
    });
  });
}

async function run(): Promise<void> {
  const { flags } = readArgs({
    command: "stream-test [flags]",
    about: "Tries WebSocket over a stream: three PINGs, matching PONGs, CLOSE 1000.\n" +
      "Ends with 0 when everything came back as it should, else with 1.",
    flags: {
      url: {
        help: "a relay that runs; without one, a relay is started for the test",
        fallback: "",
      },
      token: TOKEN_FLAG,
    },
  });
  const token = tokenOf(flags);
  const given = flags.url ? typedAddress(flags.url) : undefined;
  const impatience = setTimeout(() => {
    note(`FAILED: not done within ${PATIENCE_MS} ms`);
    process.exit(1);
  }, PATIENCE_MS);
  const relay = given
    ? undefined
    : await startRelay({ host: "127.0.0.1", port: 0, token: token ?? "" });
  const url = given ?? new URL(relay!.url);
  say(`over HTTP, ${url.protocol.replace(/^ws/, "http")}//${url.host}/stream`);
  await overHttp(url, token);
  say("through a webview's two halves");
  await throughWebview();
  await relay?.stop();
  clearTimeout(impatience);
  say("ok");
}

try {
  await run();
  process.exit(0);
} catch (error) {
  note(`FAILED: ${error instanceof Error ? error.message : error}`);
  process.exit(1);
}
