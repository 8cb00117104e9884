/** Groups of MLS members that are larger, and live longer, than those of `mls_group.test.ts`. */
import { test } from "node:test";
import { anything, inAndOut } from "../kit/mls_walk.ts";

test("eleven devices: in by whoever is there, keys anew, out, and of one mind all the time", () =>
  inAndOut(11));

test("whatever happens in a group, all are of one mind", () => anything(40));
