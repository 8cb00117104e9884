/**
 * The rules of `docs/protocol/group.md`, Order to Another past, over small numbers in place of
 * bytes: what a device keeps, what a relay keeps, and what a device does when it connects. Which
 * commit ends an epoch is the client's own function, `judge`. Nothing here is random; `explore.ts`
 * tries every order.
 *
 * An operation is a bit. A device that connects reads to the head and looks into its old logs in
 * one step, since nobody else sees how far it has read; what it writes are steps of their own, so
 * that others and a crash come between.
 *
 * @module
 */
import { judge, type PlacedContender } from "../../src/client/group/log/branches.ts";
import { type Link, type ModelCommit, type ModelEntry, type Names } from "./names.ts";
import { allRules, type Rules } from "./rules.ts";
import { Fallen, type ModelDevice, type ModelWorld } from "./state.ts";

/** A contender that knows which commit of the model it is. */
interface Placed extends PlacedContender {
  readonly commit: ModelCommit;
  /** Its link in the log; −1 where it is not there. */
  readonly link: number;
}

export class GroupModel {
  /** What happened in the last step, for properties: some device went back. */
  wentBack = false;

  readonly #valid = new Map<number, readonly Placed[]>();
  /** By all that a verdict depends on: most states ask what another one asked before. */
  readonly #verdicts = new Map<string, Placed | "crossed" | undefined>();

  constructor(readonly names: Names, readonly rules: Rules = allRules) {}

  log(world: ModelWorld, device: number, epoch: number): number {
    const view = world.views[world.sees[device]!]!;
    return view.logs[epoch] ?? this.names.start(view.ring, epoch);
  }

  append(world: ModelWorld, device: number, epoch: number, entry: ModelEntry): void {
    const view = world.views[world.sees[device]!]!;
    view.logs[epoch] = this.names.after(this.log(world, device, epoch), entry);
  }

  /** Has it read to the end, and may it write? */
  atHead(world: ModelWorld, index: number): boolean {
    const device = world.devices[index]!;
    return !device.out && !device.crossed && device.cursor >= 0 &&
      device.cursor === this.log(world, index, device.epoch);
  }

  members(device: ModelDevice): number {
    return this.names.commits[device.epoch]!.members;
  }

  /** Members whom this device saw removed, in a branch that lost. */
  returned(device: ModelDevice): number {
    const removed = this.seenRemoved(device);
    return this.rules.removeAgain ? this.members(device) & removed : 0;
  }

  removes(id: number): number {
    const { change, target } = this.names.commits[id]!;
    return change === "remove" ? 1 << target : 0;
  }

  placed(commit: ModelCommit, link: Link | undefined): Placed {
    return {
      author: `${commit.author}`,
      seniority: commit.author,
      doubt: commit.doubt && this.rules.doubt,
      removes: commit.change === "remove" ? [`${commit.target}`] : [],
      hash: commit.hash,
      inPlace: link !== undefined && commit.head === link.before,
      commit,
      link: link?.id ?? -1,
    };
  }

  /** Valid commits in a log, in its order, each once. */
  valid(log: number, epoch: number): readonly Placed[] {
    const known = this.#valid.get(log);
    if (known !== undefined) return known;
    const found: Placed[] = [];
    for (const link of this.names.above(-1, log)) {
      if (link.entry!.kind !== "commit") continue;
      const commit = this.names.commits[link.entry!.value]!;
      const members = this.names.commits[epoch]!.members;
      if (commit.parent !== epoch || (members & 1 << commit.author) === 0) continue;
      if (commit.change !== "rotate" && (members & 1 << commit.target) === 0) continue;
      const placed = this.placed(commit, link);
      // In the ring that it names it counts only behind the head that it names.
      if (
        !placed.inPlace && this.names.links[commit.head]!.ring === link.ring &&
        this.rules.compareAndSet
      ) continue;
      if (!found.some(({ hash }) => hash === placed.hash)) found.push(placed);
    }
    this.#valid.set(log, found);
    return found;
  }

  /** What ends this epoch for this device, as far as its log and its memory say. */
  verdict(world: ModelWorld, index: number, epoch: number): Placed | "crossed" | undefined {
    const { acted, lossy } = world.devices[index]!;
    const link = this.log(world, index, epoch);
    const doubtful = lossy[this.names.commits[epoch]!.depth]!;
    const key = `${link} ${epoch} ${doubtful} ${acted}`;
    if (!this.#verdicts.has(key)) {
      this.#verdicts.set(key, this.#judged(this.valid(link, epoch), epoch, acted, doubtful));
    }
    return this.#verdicts.get(key);
  }

