/**
 * The relay on Deno Deploy, which starts this file without flags and decides itself where it listens.
 *
 * @module
 */
import process from "node:process";
import { ConfigError, readConfig } from "../src/config.ts";
import { logToConsole } from "../src/log.ts";
import { started, startRelay } from "../main.ts";

await started(async () => {
  const config = readConfig([], {
    HOST: "0.0.0.0",
    PORT: "8000",
    // There is no disk of its own there.
    STORE: "memory",
    ...process.env,
  });
  if (!config.token) {
    // Instances do not know each other, so each would make a token of its own.
    throw new ConfigError("Set the environment variable TOKEN: all instances need the same one.");
  }
  await logToConsole(config.logLevel);
  await startRelay(config, config.store.kind === "off" ? { store: null } : {});
});
