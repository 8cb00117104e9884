/** The bytes of groups, held to vectors that a second implementation has computed as well. */
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { openEntry } from "../src/client/group/log/log_entries.ts";
import { unpad } from "../src/client/group/e2e/padding.ts";
import { GroupDoor } from "../src/client/group/mls/door.ts";
import { parseInvitation } from "../src/client/group/mls/invitation_text.ts";
import { decodeExtension } from "../src/wire/blaze/extension.ts";
import { decodeFrame } from "../src/wire/blaze/blaze_frame.ts";
import { fromHex, hex } from "../src/wire/bytes.ts";
import { root } from "../tools/runtimes.ts";
import { GroupReader, type ReadEntry, readLogs, signatureFits } from "./kit/group_reader.ts";
import {
  type GroupVectors,
  type MadeSignature,
  makeVectors,
  replaying,
} from "./kit/group_vectors.ts";
import { vectors } from "./kit/vectors.ts";

const file = <T>(name: string) => vectors<GroupVectors & T>(`bx2/${name}`);
const signatures = file<{ given: MadeSignature[] }>("signatures.json").given;

interface LogVectors {
  given: {
    database: string;
    group: string;
    logs: { secret: string; ring: string; frames: string[] }[];
  };
  gives: { logs: { hashes: string[]; entries: ReadEntry[] }[] };
}

test("the code makes these vectors, byte for byte", async () => {
  const made = await makeVectors(replaying(signatures));
  for (const [name, content] of Object.entries(made)) {
    assertEquals(JSON.parse(JSON.stringify(content)), file(name), name);
  }
  const names = readdirSync(`${root}test/vectors/bx2`).filter((name) => name.endsWith(".json"));
  assertEquals(names.sort(), Object.keys(made).sort());
});

test("their signatures are those of their keys, and of nothing else", async () => {
  for (const { key, message, signature } of signatures) {
    const [k, m, s] = [fromHex(key), fromHex(message), fromHex(signature)];
    assert(await signatureFits(k, m, s));
    m[0]! ^= 1;
    assert(!await signatureFits(k, m, s));
  }
});

test("their paddings come off, texts are read, and doors open", async () => {
  type Paddings = { given: { contents: string[] }; gives: { contents: string[] } };
  const paddings = file<Paddings>("padding.json");
  for (const [i, padded] of paddings.gives.contents.entries()) {
    assertEquals(hex(unpad(fromHex(padded))), paddings.given.contents[i]);
  }
  const { given, gives } = file<{
    given: {
      constant: string;
      key: string;
      anchor: string;
      door: string;
      texts: { database: string; flags: number }[];
      entries: { content: string }[];
    };
    gives: { texts: string[]; frames: string[] };
  }>("doors.json");
  for (const [i, text] of gives.texts.entries()) {
    const parsed = await parseInvitation(text);
    const { database, constant, key, postQuantum, permanent, anchor } = parsed;
    const flags = (postQuantum ? 1 : 0) | (permanent ? 2 : 0);
    assertEquals({ database, flags }, given.texts[i]);
    assertEquals([hex(constant), hex(key)], [given.constant, given.key]);
    assertEquals(anchor && hex(anchor), permanent ? undefined : given.anchor);
  }
  const door = await GroupDoor.ofValue(fromHex(given.door));
  const [knock, welcome] = gives.frames.map((frame) => {
    const extension = decodeExtension(decodeFrame(fromHex(frame)).payload);
    return (extension as { body: Uint8Array }).body;
  });
  assertEquals(hex(await door.openKnock(knock!)), given.entries[0]!.content);
  const { reference, message } = await door.openWelcome(welcome!);
  assertEquals(hex(reference) + hex(message), given.entries[1]!.content);
});

test("no entry of the log opens with a bit flipped, whichever byte it is in", async () => {
  const { given, gives } = file<LogVectors>("log.json");
  const [first] = given.logs;
  const reader = await GroupReader.of(given.database, fromHex(given.group));
  const log = await reader.begin(fromHex(first!.secret), first!.ring);
  for (const [i, text] of first!.frames.entries()) {
    const frame = fromHex(text);
    if (!("refused" in gives.logs[0]!.entries[i]!)) {
      for (let at = 0; at < frame.length; at++) {
        const changed = frame.slice();
        changed[at]! ^= 1;
        const opened = await openEntry(changed, log, reader.compression).catch(() => undefined);
        assertEquals(opened, undefined, `entry ${i}, byte ${at}`);
      }
    }
    await reader.entry(frame);
  }
});

test("the log comes to what the vectors say, and what does not count is left out", async () => {
  const { given, gives } = file<LogVectors>("log.json");
  const told = await readLogs(given.database, given.group, given.logs);
  const refused = gives.logs.flatMap(({ entries }) => entries.map(({ refused }) => refused));
  assertEquals(refused.filter(Boolean), [
    "REPLAY",
    "ID_TAKEN",
    "BEHIND_THE_END",
    "REPEATED",
    "BAD_COUNTER",
  ]);
  const { logs: _, ...state } = told;
  const { logs: __, ...expected } = gives;
  assertEquals(state as object, expected as object);
});
