/**
 * Which commit is followed where more than one ends the same epoch. That happens only with a relay
 * that lost its memory, or lies: `docs/protocol/group.md`, Another past. Pure: the client and the
 * model of the protocol (`test/model/`) run the same lines.
 *
 * @module
 */

/** A valid commit beside others of its epoch. */
export interface Contender {
  /** Node id, as hex. */
  readonly author: string;
  /** The author's place in the group before this commit; 0 is the longest member. */
  readonly seniority: number;
  /** For its author the epoch was in doubt: from the authenticated data. */
  readonly doubt: boolean;
  /** Node ids that it removes, as hex. */
  readonly removes: readonly string[];
  /** Hash of the commit, as hex. */
  readonly hash: string;
}

/** A contender where a log has it. */
export interface PlacedContender extends Contender {
  /**
   * It names this ring, and the entry before it: here its author put it. Others were appended
   * again.
   */
  readonly inPlace: boolean;
}

/** `winner` is an index; `crossed` are the authors who remove each other (`MUTUAL_REMOVAL`). */
export type Choice = { readonly winner: number } | { readonly crossed: readonly string[] };

/**
 * The one that everybody follows who sees these. Not pair by pair: "removes the other one's author"
 * has circles (C removes A, who is longer than B, who is longer than C), so all are looked at
 * together.
 *
 * Authors that remove each other, in a circle of any length, stop the device. Then every commit
 * goes whose author another one removes; of the rest one that was made without doubt is followed,
 * since people may have lived with it for long; then one that removes somebody, so that nobody
 * removed comes back; then the longer member; then the lower hash.
 */
export function choose(contenders: readonly Contender[]): Choice {
  const crossed = circle(contenders);
  if (crossed.length > 0) return { crossed };
  const removed = new Set(contenders.flatMap(({ removes }) => removes));
  let winner = -1;
  contenders.forEach((contender, index) => {
    if (removed.has(contender.author)) return;
    if (winner < 0 || order(contender, contenders[winner]!) < 0) winner = index;
  });
  return { winner };
}

/**
 * Which commit ends this epoch for this device: rules 12 and 13 in one place. Nothing where none
 * does.
 *
 * `log`: the valid commits in the log of that epoch as it stands, in order. `acted`: those that
 * ended the same epoch for this device once, wherever they are now. `barred`: authors removed by a
 * commit that it acted on in another epoch.
 *
 * The first one that stands in its place ends the epoch. Those that were appended again compete
 * with it only if this device saw that the relay lost its memory since the epoch began (`lossy`):
 * nobody else's word counts, or a removed device could make one up.
 * Whoever was removed by a commit that was acted on is no author any more; whom such an author
 * added comes in through its commit only, so that this is refused too.
 */
export function judge<C extends PlacedContender>(
  log: readonly C[],
  acted: readonly C[],
  barred: ReadonlySet<string>,
  lossy: boolean,
): { readonly follow: C } | { readonly crossed: readonly string[] } | undefined {
  let left = union(log, acted).filter(({ author }) => !barred.has(author));
  for (;;) {
    const first = left.find((commit) => commit.inPlace && log.includes(commit));
    const pool = lossy
      ? left.filter((commit) => commit === first || !commit.inPlace || !log.includes(commit))
      : left.filter((commit) => commit === first || !log.includes(commit));
    const crossed = circle(union(pool, acted));
    if (crossed.length > 0) return { crossed };
    const gone = pool.find(({ author }) => acted.some(({ removes }) => removes.includes(author)));
    if (gone === undefined) {
      const choice = choose(pool);
      return "winner" in choice && choice.winner >= 0
        ? { follow: pool[choice.winner]! }
        : undefined;
    }
    left = left.filter((commit) => commit !== gone);
  }
}

/**
 * Members of the present epoch whom a commit removed that this device acted on, in a branch that
 * lost: they are removed again first. Until then it seals nothing.
 */
export function toRemoveAgain(
  members: readonly string[],
  acted: readonly Pick<Contender, "removes">[],
): string[] {
  const removed = new Set(acted.flatMap(({ removes }) => removes));
  return members.filter((node) => removed.has(node));
}

/** Each commit once. */
function union<C extends Contender>(some: readonly C[], more: readonly C[]): C[] {
  const hashes = new Set(some.map(({ hash }) => hash));
  return [...some, ...more.filter(({ hash }) => !hashes.has(hash))];
}

/** Authors in circles of removals: what is left when nobody is dropped whom no one left removes. */
function circle(contenders: readonly Contender[]): string[] {
  let left = contenders;
  for (;;) {
    const authors = new Set(left.map(({ author }) => author));
    const removed = new Set(left.flatMap(({ removes }) => removes));
    const next = left.filter(({ author, removes }) =>
      removed.has(author) && removes.some((node) => authors.has(node))
    );
    if (next.length === left.length) return [...authors].sort();
    left = next;
  }
}

/** Below 0: the first one is followed. */
function order(one: Contender, other: Contender): number {
  return Number(one.doubt) - Number(other.doubt) ||
    Number(other.removes.length > 0) - Number(one.removes.length > 0) ||
    one.seniority - other.seniority ||
    (one.hash < other.hash ? -1 : 1);
}
