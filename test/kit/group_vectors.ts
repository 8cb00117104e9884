/**
 * Makes the vectors of groups (`test/vectors/bx2`): fixed keys and instances, random values that count
 * up, and signatures that a caller may replay. `deno run -A test/kit/group_vectors.ts` writes them anew.
 *
 * @module
 */
import { writeFileSync } from "node:fs";
import { Epoch } from "../../src/client/group/e2e/epoch.ts";
import { pad, padme } from "../../src/client/group/e2e/padding.ts";
import { Sender } from "../../src/client/group/e2e/sender.ts";
import { EpochLog } from "../../src/client/group/log/epoch_log.ts";
import { decodeLinked, encodeLinked } from "../../src/client/group/data/linked_body.ts";
import { checkpointDigest } from "../../src/client/group/data/checkpoint.ts";
import { derive } from "../../src/client/group/e2e/derive.ts";
import { deviceFrame, encodeCommitEntry } from "../../src/client/group/log/log_entries.ts";
import { nodeOfKey } from "../../src/client/group/mls/credential.ts";
import { epochSecretOf } from "../../src/client/group/mls/carry.ts";
import { GroupDoor } from "../../src/client/group/mls/door.ts";
import {
  channelName,
  formatInvitation,
  groupIdOf,
} from "../../src/client/group/mls/invitation_text.ts";
import { BlazeDate, Double, encodeRecord, Uuid } from "../../src/wire/blaze/blaze_record.ts";
import { Subtype } from "../../src/wire/blaze/extension.ts";
import { operationKinds } from "../../src/wire/blaze/operation.ts";
import { type Bytes, concat, fromHex, hex, utf8Bytes } from "../../src/wire/bytes.ts";
import { readLogs } from "./group_reader.ts";
import {
  type FixedKey,
  publicKey,
  Scribe,
  type SharedLog,
  type SignFixed,
  signFresh,
  withCounted,
} from "./group_scribe.ts";

/** One file: what is computed from what. */
export interface GroupVectors {
  readonly about: string;
  readonly given: unknown;
  readonly gives: unknown;
}

/** A signature that was made once. */
export interface MadeSignature {
  readonly key: string;
  readonly message: string;
  readonly signature: string;
}

/** RFC 6979, A.2.5. */
const laptop: FixedKey = {
  d: "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
  x: "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6",
  y: "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
};
/** RFC 5903, 8.1, the initiator's. */
const phone: FixedKey = {
  d: "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
  x: "dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180",
  y: "5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3",
};

/** Bytes that count up. */
const counting = (first: number, length: number): Bytes =>
  Uint8Array.from({ length }, (_, i) => first + i);

const database = "bugs";
const constant = counting(0x00, 16);
const invitation = counting(0x10, 16);
const anchor = counting(0xe0, 16);
const seed = counting(0x20, 16);
const secrets = [counting(0x40, 32), counting(0x60, 32)] as const;
const instance = counting(0x30, 8);
const records = [
  "00112233-4455-6677-8899-aabbccddeeff",
  "01010101-0101-0101-0101-010101010101",
  "02020202-0202-0202-0202-020202020202",
] as const;

/** All files by name. `signing`: see {@linkcode replaying}. */
export async function makeVectors(
  signing: SignFixed = signFresh,
): Promise<Record<string, GroupVectors>> {
  const made: MadeSignature[] = [];
  const sign: SignFixed = async (key, message) => {
    const signature = await signing(key, message);
    made.push({ key: hex(publicKey(key)), message: hex(message), signature: hex(signature) });
    return signature;
  };
  const group = await groupIdOf(constant, database);
  const files = {
    "derived.json": await derivedValues(group),
    "padding.json": paddings(),
    "bodies.json": await bodies(group, sign),
    "seals.json": await seals(group),
    "doors.json": await doors(group),
    "log.json": await logs(group, sign),
  };
  const about =
    "Every signature in these files: ECDSA P-256 with SHA-256, r and s. Drawn, so verify.";
  return { ...files, "signatures.json": { about, given: made, gives: made.map(() => true) } };
}

