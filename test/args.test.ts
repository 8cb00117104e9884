import { test } from "node:test";
import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { ArgsError, parse } from "../tools/args.ts";

const usage = {
  command: "try FILE",
  about: "Tries.",
  most: 1,
  flags: {
    url: { help: "an address", fallback: "ws://x" },
    kind: { help: "one of two", fallback: "a", of: ["a", "b"] },
    seconds: { help: "how long", fallback: 0, least: 0 },
    part: { help: "a part", fallback: 0.5, least: 0, most: 1 },
    leads: { help: "how many", fallback: 2, least: 1, most: 12, whole: true },
    rate: { help: "samples a second", fallback: 0, least: 1, most: 1000 },
    loop: { help: "again and again" },
  },
} as const;

test("parse takes flags with their values, and what they are without", () => {
  const { flags, rest } = parse(usage, ["x.edf", "--leads", "12", "--part=1", "--loop"])!;
  assertEquals(rest, ["x.edf"]);
  assertEquals(flags, {
    url: "ws://x",
    kind: "a",
    seconds: 0,
    part: 1,
    leads: 12,
    rate: 0,
    loop: true,
  });
  assertEquals(parse(usage, ["--loop", "--help", "--leads", "3"]), undefined);
  assertEquals(parse(usage, ["-h"]), undefined);
  assertEquals(parse(usage, ["-"])!.rest, ["-"]);
  assertEquals(parse(usage, ["--", "--loop"])!.rest, ["--loop"]);
});

test("parse says in one line what is wrong, and what would not be", () => {
  for (
    const [argv, words] of [
      [["--nonsense"], /^--nonsense: no such flag\. --help/],
      [["--nonsense=1"], /^--nonsense: no such flag/],
      [["--constructor"], /^--constructor: no such flag/],
      [["-x"], /^-x: no such flag/],
      [["--url"], /^--url: wants a value/],
      [["--url", "--loop"], /^--url: wants a value/],
      [["--loop=1"], /^--loop: takes no value/],
      [["--kind", "c"], /^--kind c: want a, b\.$/],
      [["--seconds", "-1"], /^--seconds -1: want a number, at least 0\.$/],
      [["--seconds=-1"], /^--seconds -1: want a number, at least 0\.$/],
      [["--seconds", "-.5"], /^--seconds -\.5: want a number/],
      [["--seconds", ""], /^--seconds : want a number/],
      [["--seconds", "NaN"], /^--seconds NaN: want a number/],
      [["--seconds", "Infinity"], /^--seconds Infinity: want a number/],
      [["--part", "1.01"], /^--part 1\.01: want a number, 0 to 1\.$/],
      [["--leads", "1.5"], /^--leads 1\.5: want a whole number, 1 to 12\.$/],
      [["--leads", "13"], /^--leads 13: want a whole number, 1 to 12\.$/],
      [["--rate", "0"], /^--rate 0: want a number, 1 to 1000\.$/],
      [["a", "b", "c", "d"], /^"b": too many arguments/],
    ] as const
  ) {
    const { message } = assertThrows(() => parse(usage, argv), ArgsError) as ArgsError;
    assertMatch(message, words);
    assertEquals(message.includes("\n"), false, message);
  }
});
