/**
 * Opens a stream at a relay, and says why when that cannot be.
 *
 * @module
 */
import { LOST } from "../../link/endpoint.ts";
import { fieldsOf } from "../answer.ts";

/** What `POST /stream` answers; docs/protocol/stream.md has the units. */
export interface Opening {
  /** Letters, digits, `-` and `_`: it becomes part of an address. */
  readonly id: string;
  /** One of those that were offered, or none: `""`. */
  readonly protocol: string;
  /** 0: silence is no fault. */
  readonly idleSeconds: number;
  readonly httpGraceMs: number;
  readonly httpPostBytes: number;
  readonly httpMessageBytes: number;
}

/**
 * What a relay may ask for: whole numbers, from the least to the most. Timers take no more than 2^31 ms,
 * what comes of one message is kept until it is whole, and a piece of no bytes would never end.
 */
const RANGES = {
  idleSeconds: [0, 86_400],
  httpGraceMs: [1, 86_400_000],
  httpPostBytes: [1, 67_108_864],
  httpMessageBytes: [1, 67_108_864],
} as const;

/** A stream is over, or was never had. `code` is that of the close. */
export class Lost extends Error {
  constructor(readonly code: number, message: string) {
    super(message);
  }
}

/**
 * The end of a stream that an answer means: 401 and 403 have codes of their own, the rest is a lost
 * link. So are both where no relay says why: a proxy on the way says them too, and not for good.
 */
export async function refused(answer: Response): Promise<Lost> {
  return lost(answer, await fieldsOf(answer));
}

function lost({ status }: Response, { error }: Readonly<Record<string, unknown>>): Lost {
  if (typeof error !== "string") return new Lost(LOST, `HTTP ${status}`);
  return new Lost(status === 401 || status === 403 ? 4000 + status : LOST, error);
}

/** Opens a stream. Throws {@linkcode Lost} when the relay refuses, or says what makes no sense. */
export async function openStream(
  url: string,
  headers: Readonly<Record<string, string>>,
  asked: { readonly to: string; readonly protocols: readonly string[] },
  signal: AbortSignal,
): Promise<Opening> {
  const answer = await fetch(url, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify(asked),
    redirect: "manual",
    signal,
  });
  const said = await fieldsOf(answer);
  if (answer.status !== 201) throw lost(answer, said);
  const { id, protocol } = said;
  if (typeof id !== "string" || !/^[\w-]{1,256}$/.test(id)) throw senseless("id");
  if (typeof protocol !== "string" || !["", ...asked.protocols].includes(protocol)) {
    throw senseless("protocol");
  }
  const number = (name: keyof typeof RANGES): number => {
    const value = said[name];
    const [least, most] = RANGES[name];
    const fits = Number.isInteger(value) && value as number >= least && value as number <= most;
    if (!fits) throw senseless(name);
    return value as number;
  };
  return {
    id,
    protocol,
    idleSeconds: number("idleSeconds"),
    httpGraceMs: number("httpGraceMs"),
    httpPostBytes: number("httpPostBytes"),
    httpMessageBytes: number("httpMessageBytes"),
  };
}

const senseless = (field: string): Lost =>
  new Lost(LOST, `the relay opened a stream with a "${field}" that makes no sense`);
