/**
 * From a key to a yes of both sides. A partner that was confirmed before proves it (`known`); of any
 * other one the nonces are revealed, people compare the code, and each side says so (`agreed`). Nothing
 * passes before.
 *
 * A partner without a commitment speaks the seed's text: it has a code of thirty digits, proves nothing
 * and says nothing, so our own yes is all there is.
 *
 * @module
 */
import { type Bytes, hex, sameBytes } from "../../wire/bytes.ts";
import { Subtype } from "../../wire/blaze/extension.ts";
import {
  Capability,
  type Handshake,
  type HandshakeAck,
  tlv,
  TlvType,
} from "../../wire/blaze/handshake.ts";
import { ClientError, faultOf } from "../client_error.ts";
import { Meeting } from "./bond.ts";
import { commitment, comparisonCode, type PairKeys, REVEAL_LENGTH } from "./pair_keys.ts";
import type { Bond, Partner, Trust } from "./partner.ts";

export interface AcquaintanceEvents {
  /** Sends an Extension to the partner. */
  extend(code: number, body: Bytes): void;
  /** Does a step in its turn, after the frames that came before it. */
  later(step: () => Promise<void>): void;
  met(partner: Partner): void;
  paired(partner: Partner): Promise<void>;
  /** Our side said no; nobody was asked where there is no partner yet. */
  refused(partner: Partner | undefined): void;
  /** Our side said yes without asking anybody, and waits for the partner's, so many milliseconds. */
  awaits(ms: number): void;
  /** The partner broke its word. */
  broken(why: string): void;
}

/** Proofs of a partner that are looked at: it brings one for each partner that it remembers. */
const MOST_PROOFS = 64;
/**
 * What a partner may take to say yes where nobody was asked here: one that is known says it at once, of
 * any other one the people may compare the code. Whoever is asked here can end it at any time.
 */
const KNOWN_MS = 10_000;
const PEOPLE_MS = 120_000;

const isOf = (node: Uint8Array) => (bond: Bond) => bond.settled && bond.node === hex(node);

export class Acquaintance {
  /** Once there is a code. */
  partner: Partner | undefined;
  #verified = false;
  /** The bond that the partner has proven, or the one that its yes makes. */
  #bond: Bond | undefined;
  #proofs = 0;
  #code: string | undefined;
  #yes = { ours: false, theirs: false };
  #paired = false;
  /** Our nonce was shown. */
  #exposed = false;
  /** It was left, or said no: nothing that is still under way has an effect. */
  #over = false;
  /** What the partner's nonce must hash to. */
  readonly #promised: Uint8Array | undefined;

  private constructor(
    private readonly own: Handshake,
    private readonly ack: HandshakeAck,
    private readonly meeting: Meeting,
    private readonly nonce: Bytes,
    private readonly trust: Trust,
    private readonly events: AcquaintanceEvents,
  ) {
    this.#promised = tlv(ack, TlvType.commitment);
  }

  /** `nonce`: the one that we committed to. */
  static async of(
    keys: PairKeys,
    own: Handshake,
    ack: HandshakeAck,
    nonce: Bytes,
    trust: Trust,
    events: AcquaintanceEvents,
  ): Promise<Acquaintance> {
    const meeting = await Meeting.of(keys, own, ack);
    return new Acquaintance(own, ack, meeting, nonce, trust, events);
  }

  /** What both sides will know each other by, once they are paired. */
  get bond(): Bytes | undefined {
    return this.#paired ? this.#bond?.secret : undefined;
  }

  /** Whether the partner says yes, too, and sends nothing before it heard ours. */
  get mutual(): boolean {
    return this.#promised !== undefined;
  }

  async begin(): Promise<void> {
    if (this.mutual) {
      for (const bond of this.trust.bonds(this.ack.node)) {
        this.events.extend(Subtype.known, await this.meeting.known(bond));
      }
      // Both Handshakes are out: now the nonce may be seen.
      this.#exposed = true;
      this.events.extend(Subtype.reveal, this.nonce);
    } else {
      this.#code = await comparisonCode({ handshake: this.own }, { handshake: this.ack });
      this.#meet();
    }
  }

  /** The partner has seen our nonce, and cannot be met yet. */
  get withheld(): boolean {
    return this.#exposed && this.partner === undefined;
  }

  get over(): boolean {
    return this.#over;
  }

  /** Nothing comes of this one any more. */
  end(): void {
    this.#over = true;
  }

