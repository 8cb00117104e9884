/**
 * A device that waits outside a group: it has put a knock into a door, and takes the welcome that
 * answers it.
 *
 * @module
 */
import { makeKeyPackageRef, type PrivateKeyPackage } from "ts-mls/keyPackage.js";
import {
  type Bytes,
  concat,
  hex,
  Reader,
  sameBytes,
  WireError,
  Writer,
} from "../../../wire/bytes.ts";
import { ClientError } from "../../client_error.ts";
import { derive } from "../e2e/derive.ts";
import { type Carry, decodeCarry, epochSecretOf } from "./carry.ts";
import { doorPsks } from "./commit_judge.ts";
import { isDoorPsk } from "./commit_rules.ts";
import { GroupDoor } from "./door.ts";
import { viewOf } from "./epoch_view.ts";
import { GroupMembership } from "./group_membership.ts";
import { type DeviceKeys, drawKeyPackage } from "./key_package.ts";
import { CARRY_EXTENSION, identityOf } from "./leaf_rules.ts";
import { readKeyPackage, readWelcome, writeKeyPackage } from "./mls_message.ts";
import { type GroupSuite, mlsSuite, P256_SUITE, XWING_SUITE } from "./webcrypto_provider.ts";
import { joinByWelcome, refuseWelcome } from "./welcome_join.ts";

const SAVED = 1;
const ANCHOR = 16;
/** Key packages of before that are kept: some member may have answered one. */
const MOST_OLDER = 8;
/** A key package is drawn anew when it has only so long to go, for clocks that differ: seconds. */
const MARGIN = 24n * 3600n;

export interface Arrival {
  /** 16 bytes, of the text. */
  readonly group: Bytes;
  /** This device's name, for people. */
  readonly name: string;
  /** The invitation's door, or the own one where `keys` is given. */
  readonly door: GroupDoor;
  readonly postQuantum: boolean;
  /** Those of a member that cannot follow any more: it asks for a rejoin. */
  readonly keys?: DeviceKeys;
  /**
   * Signature keys of the other members that such a device knew. It takes a welcome from nobody else:
   * whoever was removed knows its door still.
   */
  readonly knows?: readonly Bytes[];
  /** 16 bytes, of a text that lets in one device: the log id of an epoch that it has to come from. */
  readonly anchor?: Bytes | undefined;
}

/** What a welcome leads to. */
export interface Entered {
  readonly membership: GroupMembership;
  /** The epochs before. */
  readonly carry: Carry;
  /**
   * Of these the first one that has to be shown to lead here: the one that the text was made in; else
   * the last.
   */
  readonly from: number;
}

interface Fields {
  readonly suite: GroupSuite;
  /** Of a rejoin: whose welcome is taken. */
  readonly knows: readonly Bytes[] | undefined;
  readonly anchor: Bytes | undefined;
  readonly group: Bytes;
  readonly door: GroupDoor;
  /** The present one first; then those of before, the newest first, of the same signature key. */
  readonly offers: readonly Offer[];
}

/** A key package that a welcome may be for. */
interface Offer {
  /** MLSMessage. */
  readonly keyPackage: Bytes;
  readonly privatePackage: PrivateKeyPackage;
}

export class GroupNewcomer {
  readonly #fields: Fields;

  private constructor(
    fields: Fields,
    /** Those of the key packages, in their order: 32 bytes each, or 64 with `postQuantum`. */
    private readonly references: readonly Bytes[],
  ) {
    this.#fields = fields;
  }

