/**
 * Short names for what a model would otherwise copy into each state: commits, and logs. A log is
 * named by its last entry, which names the one before it: what the chain hash is on the wire.
 *
 * @module
 */

/**
 * What an entry is: an operation (bit), a commit, an announce or a checkpoint of some operations.
 */
export interface ModelEntry {
  readonly kind: "operation" | "commit" | "announce" | "checkpoint" | "junk";
  readonly author: number;
  /** Bits of operations, or the number of the commit. */
  readonly value: number;
  /** Where the author of an announce or commit stood: a link; −1 of others. */
  readonly at: number;
}

export interface Link {
  readonly id: number;
  /** The link before; −1 at the start of a log. */
  readonly before: number;
  readonly entry: ModelEntry | undefined;
  readonly ring: number;
  readonly epoch: number;
  readonly length: number;
}

export interface ModelCommit {
  /** Also the number of the epoch that it begins; 0 is the first epoch, which no commit began. */
  readonly id: number;
  readonly parent: number;
  readonly author: number;
  readonly change: "rotate" | "remove" | "rejoin";
  readonly target: number;
  /** The link that its author had read to. */
  readonly head: number;
  /** Its author had seen the log in another ring. */
  readonly doubt: boolean;
  /** Bits of those who are members after it. */
  readonly members: number;
  readonly depth: number;
  readonly hash: string;
}

/** Everything that was named so far in one exploration. */
export class Names {
  readonly links: Link[] = [];
  readonly commits: ModelCommit[] = [];
  readonly #lists = new Map<number, readonly Link[]>();
  readonly #links = new Map<string, number>();
  readonly #commits = new Map<string, number>();

  constructor(devices: number) {
    this.commits.push({
      id: 0,
      parent: -1,
      author: -1,
      change: "rotate",
      target: -1,
      head: -1,
      doubt: false,
      members: (1 << devices) - 1,
      depth: 0,
      hash: "",
    });
  }

  start(ring: number, epoch: number): number {
    return this.#link(`${ring},${epoch}`, { before: -1, entry: undefined, ring, epoch, length: 0 });
  }

  after(before: number, entry: ModelEntry): number {
    const { ring, epoch, length } = this.links[before]!;
    const key = `${before}:${entry.kind}${entry.author},${entry.value},${entry.at}`;
    return this.#link(key, { before, entry, ring, epoch, length: length + 1 });
  }

  #link(key: string, link: Omit<Link, "id">): number {
    let id = this.#links.get(key);
    if (id === undefined) {
      id = this.links.length;
      this.#links.set(key, id);
      this.links.push({ id, ...link });
    }
    return id;
  }

  commit(made: Omit<ModelCommit, "id" | "members" | "depth" | "hash">): ModelCommit {
    const { parent, author, change, target, head, doubt } = made;
    const key = [parent, author, change, target, head, doubt].join();
    const known = this.#commits.get(key);
    if (known !== undefined) return this.commits[known]!;
    const before = this.commits[parent]!;
    const commit = {
      id: this.commits.length,
      ...made,
      members: change === "remove" ? before.members & ~(1 << target) : before.members,
      depth: before.depth + 1,
      hash: scatter(key),
    };
    this.#commits.set(key, commit.id);
    this.commits.push(commit);
    return commit;
  }

  /** Epochs from the first one to this one. */
  path(epoch: number): number[] {
    const path: number[] = [];
    for (let at = epoch; at >= 0; at = this.commits[at]!.parent) path.unshift(at);
    return path;
  }

  /** Is the log that ends here the beginning of the one that ends there? */
  within(link: number, last: number): boolean {
    const least = this.links[link]!.length;
    let at = last;
    while (at >= 0 && this.links[at]!.length > least) at = this.links[at]!.before;
    return at === link;
  }

  /** Links above this one, up to the last, oldest first; −1: all. */
  above(link: number, last: number): readonly Link[] {
    const all = this.#all(last);
    return link < 0 ? all : all.slice(this.links[link]!.length);
  }

  #all(last: number): readonly Link[] {
    const known = this.#lists.get(last);
    if (known !== undefined) return known;
    const link = this.links[last]!;
    const list = link.entry === undefined ? [] : [...this.#all(link.before), link];
    this.#lists.set(last, list);
    return list;
  }
}

/** Any order of commits that has nothing to do with the order in which they were found. */
function scatter(text: string): string {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193) >>> 0;
  }
  return hash.toString(16).padStart(8, "0") + text;
}
