/**
 * The six digits against somebody in the middle who has all the time and all the keys in the world.
 */
import { createHash } from "node:crypto";
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { Compression } from "../src/client/blaze/compression.ts";
import { commitment, comparisonCode, drawKeyPair } from "../src/client/pair/pair_keys.ts";
import { Pairing } from "../src/client/pair/pairing.ts";
import type { Partner } from "../src/client/pair/partner.ts";
import type { Link } from "../src/link/link.ts";
import { type Bytes, compareBytes, concat, utf8Bytes } from "../src/wire/bytes.ts";
import { decodeExtension, encodeExtension, Subtype } from "../src/wire/blaze/extension.ts";
import { decodeFrame, encodeFrame, FrameType } from "../src/wire/blaze/blaze_frame.ts";
import {
  decodeHandshake,
  decodeHandshakeAck,
  encodeHandshake,
  encodeHandshakeAck,
  type Handshake,
  TlvType,
} from "../src/wire/blaze/handshake.ts";
import { PairKeys } from "../src/client/pair/pair_keys.ts";
import { introduce } from "../src/client/group/introduction.ts";
import { trusting } from "./kit/pair.ts";
import { eventually } from "./kit/group.ts";
import { isType, withHostile } from "./kit/hostile.ts";
import { refusal } from "./kit/refusal.ts";
import { withRelay } from "./kit/relay.ts";

/** One honest device, with somebody in the middle at the other end of its link. */
class Victim {
  handshake!: Handshake;
  nonce: Bytes | undefined;
  partner: Partner | undefined;
  readonly faults: string[] = [];
  closed = "";
  readonly pairing: Pairing;

  constructor() {
    const link: Link = {
      remote: "middle",
      buffered: 0,
      send: (message) => this.#hear(message),
      close: (_code, reason) => this.closed ||= reason,
    };
    this.pairing = new Pairing(
      link,
      {
        node: crypto.getRandomValues(new Uint8Array(16)),
        database: "bugs",
        compression: new Compression({ mode: "never", fault: () => {} }),
        trust: trusting(() => new Promise(() => {})),
      },
      {
        waiting: () => {},
        met: (partner) => this.partner = partner,
        paired: () => {},
        refused: () => {},
        frame: () => {},
        fault: ({ code }) => this.faults.push(code),
      },
    );
  }

  #hear(message: Bytes): void {
    const { type, payload } = decodeFrame(message);
    if (type === FrameType.handshake) this.handshake = decodeHandshake(payload.slice());
    if (type !== FrameType.extension) return;
    const extension = decodeExtension(payload.slice());
    if (extension.subtype === "device") this.nonce = extension.body.slice();
  }

  /** Introduces the middle as the partner, and proves that it holds the key. */
  async meet(other: Handshake, privateKey: CryptoKey): Promise<void> {
    await eventually(() => this.handshake !== undefined, "it greets");
    const challenge = new Uint8Array(16);
    const keys = await PairKeys.derive(privateKey, this.handshake.publicKey, ["bugs", "bugs"]);
    const payload = encodeHandshakeAck({ ...other, challenge });
    this.pairing.message(encodeFrame({ type: FrameType.handshakeAck, payload }));
    this.pairing.message(
      encodeFrame({ type: FrameType.handshakeAck, payload: await keys.prove(challenge) }),
    );
    await eventually(() => this.nonce !== undefined, "it reveals its nonce");
  }

  reveal(nonce: Bytes): void {
    const payload = encodeExtension({ subtype: "device", code: Subtype.reveal, body: nonce });
    this.pairing.message(encodeFrame({ type: FrameType.extension, payload }));
  }
}

/** The middle's own Handshake, committed to a nonce as the profile wants it. */
async function forge(honest: Handshake, publicKey: Bytes, nonce: Bytes): Promise<Handshake> {
  const tlvs = [{ type: TlvType.commitment, value: await commitment(nonce) }];
  return { ...honest, node: crypto.getRandomValues(new Uint8Array(16)), publicKey, tlvs };
}

