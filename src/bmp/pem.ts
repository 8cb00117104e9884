/**
 * A certificate and its key out of PEM files.
 *
 * @module
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { ListenError } from "../runtime/listening.ts";

/** Paths, or what is in the files. */
export interface PemPair {
  readonly cert: string;
  readonly key: string;
}

/**
 * Reads both. Throws {@linkcode ListenError} where a file cannot be read, and where the key is not that
 * of the certificate: not every runtime looks at them before the first connection.
 */
export function readPem(paths: PemPair): PemPair {
  const pair = { cert: read(paths.cert), key: read(paths.key) };
  if (!fits(pair)) {
    throw new ListenError(`${paths.cert} and ${paths.key} are no PEM certificate and its key`);
  }
  return pair;
}

function fits({ cert, key }: PemPair): boolean {
  try {
    return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new ListenError(`the PEM file ${path} cannot be read: ${(error as Error).message}`);
  }
}
