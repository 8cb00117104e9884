/**
 * Bundles the pages of `web/` into `web/pages.ts`, so that a relay serves them wherever it runs,
 * compiled into one file too, with nothing to build first: `deno task web` or `bun run web`.
 *
 * A test fails while `web/pages.ts` is older than what it is made of.
 *
 * @module
 */
import { build } from "esbuild";
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { readArgs } from "./args.ts";
import { root } from "./runtimes.ts";

/** Folders of `web/`, each with `index.html`, `main.ts` and a style sheet of the folder's name. */
const PAGES = ["viewer", "dashboard", "try"] as const;

/** The text of `web/pages.ts` as it should be. */
export async function bundle(): Promise<string> {
  const pages: Record<string, { html: string; css: string; js: string }> = {};
  const common = readFileSync(`${root}web/common/common.css`, "utf8");
  for (const name of PAGES) {
    const folder = `${root}web/${name}`;
    const { outputFiles } = await build({
      entryPoints: [`${folder}/main.ts`],
      absWorkingDir: root,
      bundle: true,
      format: "esm",
      platform: "browser",
      target: "es2022",
      minify: true,
      charset: "utf8",
      legalComments: "none",
      write: false,
      tsconfigRaw: {},
    });
    const read = (file: string) => readFileSync(`${folder}/${file}`, "utf8");
    const css = common + read(`${name}.css`);
    pages[name] = { html: read("index.html"), css, js: outputFiles[0]!.text };
  }
  return [
    "// Made by `deno task web` from the folders beside this file. Not for editing.",
    "// deno-fmt-ignore-file",
    "// deno-lint-ignore-file",
    "export interface Page { readonly html: string; readonly css: string; readonly js: string }",
    ...Object.entries(pages).map(([name, page]) =>
      `export const ${name}Page: Page = {\n` +
      Object.entries(page).map(([key, text]) => `  ${key}: ${JSON.stringify(text)},\n`).join("") +
      "};"
    ),
    "",
  ].join("\n");
}

if (import.meta.main) {
  readArgs({ command: "web", about: "Bundles the pages of web/ into web/pages.ts.", flags: {} });
  const text = await bundle();
  writeFileSync(`${root}web/pages.ts`, text);
  console.log(`web/pages.ts: ${(text.length / 1024).toFixed(1)} KiB`);
  // esbuild's own process would keep this one.
  process.exit(0);
}
