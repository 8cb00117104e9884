/**
 * A real nginx in front of a relay, as somebody would set it up who has never heard of streams.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import process from "node:process";
import { skipped } from "./skip.ts";

const program = [process.env.NGINX, "/usr/sbin/nginx", "/usr/local/sbin/nginx"]
  .find((place) => place && existsSync(place));

/** The options of a test that needs nginx. */
export const needsNginx: { skip?: string } = program === undefined
  ? { skip: skipped("nginx is not installed; apt-get install nginx, or set NGINX to its path") }
  : {};

/**
 * Starts nginx with lines in its `location /`, hands over its address, and ends it. `beside`: what
 * stands beside the server.
 */
export async function withNginx(
  relay: string,
  lines: readonly string[],
  run: (url: string) => Promise<void>,
  beside = "",
): Promise<void> {
  const folder = mkdtempSync(`${tmpdir()}/blaze-relay-nginx-`);
  mkdirSync(`${folder}/temp`);
  const port = await freePort();
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/temp/${name};`);
  writeFileSync(
    `${folder}/nginx.conf`,
    `
daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log warn;
events {}
http {
  access_log off;
  ${temp.join("\n  ")}
  ${beside}
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass ${relay};
      ${lines.join("\n      ")}
    }
  }
}
`,
  );
  const child = spawn(program!, ["-p", folder, "-c", `${folder}/nginx.conf`, "-e", "error.log"], {
    stdio: "ignore",
  });
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  try {
    for (let tries = 0; !await reachable(port); tries++) {
      if (tries > 200) {
        throw new Error(`nginx does not start:\n${readFileSync(`${folder}/error.log`, "utf8")}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    await run(`http://127.0.0.1:${port}`);
  } finally {
    child.kill("SIGKILL");
    await gone;
    rmSync(folder, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function reachable(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
