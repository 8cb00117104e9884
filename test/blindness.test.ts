/**
 * The relay is blind: devices sync a canary through a real relay process, the process is stopped, and its
 * memory and the file of its logs are searched for the canary and for every key.
 */
import { Buffer } from "node:buffer";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { type DeviceStorage, memoryStorage } from "../src/client/mod.ts";
import { memoryStorage as copyOf, Saver } from "../src/client/blaze/storage.ts";
import { derive } from "../src/client/group/e2e/derive.ts";
import { Group } from "../src/client/group/log/group_state.ts";
import { GroupDoor } from "../src/client/group/mls/door.ts";
import { parseInvitation } from "../src/client/group/mls/invitation_text.ts";
import { hex, utf8Bytes } from "../src/wire/bytes.ts";
import { encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { converged, eventually, group, withDevices } from "./kit/group.ts";
import { LiteralClient } from "./kit/literal.ts";
import { LiteralSocket } from "./kit/literal_socket.ts";
import { cannotSearch, forms, search } from "./kit/memory.ts";
import { type RelayProcess, withRelayProcess } from "./kit/relay.ts";
import { rawMessage, rawUpgrade, TestSocket } from "./kit/socket.ts";
import { skipped } from "./kit/skip.ts";
import { withStorePath } from "./kit/store_file.ts";

const reason = await cannotSearch();
const inCi = process.env.CI === "true";

/** A text that is nowhere else, not even in this file. */
const canary = (what: string) => `${what}-${crypto.randomUUID()}-${crypto.randomUUID()}`;

const stop = async ({ child }: RelayProcess) => {
  process.kill(child.pid!, "SIGSTOP");
  const stopped = () => /^State:\s+T/m.test(readFileSync(`/proc/${child.pid}/status`, "latin1"));
  await eventually(stopped, "the relay is stopped");
};

type Named = [string, Uint8Array];

/** What a relay may know, and knows: the present log, by its id and the key that opens it. */
async function shownBy(storage: DeviceStorage): Promise<Named[]> {
  const { epoch, room } = await restored(storage);
  return [["log id", epoch!.log.id], ["log key", epoch!.log.key], ["room", utf8Bytes(room)]];
}

const restored = async (storage: DeviceStorage) =>
  await Group.restore(await storage.load(), new Saver(copyOf()));

/** Everything secret that a device of the group has stored, and what is derived of it. */
async function secretsOf(storage: DeviceStorage): Promise<Named[]> {
  const group = await restored(storage);
  const { id, membership, log, past, names } = group;
  const { state } = membership!.view;
  const { keySchedule, privatePath, signaturePrivateKey, ratchetTree } = state;
  assert(ratchetTree.length > 0);
  // PKCS #8 holds the 32 bytes of a P-256 key at offset 36.
  const bare = (key: Uint8Array) => key.length > 68 ? key.subarray(36, 68) : key;
  const secrets: Named[] = [
    ["channel constant", names.constant],
    ["signature key", bare(signaturePrivateKey)],
    ...Object.entries(privatePath.privateKeys).map(([node, key]): Named => [
      `leaf or path key ${node}`,
      bare(key),
    ]),
  ];
  for (const [name, value] of Object.entries(keySchedule)) {
    if (value instanceof Uint8Array && value.length >= 16) secrets.push([`MLS ${name}`, value]);
  }
  for (const peer of membership!.peers()) {
    secrets.push([`door seed of ${peer.name}`, peer.seed]);
    secrets.push(...await doorSecrets(await GroupDoor.ofMember(peer.seed, id, peer.node)));
  }
  const epochs = [...past.all.map(({ secret }) => secret), group.epoch!.secret];
  for (const [i, secret] of epochs.entries()) {
    secrets.push([`secret of epoch ${i}`, secret]);
    for (const label of ["BX2 commit", "BX2 membership"]) {
      secrets.push([`${label} of epoch ${i}`, await derive(secret, 32, label, id)]);
    }
  }
  for (const { node, instance } of log!.speakers()) {
    for (const label of ["BX2 sender", "BX2 ecg sender"]) {
      const bits = await derive(group.epoch!.secret, 36, label, id, node, instance);
      secrets.push([`${label} ${hex(node)} ${hex(instance)}`, bits.subarray(0, 32)]);
    }
  }
  return secrets;
}

/** What makes a door, and seals in it; its log's id and key are shown to the relay. */
const doorSecrets = async ({ value, psk }: GroupDoor): Promise<Named[]> => [
  [`door ${hex(value.subarray(0, 4))}`, value],
  [`seal of door ${hex(value.subarray(0, 4))}`, await derive(value, 32, "BX2 door seal")],
  [`PSK of door ${hex(value.subarray(0, 4))}`, psk],
];

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

/** Which of the patterns stand in the files of a folder. */
function searchFiles(folder: string, patterns: ReadonlyMap<string, Uint8Array>): string[] {
  const names = readdirSync(folder);
  assert(names.some((name) => name.endsWith("-wal")), "the log of writes ahead is searched too");
  const bytes = Buffer.concat(names.map((name) => readFileSync(join(folder, name))));
  return [...patterns].filter(([, pattern]) => bytes.includes(Buffer.from(pattern))).map(([name]) =>
    name
  );
}

for (const runtime of ["bun", "deno"] as const) {
  const options = reason && !inCi ? { skip: skipped(reason) } : {};
  test(
    `a relay on ${runtime} has neither the canary nor any key in its memory or its file`,
    options,
    () =>
      withStorePath((path) =>
        withRelayProcess(runtime, (relay) =>
          withDevices(async (kit) => {
            assertEquals(reason, undefined);
            const text = canary("canary");
            const storages = [memoryStorage(), memoryStorage(), memoryStorage()];
            const { devices, invitation } = await group(kit, relay.url, 1, {
              storage: storages[0]!,
              sponsor: () => true,
              // So that the canary itself is what would be seen, were it not sealed.
              compress: "never",
            });
            for (const storage of storages.slice(1)) {
              devices.push(kit.open({ url: relay.url, invitation, storage, compress: "never" }));
            }
            await Promise.all(devices.map(({ client }) => client.ready));
            const literal = new LiteralSocket(relay.url, await devices[0]!.client.channel());
            try {
              await literal.ready;
              for (const [i, { client }] of devices.entries()) {
                await client.collection("bugs").insert({ title: `${text} of device ${i}` });
              }
              literal.insert("bugs", { title: `${text} of the literal client` });
              await converged(devices, 4);
              await eventually(() => literal.operations.length === 3, "the literal client has all");
              await devices[1]!.client.rotate();
              const last = { title: `${text} after a rotation` };
              await devices[2]!.client.collection("bugs").insert(last);
              await converged(devices, 5);
              await eventually(() => literal.operations.length === 4, "and that one");
              await eventually(
                () => devices.every(({ client }) => client.pending === 0),
                "all is acknowledged, and stored",
              );

              const secrets = (await Promise.all(storages.map(secretsOf))).flat();
              const { key } = await parseInvitation(invitation);
              secrets.push(["invitation key", key]);
              const { id } = await restored(storages[0]!);
              secrets.push(...await doorSecrets(await GroupDoor.ofInvitation(key, id)));
              const patterns = new Map<string, Uint8Array>(forms("canary", utf8Bytes(text)));
              for (const [name, bytes] of secrets) {
                for (const form of forms(name, bytes)) patterns.set(...form);
              }
              patterns.set("key with the literal client", literal.text.key);
              assert(patterns.size > 200, `${patterns.size} patterns`);
              await stop(relay);
              const { found, bytes } = search(relay.child.pid!, patterns);
              // What it was shown is there: the search sees what there is to see.
              const shown = new Map(await shownBy(storages[0]!));
              const seen = search(relay.child.pid!, shown).found.sort();
              const filed = searchFiles(dirname(path), patterns);
              const kept = searchFiles(dirname(path), shown);
              process.kill(relay.child.pid!, "SIGCONT");
              assertEquals(found, []);
              assertEquals(filed, []);
              assert(
                seen.includes("room") && (seen.includes("log key") || seen.includes("log id")),
              );
              assert(bytes > 10_000_000, `${bytes} bytes were searched`);
              assert(!kept.includes("log key"), "the file has the hash of a key");
              const { log } = (await restored(storages[0]!)).epoch!;
              const ids = new Map([["raw", log.id], ["hex", utf8Bytes(hex(log.id))]]);
              assert(searchFiles(dirname(path), ids).length > 0, "the log itself is in the file");
            } finally {
              literal.close();
            }
            await control(relay);
          }), ["--store", path])
      ),
  );
}