  /** The partner's side said no: what our yes made is worth nothing. */
  async declined(): Promise<void> {
    this.end();
    await this.trust.declined(this.ack.node);
  }

  /** The partner has proven that it holds the secret. */
  verified(): void {
    this.#verified = true;
    this.#meet();
  }

  /** Takes an Extension of the partner's. Others than these are no business of a pair. */
  async take(code: number, body: Bytes): Promise<void> {
    if (code === Subtype.known) await this.#recognise(body);
    else if (code === Subtype.reveal) await this.#reveal(body);
    else if (code === Subtype.agreed) await this.#hear(body);
  }

  /** The partner proves to be one that we remember. Before its reveal, or it is too late. */
  async #recognise(proof: Bytes): Promise<void> {
    if (this.#code !== undefined || ++this.#proofs > MOST_PROOFS) return;
    for (const bond of this.trust.bonds(this.ack.node)) {
      if (await this.meeting.copies(proof, bond)) {
        this.events.refused(undefined);
        throw new ClientError("OWN_COPY", "the partner has the storage of this device");
      }
      // A settled one, where there are two: so both sides choose the same.
      if (this.#bond?.settled || !await this.meeting.knows(proof, bond)) continue;
      this.#bond = bond;
    }
  }

  async #reveal(nonce: Bytes): Promise<void> {
    const kept = this.#promised && nonce.length === REVEAL_LENGTH &&
      !sameBytes(nonce, this.nonce) && sameBytes(await commitment(nonce), this.#promised);
    if (!kept) {
      this.events.broken("commitment broken");
      throw new ClientError("COMMITMENT_BROKEN", "the nonce is not the one committed to");
    }
    if (this.#code !== undefined) return;
    this.#code = await comparisonCode(
      { handshake: this.own, nonce: this.nonce },
      { handshake: this.ack, nonce },
    );
    this.#meet();
  }

  /** Once everything is known that this partner can show. */
  #meet(): void {
    const { node, capabilities } = this.ack;
    const asked = (capabilities & Capability.tlvs) !== 0;
    if (this.#over || this.partner || this.#code === undefined || (asked && !this.#verified)) {
      return;
    }
    this.partner = {
      node: node.slice(),
      known: this.#bond !== undefined,
      changed: !this.#bond && this.trust.bonds(node).some(isOf(node)),
      remembers: this.mutual,
      verified: this.#verified,
      literal: (capabilities & 0xf0) === 0,
      code: this.#code,
    };
    this.trust.met();
    this.events.met(this.partner);
    // People take their time: nothing else waits for them.
    void this.#judge(this.partner);
  }

  async #judge(partner: Partner): Promise<void> {
    const unasked = partner.known || this.trust.takes(partner);
    let yes = unasked;
    let failed: ClientError | undefined;
    try {
      if (!unasked) yes = await this.trust.judge(partner) === true;
    } catch (error) {
      failed = new ClientError("CONFIRM_FAILED", faultOf(error).message);
    }
    this.events.later(async () => {
      if (this.#over) return;
      if (yes) return await this.#agree(partner, unasked);
      this.events.refused(partner);
      if (failed) throw failed;
    });
  }

  async #agree({ node, known }: Partner, unasked: boolean): Promise<void> {
    this.#yes.ours = true;
    if (this.mutual) {
      if (!known) {
        this.#bond = { node: hex(node), ...await this.meeting.bond(), settled: false };
        // Before the partner hears of it: what it relies on must be kept.
        if (!this.#over) await this.trust.keep(this.#bond);
      }
      const agreed = await this.meeting.agreed();
      if (this.#over) return;
      this.events.extend(Subtype.agreed, agreed);
      if (unasked && !this.#yes.theirs) this.events.awaits(known ? KNOWN_MS : PEOPLE_MS);
    }
    await this.#complete();
  }

  /** The partner's side said yes. */
  async #hear(proof: Bytes): Promise<void> {
    if (!await this.meeting.agrees(proof)) {
      throw new ClientError("NOT_AGREED", "nobody who holds the secret said yes");
    }
    this.#yes.theirs = true;
    await this.#complete();
  }

  async #complete(): Promise<void> {
    const { ours, theirs } = this.#yes;
    if (this.#paired || this.#over || !ours || (this.mutual && !theirs)) return;
    this.#paired = true;
    if (this.#bond) await this.trust.settle(this.ack.node, this.#bond);
    if (this.#over) return;
    await this.events.paired(this.partner!);
  }
}
