/**
 * Which code something is refused with, whether bytes are wrong (`WireError`) or something else is
 * (`ClientError`). Fails for anything that refuses nothing, or throws what has no code.
 *
 * @module
 */
import { assertRejects, assertThrows } from "@std/assert";
import { faultOf } from "../../src/client/client_error.ts";

/** Of something that takes time. */
export const refusal = async (run: () => Promise<unknown>): Promise<string> =>
  faultOf(await assertRejects(run)).code;

/** Of something that does not. */
export const refusalNow = (run: () => unknown): string => faultOf(assertThrows(run)).code;
