/**
 * The public vectors of the group profile, computed again with `node:crypto`, and with our own code.
 */
import { Buffer } from "node:buffer";
import {
  createCipheriv,
  createHash,
  createHmac,
  createPublicKey,
  hkdfSync,
  verify,
} from "node:crypto";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { AdmissionKey } from "../src/client/group/e2e/admission_key.ts";
import { decodeBody, encodeBody } from "../src/client/group/e2e/operation_body.ts";
import { decodeChange } from "../src/client/group/e2e/change.ts";
import { Epoch } from "../src/client/group/e2e/epoch.ts";
import { readCard } from "../src/client/group/e2e/identity.ts";
import { claimHolds, membershipTlv, readClaim } from "../src/client/group/e2e/membership.ts";
import { pad, unpad } from "../src/client/group/e2e/padding.ts";
import { Roster } from "../src/client/group/e2e/roster.ts";
import {
  blindName,
  formatSecret,
  groupId,
  type GroupSecret,
  parseSecret,
} from "../src/client/group/e2e/secret.ts";
import { Opener, Sealer, Sender } from "../src/client/group/e2e/sender.ts";
import { fromHex, hex, Reader, utf8Bytes } from "../src/wire/bytes.ts";
import { decodeHandshake } from "../src/wire/blaze/handshake.ts";
import { vectors } from "./kit/vectors.ts";

interface Vectors {
  secret: Record<
    "database" | "constant" | "admission" | "text" | "groupId" | "channel" | "admissionId" | "psk",
    string
  >;
  devices: Record<"name" | "signKey" | "wrapKey" | "node" | "card", string>[];
  changes: {
    kind: string;
    number: number;
    parent: string;
    author: string;
    secret: string;
    commitment: string;
    id: string;
    bytes: string;
  }[];
  epoch: { number: number; id: string; secret: string; tags: { bugs: string } };
  membership: { handshake: string; tlv: string };
  sender: { node: string; instance: string; hint: string };
  aads: {
    name: string;
    type: number;
    subtype?: number;
    compressed: boolean;
    target?: string;
    aad: string;
  }[];
  sealed: Record<"counter" | "operation" | "previous" | "body" | "padded" | "payload", string>;
}

const v = vectors<Vectors>("bx1/profile.json");
const [laptop, phone] = v.devices as [Vectors["devices"][0], Vectors["devices"][0]];
const bytes = (...parts: (string | Uint8Array)[]) =>
  Buffer.concat(parts.map((part) => typeof part === "string" ? Buffer.from(part, "hex") : part));
const ascii = (text: string) => Buffer.from(text, "utf8");
const sha = (...parts: Uint8Array[]) => createHash("sha256").update(bytes(...parts)).digest("hex");
const hkdf = (secret: string, length: number, label: string, ...context: (string | Uint8Array)[]) =>
  Buffer.from(
    hkdfSync("sha256", bytes(secret), "blazedb-sync-v1", bytes(ascii(label), ...context), length),
  );
const u16 = (n: number) => Buffer.from([n >> 8, n]);
const u32 = (n: number) => Buffer.from([n >> 24, n >> 16, n >> 8, n]);

test("bx1 vectors: channel, group id, admission and text, by node:crypto", () => {
  const { database, constant, admission } = v.secret;
  const name = ascii(database);
  assertEquals(hkdf(constant, 16, "BX1 channel", name).toString("hex"), v.secret.channel);
  assertEquals(hkdf(constant, 16, "BX1 group", name).toString("hex"), v.secret.groupId);
  assertEquals(hkdf(admission, 8, "BX1 admission id").toString("hex"), v.secret.admissionId);
  assertEquals(hkdf(admission, 32, "BX1 psk").toString("hex"), v.secret.psk);
  const check = sha(ascii("BX1 text"), name, bytes(constant, admission)).slice(0, 8);
  assertEquals(
    `${database}.${bytes(constant, admission, check).toString("base64url")}`,
    v.secret.text,
  );
});

test("bx1 vectors: node ids and changes, by node:crypto", () => {
  for (const { signKey, wrapKey, node, name, card } of v.devices) {
    assertEquals(sha(ascii("BX1 node"), bytes(signKey, wrapKey)).slice(0, 32), node);
    assertEquals(bytes(signKey, wrapKey, Buffer.from([name.length]), ascii(name)), bytes(card));
  }
  const key = createPublicKey({
    format: "jwk",
    key: {
      kty: "EC",
      crv: "P-256",
      x: bytes(laptop.signKey).subarray(1, 33).toString("base64url"),
      y: bytes(laptop.signKey).subarray(33).toString("base64url"),
    },
  });
  for (const change of v.changes) {
    const commitment = hkdf(change.secret, 32, "BX1 commitment", v.secret.groupId);
    assertEquals(commitment.toString("hex"), change.commitment);
    const subject = change.kind === "create"
      ? bytes(Buffer.from([1, 0]), laptop.card)
      : bytes(Buffer.from([2]), phone.card);
    const head = bytes(
      v.secret.groupId,
      u32(change.number),
      change.parent,
      change.author,
      subject,
      commitment,
    );
    assertEquals(head.toString("hex"), change.bytes.slice(0, -128));
    assertEquals(sha(ascii("BX1 change id"), head), change.id);
    const signature = bytes(change.bytes.slice(-128));
    const message = bytes(ascii("BX1 change"), head);
    assert(verify("sha256", message, { key, dsaEncoding: "ieee-p1363" }, signature));
  }
});

