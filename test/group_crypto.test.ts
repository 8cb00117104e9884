import { Buffer } from "node:buffer";
import { createCipheriv } from "node:crypto";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { AdmissionKey, decodeJoinRequest } from "../src/client/group/e2e/admission_key.ts";
import { bodySigned, decodeBody, encodeBody } from "../src/client/group/e2e/operation_body.ts";
import {
  type Action,
  decodeChange,
  signChange,
  type SignedChange,
} from "../src/client/group/e2e/change.ts";
import { drawSecret, Epoch } from "../src/client/group/e2e/epoch.ts";
import {
  drawIdentity,
  exportIdentity,
  type Identity,
  importIdentity,
} from "../src/client/group/e2e/identity.ts";
import { unwrapPackage, wrapPackage } from "../src/client/group/e2e/package.ts";
import { pad, padme, unpad } from "../src/client/group/e2e/padding.ts";
import { ReplayWindow, WINDOW } from "../src/client/group/e2e/replay.ts";
import { Roster } from "../src/client/group/e2e/roster.ts";
import { drawGroupSecret, formatSecret, parseSecret } from "../src/client/group/e2e/secret.ts";
import { Opener, readNonce, Sealer, Sender } from "../src/client/group/e2e/sender.ts";
import { Openers } from "../src/client/group/openers.ts";
import { type Bytes, concat, fromHex, hex } from "../src/wire/bytes.ts";
import type { Operation } from "../src/wire/blaze/operation.ts";
import { Uuid } from "../src/wire/blaze/blaze_record.ts";
import { fc, holds } from "./kit/random.ts";
import { refusal, refusalNow } from "./kit/refusal.ts";
import { faultOf } from "../src/client/client_error.ts";

const group = new Uint8Array(16).fill(7);
const operationPurpose = { type: 2, compressed: false };

async function refused(run: () => PromiseLike<unknown>, code: string): Promise<void> {
  assertEquals(await refusal(async () => await run()), code);
}

const refusedNow = (run: () => unknown, code: string) => assertEquals(refusalNow(run), code);

interface Link {
  readonly change: SignedChange;
  readonly secret: Bytes;
}

/** A change that follows `parent`. */
async function follow(
  parent: SignedChange | undefined,
  author: Identity,
  action: Action,
): Promise<Link> {
  const { secret, commitment } = await drawSecret(group);
  const change = await signChange({
    group,
    number: (parent?.number ?? 0) + 1,
    parent: parent?.id ?? new Uint8Array(32),
    author: author.card.node,
    action,
    commitment,
  }, author);
  return { change, secret };
}

async function founded() {
  const [a, b, c] = await Promise.all(["a", "b", "c"].map(drawIdentity)) as [
    Identity,
    Identity,
    Identity,
  ];
  const first = await follow(undefined, a, { kind: "create", policy: 0, card: a.card });
  const second = await follow(first.change, a, { kind: "add", card: b.card });
  const roster = await Roster.of(group, [first.change, second.change]);
  const epoch = await Epoch.of(second.change, second.secret);
  return { a, b, c, roster, epoch, first, second };
}

test("Sealer issues a million nonces over restarts, tabs and restored state without a repeat", async () => {
  const { epoch, a } = await founded();
  const openers = new Openers();
  // Each start, tab and restored copy has the same stored state; none of it goes into the instance.
  const starts = 200;
  const hints = new Set<string>();
  for (let start = 0; start < starts; start++) {
    const taken = (hint: string) => openers.taken(hint);
    const sealer = new Sealer(await Sender.draw(epoch, a.card.node, "bugs", taken));
    openers.keep(new Opener(sealer.sender));
    hints.add(hex(sealer.sender.hint));
    const hint = new DataView(sealer.sender.hint.buffer).getUint32(0);
    for (let i = 0; i < 1_000_000 / starts; i++) {
      // The same hint and the next counter each time, so no two of an instance are equal.
      const nonce = new DataView(sealer.nonce().buffer);
      const [first, high, low] = [nonce.getUint32(0), nonce.getUint32(4), nonce.getUint32(8)];
      if (first !== hint || high !== 0 || low !== i) assert(false, `nonce ${i} of ${start}`);
    }
  }
  // No two instances have one hint, so no two of different instances are equal.
  assertEquals(hints.size, starts);
});

