/**
 * Seals the messages of an ECG stream, so that only devices of the group can read them.
 *
 * Each message says by whom it was sealed, and under which key: a watcher that comes late needs no
 * announce. Payload of the ENCRYPTED message:
 *
 * | bytes | field                                                     |
 * | ----- | --------------------------------------------------------- |
 * | 8     | epoch id                                                  |
 * | 16    | node id of the sender                                     |
 * | 8     | instance                                                  |
 * | 1     | bit 0: compressed, bit 1: signed                          |
 * | 12    | nonce: hint 4 ‖ counter u64                               |
 * | n     | ciphertext: the payload's MessagePack, compressed, padded |
 * | 16    | tag                                                       |
 *
 * A signed payload ends, before it is padded, with the 64 bytes of its device's signature (label
 * `BX2 alert`, of additional data ‖ nonce ‖ payload). Alerts are signed, with their numbers; so whoever
 * was removed can neither make one up in another one's name nor seal an old one anew.
 *
 * Key and hint are the ones of `e2e/sender.ts`, with the label `BX2 ecg sender`. So is the additional
 * data: the frame type is the message type, the subtype its flags without ACK_REQUIRED, the receiver
 * everybody; it ends with the timestamp u64 and the name of the stream, none with BROADCAST, which
 * reaches watchers of other streams.
 *
 * @module
 */
import type { Host } from "../../host.ts";
import {
  type Bytes,
  concat,
  hex,
  Reader,
  sameBytes,
  utf8Bytes,
  WireError,
  Writer,
} from "../../wire/bytes.ts";
import { NODE_ID_LENGTH } from "../../wire/blaze/handshake.ts";
import { Flag, isAlert } from "../../wire/ecg/codes.ts";
import { ClientError } from "../client_error.ts";
import type { EcgSeal, SealedHeader } from "../ecg/messages.ts";
import { random } from "./e2e/derive.ts";
import { type Epoch, EPOCH_ID_LENGTH } from "./e2e/epoch.ts";
import { NONCE_LENGTH } from "../pair/pair_keys.ts";
import { padded, unpad } from "./e2e/padding.ts";
import {
  INSTANCE_LENGTH,
  type Opener,
  type Purpose,
  readNonce,
  Sealer,
  Sender,
} from "./e2e/sender.ts";
import type { Group } from "./log/group_state.ts";
import type { SealOptions } from "./log/log_entries.ts";
import { StreamOpeners } from "./stream_openers.ts";

const LABEL = "BX2 ecg sender";
const ALERT = "BX2 alert";
const COMPRESSED = 1;
const SIGNED = 2;
const SIGNATURE_LENGTH = 64;
/** A message may overtake the news of its epoch, which comes over another link, by this much. */
const PATIENCE_MS = 1_000;

/** The device whose keys are used. */
export interface SealingDevice {
  readonly host: Host;
  /** Resolves once it is in the group. */
  readonly ready: Promise<void>;
  /** Nothing before it has begun. Throws once it has ended, or was removed. */
  group(): Group | undefined;
  /** Runs whenever it enters an epoch. Answers how to stop. */
  onEpoch(run: () => void): () => void;
}

/** For one ECG client: what it has opened once, it does not open again. */
export class StreamSeal implements EcgSeal {
  readonly required = true;
  /** Alerts overtake samples, so each count by themselves. */
  readonly #sealers: { alert?: Sealer; live?: Sealer } = {};
  readonly #openers = new StreamOpeners();
  /** Name of the epoch in force when an unknown one was waited for. */
  #waitedIn: string | undefined;

  constructor(private readonly device: SealingDevice, private readonly options: SealOptions) {}

  /** Waits until the device is in the group. Rejects once it has ended. */
  async seal(plain: Bytes, header: SealedHeader): Promise<Bytes> {
    await this.device.ready;
    const { bytes, compressed } = await this.options.compression.shrink(plain);
    const signed = isAlert(header);
    const sealer = await this.#sealer(signed ? "alert" : "live");
    const purpose = purposeOf(header, compressed);
    const { sender } = sealer;
    const { membership } = this.device.group()!;
    const nonce = sealer.nonce();
    const content = signed
      ? concat(bytes, await membership!.sign(ALERT, concat(sender.aad(purpose), nonce, bytes)))
      : bytes;
    const payload = await sender.encrypt(nonce, purpose, padded(content, this.options.pad));
    const flags = (compressed ? COMPRESSED : 0) | (signed ? SIGNED : 0);
    return concat(sender.epoch.id, sender.node, sender.instance, Uint8Array.of(flags), payload);
  }

