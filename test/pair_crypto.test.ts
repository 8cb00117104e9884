import { createECDH, createHash, createHmac, hkdfSync, pbkdf2Sync } from "node:crypto";
import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { type Bytes, concat, fromHex, hex, utf8Bytes } from "../src/wire/bytes.ts";
import { decodeFrame } from "../src/wire/blaze/blaze_frame.ts";
import {
  Capability,
  decodeHandshake,
  encodeHandshake,
  type Handshake,
} from "../src/wire/blaze/handshake.ts";
import {
  type CodeSide,
  commitment,
  comparisonCode,
  drawKeyPair,
  NONCE_LENGTH,
  PairKeys,
  TAG_LENGTH,
} from "../src/client/pair/pair_keys.ts";
import { Meeting } from "../src/client/pair/bond.ts";
import type { Side } from "../src/client/pair/partner.ts";
import { loadZstd } from "../src/client/blaze/zstd.ts";
import { fc, seed } from "./kit/random.ts";
import { vectors } from "./kit/vectors.ts";
import { refusal } from "./kit/refusal.ts";

type Name = "A" | "B" | "C";

const vector = vectors<{
  keys: Record<Name, { d: string; public65: string }>;
  sharedSecretAB: string;
  hkdf: {
    saltHex: string;
    cases: { databases: [string, string]; info: string; key: string }[];
    pairwise: { AB: string; AC: string; BC: string };
  };
  challenge: string;
  verify: Record<"seedText" | "swiftCode" | "swappedArguments", { hex: string }>;
  sealedOperation: {
    plaintext: { hex: string };
    key: string;
    nonce: string;
    payload: string;
    frames: { legend7: string };
  };
  compressedSealedOperation: {
    note: string;
    zstd: string;
    decompressed: string;
    nonce: string;
    payload: string;
  }[];
  negative: {
    id: string;
    payload?: string;
    publicKey?: string;
    frameType3?: string;
    frameCset?: string;
    reason: string;
  }[];
}>("blaze-frame/handshake.json");

const { keys, hkdf, verify, sealedOperation: sealed, negative } = vector;
const plaintext = fromHex(sealed.plaintext.hex);
const challenge = fromHex(vector.challenge);
const publicKey = (name: Name): Bytes => fromHex(keys[name].public65);

function privateKey(name: Name): Promise<CryptoKey> {
  const base64 = (bytes: Uint8Array) =>
    bytes.toBase64({ alphabet: "base64url", omitPadding: true });
  const point = publicKey(name);
  const jwk = {
    kty: "EC",
    crv: "P-256",
    d: base64(fromHex(keys[name].d)),
    x: base64(point.subarray(1, 33)),
    y: base64(point.subarray(33)),
  };
  const curve = { name: "ECDH", namedCurve: "P-256" };
  return crypto.subtle.importKey("jwk", jwk, curve, false, ["deriveBits"]);
}

/** The keys that `own` holds with `other`. */
const derive = async (
  own: Name,
  other: Name,
  databases: readonly [string, string] = ["bugs", "bugs"],
): Promise<PairKeys> => PairKeys.derive(await privateKey(own), publicKey(other), databases);

async function refuses(attempt: () => Promise<unknown>, code: string): Promise<void> {
  assertEquals(await refusal(attempt), code);
}

/** What AES-256-GCM gives with a key of the vectors: how we see which key a pair has derived. */
async function sealWith(key: string, text: Uint8Array, nonce: Bytes): Promise<string> {
  const aes = await crypto.subtle.importKey("raw", fromHex(key), "AES-GCM", false, ["encrypt"]);
  const algorithm = { name: "AES-GCM", iv: nonce };
  const bytes = await crypto.subtle.encrypt(algorithm, aes, text.slice());
  return hex(nonce) + hex(new Uint8Array(bytes));
}

// ---- derivation

for (const [own, other] of [["A", "B"], ["B", "A"]] as const) {
  test(`PairKeys.derive of ${own} with ${other} seals to the vector's bytes`, async () => {
    const pair = await derive(own, other);
    assertEquals(hex(await pair.seal(plaintext, fromHex(sealed.nonce))), sealed.payload);
    assertEquals(hex(await pair.open(fromHex(sealed.payload))), sealed.plaintext.hex);
    assertEquals(hex(await pair.prove(challenge)), verify.seedText.hex);
  });
}

