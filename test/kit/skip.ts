/**
 * Says why tests are skipped and how to have them run: neither runner shows the reason.
 *
 * @module
 */

const said = new Set<string>();

/** The `skip` option of a test, told once. */
export function skipped(reason: string): string {
  const text = `skipped: ${reason}`;
  if (!said.has(text)) console.log(text);
  said.add(text);
  return text;
}
