import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { fromHex, hex, WireError } from "../src/wire/bytes.ts";
import {
  type BlazeFault,
  decodeFault,
  decodeTags,
  encodeFault,
  encodeTags,
} from "../src/wire/blaze/control.ts";
import { encodeRecord } from "../src/wire/blaze/blaze_record.ts";
import { fc, holds } from "./kit/random.ts";
import { vectors } from "./kit/vectors.ts";

interface Vector<Fields> {
  id: string;
  hex: string;
  fields: Fields;
}

interface Refused {
  id: string;
  hex: string;
  reason: string;
}

const control = vectors<{
  tags: Vector<{ tags: string[] }>[];
  tagsDecodeOnly: Vector<{ tags: string[] }>[];
  everything: { id: string; hex: string }[];
  tagsMalformed: Refused[];
  faults: Vector<BlazeFault>[];
  faultsDecodeOnly: Vector<BlazeFault>[];
  faultsMalformed: Refused[];
}>("blaze-frame/control.json");

const code = (fn: () => unknown): string => assertThrows(fn, WireError).code;

for (const { id, hex: bytes, fields } of control.tags) {
  test(`encodeTags and decodeTags agree with vector ${id}`, () => {
    assertEquals(hex(encodeTags(fields.tags.map(fromHex))), bytes);
    assertEquals(decodeTags(fromHex(bytes))?.map(hex), fields.tags);
  });

  test(`decodeTags refuses ${id} cut at every byte of the record`, () => {
    const message = fromHex(bytes);
    for (let length = 0; length < message.length; length++) {
      const cut = message.subarray(0, length);
      // Up to here it could be a name in plain text.
      if (length <= 5) assertEquals(decodeTags(cut), undefined);
      else assert(["TOO_SHORT", "TRUNCATED"].includes(code(() => decodeTags(cut))));
    }
  });
}

for (const { id, hex: bytes, fields } of control.tagsDecodeOnly) {
  test(`decodeTags reads ${id}`, () => {
    assertEquals(decodeTags(fromHex(bytes))?.map(hex), fields.tags);
  });
}

for (const { id, hex: bytes } of control.everything) {
  test(`decodeTags takes ${id} for everything`, () => {
    assertEquals(decodeTags(fromHex(bytes)), undefined);
  });
}

for (const { id, hex: bytes, reason } of control.tagsMalformed) {
  test(`decodeTags refuses ${id}`, () => {
    assertEquals(code(() => decodeTags(fromHex(bytes))), reason);
  });
}

test("encodeTags of no tag means everything", () => {
  assertEquals(decodeTags(encodeTags([])), undefined);
});

test("encodeTags refuses a tag that has not 8 bytes", () => {
  for (const length of [0, 7, 9, 16]) {
    const tags = [new Uint8Array(8), new Uint8Array(length)];
    assertEquals(code(() => encodeTags(tags)), "TAG_LENGTH");
  }
});

for (const { id, hex: bytes, fields } of control.faults) {
  test(`encodeFault and decodeFault agree with vector ${id}`, () => {
    assertEquals(hex(encodeFault(fields)), bytes);
    assertEquals(decodeFault(fromHex(bytes)), fields);
  });

  test(`decodeFault refuses ${id} cut at every byte`, () => {
    const message = fromHex(bytes);
    for (let length = 1; length < message.length; length++) {
      const refused = code(() => decodeFault(message.subarray(0, length)));
      assert(["TOO_SHORT", "TRUNCATED"].includes(refused), refused);
    }
  });
}

for (const { id, hex: bytes, fields } of control.faultsDecodeOnly) {
  test(`decodeFault reads ${id}`, () => assertEquals(decodeFault(fromHex(bytes)), fields));
}

for (const { id, hex: bytes, reason } of control.faultsMalformed) {
  test(`decodeFault refuses ${id}`, () => {
    assertEquals(code(() => decodeFault(fromHex(bytes))), reason);
  });
}

test("decodeTags and decodeFault read records with a checksum", () => {
  const tags = new Uint8Array(16).fill(3);
  assertEquals(decodeTags(encodeRecord({ tags }, { checksum: true }))?.length, 2);
  const fault = { code: 7, message: "too fast" };
  const checked = encodeRecord({ ...fault }, { checksum: true });
  assertEquals(decodeFault(checked), fault);
  checked[checked.length - 1]! ^= 1;
  assertEquals(code(() => decodeFault(checked)), "CRC_MISMATCH");
});

test("decodeTags is the inverse of encodeTags", () => {
  const tag = fc.uint8Array({ minLength: 8, maxLength: 8 });
  holds(fc.property(fc.array(tag, { minLength: 1, maxLength: 40 }), (tags) => {
    assertEquals(decodeTags(encodeTags(tags)), tags);
  }));
});

test("decodeFault is the inverse of encodeFault", () => {
  const fault = fc.record({
    code: fc.maxSafeInteger(),
    message: fc.string({ unit: "binary", maxLength: 200 }),
  });
  holds(fc.property(fault, (one) => assertEquals(decodeFault(encodeFault(one)), one)));
});

test("decodeTags and decodeFault give a value or a WireError for changed bytes", () => {
  const good = [...control.tags, ...control.faults].map((vector) => fromHex(vector.hex));
  holds(
    fc.property(fc.constantFrom(...good), fc.nat(), fc.nat(255), (bytes, at, byte) => {
      const changed = bytes.with(at % bytes.length, byte);
      for (const decode of [decodeTags, decodeFault]) {
        try {
          decode(changed);
        } catch (error) {
          assert(error instanceof WireError, `${error} for ${hex(changed)}`);
        }
      }
    }),
    2000,
  );
});