test("bx1 vectors: membership, tag and sealing, by node:crypto", () => {
  const { secret, number, id } = v.epoch;
  const group = v.secret.groupId;
  const membership = hkdf(secret, 32, "BX1 membership", group);
  const proof = createHmac("sha256", membership).update(bytes(v.membership.handshake)).digest();
  assertEquals(bytes(u32(number), id, proof).toString("hex"), v.membership.tlv);
  const tag = createHmac("sha256", hkdf(secret, 32, "BX1 tag", group)).update("bugs").digest("hex");
  assertEquals(tag.slice(0, 16), v.epoch.tags.bugs);

  const { node, instance, hint } = v.sender;
  const key = hkdf(secret, 36, "BX1 sender", group, u32(number), node, instance);
  assertEquals(key.subarray(32).toString("hex"), hint);
  for (const { type, subtype = 0, compressed, target = "00".repeat(16), aad } of v.aads) {
    const expected = bytes(
      ascii("BX1\0"),
      Buffer.from([type, subtype, compressed ? 1 : 0]),
      u32(number),
      node,
      instance,
      target,
      u16(4),
      ascii("bugs"),
    );
    assertEquals(expected.toString("hex"), aad);
  }
  const nonce = bytes(hint, u32(0), u32(Number(v.sealed.counter)));
  const cipher = createCipheriv("aes-256-gcm", key.subarray(0, 32), nonce);
  cipher.setAAD(bytes(v.aads[0]!.aad));
  const sealed = Buffer.concat([cipher.update(bytes(v.sealed.padded)), cipher.final()]);
  assertEquals(bytes(nonce, sealed, cipher.getAuthTag()).toString("hex"), v.sealed.payload);
  const body = bytes("0001", v.sealed.operation);
  assertEquals(body.toString("hex"), v.sealed.body);
  const zeros = Buffer.alloc(bytes(v.sealed.padded).length - body.length - 1);
  assertEquals(bytes(body, "80", zeros).toString("hex"), v.sealed.padded);
});

async function roster(): Promise<Roster> {
  const changes = await Promise.all(v.changes.map(({ bytes }) => decodeChange(fromHex(bytes))));
  return await Roster.of(fromHex(v.secret.groupId), changes);
}

test("bx1 vectors: our own code agrees", async () => {
  const secret: GroupSecret = {
    database: v.secret.database,
    constant: fromHex(v.secret.constant),
    admission: fromHex(v.secret.admission),
  };
  assertEquals(await formatSecret(secret), v.secret.text);
  assertEquals(await parseSecret(v.secret.text), secret);
  assertEquals(await blindName(secret), v.secret.channel);
  assertEquals(hex(await groupId(secret)), v.secret.groupId);
  assertEquals(hex((await AdmissionKey.of(secret.admission, false, 0)).id), v.secret.admissionId);
  assertEquals(hex((await readCard(new Reader(fromHex(phone.card)))).node), phone.node);

  const chain = await roster();
  assertEquals([...chain.devices.keys()], [laptop.node, phone.node]);
  const epoch = await Epoch.of(chain.tip, fromHex(v.epoch.secret));
  assertEquals(epoch.name, v.epoch.id);
  assertEquals(hex(await epoch.tag(utf8Bytes("bugs"))), v.epoch.tags.bugs);

  const handshake = decodeHandshake(fromHex(v.membership.handshake));
  const proof = await membershipTlv(handshake, epoch);
  assertEquals(hex(proof.value), v.membership.tlv);
  const whole = { ...handshake, tlvs: [proof, ...handshake.tlvs] };
  assert(await claimHolds(readClaim(whole)!, whole, epoch));

  const { node, instance } = v.sender;
  const sender = await Sender.of(epoch, fromHex(node), fromHex(instance), "bugs");
  const sealer = new Sealer(sender);
  for (let i = 0; i < 7; i++) sealer.nonce();
  const body = decodeBody(fromHex(v.sealed.body));
  assertEquals(hex(await encodeBody(body, fromHex(v.secret.groupId))), v.sealed.body);
  assertEquals(hex(pad(fromHex(v.sealed.body))), v.sealed.padded);
  const purpose = { type: 2, compressed: false };
  assertEquals(hex(await sealer.seal(purpose, fromHex(v.sealed.padded))), v.sealed.payload);
  const opened = await new Opener(sender).open(fromHex(v.sealed.payload), purpose);
  assertEquals(hex(unpad(opened)), v.sealed.body);
});