for (const { databases, info, key } of hkdf.cases) {
  test(`PairKeys.derive of ${JSON.stringify(databases)} has the info ${info}`, async () => {
    const nonce = fromHex(sealed.nonce);
    const expected = await sealWith(key, plaintext, nonce);
    for (const pair of [await derive("A", "B", databases), await derive("B", "A", databases)]) {
      assertEquals(hex(await pair.seal(plaintext, nonce)), expected);
    }
    const derived = hkdfSync(
      "sha256",
      fromHex(vector.sharedSecretAB),
      fromHex(hkdf.saltHex),
      utf8Bytes(info),
      32,
    );
    assertEquals(hex(new Uint8Array(derived)), key);
  });
}

test("PairKeys.derive does not care which side names its database first", async () => {
  const there = await derive("A", "B", ["notes", "bugs"]);
  const back = await derive("B", "A", ["bugs", "notes"]);
  assertEquals(await back.open(await there.seal(plaintext)), plaintext);
});

test("PairKeys.derive sorts names by their bytes, not by UTF-16", async () => {
  // U+FF5E is ef bd 9e, the flame f0 9f 94 a5, yet its first UTF-16 unit is d83d.
  const [first, second] = ["～", "🔥"];
  const key = hkdfSync(
    "sha256",
    fromHex(vector.sharedSecretAB),
    fromHex(hkdf.saltHex),
    utf8Bytes(`${first}:${second}`),
    32,
  );
  const nonce = fromHex(sealed.nonce);
  const expected = await sealWith(hex(new Uint8Array(key)), plaintext, nonce);
  for (const databases of [[first, second], [second, first]] as const) {
    const pair = await derive("A", "B", databases as [string, string]);
    assertEquals(hex(await pair.seal(plaintext, nonce)), expected);
  }
});

for (const pair of ["AB", "AC", "BC"] as const) {
  test(`PairKeys.derive gives ${pair} a key of its own`, async () => {
    const [own, other] = [...pair] as [Name, Name];
    const nonce = fromHex(sealed.nonce);
    const bytes = await (await derive(own, other)).seal(plaintext, nonce);
    assertEquals(hex(bytes), await sealWith(hkdf.pairwise[pair], plaintext, nonce));
  });
}

test("PairKeys.derive agrees with node:crypto on random keys", async () => {
  const { privateKey, publicKey } = await drawKeyPair();
  const other = createECDH("prime256v1");
  other.generateKeys();
  const pair = await PairKeys.derive(privateKey, new Uint8Array(other.getPublicKey()), ["a", "b"]);
  const secret = other.computeSecret(publicKey);
  const proof = createHmac("sha256", secret).update(challenge).digest("hex");
  assertEquals(hex(await pair.prove(challenge)), proof);
});

test("PairKeys.derive takes a key that is a view of a message", async () => {
  const message = concat(new Uint8Array(7), publicKey("B"), new Uint8Array(9));
  const pair = await PairKeys.derive(await privateKey("A"), message.subarray(7, 72), [
    "bugs",
    "bugs",
  ]);
  assertEquals(hex(await pair.open(fromHex(sealed.payload))), sealed.plaintext.hex);
});

test("drawKeyPair draws a new pair each time and keeps the private key inside", async () => {
  const [a, b] = [await drawKeyPair(), await drawKeyPair()];
  for (const { publicKey, privateKey } of [a, b]) {
    assertEquals([publicKey.length, publicKey[0]], [65, 4]);
    assert(!privateKey.extractable);
  }
  assertNotEquals(hex(a.publicKey), hex(b.publicKey));
  const names = ["bugs", "bugs"] as const;
  const there = await PairKeys.derive(a.privateKey, b.publicKey, names);
  const back = await PairKeys.derive(b.privateKey, a.publicKey, names);
  assertEquals(await back.open(await there.seal(plaintext)), plaintext);
});

// ---- sealing

for (const { note, zstd, decompressed, nonce, payload } of vector.compressedSealedOperation) {
  test(`PairKeys open and decompress give the plaintext of: ${note}`, async () => {
    const pair = await derive("B", "A");
    const opened = await pair.open(fromHex(payload));
    assertEquals(hex(opened), zstd);
    assertEquals(hex((await loadZstd()).decompress(opened, 10_000)), decompressed);
    assertEquals(hex(await pair.seal(fromHex(zstd), fromHex(nonce))), payload);
  });
}