  /**
   * Throws `TRUNCATED`, `BAD_FLAG`, `CIPHERTEXT_TOO_SHORT`, `UNKNOWN_EPOCH`, `OLD_EPOCH`,
   * `NOT_A_MEMBER`, `UNSIGNED`, `BAD_SIGNATURE`, `REPLAY`, `AUTH_FAILED`, `NO_ZSTD`.
   */
  async open(sealed: Bytes, header: SealedHeader): Promise<Bytes> {
    const r = new Reader(sealed);
    const name = hex(r.bytes(EPOCH_ID_LENGTH));
    const node = r.bytes(NODE_ID_LENGTH);
    const instance = r.bytes(INSTANCE_LENGTH);
    const flags = r.u8();
    if (flags > (COMPRESSED | SIGNED)) throw new WireError("BAD_FLAG", r.offset - 1);
    const compressed = (flags & COMPRESSED) !== 0;
    const signed = (flags & SIGNED) !== 0;
    if (isAlert(header) && !signed) throw new ClientError("UNSIGNED", "alerts are signed");
    const payload = r.rest();
    const { hint } = readNonce(payload);
    const { group, epoch } = await this.#epoch(name, signed);
    if (!group.has(node)) {
      throw new ClientError("NOT_A_MEMBER", "sealed by no device of the group");
    }
    const opener = await this.#opener(hint, epoch, node, instance, group.database);
    const purpose = purposeOf(header, compressed);
    let content = unpad(await opener.open(payload, purpose));
    if (signed) {
      const end = Math.max(0, content.length - SIGNATURE_LENGTH);
      const signature = content.subarray(end);
      content = content.subarray(0, end);
      const nonce = payload.subarray(0, NONCE_LENGTH);
      const covered = concat(opener.sender.aad(purpose), nonce, content);
      if (!await group.membership!.verify(ALERT, node, signature, covered)) {
        throw new ClientError("BAD_SIGNATURE", "not signed by its sender");
      }
    }
    if (this.#openers.get(hint) !== opener) this.#openers.keep(opener);
    return await this.options.compression.expand(content.slice(), compressed);
  }

  /** Of the epoch in force. */
  async #sealer(kind: "alert" | "live"): Promise<Sealer> {
    const { epoch, nodeId, database } = this.device.group()!;
    const kept = this.#sealers[kind];
    if (kept && kept.sender.epoch === epoch && !kept.worn) return kept;
    const instance = random(INSTANCE_LENGTH);
    const sender = await Sender.of(epoch!, nodeId, instance, database, LABEL);
    return this.#sealers[kind] = new Sealer(sender);
  }

  async #opener(
    hint: string,
    epoch: Epoch,
    node: Uint8Array,
    instance: Uint8Array,
    database: string,
  ): Promise<Opener> {
    const known = this.#openers.get(hint);
    const fits = known && known.sender.epoch === epoch && sameBytes(known.sender.node, node) &&
      sameBytes(known.sender.instance, instance);
    if (fits) return known;
    return this.#openers.of(await Sender.of(epoch, node, instance, database, LABEL));
  }

  /** The present epoch, or the one before for a moment: after a removal for what is signed only. */
  async #epoch(name: string, signed: boolean): Promise<{ group: Group; epoch: Epoch }> {
    if (!this.#knows(name)) await this.#wait();
    const group = this.device.group();
    const epoch = group?.heardEpoch(name, signed);
    if (group && epoch) return { group, epoch };
    if (group?.knew(name)) throw new ClientError("OLD_EPOCH", "sealed in an epoch that is over");
    throw new ClientError("UNKNOWN_EPOCH", "sealed in another group, or in an epoch to come");
  }

  #knows(name: string): boolean {
    const group = this.device.group();
    return group !== undefined && (group.epoch?.name === name || group.knew(name));
  }

  /** Only once in each epoch, so that whoever makes up names does not hold up what comes behind. */
  #wait(): Promise<void> {
    const { host } = this.device;
    const here = this.device.group()?.epoch?.name ?? "";
    if (here === this.#waitedIn) return Promise.resolve();
    this.#waitedIn = here;
    const { promise, resolve } = Promise.withResolvers<void>();
    const stopTimer = host.after(PATIENCE_MS, resolve);
    const stopListening = this.device.onEpoch(resolve);
    return promise.finally(() => {
      stopTimer();
      stopListening();
    });
  }
}

function purposeOf({ type, flags, timestamp, stream }: SealedHeader, compressed: boolean): Purpose {
  const name = flags & Flag.BROADCAST ? "" : stream;
  const bound = concat(new Writer(8).u64(timestamp).finish(), utf8Bytes(name));
  return { type, subtype: flags & ~Flag.ACK_REQUIRED, compressed, bound };
}