  #judged(
    log: readonly Placed[],
    epoch: number,
    acted: readonly number[],
    lossy: boolean,
  ): Placed | "crossed" | undefined {
    if (!this.rules.decision) return log[0];
    const here = acted.filter((id) => this.names.commits[id]!.parent === epoch)
      .map((id) => {
        const commit = this.names.commits[id]!;
        return log.find((placed) => placed.commit === commit) ?? this.placed(commit, undefined);
      });
    const barred = new Set(
      acted.filter((id) => this.names.commits[id]!.parent !== epoch && this.removes(id) !== 0)
        .map((id) => `${this.names.commits[id]!.target}`),
    );
    const judged = this.rules.bars
      ? judge(log, here, barred, lossy)
      : judge(log, [], new Set(), lossy);
    if (judged === undefined) return undefined;
    if ("crossed" in judged) return "crossed";
    return judged.follow;
  }

  /** A device connects: it reads to the head, looks into its old logs, and mends what it finds. */
  connect(world: ModelWorld, index: number): void {
    const device = world.devices[index]!;
    this.wentBack = false;
    if (device.crossed) return;
    const view = world.views[world.sees[index]!]!;
    if (device.rings.some((ring) => ring >= 0 && ring !== view.ring)) {
      device.heal = true;
      device.lossy = device.lossy.map(() => true);
    }
    device.rings = device.rings.map(() => view.ring);
    this.takeWelcome(world, index);
    for (let turn = 0; turn < 40; turn++) {
      if (this.forward(world, index) || device.crossed) continue;
      if (!this.goBack(world, index)) break;
      if (turn === 39) throw new Fallen(`device ${index} goes back and forth for ever`);
    }
    if (device.crossed) return;
    if (this.atHead(world, index) && device.heal && this.rules.heal) this.putBack(world, index);
  }

  /** Reads the present log to its end. True if the epoch ended. */
  forward(world: ModelWorld, index: number): boolean {
    const device = world.devices[index]!;
    const { epoch } = device;
    this.leavePending(world, index);
    const log = this.log(world, index, epoch);
    const verdict = this.verdict(world, index, epoch);
    if (verdict === "crossed" || this.endedByReturned(device, log)) device.crossed = true;
    const follow = verdict === "crossed" ? undefined : verdict;
    if (device.cursor >= 0 && !this.names.within(device.cursor, log)) {
      const sameRing = this.names.links[device.cursor]!.ring === this.names.links[log]!.ring;
      if (sameRing && this.rules.chains) device.named = true;
      device.cursor = -1;
      device.heal = true;
    }
    for (const link of this.names.above(device.cursor, log)) {
      if (link.id === follow?.link && this.rules.ends) break;
      this.read(device, index, link);
    }
    device.cursor = log;
    device.out = false;
    if (follow === undefined) return false;
    const { commit } = follow;
    if (commit.change === "remove" && commit.target === index) {
      device.out = true;
      return false;
    }
    if (commit.author === index && !device.own.includes(commit.id) || commit.target === index) {
      // MLS cannot follow an own commit without its state, nor one that takes the leaf away.
      device.cursor = -1;
      this.knock(world, index);
      return false;
    }
    this.follow(world, index, follow);
    return true;
  }

  /**
   * Did a member whom this device saw removed end the present epoch before it could be removed
   * again?
   */
  endedByReturned(device: ModelDevice, log: number): boolean {
    const first = this.valid(log, device.epoch).find(({ inPlace }) => inPlace);
    return first !== undefined && this.rules.bars &&
      (this.seenRemoved(device) & 1 << first.commit.author) !== 0 &&
      !device.acted.some((id) => this.names.commits[id]!.parent === device.epoch);
  }

  /** Would everybody else follow one whom this device saw removed, in another branch? */
  wonByRemoved(world: ModelWorld, index: number, epoch: number): boolean {
    const device = world.devices[index]!;
    const log = this.valid(this.log(world, index, epoch), epoch);
    const lossy = device.lossy[this.names.commits[epoch]!.depth]!;
    const judged = judge(log, [], new Set(), lossy);
    if (judged === undefined || !("follow" in judged)) return false;
    const { commit } = judged.follow;
    return !device.acted.includes(commit.id) &&
      (this.seenRemoved(device) & 1 << commit.author) !== 0;
  }

  seenRemoved({ acted }: ModelDevice): number {
    return acted.reduce((bits, id) => bits | this.removes(id), 0);
  }

  read(device: ModelDevice, index: number, { entry, id }: Link): void {
    const { kind, author, value, at } = entry!;
    if (kind === "operation" || kind === "checkpoint") device.has |= value;
    const covers = kind === "announce" && author !== index || kind === "checkpoint";
    if (covers) device.waiting &= ~value;
    if (at >= 0 && this.rules.chains) {
      const sameRing = this.names.links[at]!.ring === this.names.links[id]!.ring;
      if (sameRing && !this.names.within(at, id)) device.named = true;
    }
  }

  follow(world: ModelWorld, index: number, { commit, inPlace, link }: Placed): void {
    const device = world.devices[index]!;
    for (const id of device.acted) {
      if (id !== commit.id && (this.removes(id) & 1 << commit.author) !== 0) {
        throw new Fallen(`device ${index} follows ${commit.author}, whom it saw removed`);
      }
    }
    device.acted = sorted(device.acted, commit.id);
    world.ever[index] = sorted(world.ever[index]!, commit.id);
    device.epoch = commit.id;
    device.cursor = -1;
    device.pending = 0;
    device.rings = [
      ...device.rings.slice(0, commit.depth),
      world.views[world.sees[index]!]!.ring,
    ];
    device.lossy = [...device.lossy.slice(0, commit.depth), !inPlace];
    if (!this.rules.keepStates) device.floor = Math.max(device.floor, commit.depth - 1);
    if (!inPlace || link < 0) device.heal = true;
  }

  /** Looks into the old logs, oldest first. True if the device went back. */
  goBack(world: ModelWorld, index: number): boolean {
    const device = world.devices[index]!;
    const path = this.names.path(device.epoch);
    for (let depth = 0; depth < path.length - 1; depth++) {
      const epoch = path[depth]!;
      const followed = path[depth + 1]!;
      if (!device.acted.includes(followed)) continue;
      const known = device.acted.filter((id) => this.names.commits[id]!.parent === epoch);
      for (const id of this.rules.appendAgain ? known : []) this.again(world, index, id);
      if (depth < device.floor) {
        // Without the state it cannot check whether another commit is valid: others can, and let it
        // in.
        const verdict = this.verdict(world, index, epoch);
        const strange = verdict !== undefined && verdict !== "crossed" &&
          verdict.commit.id !== followed;
        if (strange && this.rules.appendAgain) this.knock(world, index);
        continue;
      }
      if (this.wonByRemoved(world, index, epoch)) device.apart = true;
      const verdict = this.verdict(world, index, epoch);
      if (verdict === "crossed") {
        device.crossed = true;
        return true;
      }
      if (verdict === undefined || verdict.commit.id === followed) continue;
      device.epoch = epoch;
      device.cursor = -1;
      device.pending = 0;
      device.rings = device.rings.slice(0, depth + 1);
      device.lossy = device.lossy.slice(0, depth + 1);
      device.heal = true;
      this.wentBack = true;
      return true;
    }
    return false;
  }

  /** Puts a commit into a log that lost it. */
  again(world: ModelWorld, index: number, id: number): void {
    const commit = this.names.commits[id]!;
    const log = this.log(world, index, commit.parent);
    const view = world.views[world.sees[index]!]!;
    if (this.names.links[commit.head]!.ring === view.ring) return;
    const there = this.names.above(-1, log).some(({ entry }) =>
      entry!.kind === "commit" && entry!.value === id
    );
    if (there) return;
    this.append(world, index, commit.parent, {
      kind: "commit",
      author: commit.author,
      value: id,
      at: commit.head,
    });
  }

  /**
   * A stored commit is left only where it can never come any more: the log went on without it. In
   * another ring those who followed it append it again, and its state is still kept here (`own`).
   */
  leavePending(world: ModelWorld, index: number): void {
    const device = world.devices[index]!;
    if (device.pending === 0) return;
    const commit = this.names.commits[device.pending]!;
    const log = this.log(world, index, device.epoch);
    const there = this.names.above(-1, log).some(({ entry }) =>
      entry!.kind === "commit" && entry!.value === commit.id
    );
    if (!there && commit.head !== log) device.pending = 0;
  }

  knock(world: ModelWorld, index: number): void {
    if (world.devices[index]!.knocks) return;
    world.devices[index]!.knocks = true;
    world.views[world.sees[index]!]!.knocks |= 1 << index;
  }

  takeWelcome(world: ModelWorld, index: number): void {
    const device = world.devices[index]!;
    const view = world.views[world.sees[index]!]!;
    if (!device.knocks) return;
    const id = view.welcomes.findLast((id) =>
      this.names.commits[id]!.target === index && !device.acted.includes(id)
    );
    if (id === undefined) {
      view.knocks |= 1 << index;
      return;
    }
    const removed = this.seenRemoved(device);
    const { members, depth } = this.names.commits[id]!;
    if ((members & removed) !== 0) {
      view.knocks &= ~(1 << index);
      return;
    }
    device.knocks = false;
    device.epoch = id;
    device.floor = depth;
    device.cursor = -1;
    device.pending = 0;
    device.heal = true;
    device.out = false;
    device.rings = Array.from({ length: depth + 1 }, () => view.ring);
    // The carry of a welcome opens the logs before: with it, it looks into them like everybody.
    const path = this.names.path(id);
    device.lossy = path.map((epoch, at) =>
      at + 1 < path.length &&
      !this.valid(this.log(world, index, epoch), epoch).some(({ commit, inPlace }) =>
        commit.id === path[at + 1] && inPlace
      )
    );
    device.acted = path.slice(1).reduce(sorted, device.acted);
    view.knocks &= ~(1 << index);
  }

  /** A property: whom a device saw removed reads nothing more of it. */
  sealing(world: ModelWorld, index: number): void {
    const device = world.devices[index]!;
    if ((this.members(device) & this.seenRemoved(device)) !== 0) {
      throw new Fallen(`device ${index} writes for one that it saw removed`);
    }
  }

  announce(world: ModelWorld, index: number): void {
    const { epoch, has, cursor } = world.devices[index]!;
    this.sealing(world, index);
    this.append(world, index, epoch, { kind: "announce", author: index, value: has, at: cursor });
  }

  /** Rule 11: what the log does not cover goes into a checkpoint. */
  putBack(world: ModelWorld, index: number): void {
    const device = world.devices[index]!;
    if (this.returned(device) !== 0) return;
    device.heal = false;
    let covered = 0;
    for (const { entry } of this.names.above(-1, device.cursor)) {
      if (entry!.kind === "operation" || entry!.kind === "checkpoint") covered |= entry!.value;
    }
    if ((device.has & ~covered) === 0) return;
    this.sealing(world, index);
    this.append(world, index, device.epoch, {
      kind: "checkpoint",
      author: index,
      value: device.has,
      at: -1,
    });
    device.cursor = this.log(world, index, device.epoch);
    device.waiting = 0;
  }

  /** Stores a commit that is to be appended. */
  prepare(
    world: ModelWorld,
    index: number,
    change: ModelCommit["change"],
    target: number,
  ): ModelCommit {
    const device = world.devices[index]!;
    const commit = this.names.commit({
      parent: device.epoch,
      author: index,
      change,
      target,
      head: device.cursor,
      doubt: device.lossy[this.names.commits[device.epoch]!.depth]!,
    });
    device.pending = commit.id;
    device.own = sorted(device.own, commit.id);
    return commit;
  }

  /** Appends the stored commit; what came of it is read from the log. */
  send(world: ModelWorld, index: number): void {
    const device = world.devices[index]!;
    const commit = this.names.commits[device.pending]!;
    const log = this.log(world, index, commit.parent);
    if (log !== commit.head && this.rules.compareAndSet) return;
    const entry: ModelEntry = { kind: "commit", author: index, value: commit.id, at: commit.head };
    this.append(world, index, commit.parent, entry);
    if (commit.change === "rejoin") {
      const view = world.views[world.sees[index]!]!;
      view.welcomes = [...view.welcomes, commit.id];
    }
    // Without compare-and-set its author can only take it for granted.
    if (!this.rules.compareAndSet) this.follow(world, index, this.placed(commit, undefined));
  }

  /** Appends what waits and is not there, wherever the log is by now. */
  push(world: ModelWorld, index: number): void {
    const device = world.devices[index]!;
    let there = 0;
    for (const { entry } of this.names.above(-1, this.log(world, index, device.epoch))) {
      if (entry!.kind === "operation") there |= entry!.value;
    }
    const value = device.waiting & ~there;
    if (value === 0 || this.returned(device) !== 0) return;
    this.sealing(world, index);
    this.append(world, index, device.epoch, { kind: "operation", author: index, value, at: -1 });
  }
}

function sorted(list: number[], more: number): number[] {
  return list.includes(more) ? [...list] : [...list, more].sort((one, other) => one - other);
}
