import { test } from "node:test";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ClientError } from "../src/client/client_error.ts";
import { random } from "../src/client/group/e2e/derive.ts";
import { decodeCarry, encodeCarry } from "../src/client/group/mls/carry.ts";
import { decodeCommitPlace, encodeCommitPlace } from "../src/client/group/mls/commit_place.ts";
import {
  decodeIdentity,
  encodeIdentity,
  identityFits,
  nodeOfKey,
} from "../src/client/group/mls/credential.ts";
import { derOf, rawOf } from "../src/client/group/mls/ecdsa_der.ts";
import {
  afterAdd,
  afterInvite,
  afterRemove,
  afterRevoke,
  decodeGroupData,
  encodeGroupData,
  type GroupData,
  isMember,
  wasRemoved,
} from "../src/client/group/mls/group_data.ts";
import {
  channelName,
  drawInvitation,
  formatInvitation,
  groupIdOf,
  parseInvitation,
} from "../src/client/group/mls/invitation_text.ts";
import { type Bytes, concat, fromHex, hex, WireError, Writer } from "../src/wire/bytes.ts";
import { anyCarry } from "./kit/mls.ts";
import { fc, holds } from "./kit/random.ts";

const draw = (database: string, constant?: Bytes, options: { postQuantum?: boolean } = {}) => ({
  ...drawInvitation(database, constant, options),
  anchor: random(16),
});

const bytes = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((array) => array.slice() as Bytes);

const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });

const anyData: fc.Arbitrary<GroupData> = fc.record({
  signed: fc.boolean(),
  nodes: fc.uniqueArray(bytes(16), { minLength: 1, maxLength: 12, selector: hex }),
  out: fc.nat({ max: 11 }),
  invitations: fc.uniqueArray(fc.record({ value: bytes(32), expires: u64, epoch: u64 }), {
    maxLength: 32,
    selector: ({ value }) => hex(value),
  }),
}).map(({ signed, nodes, out, invitations }) => {
  const removed = nodes.slice(0, Math.min(out, nodes.length - 1));
  return { signed, removed, members: nodes.slice(removed.length), invitations };
});

const code = (work: () => unknown): string => assertThrows(work, WireError).code;

/** Whole it is read; cut anywhere it is `TRUNCATED`, and longer it is `TRAILING_BYTES`. */
function cutEverywhere(whole: Bytes, read: (bytes: Uint8Array) => unknown): void {
  for (let length = 0; length < whole.length; length++) {
    assertEquals(code(() => read(whole.subarray(0, length))), "TRUNCATED", `${length} bytes`);
  }
  assertEquals(code(() => read(concat(whole, random(1)))), "TRAILING_BYTES");
}

test("group data comes back as it was", () => {
  holds(fc.property(anyData, (data) => assertEquals(decodeGroupData(encodeGroupData(data)), data)));
});

test("group data is refused that was cut or is not as it should be", () => {
  const [a, b, value] = [random(16), random(16), random(32)];
  const invitation = { value, expires: 5n, epoch: 3n };
  const data = { signed: true, removed: [a], members: [b], invitations: [invitation] };
  cutEverywhere(encodeGroupData(data), decodeGroupData);
  const refused = (bad: Bytes) => assertEquals(code(() => decodeGroupData(bad)), "BAD_GROUP_DATA");
  const changed = (at: number, byte: number) => {
    const bytes = encodeGroupData(data);
    bytes[at] = byte;
    return bytes;
  };
  refused(changed(0, 2));
  for (const policy of [2, 3, 128]) refused(changed(1, policy));
  refused(encodeGroupData({ ...data, members: [] }));
  refused(encodeGroupData({ ...data, members: [b, b] }));
  refused(encodeGroupData({ ...data, members: [a] }));
  refused(encodeGroupData({ ...data, removed: [a, a] }));
  refused(
    encodeGroupData({ ...data, invitations: [invitation, { value, expires: 9n, epoch: 4n }] }),
  );
  const many = (count: number, length: number) =>
    Array.from({ length: count }, () => random(length));
  refused(encodeGroupData({ ...data, members: many(1001, 16) }));
  const invitations = many(33, 32).map((value) => ({ value, expires: 0n, epoch: 1n }));
  refused(encodeGroupData({ ...data, invitations }));
});

