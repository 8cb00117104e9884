/**
 * What devices and relay can do in a state of `group_model.ts`, and how often.
 *
 * @module
 */
import type { GroupModel } from "./group_model.ts";
import type { Rules } from "./rules.ts";
import type { ModelWorld } from "./state.ts";
import type { ModelCommit } from "./names.ts";
import { told } from "./pasts.ts";

/** How much may happen. What is not named does not. */
export interface Bounds {
  readonly devices: number;
  readonly commits?: number;
  /** Changes that devices make of themselves. */
  readonly changes?: readonly ("rotate" | "remove")[];
  /** What each device may do to the group, by its number, in place of `changes` for all. */
  readonly plans?: readonly (readonly (readonly [change: "rotate" | "remove", target: number])[])[];
  /** Only these are removed; all if not given. */
  readonly targets?: readonly number[];
  readonly operations?: number;
  readonly announces?: number;
  /** How often the relay loses its memory. */
  readonly losses?: number;
  /**
   * A relay that shows two views: entries that it carries from one to the other, and turns of
   * devices.
   */
  readonly forks?: number;
  readonly carried?: number;
  /** Device 0 is restored from a copy of any earlier state. */
  readonly restores?: number;
  /** A device drops the states that it could go back to. */
  readonly forgets?: number;
  /** Commits and operations of a device that was removed and knows it. */
  readonly evil?: number;
  readonly junk?: number;
  /** It may end in two branches, if a device says which two removed each other's. */
  readonly apart?: boolean;
  /** Whether each state is let come to rest: yes if not given. */
  readonly settle?: boolean;
  readonly rules?: Partial<Rules>;
  /** Gives up above this, with an error. */
  readonly most?: number;
}

export interface Step {
  readonly label: string;
  readonly run: (world: ModelWorld) => void;
}

/** Nobody lies, forgets, or comes from a copy. */
export const isFaithful = ({ losses, forks, restores }: Bounds): boolean =>
  !losses && !forks && !restores;

/** All that can happen here. */
export function steps(model: GroupModel, bounds: Bounds, world: ModelWorld): Step[] {
  const found: Step[] = [];
  const add = (budget: string, label: string, run: Step["run"]): void => {
    if (budget !== "" && world.left[budget] === 0) return;
    found.push({
      label,
      run(after) {
        if (budget !== "") after.left[budget]!--;
        run(after);
      },
    });
  };
  world.devices.forEach((device, index) => {
    add("", `${index} connects, reads, looks back`, (after) => {
      model.connect(after, index);
      if (bounds.forks) told(model, after, index);
    });
    if (device.pending !== 0) {
      const { change, target } = model.names.commits[device.pending]!;
      add(
        "",
        `${index} appends its ${spoken(change, target)}`,
        (after) => model.send(after, index),
      );
    }
    if (!device.out && !device.crossed) {
      add("", `${index} appends what waits`, (after) => model.push(after, index));
      if (model.returned(device) === 0) {
        const value = 1 << index * 2 + (world.left.write! & 1);
        add("write", `${index} writes`, (after) => {
          after.devices[index]!.has |= value;
          after.devices[index]!.waiting |= value;
        });
      }
    }
    if (model.atHead(world, index)) {
      if (model.returned(device) === 0) {
        add("announce", `${index} announces`, (after) => model.announce(after, index));
      }
      if (device.pending === 0) {
        for (const [change, target] of changes(model, bounds, world, index)) {
          add("commit", `${index} makes a ${spoken(change, target)}`, (after) => {
            model.prepare(after, index, change, target);
          });
        }
      }
    }
    const depth = model.names.commits[device.epoch]!.depth;
    // A day passes; where the relay lost its memory, that does not count.
    if (device.floor < depth && !(model.rules.keepStates && device.lossy.includes(true))) {
      add("forget", `${index} drops its old states`, (after) => {
        after.devices[index]!.floor = depth;
      });
    }
    if (device.out && bounds.targets?.includes(index)) {
      for (const step of evil(model, world, index)) add("evil", ...step);
    }
    if (world.views.length > 1) {
      add("fork", `${index} is shown the other view`, (after) => {
        after.sees[index] = 1 - after.sees[index]!;
      });
    }
  });
  add("junk", "somebody appends junk", (after) => {
    model.append(after, 0, after.devices[0]!.epoch, entry("junk", -1, 0));
  });
  add("lose", "the relay loses its memory", (after) => {
    after.views = after.views.map(() => ({
      ring: after.rings++,
      logs: {},
      knocks: 0,
      welcomes: [],
    }));
  });
  if (world.copy === undefined) {
    add("copy", "0 is copied", (after) => {
      after.copy = structuredClone(after.devices[0]!);
    });
  } else {
    add("", "0 is restored from its copy", (after) => {
      after.devices[0] = after.copy!;
      after.copy = undefined;
    });
  }
  if (world.views.length === 1) {
    add("fork", "the relay begins a second view", (after) => {
      after.views.push(structuredClone(after.views[0]!));
    });
    for (const [epoch, last] of Object.entries(world.views[0]!.logs)) {
      const { before } = model.names.links[last]!;
      add("fork", `the relay begins a second view without the last entry of ${epoch}`, (after) => {
        const view = structuredClone(after.views[0]!);
        view.logs[Number(epoch)] = before;
        after.views.push(view);
      });
    }
  } else {
    for (const [from, view] of world.views.entries()) {
      for (const [epoch, last] of Object.entries(view.logs)) {
        for (const { entry } of model.names.above(-1, last)) {
          add("carry", `the relay carries an entry of ${epoch} from ${from}`, (after) => {
            const to = after.views[1 - from]!;
            const log = to.logs[Number(epoch)] ?? model.names.start(to.ring, Number(epoch));
            to.logs[Number(epoch)] = model.names.after(log, entry!);
          });
        }
      }
    }
  }
  return found;
}

