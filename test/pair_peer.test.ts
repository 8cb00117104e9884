/** PROTOCOL.md and the page on records, proved by a device in Python that was written from them. */
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { BlazeDate, BlazePair, Double, type Partner, Uuid } from "../src/client/mod.ts";
import { hex } from "../src/wire/bytes.ts";
import { commonNames } from "../src/wire/blaze/fields.ts";
import { here, root } from "../tools/runtimes.ts";
import { needsPython, runPythonFile } from "./kit/python.ts";
import { withRelay } from "./kit/relay.ts";

const page = `${root}docs/protocol/record.md`;

/** What the peer saw. */
interface Seen {
  readonly node: string;
  readonly partner: string;
  readonly code: string;
  readonly known?: boolean;
  readonly bond?: string;
  readonly kind: number;
  readonly collection: string;
  readonly id: string;
  readonly counter: number;
  readonly hash: boolean;
  readonly changes: Record<string, unknown>;
}

const peer = (url: string, ...args: string[]): Promise<Seen> =>
  runPythonFile(`${root}test/peers/pair_client.py`, url, `käfer ${here}`, ...args);

/** Lets a device and the peer exchange an operation each, and compares what both saw. */
async function exchange(device: BlazePair, run: () => Promise<Seen>): Promise<[Partner, Seen]> {
  const arrivals = device[Symbol.asyncIterator]();
  const id = Uuid.parse("00112233-4455-6677-8899-aabbccddeeff");
  const title = "again and ".repeat(200);
  const createdAt = new BlazeDate(0);
  const fields = {
    title,
    createdAt,
    id,
    total: new Double(2),
    data: Uint8Array.of(1, 2),
    naïve: [],
  };
  const sent = device.collection("bugs").insert(fields, id);
  const seen = await run();
  await sent;
  const { operation, sender } = (await arrivals.next()).value;
  assertEquals([operation.kind, operation.collection, operation.counter], ["insert", "bugs", 1n]);
  assertEquals(operation.changes, {
    title: "Crash on start",
    priority: 5,
    überfällig: true,
    ratio: 0.25,
    createdBy: null,
    count: -70000,
    tags: ["bug", "", 7, []],
    metadata: { id: 1, z: { long: "sixteen bytes and more" } },
  });
  assertEquals(seen.changes, {
    title,
    createdAt: { unix: 978307200 },
    id: String(id),
    total: 2,
    data: "0102",
    naïve: [],
  });
  assertEquals([seen.kind, seen.collection, seen.id, seen.hash], [0, "bugs", String(id), true]);
  assertEquals([seen.node, seen.code], [hex(sender.node), sender.code]);
  return [sender, seen];
}

test("the page on records has the 58 names of the code, each with its byte", () => {
  const rows = readFileSync(page, "utf8").matchAll(/\| ([0-9a-f]{2}) +\| `(\w+)` +(?=\|)/g);
  const named = [...rows].map(([, id, name]) => [parseInt(id!, 16), name!]);
  assertEquals(
    named.sort(([a], [b]) => Number(a) - Number(b)),
    commonNames.map((name, i) => [i + 1, name]),
  );
});

test("the example of the page on records is what the code writes", async () => {
  const { decodeRecord, encodeRecord } = await import("../src/wire/blaze/blaze_record.ts");
  const example = readFileSync(page, "utf8").match(/## Example\n.*?```text\n(.*?)```/s)![1]!;
  const digits = example.split("\n").map((line) => line.split(/ {2,}/)[0]).join("");
  const fields = { title: "Crash on start", priority: 5 };
  assertEquals(digits.replaceAll(" ", ""), hex(encodeRecord(fields)));
  assertEquals(decodeRecord(encodeRecord(fields)), fields);
});

const python = needsPython("cryptography");

test(
  "a literal client in Python pairs with ours: code, Verify, seal and records",
  python,
  () =>
    withRelay(async ({ url }) => {
      const asked: string[] = [];
      const confirm = (code: string) => asked.push(code) > 0;
      const device = BlazePair.open({ url, database: `käfer ${here}`, confirm });
      try {
        const [partner, seen] = await exchange(device, () => peer(url, "literal", page));
        assertMatch(seen.code, /^\d{30}$/);
        assertEquals([asked, partner.literal, partner.remembers], [[seen.code], true, false]);
      } finally {
        await device.close();
      }
    }),
);

test(
  "a device in Python is confirmed once, and known again",
  python,
  () =>
    withRelay(async ({ url }) => {
      const asked: string[] = [];
      const confirm = (code: string) => asked.push(code) > 0;
      const backoff = { first: 1, most: 5 };
      const device = BlazePair.open({
        url,
        database: `käfer ${here}`,

        backoff,
        confirm,
      });
      try {
        const [first, seen] = await exchange(device, () => peer(url, "pair", page));
        assertMatch(seen.code, /^\d{6}$/);
        assertEquals([first.verified, first.known, seen.known, asked], [true, false, false, [
          seen.code,
        ]]);
        const again = () => peer(url, "pair", page, seen.node, seen.bond!);
        const [second, later] = await exchange(device, again);
        assertEquals([second.known, later.known, asked.length], [true, true, 1]);
        assert(later.code !== seen.code);
      } finally {
        await device.close();
      }
    }),
);
