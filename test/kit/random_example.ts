/**
 * A program with a property that does not hold, for the test that its failure can be repeated.
 *
 * @module
 */
import { dice, fc, holds, seed, times } from "./random.ts";

const roll = dice();
let message = "";
try {
  holds(fc.property(fc.nat(), fc.string(), (value, _) => value < 1_000_000_000), 100);
} catch (error) {
  message = String(error).split("\n", 3).join(" ");
}
console.log(`seed ${seed} times ${times}: ${roll(100)} ${roll(100)} ${roll(100)}, ${message}`);
