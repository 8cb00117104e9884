/**
 * Small worlds in which every order is tried, and what falls there when a rule is left out. The
 * numbers are states that were visited.
 *
 * @module
 */
import type { Bounds } from "./steps.ts";

const both = ["rotate", "remove"] as const;
const removal = ["remove"] as const;
const rotation = ["rotate"] as const;
/** 0 rotates; 1 rotates, and removes 2. */
const plans = [[["rotate", -1]], [["rotate", -1], ["remove", 2]], []] as const;

/**
 * 2 is removed, and then tries the log of the epoch before. The group may split, since 0 cannot
 * know of the removal while it follows 2; but 1 says so.
 */
const old: Bounds = {
  devices: 3,
  commits: 2,
  plans: [[], [["rotate", -1], ["remove", 2]], []],
  targets: [2],
  evil: 1,
  losses: 1,
  apart: true,
};

/** All properties hold here. A few seconds for all. */
export const quick: Record<string, Bounds> = {
  "three devices, two changes, a faithful relay": {
    devices: 3,
    commits: 2,
    changes: both,
    targets: [2],
  },
  "two devices, an operation, two changes, a faithful relay": {
    devices: 2,
    commits: 2,
    changes: rotation,
    operations: 1,
  },
  "a removed device tries two things, a faithful relay": {
    devices: 3,
    commits: 1,
    changes: removal,
    targets: [2],
    evil: 2,
  },
  "a removed device tries something, the relay loses its memory": {
    devices: 3,
    commits: 1,
    changes: removal,
    targets: [2],
    evil: 1,
    losses: 1,
  },
  "three devices, two changes, the relay loses its memory": {
    devices: 3,
    commits: 2,
    changes: rotation,
    losses: 1,
  },
  "two devices remove each other, the relay loses its memory twice": {
    devices: 2,
    commits: 2,
    changes: both,
    losses: 2,
  },
  "an operation and a change, the relay loses its memory": {
    devices: 2,
    commits: 1,
    changes: rotation,
    operations: 1,
    losses: 1,
  },
  "a device is restored from a copy": {
    devices: 2,
    commits: 2,
    changes: rotation,
    restores: 1,
  },
  "a relay shows two pasts": {
    devices: 2,
    operations: 1,
    announces: 1,
    forks: 2,
    carried: 1,
    settle: false,
  },
};

/** Some minutes. */
export const slow: Record<string, Bounds> = {
  "an operation that was covered, the relay loses its memory": {
    devices: 3,
    operations: 1,
    announces: 1,
    losses: 1,
  },
  "a device is restored from a copy, the relay loses its memory": {
    devices: 2,
    commits: 2,
    changes: rotation,
    restores: 1,
    losses: 1,
  },
  "three devices, two changes of any kind, the relay loses its memory": {
    devices: 3,
    commits: 2,
    changes: both,
    losses: 1,
  },
  "two removals of others, four devices, the relay loses its memory": {
    devices: 4,
    commits: 3,
    plans: [[["remove", 2]], [["remove", 3]], [], []],
    losses: 1,
  },
  "three removals in a circle, the relay loses its memory twice": {
    devices: 3,
    commits: 3,
    plans: [[["remove", 1]], [["remove", 2]], [["remove", 0]]],
    losses: 2,
    apart: true,
  },
  "a day passes, two changes, the relay loses its memory": {
    devices: 3,
    commits: 2,
    changes: both,
    targets: [2],
    forgets: 1,
    losses: 1,
  },
  "a day passes, three changes, the relay loses its memory": {
    devices: 3,
    commits: 3,
    plans,
    forgets: 1,
    losses: 1,
  },
  "devices two epochs apart, the relay loses its memory twice": {
    devices: 3,
    commits: 3,
    plans,
    losses: 2,
  },
  "two devices, an operation, a change and an announce, the relay loses its memory": {
    devices: 2,
    commits: 1,
    changes: rotation,
    operations: 1,
    announces: 1,
    losses: 1,
  },
  "two devices, an operation, two changes and junk, a faithful relay": {
    devices: 2,
    commits: 2,
    changes: rotation,
    operations: 1,
    junk: 1,
  },
  "a removed device tries something in an older log, the relay loses its memory": old,
  "a removed device tries two things, the relay loses its memory": {
    devices: 3,
    commits: 1,
    changes: removal,
    targets: [2],
    evil: 2,
    losses: 1,
    apart: true,
  },
  "a relay that shows two pasts to three devices, two removals": {
    devices: 3,
    commits: 2,
    changes: removal,
    forks: 3,
    carried: 1,
    settle: false,
  },
};

export interface Mutation {
  /** The rule that is left out. */
  readonly without: string;
  readonly bounds: Bounds;
  /** What falls. */
  readonly falls: RegExp;
}

const quickMutations: Mutation[] = [
  {
    without: "compareAndSet",
    bounds: { devices: 2, commits: 2, changes: rotation },
    falls: /^at rest: a device went back/,
  },
  {
    without: "appendAgain",
    bounds: { devices: 2, commits: 1, changes: rotation, losses: 1 },
    falls: /^at rest: more than one branch/,
  },
  {
    without: "decision",
    bounds: { devices: 3, commits: 2, changes: both, losses: 1 },
    falls: /^device . follows ., whom it saw removed/,
  },
  {
    without: "bars",
    bounds: old,
    falls: /^device . follows 2, whom it saw removed/,
  },
  {
    without: "removeAgain",
    bounds: {
      devices: 4,
      commits: 3,
      plans: [[["remove", 2]], [["remove", 3]], [], []],
      losses: 1,
    },
    falls: /^at rest: removed and in again/,
  },
  {
    without: "ends",
    bounds: { devices: 3, commits: 1, changes: removal, targets: [2], evil: 1 },
    falls: /^at rest: different operations/,
  },
  {
    without: "heal",
    bounds: { devices: 3, operations: 1, announces: 1, losses: 1 },
    falls: /^at rest: different operations/,
  },
  {
    without: "chains",
    bounds: {
      devices: 2,
      operations: 1,
      announces: 1,
      forks: 2,
      carried: 1,
      settle: false,
    },
    falls: /reads of another past and does not say so/,
  },
];

const slowMutations: Mutation[] = [
  {
    without: "doubt",
    bounds: { devices: 3, commits: 3, plans, losses: 1, forgets: 1 },
    falls: /^at rest: more than one branch/,
  },
  {
    without: "keepStates",
    bounds: { devices: 3, commits: 3, plans, losses: 2 },
    falls: /^at rest: /,
  },
];

export const mutations = { quick: quickMutations, slow: slowMutations };
