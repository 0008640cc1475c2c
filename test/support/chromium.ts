/** The browser of the tests: Debian's Chromium, kept from asking the world for anything. */
import { existsSync } from "node:fs";

export const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
/** Without it these tests are left out, but not where nothing may be (CI=true). */
export const MISSING_CHROMIUM = !existsSync(CHROMIUM) && process.env.CI !== "true";
if (MISSING_CHROMIUM)
  console.warn(
    `browser tests skipped: no Chromium at ${CHROMIUM} (set CHROMIUM, or install Debian's chromium)`,
  );

export const QUIET = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
];
