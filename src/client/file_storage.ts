/**
 * What the SDK has for programs on Bun, Deno and Node only: browsers do not load this.
 *
 * @module
 */
export { fileStorage } from "./blaze/storage_file.ts";
