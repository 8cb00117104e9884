/**
 * Two devices that pair over memory links, with somebody in between who may change what passes.
 *
 * @module
 */
import { assert } from "@std/assert";
import {
  type Compress,
  Compression,
  type CompressionOptions,
} from "../../src/client/blaze/compression.ts";
import { Pairing } from "../../src/client/pair/pairing.ts";
import type { Bond, Partner, Trust } from "../../src/client/pair/partner.ts";
import type { Host } from "../../src/host.ts";
import type { Message } from "../../src/link/link.ts";
import { MemoryPeer } from "../../src/link/memory_link.ts";
import { hex } from "../../src/wire/bytes.ts";
import { everything, Lab } from "./blaze.ts";

export interface Party {
  pairing: Pairing;
  readonly faults: string[];
  /** What it gave to the relay. */
  readonly sent: Message[];
  readonly frames: { type: number; text: string }[];
  /** For a test to count in. */
  handled: number;
  /** Why its link was closed from its side. */
  closed: string | undefined;
  met: Partner | undefined;
  partner: Partner | undefined;
  refused: "us" | "them" | undefined;
}

/** Remembers in memory, and says yes to everybody unless told otherwise. */
export function trusting(
  judge: Trust["judge"] = () => true,
  bonds = new Map<string, Bond>(),
): Trust {
  return {
    judge,
    takes: () => false,
    bonds(node) {
      const bond = bonds.get(hex(node));
      return bond ? [bond] : [...bonds.values()];
    },
    keep(bond) {
      bonds.set(bond.node, bond);
      return Promise.resolve();
    },
    settle(node, bond) {
      bonds.set(hex(node), { ...bond, node: hex(node), settled: true });
      return Promise.resolve();
    },
    met: () => {},
    withheld: () => false,
    declined: () => Promise.resolve(),
  };
}

/** What the one in between makes of a message: the same, another, several, or nothing. */
export type Meddle = (
  message: Message,
  to: "a" | "b",
  receiver: Party,
) => Message | Message[] | undefined;

/** Waits until something holds. Crypto answers in its own time. */
export async function until(condition: () => boolean): Promise<void> {
  for (let waited = 0; !condition(); waited++) {
    assert(waited < 5_000, `never: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

type Zstds = Partial<Pick<CompressionOptions, "load" | "host">>;

export interface PairLab {
  readonly compress?: Compress;
  /** Where each of them has zstd from, and by whose clock it waits for it. */
  readonly zstd?: { readonly a?: Zstds; readonly b?: Zstds };
  readonly host?: Host;
  /** What both name their run of the program. */
  readonly program?: Message;
  /** Whether to wait until both are paired. */
  readonly paired?: boolean;
  /** How each of them decides, and what it remembers. */
  readonly trust?: { readonly a?: Trust; readonly b?: Trust };
}

/** Two devices, a relay, and a meddler on the wires from the relay to the devices. */
export async function pair(
  run: (a: Party, b: Party) => Promise<void>,
  meddle: Meddle = (message) => message,
  { compress = "auto", paired = true, trust = {}, zstd = {}, host, program }: PairLab = {},
): Promise<void> {
  const lab = new Lab();
  const join = (name: "a" | "b", node: number): Party => {
    const party = {
      faults: [] as string[],
      sent: [],
      handled: 0,
      frames: [],
      closed: undefined,
      met: undefined,
      partner: undefined,
      refused: undefined,
    } as unknown as Party;
    const accept = lab.sessions.accept({ grant: everything, layout: "drawing" });
    const peer = new MemoryPeer((relayLink) =>
      accept({
        remote: name,
        buffered: 0,
        send(message) {
          const passed = meddle(message, name, party) ?? [];
          for (const one of Array.isArray(passed) ? passed : [passed]) {
            queueMicrotask(() => party.pairing.message(one));
          }
        },
        close: (code, reason) => relayLink.close(code, reason),
      })
    );
    const link = {
      remote: "relay",
      buffered: 0,
      send(message: Message) {
        party.sent.push(message);
        peer.send(message);
      },
      close(code: number, reason: string) {
        party.closed ??= reason;
        peer.close(code);
      },
    };
    const compression = new Compression({
      mode: compress,
      fault: ({ code }) => party.faults.push(code),
      ...zstd[name],
    });
    const options = { node: new Uint8Array(16).fill(node), database: "bugs", compression };
    party.pairing = new Pairing(link, {
      ...options,
      trust: trust[name] ?? trusting(),
      ...host && { host },
      ...program && { run: program },
    }, {
      waiting: () => {},
      met: (partner) => party.met = partner,
      paired: (partner) => party.partner = partner,
      refused: (_, by) => party.refused ??= by,
      frame: (type, plaintext) =>
        party.frames.push({ type, text: new TextDecoder().decode(plaintext) }),
      fault: ({ code }) => party.faults.push(code),
    });
    return party;
  };
  const [a, b] = [join("a", 1), join("b", 2)];
  if (paired) await until(() => a.partner !== undefined && b.partner !== undefined);
  await run(a, b);
}
