/**
 * Reads the fields and values of a BlazeBinary record. `record.ts` describes the bytes.
 *
 * Memory stays in proportion to the message: an announced length or count is compared with the
 * bytes that are left before anything is made for it, and nothing is made ahead of its bytes.
 *
 * @module
 */
import { type Reader, WireError } from "../bytes.ts";
import { commonNames, CUSTOM_NAME } from "./fields.ts";
import { isAscii, nameForm } from "./record_names.ts";
import { type RecordErrorCode, recordLimits } from "./record_limits.ts";
import { BlazeDate, Double, type Fields, type RecordValue, Uuid } from "./record_value.ts";

/** Reads a field count and as many fields. */
export function readFields(r: Reader): Fields {
  return readEntries(r, 0, readFieldName);
}

/** Reads as many names and values as the u16 before them says. */
function readEntries(r: Reader, depth: number, readName: (r: Reader) => string): Fields {
  const count = readCount(r, 2);
  const fields: Fields = {};
  let greatest = "";
  let forms: Set<string> | undefined;
  for (let i = 0; i < count; i++) {
    const at = r.offset;
    const name = readName(r);
    // A name beyond all before it is new, and an encoder sorts: most names need no lookup.
    if (i === 0 || greatest < name) greatest = name;
    else if (Object.hasOwn(fields, name)) refuse("DUPLICATE_NAME", at);
    // Names that differ in bytes can still be one name: Swift compares them by canonical
    // equivalence. Only a record with a name beyond ASCII pays for the comparison.
    if (forms === undefined && !isAscii(name)) forms = new Set(Object.keys(fields).map(nameForm));
    if (forms !== undefined) {
      const form = nameForm(name);
      if (forms.has(form)) refuse("DUPLICATE_NAME", at);
      forms.add(form);
    }
    put(fields, name, readValue(r, depth));
  }
  return fields;
}

function readFieldName(r: Reader): string {
  const at = r.offset;
  const id = r.u8();
  if (id === CUSTOM_NAME) return r.text(r.u16());
  const name = commonNames[id - 1];
  return name ?? refuse("UNKNOWN_FIELD_ID", at);
}

const readKey = (r: Reader): string => r.text(r.u16());

/** Reads one tag and its value, which lies inside `depth` arrays and dictionaries. */
function readValue(r: Reader, depth: number): RecordValue {
  const at = r.offset;
  const tag = r.u8();
  if (tag >> 4 === 0x2) return r.text(tag & 0x0f);
  switch (tag) {
    case 0x01:
      return r.text(readLength(r, recordLimits.valueBytes));
    case 0x02:
      return readInt(r);
    case 0x03:
      return readDouble(r);
    case 0x04:
      return r.u8() !== 0;
    case 0x05:
      return new Uuid(r.u64(), r.u64());
    case 0x06:
      return readDate(r);
    case 0x07:
      // A copy that also drops the subclass: a Buffer's own `slice` would share the message.
      return new Uint8Array(r.bytes(readLength(r, recordLimits.valueBytes)));
    case 0x08:
      return readArray(r, deeper(depth, at));
    case 0x09:
      return readEntries(r, deeper(depth, at), readKey);
    case 0x0a:
      return readVector(r);
    case 0x0b:
      return null;
    case 0x11:
      return "";
    case 0x12:
      return r.u8();
    case 0x18:
      deeper(depth, at);
      return [];
    case 0x19:
      deeper(depth, at);
      return {};
    default:
      return refuse("UNKNOWN_TYPE_TAG", at);
  }
}

function readInt(r: Reader): number | bigint {
  const high = r.i32();
  const low = r.u32();
  const value = high * 0x1_0000_0000 + low;
  return Number.isSafeInteger(value) ? value : BigInt(high) << 32n | BigInt(low);
}

/** Takes the 8 bytes of a double apart and puts them together, to see the bits of a NaN. */
const scratch = new DataView(new ArrayBuffer(8));

/** The bits of the double in `scratch` if it is a NaN that a number does not stand for. */
function unusualNan(): bigint | undefined {
  const bits = scratch.getBigUint64(0);
  return bits === 0x7ff8_0000_0000_0000n ? undefined : bits;
}

function readF64(r: Reader): number {
  scratch.setUint32(0, r.u32());
  scratch.setUint32(4, r.u32());
  return scratch.getFloat64(0);
}

function readDouble(r: Reader): number | Double {
  const value = readF64(r);
  if (value !== value) {
    const bits = unusualNan();
    return bits === undefined ? NaN : new Double(NaN, bits);
  }
  return Number.isSafeInteger(value) ? new Double(value) : value;
}

function readDate(r: Reader): BlazeDate {
  const seconds = readF64(r);
  return seconds === seconds ? new BlazeDate(seconds) : new BlazeDate(NaN, unusualNan());
}

/** One level further in. */
function deeper(depth: number, at: number): number {
  return depth === recordLimits.depth ? refuse("DEPTH_LIMIT", at) : depth + 1;
}

function readArray(r: Reader, depth: number): RecordValue[] {
  const count = readCount(r, 1);
  const items: RecordValue[] = [];
  for (let i = 0; i < count; i++) items.push(readValue(r, depth));
  return items;
}

/** Moves the 32 bits of each element as an integer, so that the bits of a NaN survive. */
function readVector(r: Reader): Float32Array {
  const at = r.offset;
  const count = readLength(r, recordLimits.vectorElements);
  if (4 * count > r.left) refuse("TRUNCATED", at);
  const bits = new Uint32Array(count);
  for (let i = 0; i < count; i++) bits[i] = r.u32();
  return new Float32Array(bits.buffer);
}

/** Reads a u32 length. The limit comes before the bounds, as upstream has it. */
function readLength(r: Reader, limit: number): number {
  const at = r.offset;
  const length = r.u32();
  return length > limit ? refuse("LENGTH_LIMIT", at) : length;
}

/** Reads a u16 count of things that take `least` bytes or more each. */
function readCount(r: Reader, least: number): number {
  const at = r.offset;
  const count = r.u16();
  return count * least > r.left ? refuse("TRUNCATED", at) : count;
}

/** Sets an own property. Assigning to `__proto__` would not. */
function put(fields: Fields, name: string, value: RecordValue): void {
  if (name === "__proto__") {
    Object.defineProperty(fields, name, {
      value,
      configurable: true,
      enumerable: true,
      writable: true,
    });
  } else {
    fields[name] = value;
  }
}

function refuse(code: RecordErrorCode, at: number): never {
  throw new WireError(code, at);
}
