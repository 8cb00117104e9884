/** What one instance of a device seals: each payload opens once, as what it is, and nothing else does. */
import { test } from "node:test";
import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { ClientError } from "../src/client/client_error.ts";
import { random } from "../src/client/group/e2e/derive.ts";
import { Epoch } from "../src/client/group/e2e/epoch.ts";
import { ReplayWindow, WINDOW } from "../src/client/group/e2e/replay.ts";
import { Opener, readNonce, Sealer, Sender } from "../src/client/group/e2e/sender.ts";
import { refusal } from "./kit/refusal.ts";

const [group, node, instance, secret] = [random(16), random(16), random(8), random(32)];
const sender = async (change: { node?: Uint8Array; database?: string; label?: string } = {}) =>
  await Sender.of(
    await Epoch.of(secret, group),
    change.node ?? node,
    instance,
    change.database ?? "bugs",
    change.label,
  );
const purpose = { type: 6, subtype: 0x10, compressed: false };
const text = random(20);

test("a payload opens once, also where two copies of it come at once", async () => {
  const sealed = await new Sealer(await sender()).seal(purpose, text);
  const opener = new Opener(await sender());
  const results = await Promise.allSettled([1, 2, 3].map(() => opener.open(sealed, purpose)));
  const opened = results.filter(({ status }) => status === "fulfilled");
  assertEquals(opened.length, 1);
  assertEquals(await refusal(() => opener.open(sealed, purpose)), "REPLAY");
  assertEquals(opener.window.mark, 1n);
});

test("what does not open uses no counter up", async () => {
  const sealed = await new Sealer(await sender()).seal(purpose, text);
  const opener = new Opener(await sender());
  const forged = sealed.slice();
  forged[forged.length - 1]! ^= 1;
  assertEquals(await refusal(() => opener.open(forged, purpose)), "AUTH_FAILED");
  assertEquals(await opener.open(sealed, purpose), text);
  assertEquals(
    await refusal(() => opener.open(sealed.slice(0, 27), purpose)),
    "CIPHERTEXT_TOO_SHORT",
  );
});

test("a payload is bound to all that it is", async () => {
  const sealer = new Sealer(await sender());
  const target = random(16);
  const full = { ...purpose, target, bound: random(3) };
  const others = [
    { ...full, type: 5 },
    { ...full, subtype: 0x11 },
    { ...full, compressed: true },
    { ...full, target: random(16) },
    { ...full, target: undefined },
    { ...full, bound: random(3) },
    { ...full, bound: new Uint8Array() },
  ];
  const sealed = await sealer.seal(full, text);
  const opener = new Opener(await sender());
  for (const other of others) {
    assertEquals(await refusal(() => opener.open(sealed, other)), "AUTH_FAILED");
  }
  for (
    const change of [{ node: random(16) }, { database: "bug" }, { label: "BX2 ecg sender" }]
  ) {
    const another = new Opener(await sender(change));
    assertEquals(await refusal(() => another.open(sealed, full)), "AUTH_FAILED");
  }
  assertEquals(await opener.open(sealed, full), text);
});

test("an instance seals 2^32 payloads, and nobody opens one beyond", async () => {
  const most = 2n ** 32n;
  const last = new Sealer(await sender(), most - 1n);
  const opener = new Opener(await sender());
  assert(!last.worn);
  const sealed = await last.seal(purpose, text);
  assertEquals(readNonce(sealed).counter, most - 1n);
  assertEquals(await opener.open(sealed, purpose), text);
  assert(last.worn);
  const error = assertThrows(() => last.nonce(), ClientError);
  assertEquals(error.code, "KEY_WORN_OUT");
  // Somebody with the key goes on all the same.
  const by = await sender();
  const nonce = sealed.slice(0, 12);
  new DataView(nonce.buffer).setBigUint64(4, most);
  const beyond = await by.encrypt(nonce, purpose, text);
  assertEquals(await refusal(() => opener.open(beyond, purpose)), "REPLAY");
});

test("no two instances share a hint that is taken already", async () => {
  const epoch = await Epoch.of(secret, group);
  const hints: string[] = [];
  const drawn = await Sender.draw(epoch, node, "bugs", (hint) => hints.push(hint) < 3);
  assertEquals(new Set(hints).size, 3);
  assertNotEquals(drawn.instance, instance);
});

test("in a log counters rise; elsewhere each is taken once, 1,024 below the next one at most", () => {
  const rising = new ReplayWindow(5n, 0n);
  assertEquals([4n, 5n, 9n].map((n) => rising.fresh(n)), [false, true, true]);
  rising.note(9n);
  assertEquals([8n, 9n, 10n].map((n) => rising.fresh(n)), [false, false, true]);

  const loose = new ReplayWindow(3n);
  loose.note(WINDOW + 3n);
  assertEquals([2n, 3n, 4n].map((n) => loose.fresh(n)), [false, false, true]);
  loose.note(4n);
  assert(!loose.fresh(4n));
  // What is forgotten is too old to be taken.
  for (let n = WINDOW + 4n; n < 4n * WINDOW; n++) {
    assert(loose.fresh(n));
    loose.note(n);
    assert(!loose.fresh(n) && !loose.fresh(n - WINDOW) && !loose.fresh(4n));
  }
  assertEquals(loose.mark, 4n * WINDOW);
  const restored = new ReplayWindow(loose.mark);
  assertEquals([loose.mark - 1n, loose.mark].map((n) => restored.fresh(n)), [false, true]);
});