export function changes(
  model: GroupModel,
  bounds: Bounds,
  world: ModelWorld,
  index: number,
): [ModelCommit["change"], number][] {
  const device = world.devices[index]!;
  const returned = model.returned(device);
  const members = model.members(device);
  const found: [ModelCommit["change"], number][] = [];
  for (let target = 0; target < world.devices.length; target++) {
    if (target === index || (members & 1 << target) === 0) continue;
    const may = bounds.plans
      ? bounds.plans[index]!.some(([change, at]) => change === "remove" && at === target)
      : bounds.changes?.includes("remove") && (bounds.targets?.includes(target) ?? true);
    if (returned === 0 ? may : (returned & 1 << target) !== 0) found.push(["remove", target]);
    if (returned === 0 && knocking(model, world, index, target)) found.push(["rejoin", target]);
  }
  const rotates = bounds.plans
    ? bounds.plans[index]!.some(([change]) => change === "rotate")
    : bounds.changes?.includes("rotate");
  if (returned === 0 && rotates) found.push(["rotate", -1]);
  return found;
}

/** Does it wait at a door that this device can see, and is it not in this epoch anyway? */
function knocking(model: GroupModel, world: ModelWorld, index: number, target: number): boolean {
  const device = world.devices[index]!;
  const view = world.views[world.sees[index]!]!;
  const other = world.devices[target]!;
  return (view.knocks & 1 << target) !== 0 && other.knocks &&
    (other.epoch !== device.epoch || other.cursor < 0) && model.returned(device) === 0;
}

/**
 * What a removed device tries in every log that it could open: in place, and as if from another
 * ring.
 */
function evil(
  model: GroupModel,
  world: ModelWorld,
  index: number,
): [label: string, run: Step["run"]][] {
  const found: [string, Step["run"]][] = [];
  const device = world.devices[index]!;
  for (const epoch of model.names.path(device.epoch)) {
    const head = model.log(world, index, epoch);
    const heads = [[head, "in place"], [
      model.names.start(99, epoch),
      "as from a lost ring",
    ]] as const;
    const { members } = model.names.commits[epoch]!;
    found.push([`removed ${index} appends an operation to ${epoch}`, (after) => {
      model.append(after, index, epoch, entry("operation", index, 1 << index * 2));
    }]);
    for (let target = -1; target < world.devices.length; target++) {
      if (target === index || target >= 0 && (members & 1 << target) === 0) continue;
      for (const [named, how] of heads) {
        const change = target < 0 ? "rotate" : "remove";
        found.push([
          `removed ${index} ends ${epoch} by a ${spoken(change, target)} ${how}`,
          (after) => {
            const commit = model.names.commit({
              parent: epoch,
              author: index,
              change,
              target,
              head: named,
              doubt: false,
            });
            model.append(after, index, epoch, {
              ...entry("commit", index, commit.id),
              at: commit.head,
            });
          },
        ]);
      }
    }
  }
  return found;
}

const entry = (kind: "operation" | "commit" | "junk", author: number, value: number) => ({
  kind,
  author,
  value,
  at: -1,
});

const spoken = (change: string, target: number): string =>
  target < 0 ? change : `${change} ${target}`;