test("Sealer stops before a counter could repeat", async () => {
  const { epoch, a } = await founded();
  const sealer = new Sealer(await Sender.draw(epoch, a.card.node, "bugs"));
  assertEquals(readNonce(concat(sealer.nonce(), new Uint8Array(16))).counter, 0n);
  const worn = new Sealer(sealer.sender, 2n ** 32n - 1n);
  worn.nonce();
  refusedNow(() => worn.nonce(), "KEY_WORN_OUT");
});

test("Sender.draw draws again when a hint is taken", async () => {
  const { epoch, a } = await founded();
  const asked: string[] = [];
  const sender = await Sender.draw(epoch, a.card.node, "bugs", (hint) => asked.push(hint) < 3);
  assertEquals(asked.length, 3);
  assertEquals(asked.at(-1), hex(sender.hint));
});

/**
 * A GCM ciphertext that opens under two keys: one block is chosen so that both tags agree. GHASH is
 * linear, so that block is the solution of one equation in GF(2^128).
 */
function twoKeyCiphertext(one: Bytes, two: Bytes, nonce: Bytes, aad: Bytes): Bytes {
  const aes = (key: Bytes, block: Uint8Array) => {
    const cipher = createCipheriv("aes-256-ecb", key, null);
    cipher.setAutoPadding(false);
    return toInt(cipher.update(block));
  };
  const toInt = (bytes: Uint8Array) => BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
  const fromInt = (n: bigint) => fromHex(n.toString(16).padStart(32, "0"));
  const R = 0xe1n << 120n;
  const multiply = (x: bigint, y: bigint) => {
    let z = 0n;
    for (let v = y, i = 127n; i >= 0n; i--) {
      if ((x >> i) & 1n) z ^= v;
      v = v & 1n ? (v >> 1n) ^ R : v >> 1n;
    }
    return z;
  };
  const invert = (x: bigint) => {
    let result = 1n << 127n;
    for (let i = 0; i < 127; i++) {
      x = multiply(x, x);
      result = multiply(result, x);
    }
    return result;
  };
  const blocks = (bytes: Uint8Array) =>
    Array.from({ length: Math.ceil(bytes.length / 16) }, (_, i) => {
      const block = new Uint8Array(16);
      block.set(bytes.subarray(16 * i, 16 * i + 16));
      return toInt(block);
    });
  // Three blocks of ciphertext: any, any, and the one that is solved for.
  const chosen = [0x1234n, 0x5678n, 0n];
  const lengths = BigInt(8 * aad.length) << 64n | BigInt(8 * 48);
  const keys = [one, two].map((key) => ({
    h: aes(key, new Uint8Array(16)),
    mask: aes(key, concat(nonce, Uint8Array.of(0, 0, 0, 1))),
  }));
  const hash = (h: bigint) =>
    [...blocks(aad), ...chosen, lengths].reduce((y, block) => multiply(y ^ block, h), 0n);
  const [first, second] = keys.map(({ h, mask }) => ({ h2: multiply(h, h), tag: hash(h) ^ mask }));
  const difference = first!.tag ^ second!.tag;
  chosen[2] = multiply(difference, invert(first!.h2 ^ second!.h2));
  const tag = hash(keys[0]!.h) ^ keys[0]!.mask;
  return concat(nonce, ...chosen.map(fromInt), fromInt(tag));
}

test("a ciphertext made to open under two keys is opened with the announced one, or not at all", async () => {
  const keys = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)] as const;
  const nonce = fromHex("aabbccdd0000000000000000");
  const aad = new Uint8Array(20).fill(3);
  const both = twoKeyCiphertext(keys[0], keys[1], nonce, aad);
  const open = async (raw: Bytes) => {
    const key = await crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["decrypt"]);
    const algorithm = { name: "AES-GCM", iv: nonce, additionalData: aad };
    return hex(new Uint8Array(await crypto.subtle.decrypt(algorithm, key, both.slice(12))));
  };
  // The attack is real: one ciphertext, two plaintexts.
  const [left, right] = [await open(keys[0]), await open(keys[1])];
  assert(left !== right);

  // Openers never try: a hint names one instance, and a second claim to it is refused.
  const { epoch, a, b } = await founded();
  const mine = await Sender.draw(epoch, a.card.node, "bugs");
  const forged = Object.assign(
    Object.create(Object.getPrototypeOf(mine)),
    await Sender.draw(epoch, b.card.node, "bugs"),
    { hint: mine.hint },
  ) as Sender;
  const openers = new Openers();
  openers.keep(openers.of(mine));
  refusedNow(() => openers.of(forged), "HINT_TAKEN");
  assertEquals(openers.get(hex(mine.hint))!.sender, mine);
  let tries = 0;
  const counted = Object.assign(Object.create(mine), {
    decrypt: (...args: Parameters<Sender["decrypt"]>) => (tries++, mine.decrypt(...args)),
  }) as Sender;
  const payload = concat(mine.hint, new Uint8Array(8), both.subarray(12));
  await refused(() => new Opener(counted).open(payload, operationPurpose), "AUTH_FAILED");
  assertEquals(tries, 1);
});

