/**
 * A state of `group_model.ts`: what devices and a relay keep. It is compared as JSON, and never
 * changed once it was reached.
 *
 * @module
 */

export interface ModelDevice {
  /** Number of the commit that began the epoch. */
  epoch: number;
  /** Link in the present log; −1 before it was read. */
  cursor: number;
  /** The lowest depth whose state is kept. */
  floor: number;
  /** By depth of the path, the ring in which that log was seen last; −1 not yet. */
  rings: number[];
  /** By depth: the relay lost its memory after that epoch began, as this device saw. */
  lossy: boolean[];
  /** A commit that is stored and may have been appended; 0 is none. */
  pending: number;
  /** Own commits whose following state is kept. */
  own: number[];
  /** Commits that this device followed. */
  acted: number[];
  /** Operations that it has. */
  has: number;
  /** Own operations that nothing covers yet. */
  waiting: number;
  heal: boolean;
  out: boolean;
  /** It stopped: `MUTUAL_REMOVAL`. */
  crossed: boolean;
  /** It waits at its own door. */
  knocks: boolean;
  /** Others follow a branch of one whom it saw removed: it said so, naming both. */
  apart: boolean;
  /** It was shown two pasts, and said so. */
  named: boolean;
}

/** What a relay shows to some devices; an honest one has one view for all. */
export interface View {
  ring: number;
  /** By epoch: the last link. */
  logs: Record<number, number>;
  knocks: number;
  welcomes: number[];
}

export interface ModelWorld {
  devices: ModelDevice[];
  views: View[];
  /** Which view a device is shown. */
  sees: number[];
  /** Rings that were used so far. */
  rings: number;
  /** A copy of the state of device 0, to be restored. */
  copy: ModelDevice | undefined;
  /** By device: commits followed ever, whatever it was restored to. */
  ever: number[][];
  /** What may still happen. */
  left: Record<string, number>;
}

/** A property that fell. */
export class Fallen extends Error {}

export function newWorld(devices: number, left: Record<string, number>): ModelWorld {
  return {
    devices: Array.from({ length: devices }, () => ({
      epoch: 0,
      cursor: -1,
      floor: 0,
      rings: [0],
      lossy: [false],
      pending: 0,
      own: [],
      acted: [],
      has: 0,
      waiting: 0,
      heal: false,
      out: false,
      crossed: false,
      knocks: false,
      apart: false,
      named: false,
    })),
    views: [{ ring: 0, logs: {}, knocks: 0, welcomes: [] }],
    sees: Array.from({ length: devices }, () => 0),
    rings: 1,
    copy: undefined,
    ever: Array.from({ length: devices }, () => []),
    left,
  };
}

/** A state that may be changed. */
export function copyOf(world: ModelWorld): ModelWorld {
  return {
    devices: world.devices.map((device) => ({ ...device })),
    views: world.views.map((view) => ({ ...view, logs: { ...view.logs } })),
    sees: [...world.sees],
    rings: world.rings,
    copy: world.copy,
    ever: [...world.ever],
    left: { ...world.left },
  };
}
