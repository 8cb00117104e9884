import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import {
  BlazeGroup,
  BlazePair,
  ConnectionClosed,
  type ConnectOptions,
  EcgClient,
} from "../src/client/mod.ts";
import { Connection } from "../src/client/connection.ts";
import type { Carrier, CarrierEvents, CarrierTarget } from "../src/client/transport/carrier.ts";
import { nativeTransport } from "../src/client/transport/native_transport.ts";
import { Close, comeBack, type Return } from "../src/close.ts";
import { type Bytes, hex } from "../src/wire/bytes.ts";
import { decodeFrame } from "../src/wire/blaze/blaze_frame.ts";
import { decodeHandshake } from "../src/wire/blaze/handshake.ts";
import { FakeHost } from "./kit/fake_host.ts";
import { eventually, group, withDevices } from "./kit/group.ts";
import { type Attempt, puppet } from "./kit/puppet.ts";
import { withRelay } from "./kit/relay.ts";
import { TestSocket } from "./kit/socket.ts";

// --- the table --------------------------------------------------------------------------------

/** What every client has. */
interface Client {
  onStatus(listener: (status: { kind: string; retryMs?: number }) => void): () => void;
  readonly ready: Promise<unknown>;
  close(): unknown;
}

const clients: Record<string, (options: ConnectOptions) => Client> = {
  EcgClient: (options) => EcgClient.open({ ...options, stream: "bed-3" }),
  BlazePair: (options) => BlazePair.open({ ...options, database: "bugs", trust: "first" }),
  BlazeGroup: (options) => BlazeGroup.create({ ...options, database: "bugs" }),
};

/** Waits that can be told apart. */
const waits = {
  backoff: { first: 100, most: 1_000 },
  backoffLater: { first: 10_000, most: 100_000 },
};

/** What a client did after it was closed with a code. */
async function closedWith(code: number, open: (options: ConnectOptions) => Client) {
  const host = new FakeHost();
  const control = puppet(true);
  const { attempts, transport } = control;
  const client = open({ url: "ws://relay", host, transport, ...waits });
  let retryMs: number | undefined;
  client.onStatus((status) => {
    if (status.kind === "offline") retryMs = status.retryMs;
  });
  await eventually(() => attempts.length === 1, "it connects");
  const before = await node(attempts[0]!, client);
  let ended: unknown;
  client.ready.catch((error) => ended = error);
  attempts[0]!.closed(code, "", true);
  await eventually(() => retryMs !== undefined || ended !== undefined, "it decides");
  if (retryMs === undefined) {
    assert(ended instanceof ConnectionClosed && ended.code === code);
    host.pass(3_600_000);
    assertEquals(attempts.length, 1);
    return { how: "never", renamed: false };
  }
  host.pass(retryMs);
  assertEquals(attempts.length, 2);
  const renamed = await node(attempts[1]!, client) !== before;
  await client.close();
  const { backoff, backoffLater } = waits;
  assert(retryMs <= backoff.first || retryMs >= backoffLater.first / 2, `${retryMs} ms`);
  return { how: retryMs <= backoff.first ? "soon" : "later", renamed };
}

/** The node id in a Handshake. */
async function node({ sent }: Attempt, client: Client): Promise<string> {
  if (client instanceof EcgClient) return "";
  await eventually(() => sent.length > 0, "a Handshake");
  return String(decodeHandshake(decodeFrame(sent[0] as Bytes).payload).node);
}

const fates: Record<Return, Record<string, { how: string; renamed: boolean }>> = {
  soon: {},
  later: {},
  never: {},
  renamed: {
    EcgClient: { how: "later", renamed: false },
    BlazePair: { how: "soon", renamed: true },
    // Its node id is the hash of its keys.
    BlazeGroup: { how: "later", renamed: false },
  },
};

const others = [["lost", 1006, "soon"], ["of a relay to come", 4999, "soon"]] as const;
const codes = [
  ...Object.values(Close).map((one) => [one.word, one.code, one.comeBack] as const),
  ...others,
];

for (const [name, open] of Object.entries(clients)) {
  test(`${name} does what the table of close codes says`, async () => {
    for (const [word, code, wanted] of codes) {
      assertEquals(comeBack(code), wanted, word);
      const fate = fates[wanted][name] ?? { how: wanted, renamed: false };
      // In a group nothing is awaited that a refused token could reject, as it made itself.
      if (wanted === "never" && name === "BlazeGroup") continue;
      assertEquals(await closedWith(code, open), fate, `${code} ${word}`);
    }
  });
}

test("only a token that is refused is final", () => {
  const final = Object.values(Close).filter(({ comeBack }) => comeBack === "never");
  assertEquals(final.map(({ code }) => code), [4401, 4403]);
});

test("a device of a group ends when its token is refused", async () => {
  const { transport, attempts } = puppet(true);
  const client = BlazeGroup.create({ url: "ws://relay", database: "bugs", transport });
  const loop = client[Symbol.asyncIterator]();
  await eventually(() => attempts.length === 1, "it connects");
  attempts[0]!.closed(4401, "unauthorized", true);
  await assertRejects(() => loop.next(), ConnectionClosed);
  await client.close();
});