for (
  const [what, change] of [
    ["type", { type: 3 }],
    ["subtype", { subtype: 0x14 }],
    ["C bit", { compressed: true }],
    ["receiver", { target: new Uint8Array(16).fill(9) }],
  ] as const
) {
  test(`Opener refuses a payload under another ${what}`, async () => {
    const { epoch, a } = await founded();
    const sealer = new Sealer(await Sender.draw(epoch, a.card.node, "bugs"));
    const payload = await sealer.seal(operationPurpose, Uint8Array.of(1));
    const opener = new Opener(sealer.sender);
    await refused(() => opener.open(payload, { ...operationPurpose, ...change }), "AUTH_FAILED");
    assertEquals([...await opener.open(payload, operationPurpose)], [1]);
    await refused(() => opener.open(payload, operationPurpose), "REPLAY");
  });
}

test("Opener refuses a payload of another database, epoch, node or instance", async () => {
  const { epoch, a, b, second, roster } = await founded();
  const third = await follow(second.change, a, { kind: "rotate" });
  await roster.with([third.change]);
  const later = await Epoch.of(third.change, third.secret);
  const instance = new Uint8Array(8);
  const payload = await new Sealer(await Sender.of(epoch, a.card.node, instance, "bugs"))
    .seal(operationPurpose, Uint8Array.of(1));
  for (
    const sender of [
      await Sender.of(epoch, a.card.node, instance, "notes"),
      await Sender.of(later, a.card.node, instance, "bugs"),
      await Sender.of(epoch, b.card.node, instance, "bugs"),
      await Sender.of(epoch, a.card.node, new Uint8Array(8).fill(1), "bugs"),
    ]
  ) await refused(() => new Opener(sender).open(payload, operationPurpose), "AUTH_FAILED");
});

test("every changed bit of a sealed payload is noticed", async () => {
  const { epoch, a } = await founded();
  const sealer = new Sealer(await Sender.draw(epoch, a.card.node, "bugs"));
  const payload = await sealer.seal(operationPurpose, Uint8Array.of(1, 2, 3));
  const opener = new Opener(sealer.sender);
  for (let bit = 0; bit < 8 * payload.length; bit++) {
    const changed = payload.slice();
    changed[bit >> 3]! ^= 1 << (bit & 7);
    await refused(() => opener.open(changed, operationPurpose), "AUTH_FAILED");
  }
  for (let length = 0; length < payload.length; length++) {
    await refusal(async () => await opener.open(payload.subarray(0, length), operationPurpose));
  }
});

test("ReplayWindow takes each counter once, within its reach", () => {
  holds(
    fc.property(fc.array(fc.bigInt(0n, 3000n), { maxLength: 400 }), (counters) => {
      const window = new ReplayWindow();
      const taken = new Set<bigint>();
      let highest = -1n;
      for (const counter of counters) {
        const expected = !taken.has(counter) && counter >= highest + 1n - WINDOW;
        assertEquals(window.fresh(counter), expected);
        if (!expected) continue;
        window.note(counter);
        taken.add(counter);
        if (counter > highest) highest = counter;
      }
      const restored = new ReplayWindow(window.mark);
      for (const counter of taken) assert(!restored.fresh(counter));
    }),
    50,
  );
});

test("pad and unpad are inverse, and sizes say at most 12 % less than they cost", () => {
  holds(fc.property(fc.uint8Array({ maxLength: 5_000 }), (bytes) => {
    const padded = pad(bytes);
    assertEquals(unpad(padded), bytes);
    assert(padded.length <= Math.max(32, 1.13 * (bytes.length + 1)));
    assertEquals(padded.length, padme(padded.length));
  }));
  for (const bad of ["", "00", "0000", "41", "8001"]) {
    refusedNow(() => unpad(fromHex(bad)), "BAD_PADDING");
  }
});

const operation: Operation = {
  kind: "insert",
  collection: "bugs",
  id: new Uuid(1n, 2n),
  counter: 500n,
  node: 1,
  changes: { title: "x" },
};

