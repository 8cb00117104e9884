import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { concat, fromHex, hex, WireError } from "../src/wire/bytes.ts";
import {
  decodeOperation,
  encodeOperation,
  type Operation,
  type OperationErrorCode,
  operationKinds,
} from "../src/wire/blaze/operation.ts";
import { decodeRecord, type FieldsInput, Uuid } from "../src/wire/blaze/blaze_record.ts";
import { fc, holds } from "./kit/random.ts";
import { vectors } from "./kit/vectors.ts";

interface Vector {
  id: string;
  operationType: number;
  collection: string;
  recordId: string;
  lamportCounter: string;
  nodeHash: string;
  changes: string;
  hex: string;
}

const { seed } = vectors<
  { seed: { vectors: Vector[]; malformed: { id: string; hex: string; reason: string }[] } }
>("blaze-frame/operations.json");

const sample: Operation<FieldsInput> = {
  kind: "insert",
  collection: "bugs",
  id: Uuid.parse("33333333-3333-4333-8333-333333333333"),
  counter: 42n,
  node: 0xe3e6ae2c,
  changes: { status: "open" },
};

function refuses(fn: () => unknown, code: OperationErrorCode, detail = ""): void {
  assertEquals(assertThrows(fn, WireError, detail).code, code);
}

for (const vector of seed.vectors) {
  test(`encodeOperation and decodeOperation agree with vector ${vector.id}`, () => {
    const record = fromHex(vector.changes);
    const operation: Operation = {
      kind: operationKinds[vector.operationType]!,
      collection: vector.collection,
      id: Uuid.parse(vector.recordId),
      counter: BigInt(vector.lamportCounter),
      node: parseInt(vector.nodeHash, 16),
      changes: decodeRecord(record),
    };
    assertEquals(hex(encodeOperation(operation, { checksum: record[5] === 2 })), vector.hex);
    assertEquals(decodeOperation(fromHex(vector.hex)), operation);
  });
}

for (const { id, hex: bytes, reason } of seed.malformed) {
  test(`decodeOperation refuses ${id}`, () => {
    const code = reason.replace(" (record)", "") as OperationErrorCode;
    refuses(() => decodeOperation(fromHex(bytes)), code);
  });
}

test("encodeOperation adds 29 bytes and the name to the record", () => {
  assertEquals(encodeOperation({ ...sample, changes: {} }).length, 34 + 8);
});

test("encodeOperation refuses a collection name of no byte or above 127", () => {
  for (const collection of ["", "c".repeat(128), "é".repeat(64)]) {
    refuses(() => encodeOperation({ ...sample, collection }), "NAME_LENGTH");
  }
  refuses(() => encodeOperation({ ...sample, collection: "\ud83d" }), "INVALID_TEXT");
});

test("encodeOperation refuses numbers out of range and unknown kinds", () => {
  for (const counter of [-1n, 1n << 64n]) {
    assertThrows(() => encodeOperation({ ...sample, counter }), RangeError, "counter");
  }
  for (const node of [-1, 2 ** 32, 0.5, NaN]) {
    assertThrows(() => encodeOperation({ ...sample, node }), RangeError, "node");
  }
  const kind = "upsert" as "update";
  assertThrows(() => encodeOperation({ ...sample, kind }), TypeError, "upsert");
});

test("encodeOperation refuses changes that are no record", () => {
  const changes = { tags: ["a", "\ud83d"] };
  refuses(() => encodeOperation({ ...sample, changes }), "INVALID_TEXT", "tags[1]");
});

test("decodeOperation refuses a name length of 0 or above 127", () => {
  const bytes = encodeOperation(sample);
  for (const length of [0, 128, 255]) {
    bytes[1] = length;
    refuses(() => decodeOperation(bytes), "NAME_LENGTH");
  }
});

test("decodeOperation refuses a name that is not UTF-8, and bytes after the record", () => {
  const bytes = encodeOperation(sample);
  refuses(() => decodeOperation(concat(bytes, Uint8Array.of(0))), "TRAILING_BYTES");
  bytes[2] = 0xff;
  refuses(() => decodeOperation(bytes), "INVALID_UTF8");
});

test("decodeOperation tells where in the whole message a record is wrong", () => {
  const bytes = encodeOperation(sample);
  bytes[34] = 0;
  assertEquals(assertThrows(() => decodeOperation(bytes), WireError).offset, 34);
});

test("decodeOperation is the inverse of encodeOperation", () => {
  const u64 = fc.bigInt(0n, 0xffff_ffff_ffff_ffffn);
  const operation = fc.record({
    kind: fc.constantFrom(...operationKinds),
    collection: fc.string({ unit: "binary", minLength: 1, maxLength: 31 }),
    id: fc.tuple(u64, u64).map(([high, low]) => new Uuid(high, low)),
    counter: u64,
    node: fc.nat(0xffff_ffff),
    changes: fc.constant({ title: "x", priority: 3 }),
  });
  holds(fc.property(operation, fc.boolean(), (operation, checksum) => {
    assertEquals(decodeOperation(encodeOperation(operation, { checksum })), operation);
  }));
});

test("decodeOperation gives a value or a WireError for cut and changed bytes", () => {
  const survives = (bytes: Uint8Array): boolean => {
    try {
      decodeOperation(bytes);
      return true;
    } catch (error) {
      assert(error instanceof WireError, `${error} for ${hex(bytes)}`);
      return false;
    }
  };
  const good = seed.vectors.map((vector) => fromHex(vector.hex));
  for (const bytes of good) {
    for (let length = 0; length < bytes.length; length++) {
      assert(!survives(bytes.subarray(0, length)));
    }
  }
  holds(
    fc.property(fc.constantFrom(...good), fc.nat(), fc.nat(255), (bytes, at, byte) => {
      survives(bytes.with(at % bytes.length, byte));
    }),
    2000,
  );
});
