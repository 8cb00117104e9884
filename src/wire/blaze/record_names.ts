/**
 * The order of names in a BlazeBinary record: by the UTF-8 bytes of their NFC form, the same for
 * fields and dictionary keys. That is how Swift orders strings, and not how JavaScript does.
 *
 * @module
 */
import { compareBytes, utf8Bytes } from "../bytes.ts";
import { commonIds } from "./fields.ts";

/** Whether every character is below U+0080. */
export function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
}

/**
 * The form in which two names are compared: "é" is one name, whether written with one code point
 * or with two.
 */
export const nameForm = (name: string): string => name.normalize("NFC");

/**
 * Sorts names in place. Answers a name that is there twice after NFC, if any.
 *
 * The names differ as strings, being the keys of one object.
 */
export function sortedNames(names: string[]): string | undefined {
  // ASCII is its own NFC, and JavaScript orders it as its bytes.
  if (names.every(isAsciiName)) {
    if (names.length > FEW) names.sort();
    else insertionSort(names);
    return undefined;
  }
  const keyed = names.map((name) => ({ name, key: utf8Bytes(nameForm(name)) }));
  keyed.sort((a, b) => compareBytes(a.key, b.key));
  for (const [i, { name, key }] of keyed.entries()) {
    const before = keyed[i - 1];
    if (before !== undefined && compareBytes(before.key, key) === 0) return name;
    names[i] = name;
  }
  return undefined;
}

/** Up to this many names, sorting by hand takes half the time of the built-in. */
const FEW = 16;

/** Whether a name is ASCII, which one lookup tells of most. */
const isAsciiName = (name: string): boolean => commonIds.has(name) || isAscii(name);

function insertionSort(names: string[]): void {
  for (let i = 1; i < names.length; i++) {
    const name = names[i]!;
    let to = i;
    for (; to > 0 && name < names[to - 1]!; to--) names[to] = names[to - 1]!;
    names[to] = name;
  }
}
