import { test } from "node:test";
import { assertEquals, assertMatch } from "@std/assert";
import { choose, type Contender, judge, toRemoveAgain } from "../src/client/group/log/branches.ts";
import { explore } from "./model/explore.ts";
import { mutations, quick } from "./model/worlds.ts";
import { fc, holds } from "./kit/random.ts";

/** Visited states of each world: another number is another model. */
const states: Record<string, number> = {
  "three devices, two changes, a faithful relay": 945,
  "two devices, an operation, two changes, a faithful relay": 1913,
  "a removed device tries two things, a faithful relay": 1984,
  "a removed device tries something, the relay loses its memory": 4065,
  "three devices, two changes, the relay loses its memory": 5351,
  "two devices remove each other, the relay loses its memory twice": 4983,
  "an operation and a change, the relay loses its memory": 1803,
  "a device is restored from a copy": 573,
  "a relay shows two pasts": 11056,
};

for (const [name, bounds] of Object.entries(quick)) {
  test(`in every order: ${name} (${states[name]} states)`, () => {
    assertEquals(explore(bounds), { states: states[name]!, fallen: undefined });
  });
}

for (const { without, bounds, falls } of mutations.quick) {
  test(`without the rule ${without} a property falls`, () => {
    const { fallen } = explore({ ...bounds, rules: { [without]: false } });
    assertMatch(fallen ?? "nothing fell", falls);
  });
}

function contender(author: string, more: Partial<Contender> = {}): Contender {
  const seniority = "ABCDE".indexOf(author);
  return { author, seniority, doubt: false, removes: [], hash: `${author}0`, ...more };
}

function decide(first: Contender, second: Contender): string {
  const choice = choose([first, second]);
  return "crossed" in choice ? "stop" : choice.winner === 0 ? "first" : "second";
}

test("of two commits of one epoch everybody follows the same one", () => {
  const table: [Partial<Contender>, Partial<Contender>, string][] = [
    [{}, {}, "first"],
    [{}, { removes: ["A"] }, "second"],
    [{ removes: ["B"] }, {}, "first"],
    [{ removes: ["B"] }, { removes: ["A"] }, "stop"],
    [{ removes: ["C"] }, { removes: ["A"] }, "second"],
    [{ removes: ["C"] }, { removes: ["D"] }, "first"],
    [{}, { removes: ["D"] }, "second"],
    [{ doubt: true }, {}, "second"],
    [{ doubt: true, removes: ["C"] }, {}, "second"],
    [{ doubt: true, removes: ["B"] }, {}, "first"],
    [{ author: "B", seniority: 1, hash: "b" }, { hash: "a" }, "second"],
  ];
  for (const [one, other, verdict] of table) {
    const [first, second] = [contender("A", one), contender("B", other)];
    assertEquals(decide(first, second), verdict);
    const turned = { first: "second", second: "first", stop: "stop" }[verdict]!;
    assertEquals(decide(second, first), turned);
  }
});

test("pair by pair three commits would have no winner; together they have one", () => {
  const three = [contender("A"), contender("B"), contender("C", { removes: ["A"] })];
  assertEquals(choose(three), { winner: 2 });
  const removals = [
    contender("A", { removes: ["D"] }),
    contender("B", { removes: ["E"] }),
    contender("C", { removes: ["A"] }),
  ];
  assertEquals(
    [[0, 1], [1, 2], [2, 0]].map(([one, other]) => decide(removals[one!]!, removals[other!]!)),
    ["first", "first", "first"],
  );
  assertEquals(choose(removals), { winner: 1 });
});

test("removals in a circle stop, however long it is and whatever stands beside it", () => {
  const circle = [
    contender("A", { removes: ["B"] }),
    contender("B", { removes: ["C"] }),
    contender("C", { removes: ["A"] }),
    contender("D"),
  ];
  assertEquals(choose(circle), { crossed: ["A", "B", "C"] });
  assertEquals(choose(circle.slice(0, 2)), { winner: 0 });
});

test("the order in which commits are found changes nothing", () => {
  const some = fc.record({
    author: fc.constantFrom(..."ABCDE"),
    doubt: fc.boolean(),
    removes: fc.subarray([..."ABCDE"], { maxLength: 2 }),
  });
  const lists = fc.uniqueArray(some, { minLength: 1, maxLength: 5, selector: JSON.stringify });
  holds(
    fc.property(lists, fc.nat(), (drawn, turn) => {
      const list = drawn.map(({ author, doubt, removes }, index) =>
        contender(author, {
          doubt,
          removes: removes.filter((node) => node !== author),
          hash: `${author}${index}`,
        })
      );
      const turned = [...list.slice(turn % list.length), ...list.slice(0, turn % list.length)];
      const said = (among: Contender[]): unknown => {
        const choice = choose(among);
        return "winner" in choice ? among[choice.winner] : choice;
      };
      assertEquals(said(turned), said(list));
    }),
    300,
  );
});

test("in one ring the first in its place ends the epoch, unless the relay lost its memory", () => {
  const first = { ...contender("B"), inPlace: true };
  const later = { ...contender("A", { removes: ["B"] }), inPlace: false };
  assertEquals(judge([first, later], [], new Set(), false), { follow: first });
  assertEquals(judge([first, later], [], new Set(), true), { follow: later });
  const doubtful = { ...first, doubt: true };
  assertEquals(judge([doubtful, later], [], new Set(), false), { follow: doubtful });
  // Behind it in the same ring nothing counts, doubt or not.
  const behind = { ...later, inPlace: true };
  assertEquals(judge([first, behind], [], new Set(), true), { follow: first });
});

test("who was removed by a commit that was acted on ends no epoch", () => {
  const removal = { ...contender("A", { removes: ["C"] }), inPlace: false };
  const revenge = { ...contender("C", { removes: ["A"] }), inPlace: true };
  const plain = { ...contender("C"), inPlace: true };
  assertEquals(judge([plain], [], new Set("C"), false), undefined);
  assertEquals(judge([plain], [removal], new Set(), true), { follow: removal });
  assertEquals(judge([plain], [removal], new Set(), false), { follow: removal });
  assertEquals(judge([revenge], [removal], new Set(), true), { crossed: ["A", "C"] });
  // A faithful relay: behind the removal it is nothing.
  const placed = { ...removal, inPlace: true };
  assertEquals(judge([placed, revenge], [placed], new Set(), false), { follow: placed });
});

test("a removal that was acted on is made again where another branch won", () => {
  const acted = [contender("B", { removes: ["D"] }), contender("A", { removes: ["C"] })];
  assertEquals(toRemoveAgain(["A", "B", "D"], acted), ["D"]);
  assertEquals(toRemoveAgain(["A", "B"], acted), []);
});
