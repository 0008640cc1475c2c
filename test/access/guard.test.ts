/** The guard by itself: what is decided while a renewal comes in between. */
import { expect, test } from "bun:test";
import { tokenOf } from "../../src/access/tokens";
import { Guard } from "../../src/http/guard";
import { scopedToken, SECRET } from "../support/scoped";

const headersWith = (token: string) => new Headers({ Authorization: `Bearer ${token}` });

test("a token whose secret is withdrawn while it is being verified gives nothing", async () => {
  const guard = new Guard(false, { tokens: [], secrets: [SECRET], tls: null });
  const token = scopedToken("a:", ["get"]);
  const verdict = guard.verdictOn(headersWith(token));
  guard.renew({ tokens: [], secrets: [`${SECRET}, another one`], tls: null });
  expect(await verdict).toBe("wrong");
});

test("plain tokens are answered at once, in whatever order they are", () => {
  const tokens = Array.from({ length: 20 }, (_, i) => tokenOf(`token-${i}`, i % 2 === 0 ? "all" : "read"));
  const guard = new Guard(false, { tokens, secrets: [], tls: null });
  for (const [i, { digest }] of tokens.entries())
    expect(guard.verdictOn(headersWith(`token-${i}`))).toMatchObject({ grantedBy: digest });
  expect(guard.verdictOn(headersWith("token-20"))).toBe("wrong");
  expect(guard.verdictOn(new Headers())).toBe("missing");
  // With no token left, nobody comes in.
  guard.renew({ tokens: [], secrets: [], tls: null });
  expect(guard.verdictOn(headersWith("token-0"))).toBe("wrong");
});