async function derivedValues(group: Bytes): Promise<GroupVectors> {
  const [secret] = secrets;
  const node = await nodeOfKey(publicKey(laptop));
  const context = concat(group, node, instance);
  const of = async (length: number, label: string, from: Bytes = secret, info: Bytes = group) =>
    hex(await derive(from, length, label, info));
  const doorOf = async (door: GroupDoor) => ({
    door: hex(door.value),
    logId: hex(door.logId),
    logKey: hex(door.logKey),
    seal: await of(32, "BX2 door seal", door.value, new Uint8Array()),
    psk: hex(door.psk),
    pskId: hex(door.pskId),
  });
  const epoch = await Epoch.of(secret, group);
  const { cursor } = await EpochLog.begin(epoch, database);
  return {
    about: "The table of derived values. key and seed: of an invitation, and in a credential. " +
      "epochSecret: of confirmationKey; secret: that of all others.",
    given: {
      database,
      constant: hex(constant),
      confirmationKey: hex(secrets[1]),
      secret: hex(secret),
      instance: hex(instance),
      signatureKey: hex(publicKey(laptop)),
      key: hex(invitation),
      seed: hex(seed),
    },
    gives: {
      channel: await channelName(constant, database),
      group: hex(group),
      epochSecret: hex(await epochSecretOf(secrets[1], group)),
      epochId: hex(epoch.id),
      logId: hex(epoch.log.id),
      logKey: hex(epoch.log.key),
      commitKey: await of(32, "BX2 commit"),
      membershipKey: await of(32, "BX2 membership"),
      node: hex(node),
      sender: await of(36, "BX2 sender", secret, context),
      ecgSender: await of(36, "BX2 ecg sender", secret, context),
      invitation: await doorOf(await GroupDoor.ofInvitation(invitation, group)),
      member: await doorOf(await GroupDoor.ofMember(seed, group, node)),
      chainStart: hex(cursor.hash),
    },
  };
}

function paddings(): GroupVectors {
  const contents = [0, 1, 30, 31, 32, 33, 64, 70].map((length) => counting(0, length));
  const lengths = [31, 32, 33, 127, 128, 129, 1_000, 65_535, 65_537, 262_149, 1_000_000];
  return {
    about:
      "contents: before and after padding. sizes: of contents with their 80, before and after.",
    given: { contents: contents.map(hex), sizes: lengths },
    gives: { contents: contents.map((one) => hex(pad(one))), sizes: lengths.map(padme) },
  };
}

/** An author's first operations, one on top of the other. */
async function bodies(group: Bytes, sign: SignFixed): Promise<GroupVectors> {
  const node = await nodeOfKey(publicKey(laptop));
  const label = utf8Bytes("BX2 operation");
  const signBody = (what: Bytes) => sign(laptop, concat(label, group, node, what));
  let previous = { counter: 0n, link: new Uint8Array(8) };
  const given = [];
  const gives = [];
  for (const [i, kind] of operationKinds.entries()) {
    const counter = [1n, 7n, 0x1_0000_0000n][i]!;
    const changes = kind === "delete" ? {} : { title: `number ${i}`, überfällig: i > 0 };
    const id = Uuid.parse(records[0]);
    const operation = { kind, collection: "bugs", id, counter, node: 0x01020304, changes };
    const origin = kind === "update" ? counting(0x50, 16) : undefined;
    const signed = kind === "delete" ? signBody : undefined;
    const bytes = await encodeLinked({ operation, previous, origin }, signed);
    const body = await decodeLinked(bytes);
    given.push({
      previous: Number(previous.counter),
      before: hex(previous.link),
      client: origin ? hex(origin) : "",
      kind,
      collection: "bugs",
      id: records[0].replaceAll("-", ""),
      counter: Number(counter),
      hash: "01020304",
      fields: hex(encodeRecord(changes)),
      signature: body.signature ? hex(body.signature) : "",
    });
    gives.push({ body: hex(bytes), link: hex(body.link) });
    previous = { counter, link: body.link };
  }
  return { about: "Bodies of operations, and their links.", given, gives };
}

