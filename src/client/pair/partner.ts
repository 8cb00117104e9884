/**
 * Who the other device of a pair is, and who decides about it.
 *
 * @module
 */
import type { Bytes } from "../../wire/bytes.ts";

/** What is remembered of a partner. */
export interface Bond {
  /** The node id that it had, in hex. */
  readonly node: string;
  /** 32 bytes. */
  readonly secret: Bytes;
  /** Whose half of the bond we have: 0 where our Handshake had the lower hash when it was made. */
  readonly side: Side;
  /** The partner said yes too, or has proven since that it remembers. */
  readonly settled: boolean;
}

/** The two devices of a bond, so that none of them can be taken for the other. */
export type Side = 0 | 1;

/** Decides about partners and remembers them. */
export interface Trust {
  /**
   * What the partner with this node id may prove: its settled bond, or any settled one where none has
   * this node id; and the one that is not settled, made with this very node id.
   */
  bonds(node: Uint8Array): readonly Bond[];
  /** Whether a partner that is not known is taken without asking anybody. */
  takes(partner: Partner): boolean;
  /** Whether to take a partner that is not known. Whatever is not `true`, or throws, is a no. */
  judge(partner: Partner): boolean | Promise<boolean>;
  /** Our side said yes: this shows the partner next time. What is settled with it stays until then. */
  keep(bond: Bond): Promise<void>;
  /**
   * The partner remembers us, too: under this node id from now on, whatever it was before. Every bond
   * that is not settled goes. Does nothing with a bond that is not remembered any more.
   */
  settle(node: Uint8Array, bond: Bond): Promise<void>;
  /** A partner was met: it showed its nonce as we did, and proved itself. */
  met(): void;
  /**
   * A partner saw our nonce and left before it could be met. It may have worked out the code that we
   * would have shown, and try again until that fits. Whether to come back later.
   */
  withheld(): boolean;
  /** The partner's side said no: what is not settled with it goes. */
  declined(node: Uint8Array): Promise<void>;
}

/**
 * Whether to take this partner: whether its screen shows the same code. Six digits, or thirty where it
 * does not remember. Asked again for each new code; an answer to one that is gone changes nothing.
 */
export type Confirm = (code: string, partner: Partner) => boolean | Promise<boolean>;

/** The other device, once the keys are agreed. */
export interface Partner {
  /** 16 bytes. */
  readonly node: Uint8Array;
  /** It proved to be a partner that was confirmed before: nobody has to compare its code. */
  readonly known: boolean;
  /** A partner with this node id is remembered, and this one cannot prove to be it. */
  readonly changed: boolean;
  /** Once confirmed, it will be known again. A literal client will not. */
  readonly remembers: boolean;
  /** It proved that it holds the same secret. A literal client is not asked to. */
  readonly verified: boolean;
  /** Speaks the seed's text and nothing beyond. */
  readonly literal: boolean;
  /** What people compare on both screens: 6 digits, or 30 with a literal client. */
  readonly code: string;
}
