/**
 * Envelopes in envelopes, as deep as a message has room, made without recursion.
 *
 * @module
 */
import { encodeFrame, FrameType } from "../../src/wire/blaze/blaze_frame.ts";
import { Subtype } from "../../src/wire/blaze/extension.ts";

/** What stands before the frame in an envelope of each kind. */
const HEADS = {
  direct: (node: Uint8Array) => [Subtype.direct, ...node],
  tagged: () => [Subtype.tagged, ...new Uint8Array(8)],
  sequenced: () => [Subtype.sequenced, ...new Uint8Array(8)],
  batch: () => [Subtype.batch, 0, 0, 0, 0],
};

export type Envelope = keyof typeof HEADS;

/**
 * `frame` in envelopes of these kinds, the first one outermost, over and over until there are `depth`.
 * `node` is who `direct` names.
 */
export function nested(
  kinds: readonly Envelope[],
  depth: number,
  frame: Uint8Array = encodeFrame({ type: FrameType.ping }),
  node: Uint8Array = new Uint8Array(16).fill(9),
): Uint8Array<ArrayBuffer> {
  const heads = kinds.map((kind) => HEADS[kind](node));
  let length = frame.length;
  for (let i = 0; i < depth; i++) length += 7 + heads[i % heads.length]!.length;
  const message = new Uint8Array(length);
  const view = new DataView(message.buffer);
  let at = 0;
  for (let i = 0; i < depth; i++) {
    const kind = kinds[i % kinds.length]!;
    const head = heads[i % heads.length]!;
    message.set([0xbf, 0x01, FrameType.extension], at);
    view.setUint32(at + 3, length - at - 7);
    message.set(head, at + 7);
    at += 7 + head.length;
    if (kind === "batch") view.setUint32(at - 4, length - at);
  }
  message.set(frame, at);
  return message;
}
