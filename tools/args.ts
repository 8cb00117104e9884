/**
 * Arguments of the tools: flags, `--help`, and errors that say what to type.
 *
 * @module
 */
import process from "node:process";
import { parseArgs } from "node:util";

/** One flag. Without a fallback it is a switch. */
export interface FlagInfo {
  readonly help: string;
  /** What it is without the flag; numbers are checked as such. */
  readonly fallback?: string | number;
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
}

/** Says what is wrong with what was typed, and ends. */
export function fail(message: string): never {
  console.error(message);
  process.exit(2);
}

/** Reads the command line. `--help` prints the usage and ends; so does a flag that is not there. */
export function readArgs<const Flags extends Record<string, FlagInfo>>(
  usage: Usage<Flags>,
  argv: readonly string[] = process.argv.slice(2),
): Args<Flags> {
  const options = Object.fromEntries(
    Object.entries(usage.flags).map(([name, { fallback }]) => [
      name,
      { type: fallback === undefined ? "boolean" as const : "string" as const },
    ]),
  );
  let values: Readonly<Record<string, string | boolean | undefined>>;
  let rest: readonly string[];
  try {
    ({ values, positionals: rest } = parseArgs({
      args: [...argv],
      options: { ...options, help: { type: "boolean", short: "h" } },
      allowPositionals: true,
    }));
  } catch (error) {
    fail(`${(error as Error).message.split(". ")[0]}. --help lists the flags.`);
  }
  if (values.help) {
    console.log(helpText(usage));
    process.exit(0);
  }
  if (rest.length > (usage.most ?? 0)) {
    fail(`"${rest.at(-1)}": too many arguments. --help shows what there is.`);
  }
  const flags = Object.entries(usage.flags).map(([name, { fallback }]) => {
    const given = values[name];
    if (fallback === undefined) return [name, given === true];
    if (typeof fallback === "string") return [name, given ?? fallback];
    const value = given === undefined ? fallback : Number(given);
    if (given === "" || !Number.isFinite(value)) fail(`--${name} ${given}: want a number.`);
    return [name, value];
  });
  return { flags: Object.fromEntries(flags) as Args<Flags>["flags"], rest };
}

function helpText({ command, about, flags }: Usage<Record<string, FlagInfo>>): string {
  const longest = Math.max(...["help", ...Object.keys(flags)].map((name) => name.length));
  const row = (name: string, text: string) => `  ${`--${name}`.padEnd(longest + 4)}${text}`;
  const rows = Object.entries(flags).map(([name, { help, fallback }]) => {
    const shown = fallback === undefined || fallback === "" ? "" : ` (${fallback})`;
    return row(name, help + shown);
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