test("decodeBody reads what encodeBody wrote, near and far, on behalf and signed", async () => {
  const { a } = await founded();
  for (const previous of [0n, 1n, 245n, 246n, 499n]) {
    for (const origin of [undefined, new Uint8Array(16).fill(5)]) {
      for (const signer of [undefined, a]) {
        const body = decodeBody(await encodeBody({ operation, previous, origin }, group, signer));
        assertEquals([body.operation, body.previous, body.origin], [operation, previous, origin]);
        assertEquals(await bodySigned(body, group, a.card), signer !== undefined);
      }
    }
  }
});

test("bodySigned is false for another device, group or byte", async () => {
  const { a, b } = await founded();
  const bytes = await encodeBody({ operation, previous: 499n }, group, a);
  const body = decodeBody(bytes);
  assert(!await bodySigned(body, group, b.card));
  assert(!await bodySigned(body, new Uint8Array(16), a.card));
  const changed = bytes.slice();
  changed[changed.length - 65]! ^= 1;
  assert(!await bodySigned(decodeBody(changed), group, a.card));
});

test("decodeBody refuses what is no body", async () => {
  const bytes = await encodeBody({ operation, previous: 499n }, group);
  for (let length = 0; length < bytes.length; length++) {
    refusalNow(() => decodeBody(bytes.subarray(0, length)));
  }
  const flags = bytes.slice();
  flags[0] = 4;
  refusedNow(() => decodeBody(flags), "RESERVED_BITS");
  const same = bytes.slice();
  same[1] = 0;
  refusedNow(() => decodeBody(same), "BAD_COUNTER");
  const early = await encodeBody({ operation: { ...operation, counter: 3n }, previous: 2n }, group);
  early[1] = 4;
  refusedNow(() => decodeBody(early), "BAD_COUNTER");
});

test("decodeBody answers or refuses whatever it is given", () => {
  holds(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    try {
      decodeBody(bytes);
    } catch (error) {
      faultOf(error);
    }
  }));
});

test("decodeChange refuses every truncation, and a change cut in two", async () => {
  const { first } = await founded();
  const { bytes } = first.change;
  for (let length = 0; length < bytes.length; length++) {
    await refusal(() => decodeChange(bytes.subarray(0, length)));
  }
  await refused(() => decodeChange(concat(bytes, Uint8Array.of(0))), "TRAILING_BYTES");
  const kind = bytes.slice();
  kind[68] = 9;
  await refused(() => decodeChange(kind), "UNKNOWN_CHANGE");
});

test("Roster refuses strangers, broken links and changed bytes", async () => {
  const { a, b, c, roster, first, second } = await founded();
  const next = async (author: Identity, action: Action) =>
    (await follow(second.change, author, action)).change;
  await refused(async () => await roster.with([await next(c, { kind: "rotate" })]), "BAD_CHAIN");
  await refused(
    async () => await roster.with([await next(a, { kind: "add", card: b.card })]),
    "BAD_CHAIN",
  );
  await refused(
    async () => await roster.with([await next(a, { kind: "remove", node: c.card.node })]),
    "BAD_CHAIN",
  );
  await refused(
    async () => await roster.with([await next(a, { kind: "create", policy: 0, card: a.card })]),
    "BAD_CHAIN",
  );
  const removal = await next(a, { kind: "remove", node: b.card.node });
  const back = await follow(removal, a, { kind: "add", card: b.card });
  await refused(() => roster.with([removal, back.change]), "BAD_CHAIN");
  await refused(() => Roster.of(group, [second.change]), "BAD_CHAIN");
  await refused(() => Roster.of(new Uint8Array(16), [first.change]), "BAD_CHAIN");
  // B's change under A's name: the signature is B's.
  const stolen = await signChange({
    group,
    number: 3,
    parent: second.change.id,
    author: a.card.node,
    action: { kind: "rotate" },
    commitment: new Uint8Array(32),
  }, b);
  await refused(() => roster.with([stolen]), "BAD_SIGNATURE");
  const bytes = (await next(a, { kind: "rotate" })).bytes.slice();
  bytes[bytes.length - 70]! ^= 1;
  await refused(async () => await roster.with([await decodeChange(bytes)]), "BAD_SIGNATURE");
});

test("Roster.yieldsTo: the longer branch wins, then the lower id, on both sides alike", async () => {
  const { a, b, roster, second } = await founded();
  const branch = async (author: Identity, length: number) => {
    const changes: SignedChange[] = [];
    for (let i = 0; i < length; i++) {
      const parent = changes.at(-1) ?? second.change;
      changes.push((await follow(parent, author, { kind: "rotate" })).change);
    }
    return await roster.with(changes);
  };
  const [short, long] = [await branch(a, 1), await branch(b, 2)];
  assertEquals([short.yieldsTo(long), long.yieldsTo(short)], [true, false]);
  const [x, y] = [await branch(a, 1), await branch(b, 1)];
  assertEquals(x.yieldsTo(y), !y.yieldsTo(x));
  assertEquals([x.yieldsTo(x), roster.yieldsTo(x), x.yieldsTo(roster)], [false, true, false]);
});

