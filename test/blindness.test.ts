/**
 * The relay is blind: devices sync a canary through a real relay process, the process is stopped, and its
 * memory is searched for the canary and for every key.
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { type DeviceStorage, memoryStorage } from "../src/client/mod.ts";
import { derive } from "../src/client/group/e2e/derive.ts";
import { AdmissionKey } from "../src/client/group/e2e/admission_key.ts";
import { blindName, groupId, parseSecret } from "../src/client/group/e2e/secret.ts";
import { fromHex, hex, Reader, utf8Bytes, Writer } from "../src/wire/bytes.ts";
import { encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { decodeRecord } from "../src/wire/blaze/blaze_record.ts";
import { converged, eventually, group, withDevices } from "./kit/group.ts";
import { LiteralClient } from "./kit/literal.ts";
import { LiteralSocket } from "./kit/literal_socket.ts";
import { cannotSearch, forms, search } from "./kit/memory.ts";
import { type RelayProcess, withRelayProcess } from "./kit/relay.ts";
import { rawMessage, rawUpgrade, TestSocket } from "./kit/socket.ts";
import { skipped } from "./kit/skip.ts";

const reason = await cannotSearch();
const inCi = process.env.CI === "true";

/** A text that is nowhere else, not even in this file. */
const canary = (what: string) => `${what}-${crypto.randomUUID()}-${crypto.randomUUID()}`;

const stop = async ({ child }: RelayProcess) => {
  process.kill(child.pid!, "SIGSTOP");
  const stopped = () => /^State:\s+T/m.test(readFileSync(`/proc/${child.pid}/status`, "latin1"));
  await eventually(stopped, "the relay is stopped");
};

/** Everything secret that a device of the group has stored, and what is derived of it. */
async function secretsOf(storage: DeviceStorage, nodes: string[]): Promise<[string, Uint8Array][]> {
  let saved = await storage.load();
  // The marks name the instances that were listened to; they are stored with the acknowledgements.
  while (!saved.has("marks")) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    saved = await storage.load();
  }
  const { database, constant, admission, epochs } = decodeRecord(
    saved.get("group")!,
  ) as unknown as {
    database: string;
    constant: Uint8Array;
    admission: Uint8Array;
    epochs: { number: number; secret: Uint8Array }[];
  };
  const id = await groupId({
    database,
    constant: constant.slice(),
    admission: admission.slice(),
  });
  const marks = new Reader(saved.get("marks")!);
  const instances: string[] = [];
  while (marks.left > 0) {
    instances.push(hex(marks.bytes(16)).slice(16));
    marks.u64();
  }
  const identity = saved.get("identity")!;
  const keys = new Reader(identity);
  const secrets: [string, Uint8Array][] = [
    ["channel constant", constant],
    ["admission key", admission],
    ["admission psk", (await AdmissionKey.of(admission, false, 0)).psk],
    // PKCS #8 holds the 32 bytes of a P-256 key at offset 36.
    ["signing key", keys.bytes(keys.u16()).slice(36, 68)],
    ["wrapping key", keys.bytes(keys.u16()).slice(36, 68)],
  ];
  for (const { number, secret } of epochs) {
    secrets.push([`secret of epoch ${number}`, secret]);
    for (const label of ["BX1 membership", "BX1 tag"]) {
      secrets.push([`${label} of epoch ${number}`, await derive(secret, 32, label, id)]);
    }
    const count = new Writer(4).u32(number).finish();
    for (const node of nodes) {
      for (const instance of instances) {
        const context = [id, count, fromHex(node), fromHex(instance)];
        const bits = await derive(secret, 36, "BX1 sender", ...context);
        secrets.push([`sender ${node} ${instance} of epoch ${number}`, bits.subarray(0, 32)]);
      }
    }
  }
  return secrets;
}

