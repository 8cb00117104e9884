/**
 * Python packages as a second opinion: `PYTHON` names the interpreter, else `python3`.
 *
 * @module
 */
import { spawn, spawnSync } from "node:child_process";
import process from "node:process";
import { skipped } from "./skip.ts";

const python = process.env.PYTHON ?? "python3";

/** The options of a test that needs these packages. */
export function needsPython(...packages: string[]): { skip?: string } {
  const { status } = spawnSync(python, ["-c", packages.map((one) => `import ${one}`).join("\n")], {
    stdio: "ignore",
  });
  if (status === 0) return {};
  const names = packages.join(" ");
  return {
    skip: skipped(
      names
        ? `no Python with ${names}; make a venv, pip install ${names}, set PYTHON to its python`
        : "no Python 3; apt-get install python3, or set PYTHON to its path",
    ),
  };
}

/** Runs a script, and answers what it printed as JSON. */
export function runPython<T>(script: string, ...args: string[]): T {
  const { status, stdout, stderr } = spawnSync(python, ["-c", script, ...args], {
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as T;
}

/** The same for a file, while this process goes on and serves it. */
export async function runPythonFile<T>(file: string, ...args: string[]): Promise<T> {
  const child = spawn(python, [file, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (chunk) => output += String(chunk));
  await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  return JSON.parse(output) as T;
}
