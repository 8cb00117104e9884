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
import { derive } from "../src/client/group/e2e/derive.ts";
import { GroupDoor } from "../src/client/group/mls/door.ts";
import { GroupMembership } from "../src/client/group/mls/group_membership.ts";
import { groupIdOf, parseInvitation } from "../src/client/group/mls/invitation_text.ts";
import { hex, Reader, utf8Bytes } from "../src/wire/bytes.ts";
import { encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import { decodeRecord } from "../src/wire/blaze/blaze_record.ts";
import { converged, eventually, withDevices } from "./kit/group.ts";
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

/** Everything secret that a device of the group has stored, and what is derived of it. */
async function secretsOf(storage: DeviceStorage): Promise<[string, Uint8Array][]> {
  const saved = await storage.load();
  const { database, constant, membership, past } = decodeRecord(saved.get("group")!) as unknown as {
    database: string;
    constant: Uint8Array;
    membership: Uint8Array;
    past: { secret: Uint8Array }[];
  };
  const id = await groupIdOf(constant, database);
  const member = await GroupMembership.restore(membership);
  const { view: { state } } = member;
  const r = new Reader(saved.get("log")!);
  // The cursor, then who speaks in this log.
  r.bytes(8 + 8 + 32);
  const speakers: Uint8Array[] = [];
  while (r.left > 0) {
    speakers.push(r.bytes(16 + 8).slice());
    r.u64();
  }
  assert(speakers.length > 1);
  const secrets: [string, Uint8Array][] = [
    ["channel constant", constant],
    // PKCS #8 holds the 32 bytes of a P-256 key at offset 36.
    ["signing key", state.signaturePrivateKey.slice(36, 68)],
    ["exporter secret", state.keySchedule.exporterSecret],
    ["init secret", state.keySchedule.initSecret],
    ["own door's seed", member.self.seed],
  ];
  const epochs = [...past.map(({ secret }) => secret), await member.epochSecret()];
  for (const [i, secret] of epochs.entries()) {
    secrets.push([`epoch secret ${i}`, secret]);
    for (const label of ["BX2 membership", "BX2 commit"]) {
      secrets.push([`${label} ${i}`, await derive(secret, 32, label, id)]);
    }
    for (const speaker of speakers) {
      const bits = await derive(secret, 36, "BX2 sender", id, speaker);
      secrets.push([`sender ${hex(speaker)} ${i}`, bits.subarray(0, 32)]);
    }
  }
  return secrets;
}

/** What an invitation holds, and what is derived of it. */
async function secretsIn(invitation: string): Promise<[string, Uint8Array][]> {
  const { key, constant, database } = await parseInvitation(invitation);
  const group = await groupIdOf(constant, database);
  const { value } = await GroupDoor.ofInvitation(key, group);
  return [
    ["invitation key", key],
    ["invitation", value],
    ["door's seal", await derive(value, 32, "BX2 door seal")],
    ["PSK", await derive(value, 32, "BX2 psk")],
  ];
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
    `a relay on ${runtime} has neither the canary nor any key in its memory or in its file`,
    options,
    () =>
      withStorePath((path) =>
        withRelayProcess(runtime, (relay) =>
          withDevices(async (kit) => {
            assertEquals(reason, undefined);
            const text = canary("canary");
            const storages = [memoryStorage(), memoryStorage(), memoryStorage()];
            // So that the canary itself is what would be seen, were it not sealed.
            const common = { url: relay.url, compress: "never" } as const;
            const sponsor = { storage: storages[0]!, sponsor: () => true };
            const first = kit.create({ ...common, ...sponsor, database: "bugs" });
            const invitation = await first.client.invite({ permanent: true });
            const devices = [first];
            for (const storage of storages.slice(1)) {
              devices.push(kit.open({ ...common, invitation, storage }));
            }
            await Promise.all(devices.map(({ client }) => client.ready));
            const room = await first.client.channel();
            const literal = new LiteralSocket(relay.url, room);
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

              const patterns = new Map<string, Uint8Array>(forms("canary", utf8Bytes(text)));
              const secrets = await Promise.all(storages.map(secretsOf));
              for (const [name, bytes] of [...secrets.flat(), ...await secretsIn(invitation)]) {
                patterns.set(name, bytes);
                patterns.set(`${name} in hexadecimal`, utf8Bytes(hex(bytes)));
              }
              patterns.set("key with the literal client", literal.text.key);
              assert(patterns.size > 40, `${patterns.size} patterns`);
              await stop(relay);
              const { found, bytes } = search(relay.child.pid!, patterns);
              // The room's name is no secret: the search sees what is there.
              const known = new Map([["room", utf8Bytes(room)]]);
              assertEquals(search(relay.child.pid!, known).found, ["room"]);
              const file = Buffer.concat(
                readdirSync(dirname(path)).map((name) => readFileSync(join(dirname(path), name))),
              );
              process.kill(relay.child.pid!, "SIGCONT");
              assertEquals(found, []);
              assert(bytes > 10_000_000, `${bytes} bytes were searched`);
              const kept = [...patterns].filter(([, pattern]) =>
                file.includes(Buffer.from(pattern))
              );
              assertEquals(kept.map(([name]) => name), []);
              assert(file.length > 4_096, `the file has ${file.length} bytes`);
            } finally {
              literal.close();
            }
            await control(relay);
          }), ["--store", path])
      ),
  );
}
