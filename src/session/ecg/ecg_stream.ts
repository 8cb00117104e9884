/**
 * A stream as the relay knows it: who watches it in which form, and what its packed signals mean.
 *
 * @module
 */
import type { Channels, Member, Membership } from "../../channel/channels.ts";
import type { Message } from "../../link/link.ts";
import { Version } from "../../wire/ecg/codes.ts";
import type { Scale } from "../../wire/ecg/scale.ts";
import type { Publication } from "./publication.ts";

/** In which form a member wants its messages. */
export interface WatchForm {
  readonly version: Version;
  /** Reads packed signals. */
  readonly packed: boolean;
}

/** Somebody who watches. */
export interface Watcher extends Member {
  /** Tells that the stream is ENCRYPTED, which its version cannot carry. */
  tellSealed(stream: string): void;
}

const VERSIONS = [Version.V3, Version.V2, Version.V1] as const;
/** Meanings that a stream may have at a time: publishers may take turns. */
const MAX_SCALES = 4;

const channelName = ({ version, packed }: WatchForm, key: string): string =>
  `ecg${version}${packed ? "p" : ""}:${key}`;

/** To everybody in the channels of a key, each form made once. */
export function fanOut(
  channels: Channels,
  key: string,
  publication: Publication,
  from: Member,
  limit: number,
  /** Packed signals go out as they are to those who read them. */
  keepPacked = true,
): void {
  const { delivery, extent } = publication;
  const channel = (version: Version, packed: boolean) =>
    channels.get(channelName({ version, packed }, key));
  const splits = publication.packed;
  let floats: Publication | undefined;
  // From the highest down: if only V1 wants floats, nobody compresses them.
  for (const version of VERSIONS) {
    const packed = channel(version, true), plain = channel(version, false);
    let message: Message | undefined;
    for (const [to, keeps] of [[packed, keepPacked], [plain, false]] as const) {
      if (!to) continue;
      if (!splits) message ??= publication.as(version);
      else if (keeps) message = publication.as(version);
      else {
        floats ??= publication.unpacked(limit, version !== Version.V1);
        message = floats.as(version);
      }
      if (message) to.publish(message, from, delivery, extent);
    }
  }
}

/** A way into the channel of a form. */
export const joinForm = (
  channels: Channels,
  key: string,
  form: WatchForm,
  member: Member,
  alone: boolean,
): Membership => channels.join(channelName(form, key), member, alone);

export class EcgStream {
  /** Sessions that need this stream to be remembered. */
  users = 0;
  readonly #scales = new Map<number, Scale>();
  /** Watchers that would get nothing of an ENCRYPTED message, and do not know why. */
  readonly #untold = new Set<Watcher>();

  /** `key`: tenant and stream. */
  constructor(
    readonly key: string,
    readonly stream: string,
    private readonly channels: Channels,
    private readonly limit: number,
  ) {}

  get scales(): Scale[] {
    return [...this.#scales.values()];
  }

  scale(id: number): Scale | undefined {
    return this.#scales.get(id);
  }

  learn(scale: Scale): void {
    this.#scales.delete(scale.id);
    this.#scales.set(scale.id, scale);
    const [oldest] = this.#scales.keys();
    if (this.#scales.size > MAX_SCALES) this.#scales.delete(oldest!);
  }

  join(watcher: Watcher, form: WatchForm, alone: boolean): Membership {
    const membership = joinForm(this.channels, this.key, form, watcher, alone);
    if (form.version !== Version.V3) this.#untold.add(watcher);
    return {
      ...membership,
      leave: () => {
        membership.leave();
        this.#untold.delete(watcher);
      },
    };
  }

  publish(publication: Publication, from: Member): void {
    fanOut(this.channels, this.key, publication, from, this.limit);
    if (!publication.sealed) return;
    for (const watcher of this.#untold) watcher.tellSealed(this.stream);
    this.#untold.clear();
  }
}