/** One payload of each kind, as it is sealed. */
async function seals(group: Bytes): Promise<GroupVectors> {
  const node = await nodeOfKey(publicKey(laptop));
  const sender = await Sender.of(await Epoch.of(secrets[0], group), node, instance, database);
  const content = utf8Bytes("content");
  const target = counting(0x50, 16);
  const purposes = [
    { type: 0x2, subtype: 0, compressed: false },
    { type: 0x2, subtype: 0, compressed: true },
    { type: 0x4, subtype: 0, compressed: false, target },
    { type: 0xf, subtype: Subtype.announce, compressed: false },
    { type: 0xf, subtype: Subtype.checkpoint, compressed: true },
  ];
  const gives = [];
  for (const [counter, purpose] of purposes.entries()) {
    const nonce = concat(sender.hint, new Uint8Array(7), Uint8Array.of(counter));
    const sealed = hex(await sender.encrypt(nonce, purpose, pad(content)));
    gives.push({ additional: hex(sender.aad(purpose)), sealed });
  }
  return {
    about:
      "Sealed payloads of one instance; the first has counter 0. C is bound, nothing compressed.",
    given: {
      database,
      group: hex(group),
      secret: hex(secrets[0]),
      node: hex(node),
      instance: hex(instance),
      content: hex(content),
      payloads: purposes.map(({ type, subtype, compressed, target }) => ({
        type,
        subtype,
        compressed,
        receiver: hex(target ?? new Uint8Array(16)),
      })),
    },
    gives,
  };
}

async function doors(group: Bytes): Promise<GroupVectors> {
  const texts = [
    { database, postQuantum: false, permanent: false },
    { database, postQuantum: true, permanent: true },
    { database: "a.b", postQuantum: true, permanent: false },
    { database: "käfer & co (1)", postQuantum: false, permanent: true },
  ];
  const door = await GroupDoor.ofInvitation(invitation, group);
  const keyPackage = counting(0x80, 40);
  const reference = counting(0xc0, 32);
  const message = counting(0xa0, 20);
  const frames = await withCounted(0x70, async () => [
    deviceFrame(Subtype.knock, await door.sealKnock(keyPackage)),
    deviceFrame(Subtype.welcome, await door.sealWelcome({ reference, message })),
  ]);
  return {
    about:
      "Texts of invitations (the anchor where flag 2 is not set), and entries of a door; what is " +
      "in them is no MLS.",
    given: {
      constant: hex(constant),
      key: hex(invitation),
      anchor: hex(anchor),
      texts: texts.map(({ database, postQuantum, permanent }) => ({
        database,
        flags: (postQuantum ? 1 : 0) | (permanent ? 2 : 0),
      })),
      door: hex(door.value),
      entries: [
        { subtype: Subtype.knock, nonce: "70".repeat(12), content: hex(keyPackage) },
        {
          subtype: Subtype.welcome,
          nonce: "71".repeat(12),
          content: hex(reference) + hex(message),
        },
      ],
    },
    gives: {
      texts: await Promise.all(texts.map((text) => {
        const anchored = text.permanent ? undefined : anchor;
        return formatInvitation({ ...text, constant, key: invitation, anchor: anchored });
      })),
      frames: frames.map(hex),
    },
  };
}

/** Two devices in two epochs: what both write, and what else may stand in a log. */
async function logs(group: Bytes, sign: SignFixed): Promise<GroupVectors> {
  const written = await withCounted(0x01, () => write(group, sign));
  const given = {
    database,
    group: hex(group),
    logs: secrets.map((secret, i) => ({
      secret: hex(secret),
      ring: hex(written[i]!.ring),
      frames: written[i]!.frames.map(hex),
    })),
  };
  return {
    about: "The logs of two epochs, frame by frame, and what they come to. The commit is no MLS.",
    given,
    gives: await readLogs(database, given.group, given.logs),
  };
}

