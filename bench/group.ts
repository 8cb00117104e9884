/**
 * The group profile in numbers: bytes of an operation, seals and opens a second, time to join.
 *
 * @module
 */
import { startRelay } from "../main.ts";
import { BlazeGroup, Uuid } from "../src/client/mod.ts";
import { encodeBody } from "../src/client/group/e2e/operation_body.ts";
import { signChange } from "../src/client/group/e2e/change.ts";
import { drawSecret, Epoch } from "../src/client/group/e2e/epoch.ts";
import { drawIdentity } from "../src/client/group/e2e/identity.ts";
import { pad } from "../src/client/group/e2e/padding.ts";
import { Opener, Sealer, Sender } from "../src/client/group/e2e/sender.ts";
import { Compression } from "../src/client/blaze/compression.ts";
import { concat } from "../src/wire/bytes.ts";
import { encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { decodeOperation, encodeOperation } from "../src/wire/blaze/operation.ts";
import type { FieldsInput } from "../src/wire/blaze/blaze_record.ts";
import { bug, longBug, SEED_SIZES, sizes } from "../tools/demo/bug.ts";

/** Bytes, seals and joins. */
export async function group(): Promise<void> {
  const id = new Uint8Array(16);
  const identity = await drawIdentity("bench");
  const { secret, commitment } = await drawSecret(id);
  const change = await signChange({
    group: id,
    number: 1,
    parent: new Uint8Array(32),
    author: identity.card.node,
    action: { kind: "create", policy: 0, card: identity.card },
    commitment,
  }, identity);
  const sender = await Sender.draw(await Epoch.of(change, secret), identity.card.node, "bugs");
  const sealer = new Sealer(sender);

  /** Bytes of one insert on the wire, as a group sends it. */
  async function groupSize(
    changes: FieldsInput,
    how: { compress: boolean; padded: boolean; signed: boolean },
  ): Promise<number> {
    const plain = encodeOperation({
      kind: "insert",
      collection: "bugs",
      id: Uuid.parse("550e8400-e29b-41d4-a716-446655440000"),
      counter: 42n,
      node: 1,
      changes,
    });
    const operation = decodeOperation(plain);
    const compression = new Compression({ mode: "auto", fault: () => {} });
    const signer = how.signed ? identity : undefined;
    const body = await encodeBody({ operation, previous: 41n }, id, signer);
    const { bytes, compressed } = await compression.shrink(body, how.compress);
    const content = how.padded ? pad(bytes) : concat(bytes, Uint8Array.of(0x80));
    const type = FrameType.operation;
    const payload = await sealer.seal({ type, compressed }, content);
    return encodeFrame({ type, compressed, encrypted: true, payload }, { short: true }).length;
  }

  console.log(
    "| bytes of one insert        | plain | pair | pair, zstd | group | padded | zstd | zstd, padded | signed |",
  );
  console.log(
    "| -------------------------- | ----- | ---- | ---------- | ----- | ------ | ---- | ------------ | ------ |",
  );
  const { plain, sealed, compressed } = SEED_SIZES;
  console.log(`| the seed's table, 165 bytes | ${plain} | ${sealed} | ${compressed} | | | | | |`);
  for (const [name, fields] of [["a bug", bug], ["a bug with a trace", longBug]] as const) {
    const pair = await sizes(fields);
    const options = [
      { compress: false, padded: false, signed: false },
      { compress: false, padded: true, signed: false },
      { compress: true, padded: false, signed: false },
      { compress: true, padded: true, signed: false },
      { compress: true, padded: true, signed: true },
    ];
    const row = [pair.plain, pair.sealed, pair.compressed];
    for (const one of options) row.push(await groupSize(fields, one));
    console.log(`| ${name} | ${row.join(" | ")} |`);
  }

  const content = pad(new Uint8Array(200));
  const purpose = { type: FrameType.operation, compressed: false };
  const rounds = 20_000;
  const payloads: Uint8Array[] = [];
  let began = performance.now();
  for (let i = 0; i < rounds; i++) payloads.push(await sealer.seal(purpose, content));
  const seals = rounds / (performance.now() - began) * 1_000;
  const opener = new Opener(sender);
  began = performance.now();
  for (const payload of payloads) await opener.open(payload, purpose);
  const opens = rounds / (performance.now() - began) * 1_000;
  console.log(
    `\n${Math.round(seals)} seals and ${Math.round(opens)} opens a second, one after the other`,
  );

  const relay = await startRelay({ host: "127.0.0.1", port: 0, token: "" });
  const devices: BlazeGroup[] = [BlazeGroup.create({ url: relay.url, database: "bugs" })];
  await devices[0]!.ready;
  for (let i = 0; i < 1_000; i++) {
    await devices[0]!.collection("bugs").insert({ ...bug, priority: i });
  }
  const secretText = await devices[0]!.secret();
  for (let i = 1; i <= 10; i++) {
    began = performance.now();
    const device = BlazeGroup.open({ url: relay.url, secret: secretText });
    devices.push(device);
    await device.ready;
    const joined = performance.now() - began;
    while (device.collection("bugs").list().length < 1_000) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    if (i === 1 || i === 10) {
      const all = performance.now() - began;
      console.log(
        `device ${i + 1} was in the group after ${Math.round(joined)} ms, ` +
          `and had 1,000 records after ${Math.round(all)} ms`,
      );
    }
  }
  await Promise.all(devices.map((device) => device.close()));
  await relay.stop();
}
