/**
 * A stream as the relay knows it: who watches it in which form, and what its packed signals mean.
 *
 * @module
 */
import type { Channel, Channels, Member, Membership } from "../../channel/channels.ts";
import type { Message } from "../../link/link.ts";
import { Version } from "../../wire/ecg/codes.ts";
import type { Scale } from "../../wire/ecg/scale.ts";
import type { Publication } from "./publication.ts";
import { Scales } from "./scales.ts";

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
/** The scales that a stream heard last, whoever told them: for what lies in its history. */
const MAX_RECENT = 4;
/** Links whose scales a stream hands on, and scales that it hands to one watcher. */
const MAX_TOLD = 32;

const channelName = ({ version, packed }: WatchForm, key: string): string =>
  `ecg${version}${packed ? "p" : ""}:${key}`;

/** Hands out what was made ready. */
export type Send = () => void;

/**
 * Makes a publication ready for everybody in the channels of a key, each form once. Throws `WireError`
 * where a form cannot be made; nobody has got anything by then.
 */
export function makeReady(
  channels: Channels,
  key: string,
  publication: Publication,
  from: Member,
  limit: number,
  /** Packed signals go out as they are to those who read them. */
  keepPacked = true,
): Send {
  const { delivery, extent } = publication;
  const channel = (version: Version, packed: boolean) =>
    channels.get(channelName({ version, packed }, key));
  const splits = publication.packed;
  const ready: { readonly to: Channel; readonly message: Message }[] = [];
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
      if (message) ready.push({ to, message });
    }
  }
  return () => {
    for (const { to, message } of ready) to.publish(message, from, delivery, extent);
  };
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
  readonly #recent = new Scales(MAX_RECENT);
  /** What the links that publish here mean, the one that told last at the end. */
  readonly #told = new Set<Scales>();
  /** Watchers that would get nothing of an ENCRYPTED message, and do not know why. */
  readonly #untold = new Set<Watcher>();

  /** `key`: tenant and stream. */
  constructor(
    readonly key: string,
    readonly stream: string,
    private readonly channels: Channels,
    private readonly limit: number,
  ) {}

  /** What a late watcher has to know, the latest last. */
  get scales(): Scale[] {
    const scales = new Map<number, Scale>();
    for (const told of [...this.#told, this.#recent]) {
      for (const scale of told) {
        scales.delete(scale.id);
        scales.set(scale.id, scale);
      }
    }
    return [...scales.values()].slice(-MAX_TOLD);
  }

  /** Among those heard last. */
  scale(id: number): Scale | undefined {
    return this.#recent.get(id);
  }

  /** A link has told a scale, which is among all of its own by now. */
  learn(scale: Scale, told: Scales): void {
    this.#recent.learn(scale);
    this.#told.delete(told);
    this.#told.add(told);
    const [oldest] = this.#told;
    if (this.#told.size > MAX_TOLD) this.#told.delete(oldest!);
  }

  /** The link that told these is gone. */
  forget(told: Scales): void {
    this.#told.delete(told);
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

  /** Makes a publication ready for those who watch now. Throws `WireError`. */
  ready(publication: Publication, from: Member): Send {
    const send = makeReady(this.channels, this.key, publication, from, this.limit);
    if (!publication.sealed) return send;
    return () => {
      send();
      for (const watcher of this.#untold) watcher.tellSealed(this.stream);
      this.#untold.clear();
    };
  }
}
