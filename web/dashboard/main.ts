/**
 * The dashboard: what `GET /metrics.json` says, once a second.
 *
 * @module
 */
import { element, write } from "../common/dom.ts";
import { askToken, readHash } from "../common/token.ts";
import { ProtocolCard, type ProtocolNumbers } from "./card.ts";
import { bytes, duration } from "./units.ts";

interface Numbers {
  readonly uptimeSeconds: number;
  readonly channels: number;
  readonly memoryBytes: number | null;
  readonly protocols: readonly ProtocolNumbers[];
}

const EVERY_MS = 1_000;
let { token } = readHash();
const cards = new Map<string, ProtocolCard>();

async function refresh(): Promise<void> {
  const state = element("state");
  try {
    const answer = await fetch("/metrics.json", {
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(5_000),
    });
    if (answer.status === 401) return await letIn();
    if (!answer.ok) {
      const { error } = await answer.json() as { error?: string };
      throw new Error(error ?? answer.statusText);
    }
    show(await answer.json() as Numbers);
    write(state, "");
    state.className = "";
  } catch (error) {
    write(state, error instanceof Error ? error.message : String(error));
    state.className = "bad";
  }
}

async function letIn(): Promise<void> {
  write(element("state"), "not let in");
  token = await askToken(element("ask"), token);
  await refresh();
}

function show({ uptimeSeconds, channels, memoryBytes, protocols }: Numbers): void {
  write(element("up"), duration(uptimeSeconds));
  write(element("channels"), String(channels));
  write(element("memory"), memoryBytes === null ? "–" : bytes(memoryBytes));
  for (const numbers of protocols) {
    let card = cards.get(numbers.protocol);
    if (!card) {
      card = new ProtocolCard(numbers.protocol);
      cards.set(numbers.protocol, card);
      element("protocols").append(card.root);
    }
    card.show(numbers, uptimeSeconds);
  }
}

async function loop(): Promise<void> {
  // A page that nobody sees asks nothing.
  if (!document.hidden) await refresh();
  setTimeout(() => void loop(), EVERY_MS);
}
void loop();
// A token that comes into this very tab loads nothing anew by itself.
addEventListener("hashchange", () => location.reload());