test("Roster.yieldsTo: a removed device cannot outrun its removal", async () => {
  const { a, b, roster, second } = await founded();
  const removal = await follow(second.change, a, { kind: "remove", node: b.card.node });
  const removed = await roster.with([removal.change]);
  const changes: SignedChange[] = [];
  for (let i = 0; i < 20; i++) {
    const parent = changes.at(-1) ?? second.change;
    changes.push((await follow(parent, b, { kind: "rotate" })).change);
  }
  const outrun = await roster.with(changes);
  assertEquals([removed.yieldsTo(outrun), outrun.yieldsTo(removed)], [false, true]);
});

test("Epoch.of refuses another secret than the change committed to", async () => {
  const { first, second } = await founded();
  await refused(() => Epoch.of(second.change, first.secret), "WRONG_SECRET");
});

test("unwrapPackage opens for one device, in one group, and for the request it answers", async () => {
  const { a, b, c, second } = await founded();
  const pack = { secret: second.secret, changes: [second.change] };
  const body = await wrapPackage(pack, group, b.card);
  assertEquals((await unwrapPackage(body, group, b)).secret, second.secret);
  await refused(() => unwrapPackage(body, group, c), "NOT_FOR_US");
  await refused(() => unwrapPackage(body, new Uint8Array(16), b), "NOT_FOR_US");

  const admission = await AdmissionKey.of(new Uint8Array(16).fill(1), true, 0);
  const [salt, other] = [new Uint8Array(32).fill(2), new Uint8Array(32).fill(3)];
  const answer = await wrapPackage(pack, group, c.card, { admission, salt });
  assertEquals((await unwrapPackage(answer, group, c, { admission, salt })).changes.length, 1);
  await refused(() => unwrapPackage(answer, group, c), "NOT_FOR_US");
  await refused(() => unwrapPackage(answer, group, c, { admission, salt: other }), "NOT_FOR_US");
  const stranger = await AdmissionKey.of(new Uint8Array(16).fill(9), true, 0);
  await refused(
    () => unwrapPackage(answer, group, c, { admission: stranger, salt }),
    "NOT_FOR_US",
  );
  for (let length = 0; length < body.length; length++) {
    await refusal(() => unwrapPackage(body.subarray(0, length), group, b));
  }
  assert(a.card.node.length === 16);
});

test("AdmissionKey opens requests made with its key only, and notices every change", async () => {
  const { c } = await founded();
  const admission = await AdmissionKey.of(new Uint8Array(16).fill(1), false, 0);
  const { request } = await admission.seal(c.card);
  assertEquals(await admission.open(decodeJoinRequest(request)), c.card);
  const other = await AdmissionKey.of(new Uint8Array(16).fill(2), false, 0);
  await refused(() => other.open(decodeJoinRequest(request)), "AUTH_FAILED");
  for (const at of [10, 40, request.length - 1]) {
    const changed = request.slice();
    changed[at]! ^= 1;
    await refused(() => admission.open(decodeJoinRequest(changed)), "AUTH_FAILED");
  }
});

test("parseSecret reads what formatSecret wrote and finds every typing error", async () => {
  const secret = drawGroupSecret("notes & bugs");
  const text = await formatSecret(secret);
  assertEquals(await parseSecret(` ${text}\n`), secret);
  for (let i = 0; i < text.length; i++) {
    const typo = text.slice(0, i) + (text[i] === "A" ? "B" : "A") + text.slice(i + 1);
    await refused(() => parseSecret(typo), "BAD_SECRET");
  }
  for (const bad of ["", ".", "bugs", "bugs.", "bugs.AAAA", text + "A"]) {
    await refused(() => parseSecret(bad), "BAD_SECRET");
  }
});

test("importIdentity brings back the same device", async () => {
  const identity = await drawIdentity("laptop");
  const again = await importIdentity(await exportIdentity(identity));
  assertEquals(again.card, identity.card);
  const { first } = await founded();
  const body = await wrapPackage({ secret: first.secret, changes: [] }, group, identity.card);
  assertEquals((await unwrapPackage(body, group, again)).secret, first.secret);
});