test("group data after a change", () => {
  const [a, b, c] = [random(16), random(16), random(16)];
  const once = { value: random(32), expires: 5n, epoch: 1n };
  const always = { value: random(32), expires: 0n, epoch: 2n };
  const data = { signed: false, removed: [], members: [a, b], invitations: [once] };
  const invited = afterInvite(data, always);
  assertEquals(invited.invitations, [once, always]);
  assertEquals(afterRevoke(invited, [once.value]).invitations, [always]);
  assertEquals(afterAdd(invited, c, once.value).invitations, [always]);
  assertEquals(afterAdd(invited, c, always.value).invitations, [once, always]);
  assertEquals(afterAdd(invited, c, always.value).members, [a, b, c]);
  const removed = afterRemove(invited, [a]);
  assertEquals(removed, { signed: false, removed: [a], members: [b], invitations: [] });
  assert(isMember(removed, b) && !isMember(removed, a) && wasRemoved(removed, a.slice()));
  assertEquals(data.members, [a, b], "nothing changed what was there");
});

test("what a newcomer is given comes back as it was, and is refused when cut", () => {
  const carry = fc.constantFrom(32, 64).chain((length) =>
    fc.array(
      fc.record({
        bound: fc.record({ sequence: u64, hash: bytes(32) }),
        interim: bytes(length),
        confirmationKey: bytes(length),
      }),
      { maxLength: 8 },
    )
  );
  holds(fc.property(carry, (carry) => assertEquals(decodeCarry(encodeCarry(carry)), carry)));
  const [epoch] = anyCarry(1);
  const { bound, interim, confirmationKey } = epoch!;
  const written = encodeCarry([{ ...epoch!, bound: { ...bound, sequence: 258n } }]);
  const expected = [fromHex("0000000000000102"), bound.hash, interim, confirmationKey];
  assertEquals(hex(written), `000120${hex(concat(...expected))}`);
  for (const length of [32, 64]) cutEverywhere(encodeCarry(anyCarry(2, length)), decodeCarry);
  for (const length of [0, 31, 33, 48, 63, 65, 255]) {
    const other = written.slice();
    other[2] = length;
    assertEquals(code(() => decodeCarry(other)), "BAD_LENGTH", `${length}`);
  }
  const many = new Writer().u16(1025).u8(32).bytes(new Uint8Array(1025 * 104)).finish();
  assertEquals(code(() => decodeCarry(many)), "TOO_MANY");
  assertThrows(() => encodeCarry(anyCarry(1025)), WireError);
});

test("where a commit was made comes back as it was, and is refused when cut", () => {
  const place = { ring: random(8), sequence: 258n, hash: random(32), doubt: true };
  const written = encodeCommitPlace(place);
  assertEquals(hex(written), `${hex(place.ring)}0000000000000102${hex(place.hash)}01`);
  assertEquals(decodeCommitPlace(written), place);
  cutEverywhere(written, decodeCommitPlace);
  const wild = written.slice();
  wild[48] = 2;
  assertEquals(code(() => decodeCommitPlace(wild)), "BAD_FLAG");
});

test("identities of leaves", async () => {
  const signKey = random(65);
  const node = await nodeOfKey(signKey);
  const identity = { node, seed: random(16), name: "Ürsula's phone" };
  const encoded = encodeIdentity(identity);
  assertEquals(decodeIdentity(encoded), identity);
  cutEverywhere(encoded, decodeIdentity);
  assert(await identityFits(encoded, signKey));
  assert(!await identityFits(encoded, random(65)));
  assert(!await identityFits(encoded.subarray(1), signKey));
  assertThrows(() => encodeIdentity({ ...identity, name: "x".repeat(64) }), ClientError);
  const long = concat(encoded.subarray(0, 32), Uint8Array.of(64), new Uint8Array(64));
  assertEquals(code(() => decodeIdentity(long)), "NAME_LENGTH");
  const bad = concat(encoded.subarray(0, 32), Uint8Array.of(1, 0xff));
  assertEquals(code(() => decodeIdentity(bad)), "INVALID_UTF8");
});

