/** Logs over real sockets. */
import { test } from "node:test";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { limits } from "../src/limits.ts";
import { host } from "../src/host.ts";
import { MemoryStore } from "../src/store/memory_store.ts";
import { openSqlite } from "../src/store/sqlite.ts";
import type { LogStore } from "../src/store/store.ts";
import { decodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { decodeExtension, type Extension } from "../src/wire/blaze/extension.ts";
import { TlvType } from "../src/wire/blaze/handshake.ts";
import { greeting } from "./kit/blaze.ts";
import { about, operation, said } from "./kit/log_lab.ts";
import { withRelay } from "./kit/relay.ts";
import { withStorePath } from "./kit/store_file.ts";
import { TestSocket } from "./kit/socket.ts";

const LIFTED = { messagesPerSecond: 0, bytesPerSecond: 0 };

/** A member of the profile that has read what joining brings; and its `joined`. */
async function member(relay: { url: string }, node: number) {
  const socket = await TestSocket.connect(relay, "/sync/bugs");
  socket.send(greeting(node));
  for (;;) {
    const one = word(await socket.next());
    if (one?.subtype === "joined") return { socket, joined: one };
  }
}

function word(message: Uint8Array): Extension | undefined {
  const { type, payload } = decodeFrame(message);
  return type === FrameType.extension ? decodeExtension(payload) : undefined;
}

/** What comes up to what is waited for, in words; nothing of who comes and goes. */
async function until(socket: TestSocket, last: (words: string[]) => boolean): Promise<string[]> {
  const words: string[] = [];
  while (!last(words)) {
    const one = said(await socket.next());
    if (!["type 0", "joined", "left"].includes(one)) words.push(one);
  }
  return words;
}

const live = (words: string[]) => words.at(-1)?.startsWith("live") ?? false;
const entries = (words: string[]) => words.filter((one) => one.startsWith("#"));
const numbers = (to: number) => Array.from({ length: to }, (_, i) => `#${i + 1}`);

test("a relay tells that it keeps logs, and one without a store does not", async () => {
  await withRelay(async (relay) => {
    const { joined } = await member(relay, 1);
    assertEquals(joined.tlvs, [{ type: TlvType.log, value: Uint8Array.of(0) }]);
  });
  await withRelay(async (relay) => {
    const { joined, socket } = await member(relay, 1);
    assertEquals(joined.tlvs, undefined);
    about(socket).open(1);
    assertEquals(said(await socket.next()), "error 4405");
  }, { store: null });
});

/** Each engine, handed over for one test. */
const STORES: Record<string, (run: (store: LogStore) => Promise<void>) => Promise<void>> = {
  "in memory": (run) => run(new MemoryStore(host, limits())),
  "on disk": (run) =>
    withStorePath(async (path) => run(await openSqlite({ path, limits: limits() }))),
};

for (const [name, withStore] of Object.entries(STORES)) {
  test(`authors at once, readers from the start and in the middle: one order, ${name}`, () =>
    withStore((store) =>
      withRelay(async (relay) => {
        const EACH = 150;
        const AUTHORS = 4;
        const ALL = EACH * AUTHORS;
        const people = await Promise.all(
          Array.from({ length: AUTHORS }, (_, i) => member(relay, i + 1)),
        );
        for (const { socket } of people) about(socket).open(7);
        await Promise.all(people.map(({ socket }) => until(socket, live)));
        const late: Promise<string[]>[] = [];
        for (let n = 0; n < EACH; n++) {
          for (const { socket } of people) about(socket).append(operation(n, 500));
          if (n % 50 === 25) {
            late.push(
              member(relay, 50 + n).then(async ({ socket }) => {
                about(socket).open(7);
                return await until(socket, (words) => entries(words).length === ALL);
              }),
            );
            // Lets it come while the others write.
            await new Promise((resolve) => setTimeout(resolve, 0));
          }
        }
        const accepted = (words: string[]) =>
          words.reduce((sum, one) => sum + Number(/^accepted (\d+)/.exec(one)?.[1] ?? 0), 0);
        for (const { socket } of people) {
          const words = await until(
            socket,
            (words) => accepted(words) === EACH && entries(words).length === ALL,
          );
          assertEquals(entries(words), numbers(ALL));
          // Its own entries came before it was told so.
          let seen = 0;
          for (const one of words) {
            if (one.startsWith("#")) seen++;
            const upTo = /^accepted \d+ to (\d+)/.exec(one)?.[1];
            if (upTo) assert(Number(upTo) <= seen, one);
          }
        }
        for (const words of await Promise.all(late)) assertEquals(entries(words), numbers(ALL));
      }, { limits: LIFTED, store })
    ));
}

test("a log of 24 MiB reaches all who read it", () =>
  withRelay(async (relay) => {
    const COUNT = 96;
    const { socket: author } = await member(relay, 1);
    about(author).open(7);
    for (let n = 0; n < COUNT; n++) {
      about(author).append(operation(n, 250_000));
      if (n % 16 === 15) await until(author, (words) => entries(words).length === 16);
    }
    const readers = await Promise.all([2, 3, 4].map((node) => member(relay, node)));
    const all = readers.map(({ socket }) => {
      about(socket).open(7);
      return until(socket, live);
    });
    for (const words of await Promise.all(all)) assertEquals(entries(words), numbers(COUNT));
  }, { limits: LIFTED }));

test("a device that is gone leaves its entries, and comes back to them with its cursor", () =>
  withRelay(async (relay) => {
    const { socket: first } = await member(relay, 1);
    about(first).open(7);
    about(first).append(operation(1));
    const words = await until(first, (words) => words.includes("accepted 1 to 1"));
    assert(words.includes("#1"));
    const metrics = await (await fetch(`${relay.url}/metrics`)).text();
    for (const [event, count] of [["opened", 1], ["appended", 1], ["full", 0]]) {
      assertStringIncludes(metrics, `blaze_relay_logs_total{event="${event}"} ${count}\n`);
    }
    about(first).append(operation(2));
    first.close();
    const { socket } = await member(relay, 2);
    about(socket).open(7);
    const again = await until(socket, (words) => entries(words).length === 2);
    assertEquals(entries(again), numbers(2));
  }));

test("a relay that stops closes its store", async () => {
  const store = new MemoryStore(host, limits());
  await withRelay(async (relay) => {
    const { socket } = await member(relay, 1);
    about(socket).open(7);
    await until(socket, live);
    assertEquals(store.size, 1);
  }, { store });
  await assertRejects(() => store.open({ tenant: "default", id: "00" }, new Uint8Array(32), true));
});
