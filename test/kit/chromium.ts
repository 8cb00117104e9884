/**
 * The system's Chromium, driven by `playwright-core`: for tests, and for measuring pages.
 *
 * @module
 */
import { existsSync } from "node:fs";
import process from "node:process";
import { type Browser, chromium } from "playwright-core";

/** Where the browser is: `CHROMIUM`, or where Linux distributions put it. */
export const chromiumPath: string | undefined = [
  process.env.CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
].find((path) => path !== undefined && existsSync(path));

/**
 * What a whole Chromium does for somebody who types: pages under its address line for every window, and
 * calls to Google. It takes the place of Playwright's own list.
 */
const NEEDLESS = [
  ...[
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    "AimEnabled",
    "MediaRouter",
    "OptimizationHints",
  ],
  ...["NetworkTimeServiceQuerying", "PreconnectToSearch", "LensOverlay", "PaintHolding"],
  ...["HttpsUpgrades", "HttpsFirstBalancedModeAutoEnable", "ThirdPartyStoragePartitioning"],
  ...["AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose"],
];

/** Starts one. Throws where there is none: see {@linkcode chromiumPath}. */
export const launch = (): Promise<Browser> =>
  chromium.launch({
    executablePath: chromiumPath!,
    args: ["--no-sandbox", "--disable-dev-shm-usage", `--disable-features=${NEEDLESS.join()}`],
  });
