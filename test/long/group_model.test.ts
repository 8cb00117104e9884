import { test } from "node:test";
import { assertEquals, assertMatch } from "@std/assert";
import { explore } from "../model/explore.ts";
import { mutations, slow } from "../model/worlds.ts";

/** Visited states of each world: another number is another model. */
const states: Record<string, number> = {
  "an operation that was covered, the relay loses its memory": 13453,
  "a device is restored from a copy, the relay loses its memory": 4877,
  "three devices, two changes of any kind, the relay loses its memory": 33677,
  "two removals of others, four devices, the relay loses its memory": 30148,
  "three removals in a circle, the relay loses its memory twice": 77617,
  "a day passes, two changes, the relay loses its memory": 31467,
  "a day passes, three changes, the relay loses its memory": 121561,
  "devices two epochs apart, the relay loses its memory twice": 261676,
  "two devices, an operation, a change and an announce, the relay loses its memory": 17659,
  "two devices, an operation, two changes and junk, a faithful relay": 15474,
  "a removed device tries something in an older log, the relay loses its memory": 18294,
  "a removed device tries two things, the relay loses its memory": 61053,
  "a relay that shows two pasts to three devices, two removals": 114240,
};

for (const [name, bounds] of Object.entries(slow)) {
  test(`in every order: ${name} (${states[name]} states)`, () => {
    assertEquals(explore(bounds), { states: states[name]!, fallen: undefined });
  });
}

for (const { without, bounds, falls } of mutations.slow) {
  test(`without the rule ${without} a property falls`, () => {
    const { fallen } = explore({ ...bounds, rules: { [without]: false } });
    assertMatch(fallen ?? "nothing fell", falls);
  });
}
