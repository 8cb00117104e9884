/**
 * What an answer over HTTP says, where it is a relay's.
 *
 * @module
 */

/** Bytes that are read of an answer: a relay's has some hundreds. */
const MOST_BYTES = 16_384;

/**
 * The fields of an answer in JSON. None for whatever else it is: no body, a proxy's own page, more than
 * a relay would say, or a connection that broke meanwhile. The status says enough then.
 */
export async function fieldsOf({ body }: Response): Promise<Readonly<Record<string, unknown>>> {
  const reader = body?.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let length = 0;
  try {
    for (let part; (part = await reader?.read())?.value;) {
      length += part.value.length;
      if (length > MOST_BYTES) {
        await reader!.cancel();
        return {};
      }
      text += decoder.decode(part.value, { stream: true });
    }
    return { ...JSON.parse(text) };
  } catch {
    return {};
  }
}
