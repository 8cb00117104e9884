/**
 * Sessions of every protocol against strangers. Whatever these send, in whatever order, and whenever they
 * leave: no session throws, no link is lost count of, nothing stays behind.
 */
import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { hex } from "../src/wire/bytes.ts";
import { dice, seed, times } from "./kit/random.ts";
import { grantOf, type Stranger, World } from "./kit/session_world.ts";
import { Chance, NAMES, written } from "./kit/stranger_talk.ts";

const WORLDS = 40;
const STEPS = 150;

/** One step of the program, in words. */
function step(world: World, chance: Chance, greeted: Set<Stranger>): string {
  const open = world.strangers.filter((one) => one.open);
  if (open.length === 0 || (open.length < 12 && chance.often(15))) {
    const kind = chance.one(["blaze", "blaze", "blaze", "ecg", "ecg", "echo"] as const);
    const grant = grantOf(
      chance.one(["owner", "owner", "guest"]),
      chance.one(["default", "default", "ward"]),
      chance.often(85) ? "*" : NAMES.slice(0, 4),
      {
        ...(chance.often(10) ? { write: [], publish: [], broadcast: false } : {}),
        ...(chance.often(10) ? { expires: 1_700_000_000_000 + chance.below(20_000) } : {}),
      },
    );
    const name = chance.often(25) ? chance.one(NAMES) : undefined;
    world.connect(kind, grant, name, chance.often(20));
    return `a ${kind} link`;
  }
  const one = chance.one(open);
  const who = world.strangers.indexOf(one);
  switch (chance.below(20)) {
    case 0: {
      const code = chance.one([1000, 1001, 1005, 1006, 1011, 0, 4999]);
      one.leave(code);
      return `${who} leaves with ${code}`;
    }
    case 1:
      one.text();
      return `${who} says text`;
    case 2: {
      const ms = chance.one([0, 1, 20, 250, 1_000, 2_000, 5_000, 11_000]);
      world.host.pass(ms);
      return `${ms} ms pass`;
    }
    case 3:
      one.buffered = chance.one([0, 1, 65_535, 65_536, 19_990, 8_388_600, 20_000_000]);
      return `${who} has ${one.buffered} bytes to read`;
    case 4:
      one.drain();
      return `${who} has read all`;
    case 5: {
      // In the middle of what somebody else does.
      const leaves = chance.often(60);
      const other = chance.one(open);
      one.onTake = () => leaves ? one.leave(1006) : other.drain();
      return `${who} will ${leaves ? "leave" : "drain another"} at its next message`;
    }
  }
  const good = written(chance, one, greeted.has(one));
  const message = chance.often(15)
    ? chance.mutated(good)
    : chance.often(3)
    ? chance.bytes(30)
    : good;
  greeted.add(one);
  one.say(message);
  return `${who} (${one.kind}) says ${message.length} bytes: ${hex(message.subarray(0, 400))}`;
}

for (const [how, topics] of [["one by one", false], ["by the runtime's topics", true]] as const) {
  test(`no session throws and nothing stays behind, whatever strangers do: served ${how}`, async () => {
    for (let n = 0; n < WORLDS * times; n++) {
      const from = seed * 1_000_003 + n;
      const chance = new Chance(dice(from));
      const world = new World({ topics, small: n % 2 === 1 });
      const steps: string[] = [];
      const greeted = new Set<Stranger>();
      const complain = (what: string | undefined) =>
        assertEquals(what, undefined, `world ${n}, SEED=${seed}:\n${steps.slice(-12).join("\n")}`);
      for (let i = 0; i < STEPS; i++) {
        steps.push(step(world, chance, greeted));
        // The store answers in between, at times.
        if (chance.often(50)) await world.turn();
        complain(world.complaint());
      }
      complain(await world.end());
    }
  });
}
