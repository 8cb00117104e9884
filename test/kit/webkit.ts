/**
 * A real WebKitGTK, in a desktop program (`test/peers/webview_host.py`) whose schemes and message port
 * are in the test's hands.
 *
 * @module
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import process from "node:process";
import { root } from "../../tools/runtimes.ts";
import { skipped } from "./skip.ts";

/** The system's Python: a venv's has no bindings of GTK. */
const python = process.env.WEBKIT_PYTHON ?? "/usr/bin/python3";
const PROBE = "import gi; gi.require_version('WebKit2', '4.1'); from gi.repository import WebKit2";

const there = existsSync("/usr/bin/Xvfb") &&
  spawnSync(python, ["-c", PROBE], { stdio: "ignore" }).status === 0;

/** The options of a test that needs a webview. */
export const needsWebKit: { skip?: string } = there ? {} : {
  skip: skipped("no WebKitGTK here; apt-get install gir1.2-webkit2-4.1 python3-gi xvfb"),
};

/** A window with one page. */
export interface WebKitWindow {
  load(url: string): void;
  /** The next thing that the page says through `window.webkit.messageHandlers.say`. */
  said(): Promise<unknown>;
}

export interface Program {
  /** Answers a request of the schemes `app` and `wsock`. */
  fetch(url: string): Promise<Response>;
  /** What came through the port: `saucer.internal.sendBinary` in the page. */
  message(message: unknown): void;
}

/** The port as the prototype's pages know it. */
const SAUCER = "window.saucer = { internal: { sendBinary: " +
  "(message) => window.webkit.messageHandlers.relay.postMessage(message) } };";

/** Seconds in which a test is done. */
const PATIENCE = 50;

/** Opens a window, hands it over, and closes it whatever happens. */
export async function withWebKit(
  program: Program,
  run: (window: WebKitWindow) => Promise<void>,
): Promise<void> {
  const child = spawn(python, [`${root}test/peers/webview_host.py`, SAUCER], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const { promise: failed, reject: fail } = Promise.withResolvers<never>();
  failed.catch(() => {});
  const gone = new Promise<void>((resolve) =>
    child.once("exit", (code, signal) => {
      fail(new Error(`the webview has ended with ${signal ?? code}`));
      resolve();
    })
  );
  const tell = (line: Record<string, unknown>): void => {
    if (child.stdin.writable) child.stdin.write(`${JSON.stringify(line)}\n`);
  };
  const lines: unknown[] = [];
  let wake = () => {};
  const bodies = new Map<number, ReadableStreamDefaultReader<Uint8Array>>();
  const answer = async (id: number, url: string): Promise<void> => {
    const { status, headers, body } = await program.fetch(url);
    tell({ answer: id, status, headers: Object.fromEntries(headers) });
    const reader = body!.getReader();
    bodies.set(id, reader);
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return tell({ answer: id, end: true });
      tell({ answer: id, body: value.toBase64() });
    }
  };
  createInterface({ input: child.stdout }).on("line", (text) => {
    const line = JSON.parse(text);
    if ("ask" in line) void answer(line.ask, line.url);
    else if ("cancel" in line) void bodies.get(line.cancel)?.cancel();
    else if ("message" in line) program.message(line.message);
    else {
      // The test may wait for something that the page does not do any more.
      if (line.say?.error) fail(new Error(`the page says: ${line.say.error}`));
      lines.push(line.say);
      wake();
    }
  });
  const stuck = () => fail(new Error(`the page is not done after ${PATIENCE} s`));
  const impatience = setTimeout(stuck, 1_000 * PATIENCE);
  try {
    const done = run({
      load: (url) => tell({ load: url }),
      async said() {
        while (lines.length === 0) await new Promise<void>((resolve) => wake = resolve);
        return lines.shift();
      },
    });
    await Promise.race([done, failed]);
  } finally {
    clearTimeout(impatience);
    child.stdin.end();
    const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
    await gone;
    clearTimeout(timer);
  }
}
