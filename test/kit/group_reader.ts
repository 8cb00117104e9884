/**
 * Reads logs of a group with the SDK's codecs and its `Ledger`, and nothing of MLS: whoever announces
 * itself is a member, and the first commit that opens is valid. What it tells of a log is what
 * `test/peers/group_log.py` tells.
 *
 * @module
 */
import { Compression } from "../../src/client/blaze/compression.ts";
import { memoryStorage, Saver } from "../../src/client/blaze/storage.ts";
import { ClientError, faultOf } from "../../src/client/client_error.ts";
import {
  CheckpointAssembly,
  decodeCheckpoint,
  instancesIn,
} from "../../src/client/group/data/checkpoint.ts";
import { type Bytes, concat, fromHex, hex, sameBytes, utf8Bytes } from "../../src/wire/bytes.ts";
import { Epoch } from "../../src/client/group/e2e/epoch.ts";
import type { Opener } from "../../src/client/group/e2e/sender.ts";
import { EpochLog } from "../../src/client/group/log/epoch_log.ts";
import { Ledger } from "../../src/client/group/data/ledger.ts";
import { decodeLinked } from "../../src/client/group/data/linked_body.ts";
import { type LogEntry, openEntry } from "../../src/client/group/log/log_entries.ts";
import type { LogHead } from "../../src/client/group/mls/carry.ts";
import { nodeOfKey } from "../../src/client/group/mls/credential.ts";
import { visible } from "../../src/client/group/data/replica.ts";
import { encodeRecord } from "../../src/wire/blaze/blaze_record.ts";
import { encodeLinks } from "./filled.ts";

/** What an entry says: values in hex, counters as numbers. */
export type ReadEntry = Record<string, unknown>;

/** What logs come to: in hex, but for the names of collections. */
export interface ReadState {
  readonly vector: string;
  readonly records: { readonly collection: string; readonly id: string; readonly fields: string }[];
  readonly contents: string;
  readonly digest: string;
}

const NONE: Bytes = new Uint8Array(32);
/** What a relay says of a log that begins at its first entry. */
const OPENED = {
  subtype: "recovered",
  complete: true,
  durability: 0,
  first: 1n,
  last: 0n,
} as const;
const CURVE = { name: "ECDSA", namedCurve: "P-256" } as const;

/** Whether a P-256 signature of label ‖ group ‖ node ‖ message is one by this key of this node. */
export async function signatureFits(
  key: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  const imported = await crypto.subtle.importKey("raw", key.slice(), CURVE, false, ["verify"]);
  const how = { name: "ECDSA", hash: "SHA-256" };
  return await crypto.subtle.verify(how, imported, signature.slice(), message.slice());
}

export class GroupReader {
  readonly compression = new Compression({ mode: "never", fault: () => {} });
  #log!: EpochLog;
  #ended = false;
  #assembly!: CheckpointAssembly;
  /** Digest of what was read before the first part, and where that stands. */
  #base: LogHead & { readonly digest: string } = { digest: "", sequence: 0n, hash: NONE };

  private constructor(
    private readonly database: string,
    private readonly group: Uint8Array,
    readonly ledger: Ledger,
  ) {}

  static async of(database: string, group: Uint8Array): Promise<GroupReader> {
    const options = { node: new Uint8Array(16), most: 1 };
    const ledger = await Ledger.of(new Saver(memoryStorage()), new Map(), options);
    return new GroupReader(database, group, ledger);
  }

  /** Begins with the log of an epoch. */
  async begin(secret: Uint8Array, ring: string): Promise<EpochLog> {
    this.#log = await EpochLog.begin(await Epoch.of(secret, this.group), this.database);
    const { hash } = this.#log.cursor;
    this.#log.opened({ ...OPENED, ring: fromHex(ring), hash });
    this.#ended = false;
    this.#assembly = new CheckpointAssembly(1 << 24);
    return this.#log;
  }

  /** Reads the next frame of the log. */
  async entry(frame: Uint8Array): Promise<ReadEntry> {
    const log = this.#log;
    const { sequence, hash } = log.cursor;
    await log.step(sequence + 1n, frame);
    if (this.#ended) return { refused: "BEHIND_THE_END" };
    try {
      return await this.#take(await openEntry(frame, log, this.compression), { sequence, hash });
    } catch (error) {
      return { refused: faultOf(error).code };
    }
  }

  /** Where it stands, and what it holds. */
  async state(): Promise<ReadState> {
    const { ledger } = this;
    const records = [...ledger.replica.all()].filter(visible).map(({ collection, id, fields }) => ({
      collection,
      id: String(id).replaceAll("-", ""),
      fields: hex(
        encodeRecord(Object.fromEntries([...fields].map(([name, { value }]) => [name, value]))),
      ),
    }));
    return {
      vector: hex(encodeLinks(ledger.vector)),
      records,
      contents: hex(ledger.contents().bytes),
      digest: hex(await ledger.digest()),
    };
  }

  async #take(entry: LogEntry, before: LogHead): Promise<ReadEntry> {
    switch (entry.kind) {
      case "announce":
        return await this.#announce(entry);
      case "operation":
        return await this.#operation(entry);
      case "commit": {
        this.#ended = true;
        const { message, welcome } = entry.commit;
        const admits = welcome && { door: hex(welcome.door), welcome: hex(welcome.frame) };
        return { kind: "commit", message: hex(message), ...admits };
      }
      case "hold":
        return { kind: "hold", node: hex(entry.opener.sender.node) };
      case "endorsement": {
        const { node } = entry.opener.sender;
        const digest = entry.content.subarray(0, 32);
        await this.#verify("BX2 endorsement", node, digest, entry.content.subarray(32));
        return { kind: "endorsement", node: hex(node), digest: hex(digest) };
      }
      case "checkpoint":
        return await this.#part(entry.opener, entry.content, before);
    }
  }

