/**
 * Which relay a tool goes to, which stream of it, and with which token.
 *
 * @module
 */
import process from "node:process";
import { addressOf } from "../src/client/address.ts";
import { EcgClient, type EcgOptions } from "../src/client/ecg/ecg_client.ts";
import { fail, type FlagInfo } from "./args.ts";

/** For all tools that go to a relay. */
export const TOKEN_FLAG = {
  help: "token, if the relay wants one; TOKEN in the environment does too",
  fallback: "",
} as const satisfies FlagInfo;

/** For tools that follow or play one stream. */
export const STREAM_FLAGS = {
  url: { help: "the relay", fallback: "ws://127.0.0.1:8080" },
  stream: { help: "name of the stream", fallback: "demo" },
  token: TOKEN_FLAG,
} as const satisfies Record<string, FlagInfo>;

/** The address of `--url`, with `http` taken for `ws`. Ends the tool in a sentence where it is none. */
export function typedAddress(text: string): URL {
  try {
    return addressOf(text, []);
  } catch {
    return fail(`--url ${text}: want an address such as ws://127.0.0.1:8080.`);
  }
}

/**
 * The token that was typed, else the one in the environment. Ends the tool in a sentence, which does not
 * show it, where no relay could have it.
 */
export function tokenOf(flags: { readonly token: string }): string | undefined {
  const token = flags.token || process.env.TOKEN || undefined;
  if (token !== undefined && !/^[\w.~-]+$/.test(token)) {
    fail(`${flags.token ? "--token" : "TOKEN"}: want letters, digits, . _ ~ -.`);
  }
  return token;
}

/** Opens the stream that the flags name. Ends the tool in a sentence where they name none. */
export function openStream(
  flags: { readonly url: string; readonly stream: string; readonly token: string },
  options: Omit<EcgOptions, "url" | "stream" | "token"> = {},
): EcgClient {
  const url = typedAddress(flags.url);
  const token = tokenOf(flags);
  try {
    return EcgClient.open({
      ...options,
      url,
      stream: flags.stream,
      ...(token === undefined ? {} : { token }),
    });
  } catch (error) {
    return fail(`--stream ${flags.stream}: ${(error as Error).message}`);
  }
}
