/** Whom a device of a pair gives its data to: nobody before people said yes, and those again after it. */
import { test } from "node:test";
import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import type { Bond, Partner } from "../src/client/pair/partner.ts";
import {
  BlazePair,
  memoryStorage,
  type PairOptions,
  type PairStatus,
  Uuid,
} from "../src/client/mod.ts";
import type { Message } from "../src/link/link.ts";
import { hex } from "../src/wire/bytes.ts";
import { encodeExtension, Subtype } from "../src/wire/blaze/extension.ts";
import { decodeFrame, encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { encodeFault } from "../src/wire/blaze/control.ts";
import {
  Capability,
  decodeHandshake,
  decodeHandshakeAck,
  encodeHandshakeAck,
  type HandshakeAck,
  TlvType,
  VERIFY_LENGTH,
} from "../src/wire/blaze/handshake.ts";
import { host as systemHost } from "../src/host.ts";
import { FakeHost } from "./kit/fake_host.ts";
import { type Hostile, isSubtype, isType, withHostile } from "./kit/hostile.ts";
import { LiteralSocket } from "./kit/literal_socket.ts";
import { pair, type Party, trusting, until } from "./kit/pair.ts";
import { dice, seed, times } from "./kit/random.ts";
import { refusal } from "./kit/refusal.ts";
import { withRelay } from "./kit/relay.ts";

const never = () => new Promise<boolean>(() => {});
const isAck = (message: Message) =>
  isType(message, FrameType.handshakeAck) && decodeFrame(message).payload.length !== VERIFY_LENGTH;

// -- Over memory links

test("nothing passes while one side has not said yes", async () => {
  const answer = Promise.withResolvers<boolean>();
  const passed: number[] = [];
  await pair(
    async (a, b) => {
      await until(() => a.met !== undefined && b.met !== undefined);
      assertEquals(a.met!.code, b.met!.code);
      for (const { pairing } of [a, b]) {
        const send = () => pairing.send(FrameType.operation, new Uint8Array(9));
        assertEquals(await refusal(send), "NOT_PAIRED");
      }
      assertEquals([a.partner, b.partner], [undefined, undefined]);
      assert(!passed.includes(FrameType.operation));
      answer.resolve(true);
      await until(() => a.partner !== undefined && b.partner !== undefined);
      await a.pairing.send(FrameType.operation, new Uint8Array(9));
      await until(() => b.frames.length === 1);
    },
    (message) => {
      passed.push(message[2]! & 0x0f);
      return message;
    },
    { paired: false, trust: { b: trusting(() => answer.promise) } },
  );
});

test("a no ends the link, and the other side is told", () =>
  pair(
    async (a, b) => {
      await until(() => a.refused !== undefined && b.refused !== undefined);
      assertEquals([a.refused, b.refused, b.closed], ["them", "us", "not confirmed"]);
      assertEquals([a.partner, b.partner], [undefined, undefined]);
    },
    undefined,
    { paired: false, trust: { b: trusting(() => false) } },
  ));

test("a confirm that throws, or answers anything but true, is a no", async () => {
  const answers = [
    [() => Promise.reject(new Error("the dialog is gone")), ["CONFIRM_FAILED"]],
    // Nothing of it can be shown as text.
    [() => Promise.reject(Object.create(null)), ["CONFIRM_FAILED"]],
    [() => "yes" as never, []],
  ] as const;
  for (const [judge, faults] of answers) {
    await pair(
      async (_, b) => {
        await until(() => b.refused === "us" && b.faults.length === faults.length);
        assertEquals([b.faults, b.partner], [faults, undefined]);
      },
      undefined,
      { paired: false, trust: { b: trusting(judge) } },
    );
  }
});

test("who was confirmed once is known again, without a word", async () => {
  const [ofA, ofB] = [new Map<string, Bond>(), new Map<string, Bond>()];
  const codes: string[] = [];
  await pair((a) => Promise.resolve(void codes.push(a.partner!.code)), undefined, {
    trust: { a: trusting(undefined, ofA), b: trusting(undefined, ofB) },
  });
  for (let again = 0; again < 2; again++) {
    await pair(
      (a, b) => {
        assertEquals([a.partner!.known, b.partner!.known], [true, true]);
        codes.push(a.partner!.code);
        return Promise.resolve();
      },
      undefined,
      { trust: { a: trusting(never, ofA), b: trusting(never, ofB) } },
    );
  }
  assertEquals(new Set(codes).size, 3, "each connection has keys of its own");
});

test("a stranger with the node id of a partner is asked about, and it is said", async () => {
  const ofA = new Map<string, Bond>();
  await pair(() => Promise.resolve(), undefined, { trust: { a: trusting(undefined, ofA) } });
  await pair(
    async (a) => {
      await until(() => a.met !== undefined);
      assertEquals([a.met!.known, a.met!.changed, a.partner], [false, true, undefined]);
    },
    undefined,
    { paired: false, trust: { a: trusting(never, ofA) } },
  );
});

test("a link that ends between the two yeses leaves two devices that know each other", async () => {
  const [ofA, ofB] = [new Map<string, Bond>(), new Map<string, Bond>()];
  await pair(
    () => until(() => ofA.size + ofB.size === 2),
    // Neither hears the other's yes.
    (message) => isSubtype(message, Subtype.agreed) ? undefined : message,
    { paired: false, trust: { a: trusting(undefined, ofA), b: trusting(undefined, ofB) } },
  );
  await pair(
    (a, b) => Promise.resolve(assertEquals([a.partner!.known, b.partner!.known], [true, true])),
    undefined,
    { trust: { a: trusting(never, ofA), b: trusting(never, ofB) } },
  );
});

test("a proof that was dropped, sent back or said before makes nobody known", async () => {
  const [ofA, ofB] = [new Map<string, Bond>(), new Map<string, Bond>()];
  const trust = () => ({ a: trusting(undefined, ofA), b: trusting(undefined, ofB) });
  await pair(() => Promise.resolve(), undefined, { trust: trust() });
  const proofs: Record<"a" | "b", Message[]> = { a: [], b: [] };
  const note = (message: Message, to: "a" | "b") => {
    if (isSubtype(message, Subtype.known)) proofs[to].push(message);
    return message;
  };
  await pair(() => Promise.resolve(), note, { trust: trust() });
  const [old] = proofs.a;
  for (const meddled of ["dropped", "said before", "sent back"] as const) {
    await pair(
      async (a) => {
        await until(() => a.met !== undefined);
        assertEquals([a.met!.known, a.met!.changed], [false, true], meddled);
        assertEquals(a.faults, []);
      },
      (message, to) => {
        note(message, to);
        if (to === "b" || !isSubtype(message, Subtype.known)) return message;
        if (meddled === "dropped") return undefined;
        // What a device sends back to itself is what the other one was sent.
        return meddled === "said before" ? old : proofs.b.at(-1)!;
      },
      { paired: false, trust: { a: trusting(never, ofA), b: trusting(never, ofB) } },
    );
  }
});

test("a relay that sends back our own Handshake, or the point on the other side, is refused", async () => {
  const p = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
  const mirrored = (key: Uint8Array) => {
    const y = p - BigInt(`0x${hex(key.subarray(33))}`);
    const text = hex(key.subarray(0, 33)) + y.toString(16).padStart(64, "0");
    return Uint8Array.from(text.match(/../g)!, (byte) => parseInt(byte, 16));
  };
  for (const way of ["whole", "key", "mirrored", "node"] as const) {
    await pair(
      async (a) => {
        await until(() => a.faults.length > 0);
        assertEquals([a.faults, a.closed, a.met], [["REFLECTED"], "cannot be met", undefined], way);
      },
      (message, to, { sent }) => {
        if (to === "b" || !isAck(message)) return message;
        const ack = decodeHandshakeAck(decodeFrame(message).payload.slice());
        const own = decodeHandshake(decodeFrame(sent[0]!).payload.slice());
        const { challenge } = ack;
        const other = way === "whole"
          ? { ...own, challenge }
          : way === "node"
          ? { ...ack, node: own.node }
          : { ...ack, publicKey: way === "key" ? own.publicKey : mirrored(own.publicKey) };
        const payload = encodeHandshakeAck(other);
        return encodeFrame({ type: FrameType.handshakeAck, payload });
      },
      { paired: false },
    );
  }
});

/** Changes the Handshake of the partner on its way to one side, or to both. */
const posing =
  (change: (ack: HandshakeAck) => Partial<HandshakeAck>, only?: "a") =>
  (message: Message, to: "a" | "b") => {
    if ((only ?? to) !== to || !isAck(message)) return message;
    const ack = decodeHandshakeAck(decodeFrame(message).payload.slice());
    const payload = encodeHandshakeAck({ ...ack, ...change(ack) });
    return encodeFrame({ type: FrameType.handshakeAck, payload });
  };

test("a partner that cannot be met at all is left at once", async () => {
  const begin = new TextEncoder().encode("\x0bblazedb/1.0");
  const ways = [
    ["INVALID_POINT", { publicKey: new Uint8Array(65).fill(7).with(0, 4) }],
    // Some clients write the protocol's name there, so nobody's id may begin like it.
    ["UNEXPECTED_NAME", { node: new Uint8Array(16).fill(7).map((byte, i) => begin[i] ?? byte) }],
  ] as const;
  for (const [code, change] of ways) {
    await pair(
      async (a) => {
        await until(() => a.closed !== undefined);
        assertEquals([a.closed, a.faults.length, a.met], ["cannot be met", 1, undefined], code);
      },
      posing(() => change, "a"),
      { paired: false },
    );
  }
});

test("two devices from whose Handshakes the commitment was taken compare nothing", () =>
  pair(
    async (a, b) => {
      await until(() => a.faults.length > 0 && b.faults.length > 0);
      for (const { faults, met, closed } of [a, b]) {
        assertEquals([faults, met, closed], [["COMMITMENT_MISSING"], undefined, "cannot be met"]);
      }
    },
    posing(({ tlvs }) => ({ tlvs: tlvs.filter(({ type }) => type !== TlvType.commitment) })),
    { paired: false },
  ));

test("taking out the bit that says so as well changes the code", () =>
  pair(
    async (a, b) => {
      await until(() => a.met !== undefined && b.met !== undefined);
      assertEquals([a.met!.code.length, b.met!.code.length], [30, 30]);
      assertNotEquals(a.met!.code, b.met!.code);
    },
    posing(({ capabilities }) => ({ tlvs: [], capabilities: capabilities & ~Capability.tlvs })),
    { paired: false, trust: { a: trusting(never), b: trusting(never) } },
  ));

test("who was taken without a question, and does not say yes, is left", async () => {
  const [ofA, ofB] = [new Map<string, Bond>(), new Map<string, Bond>()];
  const first = { ...trusting(undefined, ofA), takes: () => true };
  const trust = { a: first, b: trusting(undefined, ofB) };
  for (const patience of [120_000, 10_000]) {
    const host = new FakeHost();
    await pair(
      async (a, b) => {
        await until(() => b.partner !== undefined && host.waiting > 0);
        host.pass(patience - 1);
        assertEquals([a.closed, a.met?.known], [undefined, patience === 10_000]);
        host.pass(1);
        assertEquals([a.closed, a.faults, a.partner], ["no answer", ["NO_ANSWER"], undefined]);
      },
      (message, to) => to === "a" && isSubtype(message, Subtype.agreed) ? undefined : message,
      { host, paired: false, trust },
    );
  }
});

test("a yes that comes after the partner's no makes nothing", async () => {
  const answer = Promise.withResolvers<boolean>();
  const ofA = new Map<string, Bond>();
  const host = new FakeHost();
  await pair(
    async (a, b) => {
      await until(() => a.met !== undefined && b.met !== undefined);
      const no = encodeFrame({
        type: FrameType.error,
        payload: encodeFault({ code: 4424, message: "not_confirmed" }),
      });
      /** Frames are looked at in their order: what came before is done once this is a fault. */
      const done = async () => {
        const before = a.faults.length;
        a.pairing.message(encodeFrame({ type: FrameType.query }));
        await until(() => a.faults.length > before);
      };
      a.pairing.message(no);
      await until(() => a.refused === "them");
      answer.resolve(true);
      await new Promise((resolve) => setTimeout(resolve));
      await done();
      assertEquals([ofA.size, a.partner], [0, undefined]);
      // Who says no and stays must not keep the place, however often it says so.
      host.pass(9_000);
      a.pairing.message(no);
      await done();
      host.pass(1_000);
      assertEquals(a.closed, "no answer");
    },
    undefined,
    { host, paired: false, trust: { a: trusting(() => answer.promise, ofA) } },
  );
});

test("a nonce of our own is nobody's", () =>
  pair(
    async (a) => {
      const reveal = () => a.sent.find((message) => isSubtype(message, Subtype.reveal));
      await until(() => reveal() !== undefined);
      a.pairing.message(reveal()!);
      await until(() => a.faults.length > 0);
      assertEquals([a.faults, a.met], [["COMMITMENT_BROKEN"], undefined]);
    },
    (message, to) => to === "a" && isSubtype(message, Subtype.reveal) ? undefined : message,
    { paired: false },
  ));

test("what an SDK sends before our yes is left out; a yes that was made up is none", () =>
  pair(
    async (a, b) => {
      await until(() => a.met !== undefined && b.met !== undefined);
      const payload = new Uint8Array(40);
      b.pairing.message(encodeFrame({ type: FrameType.operation, payload, encrypted: true }));
      const body = new Uint8Array(32);
      const forged = encodeExtension({ subtype: "device", code: Subtype.agreed, body });
      a.pairing.message(encodeFrame({ type: FrameType.extension, payload: forged }));
      await until(() => a.faults.length + b.faults.length === 2);
      assertEquals([a.faults, b.faults], [["NOT_AGREED"], ["NOT_CONFIRMED"]]);
      assertEquals([a.partner, b.frames], [undefined, []]);
    },
    undefined,
    { paired: false, trust: { b: trusting(never) } },
  ));

test("a partner that proves nothing is left after ten seconds; people may take as long as they like", () => {
  const host = new FakeHost();
  return pair(
    async (a, b) => {
      await until(() => b.met !== undefined);
      host.pass(9_999);
      assertEquals([a.closed, a.faults], [undefined, []]);
      host.pass(1);
      assertEquals([a.closed, a.faults], ["no answer", ["NO_ANSWER"]]);
      host.pass(3_600_000);
      assertEquals([b.closed, host.waiting], [undefined, 0]);
    },
    (message, to) => to === "a" && isSubtype(message, Subtype.reveal) ? undefined : message,
    { host, paired: false, trust: { b: trusting(never) } },
  );
});

test("whatever a relay does to the frames, nobody is a partner without a yes to the same code", async () => {
  for (let from = seed; from < seed + 40 * times; from++) {
    const below = dice(from);
    const [ofA, ofB] = [new Map<string, Bond>(), new Map<string, Bond>()];
    const remembered = below(2) === 0;
    if (remembered) {
      const trust = { a: trusting(undefined, ofA), b: trusting(undefined, ofB) };
      await pair(() => Promise.resolve(), undefined, { trust });
    }
    const said = { a: false, b: false };
    const judge = (who: "a" | "b") => () => said[who] = below(5) > 0;
    const [seen, held]: Message[][] = [[], []];
    const rate = below(40);
    const spoil = (message: Message) => {
      seen!.push(message);
      if (below(100) >= rate) return message;
      switch (below(5)) {
        case 0:
          return undefined;
        case 1:
          return [message, message];
        case 2: {
          const at = below(message.length);
          return message.with(at, message[at]! ^ 1 << below(8));
        }
        case 3:
          held!.push(message);
          return undefined;
        default:
          return [seen![below(seen!.length)]!, message];
      }
    };
    const check = async (a: Party, b: Party) => {
      for (let turn = 0; turn < 8; turn++) {
        await new Promise((resolve) => setTimeout(resolve, 1));
        const [late] = held!.splice(below(held!.length + 1), 1);
        if (late) (below(2) ? a : b).pairing.message(late);
      }
      for (const [who, { partner, faults }, other] of [["a", a, b], ["b", b, a]] as const) {
        assert(!faults.includes("UNEXPECTED"), `seed ${from}`);
        if (!partner) continue;
        assert(partner.known ? remembered : said[who], `seed ${from}`);
        assertEquals(other.met?.code, partner.code, `seed ${from}`);
      }
    };
    const trust = { a: trusting(judge("a"), ofA), b: trusting(judge("b"), ofB) };
    await pair(check, spoil, { paired: false, trust });
  }
});

// -- Against a real relay

const soon = { first: 1, most: 20 };

/** A device that remembers what it was told. */
function open(options: PairOptions): { device: BlazePair; told: PairStatus[]; kinds(): string[] } {
  const device = BlazePair.open({ backoff: soon, backoffLater: soon, ...options });
  const told: PairStatus[] = [];
  device.onStatus((status) => told.push(status));
  return { device, told, kinds: () => told.map(({ kind }) => kind) };
}

async function paired(devices: ReturnType<typeof open>[]): Promise<ReturnType<typeof open>[]> {
  await Promise.all(devices.map(({ device }) => device.ready));
  return devices;
}

const operations = (hostile: { seen: { up: boolean; message: Message }[] }) =>
  hostile.seen.filter(({ up, message }) => up && isType(message, FrameType.operation));

test("a device that walks in when the partner has left gets nothing", () =>
  withRelay((relay) =>
    withHostile(relay.url, async (hostile) => {
      const { url } = hostile;
      const storage = memoryStorage();
      const a = open({ url, database: "bugs", trust: "first" });
      const b = open({ url, database: "bugs", trust: "first", storage });
      const first = await a.device.ready;
      await b.device.ready;
      await b.device.close();
      // Another device with the same token. It says yes to anybody.
      const c = open({ url, database: "bugs", confirm: () => true });
      await until(() => a.told.some((status) => status.kind === "refused" && status.by === "us"));
      const insert = a.device.collection("bugs").insert({ title: "for B" });
      await until(() => a.kinds().filter((kind) => kind === "refused").length > 1);
      assertEquals(operations(hostile).length, 0);
      await c.device.close();
      const again = open({ url, database: "bugs", trust: "first", storage });
      const arrivals = again.device[Symbol.asyncIterator]();
      await insert;
      const { operation, sender } = (await arrivals.next()).value;
      assertEquals([operation.changes, sender.known], [{ title: "for B" }, true]);
      const { node, known } = await a.device.ready;
      assertEquals([hex(node), known], [hex(first.node), true]);
      for (const { device } of [a, again]) await device.close();
    }), { limits: { apartMs: 0 } }));

test("a third device that was refused stays out of the way of the two that know each other", () =>
  withRelay(async ({ url }) => {
    const storages = [memoryStorage(), memoryStorage()];
    const both = () =>
      storages.map((storage) => open({ url, database: "bugs", trust: "first", storage }));
    for (const { device } of await paired(both())) await device.close();
    const backoffLater = { first: 60_000, most: 60_000 };
    const c = open({ url, database: "bugs", backoffLater, confirm: () => true });
    await until(() => c.kinds().includes("waiting"));
    const again = await paired(both());
    assert(again.every(({ told }) => told.some(({ kind }) => kind === "paired")));
    // Its own link may tell later than those of the two.
    await until(() => c.kinds().includes("offline"));
    const away = c.told.find((status) => status.kind === "offline");
    assert(away?.kind === "offline" && away.code === 4424 && away.retryMs > 1_000);
    for (const { device } of [...again, c]) await device.close();
  }));

test("a third device is told that it waits, and what it does is bounded and ends with it", () =>
  withRelay(async ({ url }) => {
    const options = { url, database: "bugs", trust: "first" } as const;
    const [a, b] = [open(options), open(options)];
    await Promise.all([a.device.ready, b.device.ready]);
    const c = open({ ...options, offline: 2 });
    await until(() => c.kinds().includes("waiting"));
    const bugs = c.device.collection("bugs");
    const waiting = [bugs.insert({ n: 1 }), bugs.insert({ n: 2 })];
    assertEquals(await refusal(() => bugs.insert({ n: 3 })), "QUEUE_FULL");
    // What the format refuses is refused at once, partner or not.
    const ended = waiting.map((one) => one.then(() => "sent", ({ name }) => name));
    await c.device.close();
    assertEquals(await Promise.all(ended), ["ConnectionClosed", "ConnectionClosed"]);
    assertEquals(c.kinds(), ["waiting"]);
    for (const { device } of [a, b]) await device.close();
  }));

test("a partner that sees our half of the code and leaves cannot go on guessing unseen", () =>
  withRelay((relay) =>
    withHostile(relay.url, async (hostile) => {
      const { url } = hostile;
      const storage = memoryStorage();
      const backoffLater = { first: 60_000, most: 60_000 };
      const a = open({ url, database: "bugs", confirm: () => true, backoffLater });
      await until(() => a.kinds().includes("waiting"));
      let cuts = 1;
      const reveals = (message: Message, { node }: { node: string }) =>
        cuts > 0 && node === hostile.victims[0]!.node && isSubtype(message, Subtype.reveal);
      hostile.down = (message, victim) => reveals(message, victim) ? [] : undefined;
      hostile.up = (message, victim) => {
        if (!reveals(message, victim)) return;
        cuts--;
        victim.close(4410);
        return [];
      };
      const codes = () =>
        a.told.flatMap((status) => status.kind === "fault" ? [status.fault.code] : []);
      // One may be chance, and it is forgotten once somebody can be met.
      for (let round = 0; round < 2; round++) {
        cuts = 1;
        const b = open({ url, database: "bugs", confirm: () => true, storage });
        await b.device.ready;
        assertEquals([cuts, codes()], [0, []]);
        await b.device.close();
        await until(() => a.kinds().at(-1) === "waiting");
      }
      cuts = 3;
      const told = a.told.length;
      const b = open({ url, database: "bugs", confirm: () => true, storage });
      await until(() => codes().length > 0);
      const [fault] = codes();
      const away = a.told.findLast((status) => status.kind === "offline");
      assertEquals([fault, cuts], ["CODE_WITHHELD", 1]);
      assert(away?.kind === "offline" && away.retryMs > 1_000, "it comes back later");
      assert(!a.told.slice(told).some(({ kind }) => kind === "met"));
      for (const { device } of [a, b]) await device.close();
    })
  ));

/** Takes away what goes to the device that joined first, and no more once it is told so. */
const without = (hostile: Hostile, subtype: number) => {
  const first = hostile.victims.length;
  hostile.down = (message, victim) =>
    victim === hostile.victims[first] && isSubtype(message, subtype) ? [] : undefined;
};

test("who took our yes and kept its own is nobody once another one is the partner", () =>
  withRelay((relay) =>
    withHostile(relay.url, async (hostile) => {
      const { url } = hostile;
      const [ofStranger, ofB] = [memoryStorage(), memoryStorage()];
      const stranger = () =>
        open({ url, database: "bugs", confirm: () => true, storage: ofStranger });
      without(hostile, Subtype.agreed);
      const a = open({ url, database: "bugs", trust: "first" });
      await until(() => a.kinds().includes("waiting"));
      const planted = stranger();
      await planted.device.ready;
      // Its yes is out, and taken away, before anything else may pass.
      await until(() =>
        hostile.seen.some(({ up, message, victim }) =>
          !up && victim === hostile.victims[0] && isSubtype(message, Subtype.agreed)
        )
      );
      await planted.device.close();
      hostile.down = () => {};
      const b = open({ url, database: "bugs", trust: "first", storage: ofB });
      await a.device.ready;
      await b.device.close();
      const told = a.told.length;
      const back = stranger();
      await until(() => a.told.slice(told).some(({ kind }) => kind === "refused"));
      assert(!a.told.slice(told).some(({ kind }) => kind === "paired"));
      for (const { device } of [a, back]) await device.close();
    })
  ));

test("a yes that was not answered shows one node id only, and leaves what was settled", () =>
  withRelay((relay) =>
    withHostile(relay.url, async (hostile) => {
      const { url } = hostile;
      const storages = [memoryStorage(), memoryStorage()];
      /** Both meet, B under this node id. Whether A was asked, and what about. */
      const both = async (heard: boolean, node?: Uuid) => {
        const asked: Partner[] = [];
        const confirm = (_: string, partner: Partner) => asked.push(partner) > 0;
        const a = open({ url, database: "bugs", storage: storages[0]!, confirm });
        await until(() => a.kinds().includes("waiting"));
        const b = open({
          url,
          database: "bugs",
          storage: storages[1]!,
          confirm: () => true,
          ...node && { node },
        });
        await b.device.ready;
        if (heard) await a.device.ready;
        for (const { device } of [a, b]) await device.close();
        return asked.map(({ changed }) => changed);
      };
      without(hostile, Subtype.agreed);
      assertEquals(await both(false), [false]);
      // B knows A. To A, who never heard B's yes, it is B under its own node id only.
      hostile.down = () => {};
      assertEquals(await both(true, Uuid.parse(crypto.randomUUID())), [false]);
      assertEquals(await both(true), []);
      // B's proof is lost once, and what A's people say yes to then is lost, too.
      const first = hostile.victims.length;
      hostile.down = (message, victim) =>
        isSubtype(message, Subtype.agreed) ||
          (victim === hostile.victims[first] && isSubtype(message, Subtype.known))
          ? []
          : undefined;
      const asked: Partner[] = [];
      const confirm = (_: string, partner: Partner) => asked.push(partner) > 0;
      const a = open({ url, database: "bugs", storage: storages[0]!, confirm });
      await until(() => a.kinds().includes("waiting"));
      const b = open({ url, database: "bugs", storage: storages[1]!, confirm: never });
      await until(() =>
        hostile.seen.some(({ up, message, victim }) =>
          up && victim === hostile.victims[first] && isSubtype(message, Subtype.agreed)
        )
      );
      for (const { device } of [a, b]) await device.close();
      assertEquals(asked.map(({ changed }) => changed), [true]);
      hostile.down = () => {};
      assertEquals(await both(true), []);
    })
  ));

test("a yes to a device whose own side says no is not kept", () =>
  withRelay(async ({ url }) => {
    const storage = memoryStorage();
    const a = open({ url, database: "bugs", confirm: () => true, storage });
    const b = open({ url, database: "bugs", confirm: () => false });
    await until(() => a.kinds().includes("refused"));
    await b.device.close();
    await a.device.close();
    const lengths = [...(await storage.load()).values()].map(({ length }) => length);
    assert(!lengths.includes(33), `${lengths}`);
  }));

test("who is refused is asked about again after a while: anybody may wear a node id", () =>
  withRelay(async ({ url }) => {
    let ahead = 0;
    const host = { ...systemHost, now: () => systemHost.now() + ahead };
    let asked = 0;
    const a = open({ url, database: "bugs", host, confirm: () => ++asked > 1 });
    const b = open({ url, database: "bugs", confirm: () => true });
    const refused = () => b.kinds().filter((kind) => kind === "refused").length;
    await until(() => refused() > 2);
    assertEquals(asked, 1);
    ahead = 600_000;
    await a.device.ready;
    assertEquals(asked, 2);
    for (const { device } of [a, b]) await device.close();
  }, { limits: { apartMs: 0 } }));

test("a no that the relay made up costs one meeting, and no more", () =>
  withRelay((relay) =>
    withHostile(relay.url, async (hostile) => {
      const { url } = hostile;
      const payload = encodeFault({ code: 4424, message: "not_confirmed" });
      let asked = 0;
      const confirm = () => {
        if (++asked > 1) return true;
        const [victim] = hostile.victims;
        victim!.toDevice(encodeFrame({ type: FrameType.error, payload }));
        queueMicrotask(() => victim!.close(4410));
        return never();
      };
      const a = open({ url, database: "bugs", confirm });
      await until(() => a.kinds().includes("waiting"));
      const b = open({ url, database: "bugs", confirm: () => true });
      await a.device.ready;
      assertEquals(a.kinds().filter((kind) => kind === "refused").length, 1);
      for (const { device } of [a, b]) await device.close();
    })
  ));

test("a copy of this device does not pass for the partner of both", () =>
  withRelay(async ({ url }) => {
    const [storage, ofB] = [memoryStorage(), memoryStorage()];
    const one = { url, database: "bugs", trust: "first", storage } as const;
    const first = [open(one), open({ ...one, storage: ofB })];
    for (const { device } of await paired(first)) await device.close();
    let asked = 0;
    const confirm = () => ++asked < 0;
    const kept = await storage.load();
    const copies = [storage, memoryStorage(kept)].map((storage, i) => {
      const node = Uuid.parse(crypto.randomUUID());
      return open({ url, database: "bugs", confirm, storage, ...i > 0 && { node } });
    });
    const faults = ({ told }: typeof copies[number]) =>
      told.flatMap((status) => status.kind === "fault" ? [status.fault.code] : []);
    await until(() => copies.some((copy) => faults(copy).includes("OWN_COPY")));
    assertEquals([asked, copies.some(({ kinds }) => kinds().includes("paired"))], [0, false]);
    for (const { device } of copies) await device.close();
    const again = [open(one), open({ ...one, storage: ofB })];
    for (const { device } of await paired(again)) await device.close();
    assert(again.every(({ told }) => told.some((s) => s.kind === "paired" && s.partner.known)));
  }));

test("a device whose storage is held elsewhere waits for it, and can be closed meanwhile", () =>
  withRelay(async ({ url }) => {
    const free = Promise.withResolvers<void>();
    const storage = {
      ...memoryStorage(),
      hold(busy: () => void, signal: AbortSignal) {
        queueMicrotask(busy);
        signal.addEventListener("abort", () => free.reject(signal.reason));
        return free.promise;
      },
    };
    const a = open({ url, database: "bugs", trust: "first", storage });
    await until(() => a.kinds().length > 0);
    const [fault] = a.told;
    assertEquals(fault?.kind === "fault" && fault.fault.code, "STORAGE_HELD");
    free.resolve();
    await until(() => a.kinds().includes("waiting"));
    await a.device.close();
    const hold = (_: () => void, signal: AbortSignal) =>
      new Promise<void>((_, reject) => signal.addEventListener("abort", reject));
    const b = open({ url, database: "bugs", trust: "first", storage: { ...storage, hold } });
    await b.device.close();
    assertEquals(b.kinds(), []);
  }));

test("a pair cannot be opened without a word about whom to trust", () => {
  const error = assertThrows(() => BlazePair.open({ url: "ws://127.0.0.1:9", database: "bugs" }));
  assertEquals((error as { code?: string }).code, "NO_CONFIRM");
});

test("an operation of our own that the relay sends back is nobody's", () =>
  withRelay((relay) =>
    withHostile(relay.url, async (hostile) => {
      const options = { url: hostile.url, database: "bugs", trust: "first" } as const;
      const [a, b] = [open(options), open(options)];
      const arrivals = a.device[Symbol.asyncIterator]();
      hostile.up = (message, victim) => {
        if (isType(message, FrameType.operation)) victim.toDevice(message);
      };
      await a.device.collection("bugs").insert({ from: "a" });
      await until(() => a.kinds().includes("fault"));
      const fault = a.told.find(({ kind }) => kind === "fault");
      assertEquals(fault?.kind === "fault" && fault.fault.code, "REFLECTED");
      hostile.up = () => {};
      await b.device.collection("bugs").insert({ from: "b" });
      assertEquals((await arrivals.next()).value.operation.changes, { from: "b" });
      for (const { device } of [a, b]) await device.close();
    })
  ));

test("a counter that leaves none for ours is left out", () =>
  withRelay(async ({ url }) => {
    const storage = memoryStorage();
    const a = open({ url, database: "bugs", confirm: () => true, storage });
    await until(() => a.kinds().includes("waiting"));
    const literal = new LiteralSocket(url, "bugs");
    await literal.ready;
    literal.insert("bugs", {}, Uuid.parse(crypto.randomUUID()), 2n ** 64n - 1n);
    await until(() => a.kinds().includes("fault"));
    const fault = a.told.find(({ kind }) => kind === "fault");
    assertEquals(fault?.kind === "fault" && fault.fault.code, "BAD_COUNTER");
    await a.device.collection("bugs").insert({ n: 1 });
    await until(() => literal.operations.length === 1);
    assertEquals(literal.operations[0]!.counter, 1n);
    literal.close();
    await a.device.close();
  }));

test("a literal client waits for a yes, each time it comes", () =>
  withRelay(async ({ url }) => {
    const answer = Promise.withResolvers<boolean>();
    const asked: Partner[] = [];
    const a = open({
      url,
      database: "bugs",
      trust: "first",
      confirm: (_, partner) => asked.push(partner) === 1 ? answer.promise : true,
    });
    const arrivals = a.device[Symbol.asyncIterator]();
    await until(() => a.kinds().includes("waiting"));
    const literal = new LiteralSocket(url, "bugs");
    await literal.ready;
    for (let n = 0; n < 101; n++) literal.insert("bugs", { n });
    const insert = a.device.collection("bugs").insert({ from: "a" });
    await until(() => a.kinds().includes("fault"));
    const fault = a.told.find(({ kind }) => kind === "fault");
    assertEquals(fault?.kind === "fault" && fault.fault.code, "NOT_CONFIRMED");
    assertEquals(literal.operations, []);
    const { code, remembers, known } = asked[0]!;
    assertEquals([code, remembers, known], [literal.code, false, false]);
    answer.resolve(true);
    await insert;
    for (let n = 0; n < 100; n++) {
      assertEquals((await arrivals.next()).value.operation.changes, { n });
    }
    await until(() => literal.operations.length === 1);
    literal.close();
    await until(() => a.kinds().includes("offline"));
    const again = new LiteralSocket(url, "bugs");
    await again.ready;
    await until(() => asked.length === 2);
    again.close();
    await a.device.close();
  }));

test("a device that has to take another node id is known all the same", () =>
  withRelay((relay) =>
    withHostile(relay.url, async (hostile) => {
      const asked: string[] = [];
      const confirm = (code: string) => asked.push(code) > 0;
      const a = open({ url: hostile.url, database: "bugs", confirm });
      const b = open({ url: relay.url, database: "bugs", confirm });
      const [, { node }] = await Promise.all([a.device.ready, b.device.ready]);
      for (let again = 1; again < 3; again++) {
        hostile.victims.at(-1)!.close(4411);
        const paired = () => b.told.filter((status) => status.kind === "paired");
        await until(() => paired().length > again);
        const { partner } = paired().at(-1)!;
        assertEquals([partner.known, partner.changed, asked.length], [true, false, 2]);
        assertNotEquals(hex(partner.node), hex(node));
      }
      for (const { device } of [a, b]) await device.close();
    })
  ));

test("forget: everybody needs a yes again", () =>
  withRelay(async ({ url }) => {
    const asked: string[] = [];
    const confirm = (code: string) => asked.push(code) > 0;
    const [a, b] = [
      open({ url, database: "bugs", confirm }),
      open({ url, database: "bugs", confirm }),
    ];
    await Promise.all([a.device.ready, b.device.ready]);
    await a.device.forget();
    await until(() => a.kinds().filter((kind) => kind === "paired").length === 2);
    assertEquals(asked.length, 4);
    assertNotEquals(asked[0], asked[3]);
    const met = b.told.filter((status) => status.kind === "met");
    assertEquals(met.map(({ partner }) => partner.changed), [false, true]);
    for (const { device } of [a, b]) await device.close();
  }));

test("forget: what is under way keeps nobody", () =>
  withRelay((relay) =>
    withHostile(relay.url, async (hostile) => {
      const { url } = hostile;
      const [kept, ofB] = [memoryStorage(), memoryStorage()];
      let saving = () => {};
      const storage = {
        ...kept,
        async save(changes: Parameters<typeof kept.save>[0]) {
          saving();
          // Time for what comes meanwhile to be looked at.
          await new Promise((resolve) => setTimeout(resolve, 20));
          await kept.save(changes);
        },
      };
      const asked: Partner[] = [];
      const confirm = (_: string, partner: Partner) => asked.push(partner) > 0;
      const a = open({ url, database: "bugs", storage, confirm });
      await until(() => a.kinds().includes("waiting"));
      const b = () => open({ url, database: "bugs", storage: ofB, confirm: () => true });
      const first = b();
      await a.device.ready;
      await first.device.ready;
      await first.device.close();
      await until(() => a.kinds().filter((kind) => kind === "waiting").length === 2);
      // B is here again, and its yes is held back until A forgets.
      let yes: (() => void) | undefined;
      hostile.down = (message, to) => {
        if (to.node !== hostile.victims[0]!.node || !isSubtype(message, Subtype.agreed)) return;
        hostile.down = () => {};
        yes = () => to.toDevice(message);
        return [];
      };
      const second = b();
      await until(() => yes !== undefined);
      saving = yes!;
      await a.device.forget();
      saving = () => {};
      await a.device.ready;
      assertEquals(asked.map(({ changed }) => changed), [false, false]);
      for (const { device } of [a, second]) await device.close();
    })
  ));

test("forget: the partner is left, even where the storage fails", () =>
  withRelay(async ({ url }) => {
    const kept = memoryStorage();
    let full = false;
    const storage = {
      ...kept,
      save: (changes: Parameters<typeof kept.save>[0]) =>
        // Nothing of it can be shown as text.
        full ? Promise.reject(Object.create(null)) : kept.save(changes),
    };
    let asked = 0;
    const a = open({ url, database: "bugs", storage, confirm: () => ++asked > 0 });
    const b = open({ url, database: "bugs", confirm: () => true });
    await a.device.ready;
    await b.device.ready;
    full = true;
    assertEquals(await refusal(() => a.device.forget()), "STORAGE_FAILED");
    full = false;
    await until(() => asked === 2);
    for (const { device } of [a, b]) await device.close();
  }));

test("a storage that fails is a fault, and the pair goes on", () =>
  withRelay(async ({ url }) => {
    const kept = memoryStorage();
    const storage = {
      ...kept,
      save: (changes: Parameters<typeof kept.save>[0]) =>
        [...changes.values()].some((value) => value?.length === 33)
          ? Promise.reject(new Error("full"))
          : kept.save(changes),
    };
    const a = open({ url, database: "bugs", trust: "first", storage });
    const b = open({ url, database: "bugs", trust: "first" });
    const arrivals = b.device[Symbol.asyncIterator]();
    await a.device.collection("bugs").insert({ title: "still" });
    assertEquals((await arrivals.next()).value.operation.changes, { title: "still" });
    await b.device.close();
    assertEquals(await refusal(() => a.device.close()), "STORAGE_FAILED");
    const failed = a.told.filter((status) => status.kind === "fault");
    assert(failed.length > 0 && failed.every(({ fault }) => fault.code === "STORAGE_FAILED"));
  }));