  async #verify(
    label: string,
    node: Uint8Array,
    message: Uint8Array,
    signature: Uint8Array,
    key = this.#log.keyOf(node),
  ): Promise<void> {
    const signed = concat(utf8Bytes(label), this.group, node, message);
    if (key && !await signatureFits(key, signed, signature)) {
      throw new ClientError("BAD_SIGNATURE", "not by this key");
    }
  }

  async #announce({ opener, announce }: Extract<LogEntry, { kind: "announce" }>) {
    const { node, instance } = opener.sender;
    const { key, position, vector, covered, signature } = announce;
    if (!sameBytes(await nodeOfKey(key), node)) return { refused: "BAD_SIGNATURE" };
    await this.#verify("BX2 announce", node, covered, signature, key);
    this.#log.admit(opener, key);
    const log = this.#log;
    if (!sameBytes(position.ring, log.cursor.ring) || log.differs(position)) {
      return { refused: "TWO_PASTS" };
    }
    return {
      kind: "announce",
      node: hex(node),
      instance: hex(instance),
      ring: hex(position.ring),
      sequence: Number(position.sequence),
      hash: hex(position.hash),
      key: hex(key),
      vector: hex(encodeLinks(vector)),
    };
  }

  async #operation({ node, body: bytes }: Extract<LogEntry, { kind: "operation" }>) {
    const body = await decodeLinked(bytes);
    const { signature, covered, operation, previous, link, origin } = body;
    if (signature) await this.#verify("BX2 operation", node, covered, signature);
    const taken = this.ledger.take(hex(node), body);
    if (taken.kind === "refused") return { refused: taken.code };
    if (taken.kind === "repeated") return { refused: "REPEATED" };
    return {
      kind: "operation",
      node: hex(node),
      ...(origin && { client: hex(origin) }),
      counter: Number(operation.counter),
      previous: Number(previous.counter),
      link: hex(link),
      collection: operation.collection,
      id: String(operation.id).replaceAll("-", ""),
      operation: operation.kind,
      fields: hex(encodeRecord(operation.changes)),
      signed: signature !== undefined,
      body: hex(bytes),
    };
  }

  async #part(opener: Opener, part: Uint8Array, before: LogHead) {
    const log = this.#log;
    const { node, instance } = opener.sender;
    log.admit(opener);
    const index = new DataView(part.buffer, part.byteOffset).getUint32(0);
    if (index === 0) {
      this.#base = { digest: hex(await this.ledger.digest()), ...before };
      for (const { node, instance, counter } of instancesIn(part)) {
        log.admit(await log.candidate(fromHex(node), fromHex(instance), counter));
      }
    }
    const bytes = this.#assembly.take(hex(instance), part);
    const told = { kind: "part", node: hex(node), index, last: bytes !== undefined };
    if (!bytes) return told;
    const { base, digest, covered, signature, vector, states } = await decodeCheckpoint(bytes);
    const { sequence, hash } = this.#base;
    if (base.sequence !== sequence || !sameBytes(base.hash, hash)) return { refused: "TWO_PASTS" };
    await this.#verify("BX2 checkpoint", node, covered, signature);
    this.ledger.absorb(vector, states);
    const length = 48 + 32 + 64 + 2 + 32 * base.instances.length;
    return {
      ...told,
      ring: hex(base.ring),
      sequence: Number(base.sequence),
      hash: hex(base.hash),
      instances: base.instances.map((one) => ({ ...one, counter: Number(one.counter) })),
      digest: hex(digest),
      contents: hex(bytes.subarray(length)),
      same: this.#base.digest === hex(digest),
    };
  }
}

export interface GivenLog {
  readonly secret: string;
  readonly ring: string;
  readonly frames: readonly string[];
}

/** Reads whole logs, oldest first. */
export async function readLogs(database: string, group: string, logs: readonly GivenLog[]) {
  const reader = await GroupReader.of(database, fromHex(group));
  const told = [];
  for (const { secret, ring, frames } of logs) {
    const log = await reader.begin(fromHex(secret), ring);
    const hashes = [hex(log.cursor.hash)];
    const entries: ReadEntry[] = [];
    for (const frame of frames) {
      entries.push(await reader.entry(fromHex(frame)));
      hashes.push(hex(log.cursor.hash));
    }
    told.push({ hashes, entries });
  }
  return { logs: told, ...await reader.state() };
}
