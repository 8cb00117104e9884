/**
 * What must hold where everybody came to rest: properties of `explore.ts`.
 *
 * @module
 */
import { type Bounds, changes, isFaithful } from "./steps.ts";
import type { GroupModel } from "./group_model.ts";
import { copyOf, Fallen, type ModelWorld } from "./state.ts";

/**
 * Everybody connects in turn until nothing changes; then all must have come to the same. `rests` keeps
 * what came to rest in this exploration: many ways lead into one that was walked to its end before.
 */
export function settle(
  model: GroupModel,
  bounds: Bounds,
  from: ModelWorld,
  rests: Set<string>,
): void {
  const world = copyOf(from);
  world.sees = world.sees.map(() => 0);
  const before = expected(model, bounds, world);
  // All that a round reads: not what may still happen, and who is shown what is the same for all.
  const state = () => JSON.stringify([before, world.devices, world.views]);
  const walked = [state()];
  for (let round = 0; round < 40; round++) {
    const last = walked.at(-1)!;
    if (rests.has(last)) return keep();
    world.devices.forEach((device, index) => {
      model.connect(world, index);
      if (model.wentBack && isFaithful(bounds)) throw new Fallen("at rest: a device went back");
      if (device.out || device.crossed) return;
      if (device.pending !== 0) {
        model.send(world, index);
        model.connect(world, index);
      }
      if (model.atHead(world, index) && device.pending === 0) {
        const duty = changes(model, { devices: 0 }, world, index)[0];
        if (duty !== undefined) {
          model.prepare(world, index, ...duty);
          model.send(world, index);
          model.connect(world, index);
        }
      }
      if (device.out || device.crossed) return;
      if (model.atHead(world, index)) model.push(world, index);
      model.connect(world, index);
    });
    const now = state();
    if (now === last) {
      atRest(model, bounds, world, before);
      return keep();
    }
    walked.push(now);
  }
  throw new Fallen(`at rest: no end of it\n  ${walked.at(-1)}`);

  function keep(): void {
    for (const one of walked) rests.add(one);
  }
}

/** What nobody may be without: what members have, and what a faithful relay accepted in time. */
function expected(model: GroupModel, bounds: Bounds, world: ModelWorld): number {
  let bits = world.devices.reduce((sum, { has, out }) => out ? sum : sum | has, 0);
  if (!isFaithful(bounds)) return bits;
  for (const [epoch, last] of Object.entries(world.views[0]!.logs)) {
    const end = model.valid(last, Number(epoch))[0]?.link;
    for (const { id, entry } of model.names.above(-1, last)) {
      if (id === end) break;
      if (entry!.kind === "operation") bits |= entry!.value;
    }
  }
  return bits;
}

function atRest(model: GroupModel, bounds: Bounds, world: ModelWorld, before: number): void {
  const crossed = world.devices.some((device) => device.crossed);
  const removals = world.devices.flatMap(({ acted, own }) => [...acted, ...own])
    .concat(
      Object.values(world.views[0]!.logs).flatMap((log) =>
        model.names.above(-1, log).flatMap(({ entry }) =>
          entry!.kind === "commit" ? [entry!.value] : []
        )
      ),
    )
    .map((id) => model.names.commits[id]!)
    .filter(({ change }) => change === "remove");
  if (crossed) {
    const authors = new Set(removals.map(({ author }) => author));
    if (removals.some(({ target }) => authors.has(target))) return;
    throw new Fallen("at rest: stopped although no removals cross");
  }
  if (bounds.apart && world.devices.some((device) => device.apart)) return;
  // Who cannot judge a commit that removes it waits at a door that nobody opens: out, but it cannot
  // know.
  // Who was removed and does not obey is wherever it says that it is.
  const gone = (index: number): boolean => Boolean(bounds.evil) && bounds.targets!.includes(index);
  const settled = world.devices.find(({ out, knocks }, index) => !out && !knocks && !gone(index));
  const apart = world.devices.filter(({ out, knocks }, index) =>
    gone(index) ||
    out || knocks && settled !== undefined && (model.members(settled) & 1 << index) === 0
  );
  const inside = world.devices.filter((device) => !apart.includes(device));
  const report = (): string => `\n  ${JSON.stringify(world.devices)}`;
  const [one] = inside;
  for (const device of inside) {
    if (device.epoch !== one!.epoch) throw new Fallen(`at rest: more than one branch${report()}`);
    if (device.has !== one!.has) throw new Fallen(`at rest: different operations${report()}`);
    const removed = device.acted.reduce((bits, id) => bits | model.removes(id), 0);
    if ((model.members(device) & removed) !== 0) {
      throw new Fallen(`at rest: removed and in again${report()}`);
    }
  }
  world.devices.forEach((device, index) => {
    const member = one !== undefined && (model.members(one) & 1 << index) !== 0;
    if (!gone(index) && member === apart.includes(device)) {
      throw new Fallen(`at rest: ${index} does not know what it is${report()}`);
    }
  });
  const lost = inside.some(({ has }) => (before & ~has & memberBits(model, one!)) !== 0);
  if (lost) throw new Fallen(`at rest: an operation is lost${report()}`);
}

/**
 * Operations of those who are members: what somebody wrote and nobody took before it was removed
 * may go.
 */
function memberBits(model: GroupModel, device: ModelWorld["devices"][number]): number {
  let bits = 0;
  for (let index = 0; index < 16; index++) {
    if ((model.members(device) & 1 << index) !== 0) bits |= 3 << index * 2;
  }
  return bits;
}