/** Sends a text in the clear to a reader that does not read, and finds it in the relay's memory. */
async function control(relay: RelayProcess): Promise<void> {
  const text = canary("control");
  const path = "/sync/clear";
  const { socket } = await rawUpgrade(relay, path);
  try {
    socket.write(rawMessage(new LiteralClient("clear").handshake()));
    const sender = await TestSocket.connect(relay, path);
    sender.send(new LiteralClient("clear").handshake());
    await sender.next();
    const payload = utf8Bytes(text.repeat(Math.floor(500_000 / text.length)));
    const message = encodeFrame({ type: FrameType.operation, payload });
    // The kernel takes the first megabytes; what the relay itself holds comes after them.
    for (let sent = 0; sent < 40; sent++) {
      sender.send(message);
      if (sent < 5) continue;
      sender.send(encodeFrame({ type: FrameType.ping }));
      await sender.next();
      await stop(relay);
      const { found } = search(relay.child.pid!, new Map(forms("control", utf8Bytes(text))));
      process.kill(relay.child.pid!, "SIGCONT");
      if (found.includes("control")) return sender.close();
    }
    assert(false, "the control was never found: the search does not work");
  } finally {
    socket.destroy();
  }
}

for (const runtime of ["bun", "deno"] as const) {
  const options = reason && !inCi ? { skip: skipped(reason) } : {};
  test(
    `a relay on ${runtime} holds neither the canary nor any key in its memory`,
    options,
    () =>
      withRelayProcess(runtime, (relay) =>
        withDevices(async (kit) => {
          assertEquals(reason, undefined);
          const text = canary("canary");
          const storages = [memoryStorage(), memoryStorage(), memoryStorage()];
          const { devices, secret } = await group(kit, relay.url, 1, {
            storage: storages[0]!,
            sponsor: () => true,
            // So that the canary itself is what would be seen, were it not sealed.
            compress: "never",
          });
          for (const storage of storages.slice(1)) {
            devices.push(kit.open({ url: relay.url, secret, storage, compress: "never" }));
          }
          await Promise.all(devices.map(({ client }) => client.ready));
          const literal = new LiteralSocket(relay.url, await blindName(await parseSecret(secret)));
          try {
            await literal.ready;
            for (const [i, { client }] of devices.entries()) {
              await client.collection("bugs").insert({ title: `${text} of device ${i}` });
            }
            literal.insert("bugs", { title: `${text} of the literal client` });
            await converged(devices, 4);
            await eventually(() => literal.operations.length === 3, "the literal client has all");
            await devices[1]!.client.rotate();
            await devices[2]!.client.collection("bugs").insert({
              title: `${text} after a rotation`,
            });
            await converged(devices, 5);
            await eventually(() => literal.operations.length === 4, "and that one");
            await eventually(
              () => devices.every(({ client }) => client.pending === 0),
              "all is acknowledged, and stored",
            );

            const nodes = await Promise.all(devices.map(({ client }) => client.node()));
            const secrets = (await Promise.all(storages.map((one) => secretsOf(one, nodes))))
              .flat();
            const patterns = new Map<string, Uint8Array>(forms("canary", utf8Bytes(text)));
            for (const [name, bytes] of secrets) {
              patterns.set(name, bytes);
              patterns.set(`${name} in hexadecimal`, utf8Bytes(hex(bytes)));
            }
            patterns.set("key with the literal client", literal.text.key);
            assert(patterns.size > 60, `${patterns.size} patterns`);
            await stop(relay);
            const { found, bytes } = search(relay.child.pid!, patterns);
            // The room's name is no secret: the search sees what is there.
            const room = utf8Bytes(await blindName(await parseSecret(secret)));
            assertEquals(search(relay.child.pid!, new Map([["room", room]])).found, ["room"]);
            process.kill(relay.child.pid!, "SIGCONT");
            assertEquals(found, []);
            assert(bytes > 10_000_000, `${bytes} bytes were searched`);
          } finally {
            literal.close();
          }
          await control(relay);
        })),
  );
}
