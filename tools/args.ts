/**
 * Arguments of the tools: flags, `--help`, and errors that say what to type.
 *
 * @module
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { note, say } from "./say.ts";

/** One flag. Without a fallback it is a switch. */
export interface FlagInfo {
  readonly help: string;
  /** What it is without the flag; where that is a number, the flag wants one. */
  readonly fallback?: string | number;
  /** What a number may be, both included. The fallback may lie outside and then means "not given". */
  readonly least?: number;
  readonly most?: number;
  /** A number without fractions. */
  readonly whole?: true;
  /** The only texts there are. */
  readonly of?: readonly string[];
}

export interface Usage<Flags extends Record<string, FlagInfo>> {
  /** `deno task NAME`, and its arguments. */
  readonly command: string;
  /** What the tool does, in a line or two. */
  readonly about: string;
  readonly flags: Flags;
  /** At most so many arguments that are no flags. */
  readonly most?: number;
}

type Value<Flag extends FlagInfo> = Flag extends { fallback: infer Fallback }
  ? Fallback extends number ? number : string
  : boolean;

/** What was typed. */
export interface Args<Flags extends Record<string, FlagInfo>> {
  readonly flags: { readonly [Name in keyof Flags]: Value<Flags[Name]> };
  readonly rest: readonly string[];
  /** Ends the tool when one of these flags was typed: `why` says where it belongs. */
  misplaced(names: readonly (keyof Flags & string)[], why: string): void;
}

/** Says what is wrong with what was typed, and ends. */
export function fail(message: string): never {
  note(message);
  process.exit(2);
}

/** Reads the command line. `--help` prints the usage and ends; so does whatever is wrong with it. */
export function readArgs<const Flags extends Record<string, FlagInfo>>(
  usage: Usage<Flags>,
): Args<Flags> {
  try {
    const args = parse(usage, process.argv.slice(2));
    if (args) return args;
    say(helpText(usage));
    return process.exit(0);
  } catch (error) {
    if (!(error instanceof ArgsError)) throw error;
    return fail(error.message);
  }
}

/** What is wrong with a command line, as a sentence. */
export class ArgsError extends Error {
  override readonly name = "ArgsError";
}

/** Takes a command line apart; undefined where it asks for help. Throws {@linkcode ArgsError}. */
export function parse<const Flags extends Record<string, FlagInfo>>(
  usage: Usage<Flags>,
  argv: readonly string[],
): Args<Flags> | undefined {
  const typed = new Map<string, string>();
  const rest: string[] = [];
  for (const token of tokensOf(usage.flags, argv)) {
    if (token.kind === "positional") rest.push(token.value);
    if (token.kind !== "option") continue;
    const { name, rawName, value, inlineValue } = token;
    if (name === "help" && value === undefined) return undefined;
    const flag = Object.hasOwn(usage.flags, name) && usage.flags[name];
    if (!flag) refuse(`${rawName}: no such flag. --help lists them.`);
    const takes = flag.fallback !== undefined;
    // A number may be below zero; anything else with a dash is the next flag.
    const forgotten = !inlineValue && /^-(?![\d.])/.test(value ?? "");
    if (takes ? value === undefined || forgotten : value !== undefined) {
      refuse(`${rawName}: ${takes ? "wants a value" : "takes no value"}. --help shows how.`);
    }
    typed.set(name, value ?? "");
  }
  const tooMany = rest[usage.most ?? 0];
  if (tooMany !== undefined) {
    refuse(`"${tooMany}": too many arguments. --help shows what there is.`);
  }
  const flags = Object.entries(usage.flags).map(([name, flag]) => {
    const given = typed.get(name);
    if (flag.fallback === undefined) return [name, given !== undefined];
    return [name, given === undefined ? flag.fallback : valueOf(name, flag, given)];
  });
  return {
    flags: Object.fromEntries(flags) as Args<Flags>["flags"],
    rest,
    misplaced(names, why) {
      const found = names.find((name) => typed.has(name));
      if (found !== undefined) fail(`--${found}: ${why}.`);
    },
  };
}

function refuse(message: string): never {
  throw new ArgsError(message);
}

function tokensOf(flags: Record<string, FlagInfo>, args: readonly string[]) {
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, { fallback }]) => [
      name,
      { type: fallback === undefined ? "boolean" as const : "string" as const },
    ]),
  );
  // Not strict: what is wrong is said here, in the same words on both runtimes.
  return parseArgs({
    args: [...args],
    options: { ...options, help: { type: "boolean", short: "h" } },
    allowPositionals: true,
    strict: false,
    tokens: true,
  }).tokens;
}

/** A value as its flag wants it. */
function valueOf(name: string, flag: FlagInfo, given: string): string | number {
  if (typeof flag.fallback === "string") {
    if (flag.of && !flag.of.includes(given)) {
      refuse(`--${name} ${given}: want ${flag.of.join(", ")}.`);
    }
    return given;
  }
  const { least = -Infinity, most = Infinity, whole } = flag;
  const value = given.trim() === "" ? NaN : Number(given);
  const fits = Number.isFinite(value) && value >= least && value <= most &&
    (!whole || Number.isInteger(value));
  if (!fits) {
    const range = rangeText(flag);
    refuse(`--${name} ${given}: want a ${whole ? "whole " : ""}number${range && `, ${range}`}.`);
  }
  return value;
}

function rangeText({ least, most }: FlagInfo): string {
  if (least === undefined) return "";
  return most === undefined ? `at least ${least}` : `${least} to ${most}`;
}

function helpText({ command, about, flags }: Usage<Record<string, FlagInfo>>): string {
  const longest = Math.max(...["help", ...Object.keys(flags)].map((name) => name.length));
  const row = (name: string, text: string) => `  ${`--${name}`.padEnd(longest + 4)}${text}`;
  const rows = Object.entries(flags).map(([name, flag]) => {
    const { help, fallback = "", least = -Infinity } = flag;
    const usual = typeof fallback === "number" && fallback < least ? "" : `${fallback}`;
    const notes = [usual, rangeText(flag)].filter((one) => one !== "");
    return row(name, notes.length > 0 ? `${help} (${notes.join("; ")})` : help);
  });
  return [
    about,
    "",
    `  deno task ${command}`,
    `  bun run ${command}`,
    "",
    ...rows,
    row("help", "this text"),
  ].join("\n");
}
