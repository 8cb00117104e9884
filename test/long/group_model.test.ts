import { test } from "node:test";
import { assertEquals, assertMatch } from "@std/assert";
import { explore } from "../model/explore.ts";
import { mutations, slow } from "../model/worlds.ts";

const states: Record<string, number> = {};

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
