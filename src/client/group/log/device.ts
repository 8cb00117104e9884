/**
 * What a device of a group is, whatever link it has just now.
 *
 * @module
 */
import type { Saver } from "../../blaze/storage.ts";
import type { Group } from "./group_state.ts";
import type { Ledger } from "../data/ledger.ts";
import type { Reception } from "./reception.ts";
import type { Wishes } from "./wishes.ts";

export interface Device {
  readonly group: Group;
  readonly ledger: Ledger;
  readonly saver: Saver;
  readonly wishes: Wishes;
  /** Lets others in. */
  readonly reception: Reception;
}
