/**
 * Request bodies, with a bound.
 *
 * @module
 */
import { type Bytes, concat } from "../src/wire/bytes.ts";

/**
 * The whole body. `undefined` when it has more than `most` bytes, of which what is too much is not
 * read, and when it broke off: nobody hears the answer then.
 */
export async function bodyOf(request: Request, most: number): Promise<Bytes | undefined> {
  if (Number(request.headers.get("content-length") ?? 0) > most) return undefined;
  const parts: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const part of request.body ?? []) {
      length += part.length;
      if (length > most) return undefined;
      parts.push(part);
    }
  } catch {
    return undefined;
  }
  return concat(...parts);
}
