/**
 * What a link may do, and which stream its messages mean.
 *
 * @module
 */
import type { Grant } from "../../admission.ts";
import { utf8Bytes } from "../../wire/bytes.ts";
import { ErrorCode } from "../../wire/ecg/codes.ts";
import type { Payload } from "../../wire/ecg/payload.ts";
import { EcgFault, field } from "./fault.ts";

/** What a request to `/ecg` settled before the upgrade. */
export interface EcgTerms {
  readonly grant: Grant;
  /** The stream in the path; it goes before what payloads say. */
  readonly stream?: string;
}

/** Where a message without a stream in path or payload goes. */
const DEFAULT_STREAM = "default";

/** Finds the stream of a message. Throws `EcgFault`. */
export class StreamNames {
  /** `path`: the stream in the path. `most`: bytes of a name. */
  constructor(private readonly path: string | undefined, private readonly most: number) {}

  /** The path's, else the payload's, else the default. What is sealed cannot name one. */
  ofData(payload: Payload, sealed: boolean): string {
    if (this.path !== undefined) return this.path;
    if (sealed) {
      throw new EcgFault(ErrorCode.INVALID_DATA, "ENCRYPTED needs the stream in the path");
    }
    const named = field(payload, "stream");
    return named === undefined ? DEFAULT_STREAM : this.#check(named);
  }

  /** The one that a SUBSCRIBE or UNSUBSCRIBE names. */
  ofRequest(payload: Payload): string {
    const named = field(payload, "stream");
    const { path } = this;
    if (named === undefined) {
      if (path === undefined) throw new EcgFault(ErrorCode.MISSING_FIELDS, "stream");
      return path;
    }
    if (path !== undefined && named !== path) {
      throw new EcgFault(ErrorCode.INVALID_DATA, `the path names the stream "${path}"`);
    }
    return this.#check(named);
  }

  #check(name: Payload): string {
    if (typeof name !== "string" || name === "" || utf8Bytes(name).length > this.most) {
      throw new EcgFault(ErrorCode.INVALID_DATA, `a stream's name has 1 to ${this.most} bytes`);
    }
    return name;
  }
}