test("PairKeys seal adds nonce and tag, and draws a nonce each time", async () => {
  const pair = await derive("A", "B");
  const nonces = new Set<string>();
  for (let i = 0; i < 50; i++) {
    const payload = await pair.seal(plaintext);
    assertEquals(payload.length, NONCE_LENGTH + plaintext.length + TAG_LENGTH);
    nonces.add(hex(payload.subarray(0, NONCE_LENGTH)));
  }
  assertEquals(nonces.size, 50);
});

test("PairKeys open is the inverse of seal", async () => {
  const there = await derive("A", "B");
  const back = await derive("B", "A");
  for (const bytes of fc.sample(fc.uint8Array({ maxLength: 500 }), { seed, numRuns: 50 })) {
    assertEquals(await back.open(await there.seal(bytes)), bytes, `seed ${seed}`);
  }
});

test("PairKeys open refuses a payload cut at every byte", async () => {
  const pair = await derive("A", "B");
  const payload = fromHex(sealed.payload);
  for (let length = 0; length < payload.length; length++) {
    const code = length < NONCE_LENGTH + TAG_LENGTH ? "CIPHERTEXT_TOO_SHORT" : "AUTH_FAILED";
    await refuses(() => pair.open(payload.subarray(0, length)), code);
  }
  await refuses(() => pair.open(concat(payload, Uint8Array.of(0))), "AUTH_FAILED");
});

test("PairKeys open refuses a payload with any byte changed", async () => {
  const pair = await derive("A", "B");
  const payload = fromHex(sealed.payload);
  for (let at = 0; at < payload.length; at++) {
    await refuses(() => pair.open(payload.with(at, payload[at]! ^ 0x80)), "AUTH_FAILED");
  }
});

for (const { id, payload } of negative.filter(({ reason }) => reason === "AUTH_FAILED")) {
  test(`PairKeys open refuses ${id}`, async () => {
    // The payload of wrong-pair-key is a good one: what is wrong is who opens it.
    const pair = id === "wrong-pair-key" ? await derive("A", "C") : await derive("A", "B");
    await refuses(() => pair.open(fromHex(payload!)), "AUTH_FAILED");
  });
}

test("PairKeys open cannot see flags that the relay changed: nothing binds the header", async () => {
  const pair = await derive("B", "A");
  const { frameType3, frameCset } = negative.find(({ id }) => id === "flags-changed-by-relay")!;
  for (const message of [sealed.frames.legend7, frameType3!, frameCset!]) {
    assertEquals(await pair.open(decodeFrame(fromHex(message)).payload), plaintext);
  }
});

// ---- points

const points: [string, string][] = negative.flatMap(({ id, publicKey }) =>
  publicKey ? [[id, publicKey]] : []
);
const y = (bytes: Bytes, byte: number) => bytes.with(64, bytes[64]! ^ byte);
points.push(
  ["nothing", ""],
  ["zeros after 04", `04${"00".repeat(64)}`],
  ["ff after 04: no element of the field", `04${"ff".repeat(64)}`],
  ["a point beside the curve", hex(y(publicKey("B"), 1))],
  ["a byte too many", `${keys.B.public65}00`],
  ["the infinity of SEC 1", "00"],
  ["the hybrid form", keys.B.public65.replace(/^04/, "07")],
);

for (const [id, point] of points) {
  test(`PairKeys.derive refuses ${id}`, async () => {
    const own = await privateKey("A");
    await refuses(() => PairKeys.derive(own, fromHex(point), ["bugs", "bugs"]), "INVALID_POINT");
  });
}

// ---- Verify

test("PairKeys verify takes the seed's proof and that of the derived key, and nothing else", async () => {
  for (const pair of [await derive("A", "B"), await derive("B", "A")]) {
    assert(await pair.verify(challenge, fromHex(verify.seedText.hex)));
    assert(await pair.verify(challenge, fromHex(verify.swiftCode.hex)));
    assert(!await pair.verify(challenge, fromHex(verify.swappedArguments.hex)));
    assert(!await pair.verify(challenge, new Uint8Array(32)));
    assert(!await pair.verify(challenge, new Uint8Array()));
    assert(!await pair.verify(challenge.with(0, 1), fromHex(verify.seedText.hex)));
  }
  const stranger = await derive("A", "C");
  assert(!await stranger.verify(challenge, fromHex(verify.seedText.hex)));
});

