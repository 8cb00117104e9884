/**
 * @module
 */

/** First four bytes of SHA-256 of a node id: what an operation carries of its author. */
export async function hashNode(node: Uint8Array): Promise<number> {
  const hash = await crypto.subtle.digest("SHA-256", node.slice());
  return new DataView(hash).getUint32(0);
}
