import { build } from "esbuild";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { root } from "../tools/runtimes.ts";
import { bundle } from "../tools/web.ts";
import { withRelay } from "./kit/relay.ts";

test("web/pages.ts is what `deno task web` makes of the pages now", async () => {
  const committed = readFileSync(`${root}web/pages.ts`, "utf8");
  // Not compared by assertEquals: a difference of 60 KiB is nothing to read.
  assert(committed === await bundle(), "web/pages.ts is stale: run `deno task web` and commit it");
});

test("pages load nothing but their own files, and no script of the page itself", () =>
  withRelay(async ({ url }) => {
    for (const name of ["viewer", "dashboard", "stream/try"]) {
      const page = await fetch(`${url}/${name}`);
      assertEquals(page.status, 200);
      const policy = page.headers.get("content-security-policy") ?? "";
      assertStringIncludes(policy, "default-src 'none'");
      assertStringIncludes(policy, "script-src 'self'");
      assert(!policy.includes("unsafe"), policy);
      const html = await page.text();
      assert(!/<script(?![^>]*\ssrc=)|\son\w+=|\sstyle=/.test(html), "something inline");
      const files = [...html.matchAll(/(?:src|href)="(\/[^"]+\.(?:js|css))"/g)].map(([, path]) =>
        path!
      );
      assertEquals(files.length, 2);
      for (const path of files) {
        const file = await fetch(url + path);
        assertEquals(file.status, 200, path);
        assertEquals(file.headers.get("x-content-type-options"), "nosniff");
        assert((await file.text()).length > 500);
      }
    }
  }));

test("a bundle of the SDK begins without X-Wing and zstd, which it loads when they are asked for", async () => {
  const { metafile } = await build({
    entryPoints: [`${root}src/client/mod.ts`],
    absWorkingDir: root,
    outdir: "/nowhere",
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    metafile: true,
    write: false,
    tsconfigRaw: {},
  });
  const { outputs } = metafile;
  const entry = Object.keys(outputs).find((name) =>
    outputs[name]!.entryPoint === "src/client/mod.ts"
  );
  const atOnce = new Set<string>();
  const walk = (name: string): void => {
    if (atOnce.has(name)) return;
    atOnce.add(name);
    for (const { path, kind } of outputs[name]!.imports) {
      if (kind === "import-statement") walk(path);
    }
  };
  walk(entry!);
  const inputs = (names: Iterable<string>) =>
    [...names].flatMap((name) => Object.keys(outputs[name]!.inputs));
  for (const part of ["ts-mls", "hybridkem-x-wing", "mlkem", "zstd-wasm"]) {
    const there = (all: readonly string[]) => all.some((path) => path.includes(`/${part}/`));
    assert(there(inputs(Object.keys(outputs))), `${part} is in the bundle`);
    assertEquals(there(inputs(atOnce)), part === "ts-mls", part);
  }
});