for (const proof of ["seedText", "swiftCode"] as const) {
  test(`PairKeys verify refuses ${proof} cut, longer or with any byte changed`, async () => {
    const pair = await derive("A", "B");
    const bytes = fromHex(verify[proof].hex);
    for (let at = 0; at < bytes.length; at++) {
      assert(!await pair.verify(challenge, bytes.subarray(0, at)));
      assert(!await pair.verify(challenge, bytes.with(at, bytes[at]! ^ 1)));
    }
    assert(!await pair.verify(challenge, concat(bytes, Uint8Array.of(0))));
  });
}

test("PairKeys prove and verify agree with node:crypto", async () => {
  const pair = await derive("A", "B");
  const hmac = (key: string) => createHmac("sha256", fromHex(key)).update(challenge).digest();
  assertEquals(hex(hmac(vector.sharedSecretAB)), verify.seedText.hex);
  assertEquals(hex(hmac(sealed.key)), verify.swiftCode.hex);
  assert(await pair.verify(challenge, hmac(vector.sharedSecretAB)));
  assertEquals(await pair.prove(challenge), new Uint8Array(hmac(vector.sharedSecretAB)));
});

// ---- comparison code

const nonces = { A: new Uint8Array(16).fill(0xa0), B: new Uint8Array(16).fill(0xb0) };

const handshake = (name: "A" | "B"): Handshake => ({
  node: new Uint8Array(16).fill(name === "A" ? 0x11 : 0x22),
  database: "bugs",
  publicKey: publicKey(name),
  capabilities: 0x8f,
  timestamp: 1736899200500n,
  tlvs: [{ type: 1, value: new Uint8Array(createHash("sha256").update(nonces[name]).digest()) }],
});

const side = (name: "A" | "B"): CodeSide => ({ handshake: handshake(name), nonce: nonces[name] });
const bare = (name: "A" | "B"): CodeSide => ({ handshake: handshake(name) });

/** The code once more: node:crypto, hexadecimal order, decimal text by hand. */
function codeAgain(a: CodeSide, b: CodeSide): string {
  const committed = a.nonce && b.nonce;
  const sides = [a, b].map(({ handshake, nonce }) => ({
    bytes: hex(encodeHandshake(committed ? handshake : { ...handshake, tlvs: [] })),
    nonce: committed ? hex(nonce!) : "",
  })).sort((x, y) => x.bytes < y.bytes ? -1 : 1);
  const hash = createHash("sha256").update("BX1 code")
    .update(fromHex(sides[0]!.bytes + sides[1]!.bytes + sides[0]!.nonce + sides[1]!.nonce))
    .digest();
  const digits = committed ? 6 : 30;
  const slow = committed ? hash : pbkdf2Sync(hash, "BX1 code", 200_000, 32, "sha256");
  return BigInt(`0x${slow.toString("hex")}`).toString().padStart(78, "0").slice(-digits);
}

test("commitment is the SHA-256 of the nonce", async () => {
  assertEquals(hex(await commitment(nonces.A)), hex(handshake("A").tlvs[0]!.value));
});

test("comparisonCode has six digits with both nonces, and is the same on both sides", async () => {
  const code = await comparisonCode(side("A"), side("B"));
  assertMatch(code, /^[0-9]{6}$/);
  assertEquals(await comparisonCode(side("B"), side("A")), code);
  assertEquals(codeAgain(side("A"), side("B")), code);
});

test("comparisonCode has thirty digits where either nonce is missing", async () => {
  const code = await comparisonCode(bare("A"), bare("B"));
  assertMatch(code, /^[0-9]{30}$/);
  assertEquals(codeAgain(bare("A"), bare("B")), code);
  for (const [a, b] of [[bare("B"), bare("A")], [side("A"), bare("B")], [bare("A"), side("B")]]) {
    assertEquals(await comparisonCode(a!, b!), code);
  }
});

test("comparisonCode without nonces ignores trailing values, which a literal client cannot see", async () => {
  const code = await comparisonCode(bare("A"), bare("B"));
  const without = { handshake: { ...handshake("A"), tlvs: [] } };
  assertEquals(await comparisonCode(without, bare("B")), code);
});

test("comparisonCode agrees with node:crypto, leading zeros included", async () => {
  let zeros = 0;
  for (let i = 0; i < 60; i++) {
    const a = { ...side("A"), nonce: new Uint8Array(16).fill(i) };
    const code = await comparisonCode(a, side("B"));
    assertEquals(code, codeAgain(a, side("B")));
    if (code.startsWith("0")) zeros++;
  }
  assert(zeros > 0, "sixty codes of which none begins with 0 would show nothing about padding");
});