test("a pair that has ended tells nothing more", async () => {
  const open = (refused: boolean) => {
    const { transport, attempts } = puppet();
    const client = clients.BlazePair!({
      url: "ws://relay",
      transport: (target, events) => {
        const carrier = transport(target, events);
        queueMicrotask(() => {
          attempts[0]!.opened("");
          // Right behind, while it makes its keys.
          if (refused) attempts[0]!.closed(4401, "unauthorized", true);
        });
        return carrier;
      },
    });
    const told: string[] = [];
    client.onStatus(({ kind }) => told.push(kind));
    return { client, told };
  };
  const refused = open(true);
  await assertRejects(() => refused.client.ready, ConnectionClosed);
  const other = open(false);
  await eventually(() => other.told.includes("waiting"), "another one has made its keys");
  assertEquals(refused.told, []);
  await other.client.close();
});

// --- two with one name ------------------------------------------------------------------------

const turn = () => new Promise<void>((resolve) => queueMicrotask(() => queueMicrotask(resolve)));

test("two tabs with one identity take turns more and more slowly, for hours", async () => {
  const host = new FakeHost();
  const takeovers: number[] = [];
  let holder: CarrierEvents | undefined;
  const tab = () =>
    new Connection({
      url: new URL("ws://relay"),
      host,
      idleMs: 0,
      transport: (_, events): Carrier => {
        queueMicrotask(() => {
          events.opened("");
          holder?.closed(Close.replaced.code, "replaced", true);
          holder = events;
          takeovers.push(host.now());
        });
        return { buffered: 0, send() {}, close() {}, abort() {} };
      },
    }, () => ({
      message() {},
      text() {},
      drained() {},
      closed() {},
      probe: () => false,
    }), {
      offline() {},
      ended() {},
    });
  const tabs = [tab(), tab()];
  const hours = 4;
  for (let second = 0; second < hours * 3600; second++) {
    host.pass(1_000);
    await turn();
  }
  for (const one of tabs) one.close();
  const late = takeovers.filter((at) => at > 3_600_000).length;
  assert(takeovers.length > 10, "none gives up");
  assert(takeovers.length - late < 45, `${takeovers.length - late} in the first hour`);
  // At most one each two and a half minutes.
  assert(late <= (hours - 1) * 24, `${late} in ${hours - 1} hours`);
});

test("a pair whose node id is taken comes back with another, and the two can even meet", () =>
  withRelay(async ({ url }) => {
    const backoff = { first: 10, most: 50 };
    const options = { url, database: "bugs", trust: "first", backoff } as const;
    const first = BlazePair.open(options);
    const second = BlazePair.open({ ...options, node: await first.node() });
    const arrivals = second[Symbol.asyncIterator]();
    const [two, one] = await Promise.all([first.ready, second.ready]);
    await first.collection("bugs").insert({ title: "still here" });
    assertEquals((await arrivals.next()).value.operation.changes, { title: "still here" });
    assertNotEquals(hex(one.node), hex(two.node));
    first.close();
    second.close();
  }));

test("a device of a group whose node id is taken comes back later, and everything arrives", () =>
  withRelay(({ url }) =>
    withDevices(async (kit) => {
      const shown: { url: URL; message: Bytes }[] = [];
      const transport = (target: CarrierTarget, events: CarrierEvents): Carrier => {
        const carrier = nativeTransport(target, events);
        return {
          get buffered() {
            return carrier.buffered;
          },
          send(data) {
            shown.push({ url: target.url, message: data as Bytes });
            carrier.send(data);
          },
          close: (code, reason) => carrier.close(code, reason),
          abort: () => carrier.abort(),
        };
      };
      const backoffLater = { first: 20, most: 50 };
      const { devices } = await group(kit, url, 2, { transport, backoffLater });
      const [one, other] = devices;
      const { url: room, message: handshake } = shown[0]!;
      const thief = await TestSocket.connect({ url }, room.pathname);
      thief.send(handshake);
      const codes = () =>
        one!.statuses.flatMap((status) => status.kind === "offline" ? [status.code] : []);
      await eventually(() => codes().includes(Close.replaced.code), "the first is sent away");
      assertEquals((await thief.closed()).code, Close.replaced.code);
      await one!.client.collection("bugs").insert({ title: "still here" });
      await eventually(() => other!.client.collection("bugs").list().length === 1, "it arrives");
    })
  ));

test("a proxy that refuses a request in the relay's place ends nobody", async () => {
  const server = createServer((_, response) => {
    response.writeHead(403, { "content-type": "text/html" }).end(
      "<h1>Sign in to this network</h1>",
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  for (const transport of ["websocket", "http"] as const) {
    const told: string[] = [];
    const url = `http://127.0.0.1:${port}`;
    const client = EcgClient.open({ url, stream: "a", transport });
    client.ready.catch((error) => told.push(String(error)));
    client.onStatus(({ kind }) => told.push(kind));
    await eventually(() => told.length > 0, "an answer");
    assertEquals(told, ["offline"], transport);
    client.close();
  }
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
