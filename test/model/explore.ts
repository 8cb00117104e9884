/**
 * Tries every order of what devices and relay of `group_model.ts` can do, up to a number of each,
 * breadth first, and lets each state that it reaches come to rest: everybody connects in turn to a
 * relay that stays as it is, until nothing changes. A property that falls comes with the shortest
 * way to it.
 *
 * @module
 */
import { GroupModel } from "./group_model.ts";
import { allRules } from "./rules.ts";
import { copyOf, Fallen, type ModelWorld, newWorld } from "./state.ts";
import { Names } from "./names.ts";
import { settle } from "./rest.ts";
import { type Bounds, isFaithful, steps } from "./steps.ts";

export interface Explored {
  readonly states: number;
  /** Why a property fell, and each step to it. */
  readonly fallen: string | undefined;
}

export function explore(bounds: Bounds): Explored {
  const names = new Names(bounds.devices);
  const model = new GroupModel(names, { ...allRules, ...bounds.rules });
  const { commits, operations, announces, losses, forks, carried, restores } = bounds;
  const first = newWorld(bounds.devices, {
    commit: commits ?? 0,
    write: operations ?? 0,
    announce: announces ?? 0,
    lose: losses ?? 0,
    fork: forks ?? 0,
    carry: carried ?? 0,
    copy: restores ?? 0,
    forget: bounds.forgets ?? 0,
    evil: bounds.evil ?? 0,
    junk: bounds.junk ?? 0,
  });
  const seen = new Set([JSON.stringify(first)]);
  const rests = new Set<string>();
  const states: { before: number; label: string }[] = [{ before: -1, label: "" }];
  let wave: [number, ModelWorld][] = [[0, first]];
  const fallen = (at: number, label: string, why: string): Explored => {
    const lines = [label];
    for (; at > 0; at = states[at]!.before) lines.unshift(states[at]!.label);
    return { states: states.length, fallen: `${why}\n  ${lines.filter(Boolean).join("\n  ")}` };
  };
  while (wave.length > 0) {
    const next: typeof wave = [];
    for (const [at, world] of wave) {
      for (const { label, run } of steps(model, bounds, world)) {
        const after = copyOf(world);
        try {
          model.wentBack = false;
          run(after);
          if (model.wentBack && isFaithful(bounds)) throw new Fallen("a device went back");
          const key = JSON.stringify(after);
          if (seen.has(key)) continue;
          seen.add(key);
          states.push({ before: at, label });
          next.push([states.length - 1, after]);
          if (bounds.settle !== false) settle(model, bounds, after, rests);
        } catch (error) {
          if (error instanceof Fallen) return fallen(at, label, error.message);
          throw error;
        }
        if (states.length > (bounds.most ?? 2_000_000)) {
          throw new Error("more states than expected");
        }
      }
    }
    wave = next;
  }
  return { states: states.length, fallen: undefined };
}
