/**
 * What a BlazeBinary record may not exceed, and the codes of its refusals.
 *
 * @module
 */

/** The limits of the format. An endpoint should bound whole messages far below them. */
export const recordLimits = {
  /** Fields of a record, items of an array, entries of a dictionary: the count is a u16. */
  count: 65_535,
  /** UTF-8 bytes of a field name or dictionary key: the length is a u16. */
  nameBytes: 65_535,
  /** UTF-8 bytes of a string, and bytes of data. The u32 could say more; no decoder takes it. */
  valueBytes: 100_000_000,
  /** Elements of a vector. */
  vectorElements: 999_999,
  /** Arrays and dictionaries inside each other, empty ones included. Bounds the recursion. */
  depth: 64,
} as const;

/**
 * Why a record was refused.
 *
 * | code | read | write | meaning |
 * | --- | --- | --- | --- |
 * | `TOO_SHORT` | x | | below 8 bytes, or below 12 with a checksum |
 * | `BAD_MAGIC` | x | | does not begin with "BLAZE" |
 * | `UNSUPPORTED_VERSION` | x | | the version is neither 1 nor 2 |
 * | `CRC_MISMATCH` | x | | the checksum does not match |
 * | `TRUNCATED` | x | | a key, a length or a value runs past the end |
 * | `TRAILING_BYTES` | x | | bytes after the last field |
 * | `UNKNOWN_FIELD_ID` | x | | a one-byte key without a name |
 * | `UNKNOWN_TYPE_TAG` | x | | a value tag without a meaning |
 * | `INVALID_UTF8` | x | | a name, key or string is not well-formed UTF-8 |
 * | `INVALID_TEXT` | | x | a name, key or string holds half a surrogate pair |
 * | `DUPLICATE_NAME` | x | x | two names (or keys of one dictionary) are equal after NFC |
 * | `COUNT_LIMIT` | | x | too many fields, items or entries |
 * | `LENGTH_LIMIT` | x | x | a name, string, data or vector is too long |
 * | `DEPTH_LIMIT` | x | x | arrays and dictionaries are nested too deeply, or in a circle |
 */
export type RecordErrorCode =
  | "TOO_SHORT"
  | "BAD_MAGIC"
  | "UNSUPPORTED_VERSION"
  | "CRC_MISMATCH"
  | "TRUNCATED"
  | "TRAILING_BYTES"
  | "UNKNOWN_FIELD_ID"
  | "UNKNOWN_TYPE_TAG"
  | "INVALID_UTF8"
  | "INVALID_TEXT"
  | "DUPLICATE_NAME"
  | "COUNT_LIMIT"
  | "LENGTH_LIMIT"
  | "DEPTH_LIMIT";
