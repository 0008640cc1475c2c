/** The image, really built and run; ops/test/image says what it looks at. */
import { expect } from "bun:test";
import { missingCommands, testThatNeeds } from "../support/needs";

const SCRIPT = new URL("../../ops/test/image", import.meta.url).pathname;
const PROGRAMS = ["buildah", "podman", "crun", "mmdebstrap", "unshare", "curl"];

testThatNeeds(
  [...(process.getuid!() === 0 ? [] : ["root"]), ...missingCommands(...PROGRAMS)],
  "the Dockerfile builds an image that serves, is confined, healthy, and ends with 0",
  async () => {
    const run = Bun.spawn([SCRIPT], {
      env: { ...process.env, BUN: process.execPath },
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr, code] = await Promise.all([
      new Response(run.stdout).text(),
      new Response(run.stderr).text(),
      run.exited,
    ]);
    expect({ code, output: code === 0 ? "" : stdout + stderr }).toEqual({ code: 0, output: "" });
    expect(stdout).toContain("image: all as it should be");
  },
  300_000,
);
