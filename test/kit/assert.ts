/**
 * `@std/assert` for the tests. Its registry is out of reach on some networks; the npm package
 * `deno-std` carries the same modules file by file, without types. This is the one door to them:
 * `deno.json` and `tsconfig.json` map `@std/assert` to it.
 *
 * @module
 */
import * as truth from "deno-std/assert/assert.js";
import * as equality from "deno-std/assert/equals.js";
import * as inequality from "deno-std/assert/not_equals.js";
import * as existence from "deno-std/assert/exists.js";
import * as matching from "deno-std/assert/match.js";
import * as inclusion from "deno-std/assert/string_includes.js";
import * as throwing from "deno-std/assert/throws.js";
import * as rejecting from "deno-std/assert/rejects.js";

// deno-lint-ignore no-explicit-any
type ErrorClass<E extends Error> = abstract new (...args: any[]) => E;

export const assert: (condition: unknown, message?: string) => asserts condition = truth.assert;

export const assertExists: <T>(
  actual: T,
  message?: string,
) => asserts actual is NonNullable<T> = existence.assertExists;

export const assertEquals: (actual: unknown, expected: unknown, message?: string) => void =
  equality.assertEquals;

export const assertNotEquals: (actual: unknown, expected: unknown, message?: string) => void =
  inequality.assertNotEquals;

export const assertMatch: (actual: string, expected: RegExp, message?: string) => void =
  matching.assertMatch;

export const assertStringIncludes: (actual: string, expected: string, message?: string) => void =
  inclusion.assertStringIncludes;

export const assertThrows: <E extends Error = Error>(
  fn: () => unknown,
  errorClass?: ErrorClass<E>,
  includes?: string,
  message?: string,
) => E = throwing.assertThrows;

export const assertRejects: <E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  errorClass?: ErrorClass<E>,
  includes?: string,
  message?: string,
) => Promise<E> = rejecting.assertRejects;