/** Tries nonces until the last four of the six digits fit: a hundredth of the work for all six. */
function grind(theirs: Handshake, nonce: Bytes, ours: Handshake, want: string): Bytes {
  const [mine, other] = [encodeHandshake(ours), encodeHandshake(theirs)];
  const first = compareBytes(mine, other) < 0;
  const bytes = first ? [mine, other] : [other, mine];
  const head = concat(utf8Bytes("BX1 code"), ...bytes);
  const tried = new Uint8Array(16);
  const view = new DataView(tried.buffer);
  for (let i = 0; i < 1_000_000; i++) {
    view.setUint32(0, i);
    const nonces = first ? [tried, nonce] : [nonce, tried];
    const hash = createHash("sha256").update(head).update(nonces[0]!).update(nonces[1]!).digest();
    let rest = 0;
    for (const byte of hash) rest = (rest * 256 + byte) % 10_000;
    if (rest === Number(want.slice(2))) return tried;
  }
  throw new Error("nothing fits");
}

test("somebody in the middle who grinds until the codes fit is caught by the commitment", async () => {
  const [left, right] = [new Victim(), new Victim()];
  const [toLeft, toRight] = await Promise.all([drawKeyPair(), drawKeyPair()]);
  const [nonceLeft, nonceRight] = [new Uint8Array(16).fill(1), new Uint8Array(16).fill(2)];
  await eventually(
    () => left.handshake !== undefined && right.handshake !== undefined,
    "greetings",
  );

  // One side first, honestly: its code is now fixed.
  const posedLeft = await forge(right.handshake, toLeft.publicKey, nonceLeft);
  await left.meet(posedLeft, toLeft.privateKey);
  left.reveal(nonceLeft);
  await eventually(() => left.partner !== undefined, "the left device shows a code");
  const { code } = left.partner!;
  assert(/^\d{6}$/.test(code));

  // Then the other, as late as can be: after its nonce was seen.
  const posedRight = await forge(left.handshake, toRight.publicKey, nonceRight);
  await right.meet(posedRight, toRight.privateKey);
  const fitting = grind(right.handshake, right.nonce!, posedRight, code);
  const would = await comparisonCode(
    { handshake: right.handshake, nonce: right.nonce! },
    { handshake: posedRight, nonce: fitting },
  );
  // Grinding works: this nonce makes the digits that were looked for.
  assertEquals(would.slice(2), code.slice(2));

  // But it is not the one committed to.
  right.reveal(fitting);
  await eventually(() => right.faults.includes("COMMITMENT_BROKEN"), "the right device noticed");
  assertEquals(right.partner, undefined);
  assertEquals(right.closed, "commitment broken");
});

test("somebody in the middle who keeps to its commitments shows two different codes", async () => {
  // One in a million pairs of codes is equal by chance: three tries cannot all be.
  const codes = await Promise.all(Array.from({ length: 3 }, async () => {
    const victims = [new Victim(), new Victim()];
    await eventually(() => victims.every(({ handshake }) => handshake !== undefined), "greetings");
    return await Promise.all(victims.map(async (victim, i) => {
      const pair = await drawKeyPair();
      const nonce = crypto.getRandomValues(new Uint8Array(16));
      const posed = await forge(victims[1 - i]!.handshake, pair.publicKey, nonce);
      await victim.meet(posed, pair.privateKey);
      victim.reveal(nonce);
      await eventually(() => victim.partner !== undefined, "a code is shown");
      return victim.partner!.code;
    }));
  }));
  assert(codes.some(([left, right]) => left !== right), JSON.stringify(codes));
});

test("a relay that takes out the commitments lets nobody join, and nobody is asked", () =>
  withRelay((relay) =>
    withHostile(relay.url, async (hostile) => {
      hostile.down = (message) => {
        if (!isType(message, FrameType.handshakeAck)) return;
        const { payload } = decodeFrame(message);
        if (payload.length === 32) return;
        const ack = decodeHandshakeAck(payload.slice());
        const tlvs = ack.tlvs.filter(({ type }) => type !== TlvType.commitment);
        const changed = encodeHandshakeAck({ ...ack, tlvs });
        return [encodeFrame({ type: FrameType.handshakeAck, payload: changed })];
      };
      let asked = 0;
      const options = { url: hostile.url, confirm: () => ++asked > 0 };
      const codes = await Promise.all([
        refusal(() => introduce(options, () => Promise.resolve("an invitation"))),
        refusal(() => introduce(options)),
      ]);
      assert(codes.includes("NOT_COMMITTED"), `${codes}`);
      assertEquals([codes.includes(undefined as never), asked], [false, 0]);
    })
  ));