const changes: readonly (readonly [string, Partial<Handshake>])[] = [
  ["node", { node: new Uint8Array(16).fill(0x33) }],
  ["database", { database: "bugz" }],
  ["publicKey", { publicKey: publicKey("C") }],
  ["capabilities", { capabilities: 0x8f ^ Capability.shortHeaders }],
  ["timestamp", { timestamp: 1736899200501n }],
  ["tlvs", { tlvs: [] }],
];

for (const [field, change] of changes) {
  test(`comparisonCode changes with ${field} of either Handshake`, async () => {
    for (const [make, fields] of [[side, true], [bare, field !== "tlvs"]] as const) {
      const code = await comparisonCode(make("A"), make("B"));
      for (const name of ["A", "B"] as const) {
        const changed = { ...make(name), handshake: { ...handshake(name), ...change } };
        const other = make(name === "A" ? "B" : "A");
        assertEquals(await comparisonCode(changed, other) !== code, fields);
      }
    }
  });
}

test("comparisonCode changes with either nonce", async () => {
  const code = await comparisonCode(side("A"), side("B"));
  const other = new Uint8Array(16).fill(0xcc);
  assertNotEquals(await comparisonCode({ ...side("A"), nonce: other }, side("B")), code);
  assertNotEquals(await comparisonCode(side("A"), { ...side("B"), nonce: other }), code);
  const swapped = [{ ...side("A"), nonce: nonces.B }, { ...side("B"), nonce: nonces.A }] as const;
  assertNotEquals(await comparisonCode(...swapped), code);
});

test("code, bond and proofs are those of the vectors, on both sides", async () => {
  const vector = vectors<{
    nonces: Record<"A" | "B", string>;
    handshakes: Record<"A" | "B", string>;
    code: string;
    codeWithoutCommitments: string;
    codeWithNoncesSortedByThemselves: string;
    bond: string;
    side: Record<"A" | "B", Side>;
    known: Record<"A" | "B", string>;
    agreed: Record<"A" | "B", string>;
  }>("blaze-frame/pair.json");
  for (const [own, other] of [["A", "B"], ["B", "A"]] as const) {
    const sideOf = (name: "A" | "B") => ({
      handshake: decodeHandshake(fromHex(vector.handshakes[name])),
      nonce: fromHex(vector.nonces[name]),
    });
    const [mine, theirs] = [sideOf(own), sideOf(other)];
    const code = await comparisonCode(mine, theirs);
    assertEquals(code, vector.code);
    assertNotEquals(code, vector.codeWithNoncesSortedByThemselves);
    const bare = [{ handshake: mine.handshake }, { handshake: theirs.handshake }] as const;
    assertEquals(await comparisonCode(...bare), vector.codeWithoutCommitments);
    const meeting = await Meeting.of(await derive(own, other), mine.handshake, theirs.handshake);
    const made = await meeting.bond();
    assertEquals([hex(made.secret), made.side], [vector.bond, vector.side[own]]);
    const bond = { ...made, node: "", settled: true };
    const changed = { ...bond, secret: bond.secret.with(0, bond.secret[0]! ^ 1) };
    // A copy of this device proves with the side of this device.
    const copy = await Meeting.of(await derive(other, own), theirs.handshake, mine.handshake);
    assert(await meeting.copies(await copy.known(bond), bond));
    assert(!await meeting.knows(await copy.known(bond), bond));
    assert(!await meeting.copies(fromHex(vector.known[other]), bond));
    assertEquals(hex(await meeting.known(bond)), vector.known[own]);
    assertEquals(hex(await meeting.agreed()), vector.agreed[own]);
    assert(await meeting.knows(fromHex(vector.known[other]), bond));
    assert(await meeting.agrees(fromHex(vector.agreed[other])));
    assert(!await meeting.knows(fromHex(vector.known[own]), bond));
    assert(!await meeting.agrees(fromHex(vector.agreed[own])));
    const [known, agreed] = [fromHex(vector.known[other]), fromHex(vector.agreed[other])];
    assert(!await meeting.knows(known, changed));
    for (let at = 0; at < 32; at++) {
      assert(!await meeting.knows(known.subarray(0, at), bond));
      assert(!await meeting.knows(known.with(at, known[at]! ^ 1), bond));
      assert(!await meeting.agrees(agreed.subarray(0, at)));
      assert(!await meeting.agrees(agreed.with(at, agreed[at]! ^ 1)));
    }
    assert(!await meeting.agrees(concat(agreed, Uint8Array.of(0))));
  }
});