test("signatures go to DER and back; there is one DER for each", () => {
  holds(fc.property(bytes(64), (raw) => assertEquals(rawOf(derOf(raw)), raw)));
  const zeros = new Uint8Array(64);
  assertEquals(hex(derOf(zeros)), "3006020100020100");
  for (const at of [0, 31, 32, 63]) {
    const raw = new Uint8Array(64);
    for (const byte of [1, 0x7f, 0x80, 0xff]) {
      raw[at] = byte;
      assertEquals(rawOf(derOf(raw)), raw);
    }
  }
  const refused = [
    ["nothing", ""],
    ["another tag", "3106020100020100"],
    ["a length that is not there", "3007020100020100"],
    ["bytes behind it", "300602010002010000"],
    ["no number", "3005020002010000"],
    ["a negative number", "3006020180020100"],
    ["a zero too many", "300702020001020100"],
    ["a number too long", `3026022101${"00".repeat(32)}020100`],
    ["one number", "3003020100"],
    ["a long form of length", "308106020100020100"],
  ] as const;
  for (const [why, text] of refused) assertEquals(rawOf(fromHex(text)), undefined, why);
  const der = derOf(random(64).fill(0x81));
  for (let length = 0; length < der.length; length++) {
    assertEquals(rawOf(der.subarray(0, length)), undefined);
  }
  holds(fc.property(fc.uint8Array({ maxLength: 80 }), (any) => {
    const raw = rawOf(any);
    if (raw) assertEquals(hex(derOf(raw)), hex(any));
  }));
});

test("the text of an invitation comes back, with blanks around it too", async () => {
  for (const database of ["bugs", "a.b.c", "Käfer & Co"]) {
    const drawn = draw(database);
    const text = await formatInvitation(drawn);
    assertEquals(await parseInvitation(text), drawn);
    assertEquals(await parseInvitation(` ${text}\n`), drawn);
    const second = draw(database, drawn.constant);
    const { constant } = second;
    assertEquals(
      await channelName(constant, database),
      await channelName(drawn.constant, database),
    );
    assertEquals((await channelName(constant, database)).length, 32);
    assertEquals(await groupIdOf(constant, database), await groupIdOf(drawn.constant, database));
    assert(hex(second.key) !== hex(drawn.key));
  }
});

test("the text of an invitation says which suite, and for how many", async () => {
  for (const postQuantum of [false, true]) {
    const permanent = { ...drawInvitation("bugs", random(16), { postQuantum, permanent: true }) };
    const text = await formatInvitation(permanent);
    assertEquals(text.length, "bugs.".length + 50);
    assertEquals(await parseInvitation(text), { ...permanent, anchor: undefined });
    const once = draw("bugs", random(16), { postQuantum });
    const anchored = await formatInvitation(once);
    assertEquals(anchored.length, "bugs.".length + 71);
    assertEquals(await parseInvitation(anchored), once);
    // One has an anchor, and the other none.
    for (const wrong of [{ ...permanent, anchor: random(16) }, { ...once, anchor: undefined }]) {
      await assertRejects(() => formatInvitation(wrong), TypeError);
    }
  }
});

test("a text with a typing error, a part of one, or none is refused", async () => {
  const text = await formatInvitation(draw("bugs"));
  const refused = async (bad: string) => {
    const error = await assertRejects(() => parseInvitation(bad), ClientError, "", bad);
    assertEquals(error.code, "BAD_INVITATION");
  };
  for (let length = 0; length < text.length; length++) await refused(text.slice(0, length));
  for (let at = 0; at < text.length; at++) {
    const other = text[at] === "A" ? "B" : "A";
    await refused(text.slice(0, at) + other + text.slice(at + 1));
  }
  for (const bad of ["", ".", "bugs", text.slice(4), `${text}AAAA`, "%", "%E0.AAAA", "é.é"]) {
    await refused(bad);
  }
});
