/**
 * A bug record as the seed has in mind, a longer one as bug trackers have them, and what each costs
 * on the wire.
 *
 * @module
 */
import { PairKeys } from "../../src/client/pair/pair_keys.ts";
import { loadZstd } from "../../src/client/blaze/zstd.ts";
import { drawKeyPair } from "../../src/client/pair/pair_keys.ts";
import { encodeFrame, FrameType } from "../../src/wire/blaze/blaze_frame.ts";
import { encodeOperation } from "../../src/wire/blaze/operation.ts";
import { BlazeDate, type FieldsInput, Uuid } from "../../src/wire/blaze/blaze_record.ts";

export const bug = {
  id: Uuid.parse("550e8400-e29b-41d4-a716-446655440000"),
  title: "App crashes on startup",
  description: "Users report the app crashes immediately after launch.",
  priority: 5,
  status: "open",
  createdAt: new BlazeDate(0),
  userId: Uuid.parse("00112233-4455-6677-8899-aabbccddeeff"),
  teamId: Uuid.parse("ffeeddcc-bbaa-9988-7766-554433221100"),
  tags: ["crash", "critical", "p0"],
} as const satisfies FieldsInput;

/** The same bug after a week: a stack trace, and people talking about it. */
export const longBug = {
  ...bug,
  description: `${bug.description}

Steps: install 4.2.0 over 4.1.3, start it offline, wait for the splash screen.

Thread 0 crashed:
0   BugTracker   DatabaseMigrator.migrate(from:to:) + 412
1   BugTracker   DatabaseMigrator.run() + 88
2   BugTracker   AppDelegate.application(_:didFinishLaunchingWithOptions:) + 260
3   UIKitCore    -[UIApplication _handleDelegateCallbacksWithOptions:isSuspended:] + 312
4   UIKitCore    -[UIApplication _callInitializationDelegatesWithActions:forCanvas:] + 3548
5   UIKitCore    -[UIApplication _runWithMainScene:transitionContext:completion:] + 1028
6   UIKitCore    -[UIApplication _compellApplicationLaunchToCompleteUnconditionally] + 112`,
  comments: [
    "Happens on my iPhone too, only when it is offline.",
    "Same on the iPad. Going online first and then starting it works.",
    "The migration waits for the network although it does not need it.",
    "Fixed in 4.2.1: the migration does not touch the network any more.",
  ],
} as const satisfies FieldsInput;

/** Bytes of one insert on the wire. */
export interface Sizes {
  /** The record alone. */
  readonly record: number;
  /** Frame with the operation in the clear. */
  readonly plain: number;
  /** Frame with the operation sealed. */
  readonly sealed: number;
  /** Frame with the operation compressed, then sealed. */
  readonly compressed: number;
  /** The fields as JSON, without any HTTP around them. */
  readonly json: number;
}

/** What an insert of these fields costs, made with the SDK's own pieces. */
export async function sizes(fields: FieldsInput): Promise<Sizes> {
  const keys = await pairKeys();
  const header = { kind: "insert", collection: "bugs", id: bug.id, counter: 1n, node: 1 } as const;
  const operation = encodeOperation({ ...header, changes: fields });
  const smaller = (await loadZstd()).compress(operation);
  const frame = (payload: Uint8Array) => encodeFrame({ type: FrameType.operation, payload }).length;
  return {
    record: operation.length - encodeOperation({ ...header, changes: {} }).length + 8,
    plain: frame(operation),
    sealed: frame(await keys.seal(operation)),
    compressed: frame(await keys.seal(smaller)),
    json: new TextEncoder().encode(JSON.stringify(fields)).length,
  };
}

/** Keys of a pair with itself: as good as any for measuring. */
export async function pairKeys(): Promise<PairKeys> {
  const { privateKey, publicKey } = await drawKeyPair();
  return PairKeys.derive(privateKey, publicKey, ["bugs", "bugs"]);
}

/** The seed's table for a bug of 165 bytes: bytes of each protocol. */
export const SEED_SIZES = {
  json: 600,
  grpc: 375,
  plain: 172,
  sealed: 200,
  compressed: 115,
} as const;