  /** Draws the keys of a newcomer. Throws `NAME_LENGTH`. */
  static async draw(
    { group, name, door, postQuantum, keys, knows = [], anchor }: Arrival,
    now = Date.now(),
  ): Promise<GroupNewcomer> {
    const suite = await mlsSuite(postQuantum ? XWING_SUITE : P256_SUITE);
    const again = keys && { keys, door };
    const { publicPackage, privatePackage } = await drawKeyPackage(suite, name, now, again);
    const keyPackage = writeKeyPackage(publicPackage);
    return await GroupNewcomer.#of({
      suite,
      knows: keys && knows,
      anchor,
      group: group.slice(),
      door,
      offers: [{ keyPackage, privatePackage }],
    });
  }

  /**
   * The same device with another key package, good from `now` on (milliseconds since 1970): same signature
   * key, so same node id. What answers the one of before is taken as well.
   */
  async renewed(now = Date.now()): Promise<GroupNewcomer> {
    const { suite, knows, door, offers } = this.#fields;
    const { leafNode } = readKeyPackage(this.keyPackage)!;
    const { signaturePrivateKey: signKey } = offers[0]!.privatePackage;
    const publicKey = leafNode.signaturePublicKey.slice();
    const keys = { publicKey, signKey: signKey.slice() };
    const { name } = identityOf(leafNode);
    const again = { keys, door: knows && door };
    const { publicPackage, privatePackage } = await drawKeyPackage(suite, name, now, again);
    const offer = { keyPackage: writeKeyPackage(publicPackage), privatePackage };
    const kept = [offer, ...offers].slice(0, 1 + MOST_OLDER);
    return await GroupNewcomer.#of({ ...this.#fields, offers: kept });
  }

  static async #of(fields: Fields): Promise<GroupNewcomer> {
    const references: Bytes[] = [];
    for (const { keyPackage } of fields.offers) {
      const pack = readKeyPackage(keyPackage);
      if (!pack) throw new WireError("BAD_STATE", 0, "no key package");
      references.push((await makeKeyPackageRef(pack, fields.suite.hash)).slice());
    }
    return new GroupNewcomer(fields, references);
  }

  /** MLSMessage (KeyPackage): what goes into the door, sealed. */
  get keyPackage(): Bytes {
    return this.#fields.offers[0]!.keyPackage;
  }

  /** The key package's: 32 bytes, or 64 with `postQuantum`. */
  get reference(): Bytes {
    return this.references[0]!;
  }

  /** Whether it offered this key package: its reference, the first 32 bytes in hex. */
  offered(reference: string): boolean {
    return this.references.some((one) => hex(one.subarray(0, 32)) === reference);
  }

  get door(): GroupDoor {
    return this.#fields.door;
  }

  /** Node id of this device. */
  get node(): Bytes {
    return identityOf(readKeyPackage(this.keyPackage)!.leafNode).node;
  }

  /** Whether members take the key package at `now` (milliseconds since 1970), and for a day more. */
  isGood(now: number): boolean {
    const { leafNode } = readKeyPackage(this.keyPackage)!;
    if (leafNode.leafNodeSource !== "key_package") return false;
    const { notBefore, notAfter } = leafNode.lifetime;
    const seconds = BigInt(Math.floor(now / 1000));
    return notBefore <= seconds && seconds + MARGIN <= notAfter;
  }

  /**
   * Everything, private keys included: for this device's own storage and nobody else.
   *
   * u8 version ‖ u8 (1 post-quantum, 2 rejoin, 4 anchored, 8 drawn anew) ‖ group 16 ‖ door 32 ‖ (u16 length ‖ bytes)
   * of key package and private keys: init, HPKE, signature; of a rejoin u16 count ‖ (u16 length ‖
   * signature key) of those whose welcome it takes; anchor 16, where there is one; where it was drawn anew u8 count ‖ (u16
   * length ‖ bytes) of key package, init and HPKE key each, of those before.
   */
  save(): Bytes {
    const { suite, knows, anchor, group, door, offers: [present, ...older] } = this.#fields;
    const flags = (suite.name === XWING_SUITE ? 1 : 0) | (knows ? 2 : 0) | (anchor ? 4 : 0) |
      (older.length > 0 ? 8 : 0);
    const w = new Writer(2048).u8(SAVED).u8(flags).bytes(group).bytes(door.value);
    const offer = ({ keyPackage, privatePackage: { initPrivateKey, hpkePrivateKey } }: Offer) => {
      for (const part of [keyPackage, initPrivateKey, hpkePrivateKey]) {
        w.u16(part.length).bytes(part);
      }
    };
    const { signaturePrivateKey } = present!.privatePackage;
    offer(present!);
    w.u16(signaturePrivateKey.length).bytes(signaturePrivateKey);
    if (knows) w.u16(knows.length);
    for (const key of knows ?? []) w.u16(key.length).bytes(key);
    if (anchor) w.bytes(anchor);
    if (older.length > 0) w.u8(older.length);
    for (const one of older) offer(one);
    return concat(w.finish());
  }

  /** What {@linkcode save} gave. Throws `BAD_STATE`, `TRUNCATED`, `TRAILING_BYTES`. */
  static async restore(bytes: Uint8Array): Promise<GroupNewcomer> {
    const r = new Reader(bytes);
    if (r.u8() !== SAVED) throw new WireError("BAD_STATE", 0, "another version");
    const flags = r.u8();
    const group = r.bytes(16).slice();
    const value = r.bytes(32).slice();
    const part = (): Bytes => r.bytes(r.u16()).slice();
    const [keyPackage, initPrivateKey, hpkePrivateKey] = [part(), part(), part()];
    const signaturePrivateKey = part();
    const offer = (keyPackage: Bytes, initPrivateKey: Bytes, hpkePrivateKey: Bytes) => ({
      keyPackage,
      privatePackage: { initPrivateKey, hpkePrivateKey, signaturePrivateKey },
    });
    const offers = [offer(keyPackage, initPrivateKey, hpkePrivateKey)];
    const knows = flags & 2 ? Array.from({ length: r.u16() }, part) : undefined;
    const anchor = flags & 4 ? r.bytes(ANCHOR).slice() : undefined;
    for (let left = flags & 8 ? r.u8() : 0; left > 0; left--) {
      offers.push(offer(part(), part(), part()));
    }
    r.end();
    const suite = await mlsSuite(flags & 1 ? XWING_SUITE : P256_SUITE);
    const door = await GroupDoor.ofValue(value);
    return await GroupNewcomer.#of({ suite, knows, anchor, group, door, offers });
  }

  /**
   * Takes a welcome (MLSMessage). It is for a key package of this device alone, its one PSK is the
   * door's, its group the one of the text, and this device the last in seniority. Unless it was a
   * member before: then a member that it knew has signed the GroupInfo. Of the epochs before, one is
   * the anchor's, where there is one. Whether it leads here is for the logs to show.
   *
   * Throws `BAD_WELCOME`, whatever the bytes are.
   */
  async enter(message: Uint8Array): Promise<Entered> {
    try {
      return await this.#enter(message);
    } catch (error) {
      if (error instanceof ClientError && error.code === "BAD_WELCOME") throw error;
      return refuseWelcome("it cannot be read, or is for another key package");
    }
  }

  async #enter(message: Uint8Array): Promise<Entered> {
    const { suite, knows, group, door, offers } = this.#fields;
    const welcome = readWelcome(message) ?? refuseWelcome("it is no welcome of MLS");
    const [secrets, ...others] = welcome.secrets;
    const at = this.references.findIndex((one) => secrets && sameBytes(secrets.newMember, one));
    const offer = offers[at];
    if (!offer || others.length > 0 || welcome.cipherSuite !== suite.name) {
      return refuseWelcome("it is for another key package");
    }
    const { state, extensions } = await joinByWelcome(
      welcome,
      readKeyPackage(offer.keyPackage)!,
      offer.privatePackage,
      suite,
      doorPsks(door),
      {
        checkSecrets({ psks: [psk, ...more] }) {
          if (!psk || more.length > 0 || !isDoorPsk(psk, door.pskId, suite)) {
            refuseWelcome("its PSK is not the door's");
          }
        },
        checkSigner: knows && ((key) => {
          if (!knows.some((known) => sameBytes(known, key))) {
            refuseWelcome("it is of a device that was no member when this one was");
          }
        }),
      },
    );
    if (!sameBytes(state.groupContext.groupId, group)) refuseWelcome("it is of another group");
    const view = viewOf(suite, state);
    const last = view.data.members.at(-1)!;
    if (!knows && !sameBytes(last, view.self.node)) {
      refuseWelcome("this device is not the last in it");
    }
    const [extension, ...rest] = extensions;
    if (rest.length > 0 || extension?.extensionType !== CARRY_EXTENSION) {
      return refuseWelcome("it carries nothing of the epochs before");
    }
    const carry = decodeCarry(extension.extensionData);
    // In the log of the last one stands the commit: nobody comes in who cannot look.
    if (carry.length === 0) refuseWelcome("it says nothing of the epoch that its commit ended");
    const hashes = carry[0]!.interim.length;
    if (hashes !== suite.kdf.size || BigInt(carry.length) > state.groupContext.epoch) {
      refuseWelcome("the epochs before are not of this group");
    }
    return { membership: new GroupMembership(view), carry, from: await this.#from(carry) };
  }

  async #from(carry: Carry): Promise<number> {
    const { group, anchor } = this.#fields;
    if (!anchor) return carry.length - 1;
    for (const [i, { confirmationKey }] of carry.entries()) {
      const secret = await epochSecretOf(confirmationKey, group);
      const log = await derive(secret, ANCHOR, "BX2 log id", group);
      if (sameBytes(log, anchor)) return i;
    }
    return refuseWelcome("it does not come from the group that the invitation was made in");
  }
}