async function write(group: Bytes, sign: SignFixed): Promise<SharedLog[]> {
  const a = await Scribe.of(laptop, database, sign, "never");
  const b = await Scribe.of(phone, database, sign, "always");
  const both = async (secret: Bytes, first: number): Promise<[SharedLog, Epoch]> => {
    const epoch = await Epoch.of(secret, group);
    const shared = { ring: counting(first, 8), frames: [] };
    for (const [i, scribe] of [a, b].entries()) {
      // The second one hides no lengths.
      await scribe.begin(await EpochLog.begin(epoch, database), shared, i === 0);
    }
    return [shared, epoch];
  };

  const [one, epoch] = await both(secrets[0], 0xa0);
  await a.announce();
  const text = "the same again and again ";
  const first = { title: "Crash on start", priority: 5, due: new BlazeDate(0), überfällig: true };
  await a.write("insert", "bugs", records[0], first);
  await b.announce();
  await b.write("update", "bugs", records[0], { title: "Crash", note: text }, { signed: true });
  await a.write("insert", "bugs", records[1], { title: "twice", ratio: new Double(2) });
  await a.write("delete", "bugs", records[1], {});
  await b.write("update", "bugs", records[1], { title: "too late" });
  await a.write("insert", "äpfel", records[2], { n: 1 }, { client: counting(0x50, 16) });
  // Seen before; and another body under an id that has counted.
  a.append(one.frames.at(-1)!);
  await a.read();
  const again = await Scribe.of(laptop, database, sign, "never");
  await again.begin(await EpochLog.begin(epoch, database), one);
  await again.announce();
  const id = Uuid.parse(records[0]);
  const operation = { id, collection: "bugs", node: 0, kind: "delete", counter: 2n } as const;
  const none = { counter: 0n, link: new Uint8Array(8) };
  await again.body(
    await encodeLinked({ operation: { ...operation, changes: {} }, previous: none }),
  );
  await a.hold();
  await a.checkpoint();
  await b.read();
  await b.endorse(await checkpointDigest(a.ledger.contents()));
  const door = await GroupDoor.ofInvitation(invitation, group);
  const reference = counting(0xc0, 32);
  const welcome = await door.sealWelcome({ reference, message: counting(0xa0, 20) });
  const frame = deviceFrame(Subtype.welcome, welcome);
  const message = counting(0x80, 40);
  a.append(await encodeCommitEntry({ message, welcome: { door: door.value, frame } }, epoch));
  const behind = await b.write("update", "bugs", records[0], { priority: 300 });

  const [two] = await both(secrets[1], 0xb0);
  await b.announce();
  await b.body(behind);
  await a.announce();
  await a.write("update", "bugs", records[0], { title: "Crash on start, sometimes" });
  await b.write("delete", "äpfel", records[2], {});
  await b.write("insert", "äpfel", records[2], { n: 2 });
  await b.body(behind);
  // Something before it is missing; and a counter that nobody follows.
  const gap = { counter: 20n, link: counting(0x50, 8) };
  const far = { ...operation, counter: 0x1_0000_0100n, changes: {} };
  const update = {
    ...operation,
    kind: "update",
    counter: 30n,
    changes: { title: "a gap" },
  } as const;
  await a.body(await encodeLinked({ operation: update, previous: gap }));
  await a.body(await encodeLinked({ operation: far, previous: gap }));
  return [one, two];
}

/** Gives the signatures that were made once, each for what it was made. */
export function replaying(made: readonly MadeSignature[]): SignFixed {
  const left = [...made];
  return (key, message) => {
    const next = left.shift();
    const fits = next?.key === hex(publicKey(key)) && next.message === hex(message);
    if (!fits) throw new Error(`not what was signed: ${hex(message)}`);
    return Promise.resolve(fromHex(next!.signature));
  };
}

if (import.meta.main) {
  for (const [name, file] of Object.entries(await makeVectors())) {
    const path = new URL(`../vectors/bx2/${name}`, import.meta.url);
    writeFileSync(path, JSON.stringify(file, undefined, 1) + "\n");
  }
}
