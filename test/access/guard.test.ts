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

test("Basic: the password is the token, whoever the user is said to be", () => {
  const { digest } = tokenOf("token", "all");
  const guard = new Guard(false, { tokens: [tokenOf("token", "all")], secrets: [], tls: null });
  const verdictOn = (authorization: string) => guard.verdictOn(new Headers({ Authorization: authorization }));
  const basic = (pair: string) => `Basic ${Buffer.from(pair).toString("base64")}`;
  for (const pair of ["user:token", ":token", "a user:token"])
    expect({ pair, verdict: verdictOn(basic(pair)) }).toEqual({
      pair,
      verdict: expect.objectContaining({ grantedBy: digest }),
    });
  expect(verdictOn(basic("user:token").replace("Basic ", "basic  "))).toMatchObject({ grantedBy: digest });
  for (const pair of ["token:other", "user:token:", "user:a:token", "user:token\n"])
    expect({ pair, verdict: verdictOn(basic(pair)) }).toEqual({ pair, verdict: "wrong" });
  // Nobody is guessing: there is no password at all.
  for (const authorization of [
    basic("token"),
    basic("token:"),
    "Basic",
    "Basic !",
    `Basic ${"a".repeat(9)}!`,
  ])
    expect({ authorization, verdict: verdictOn(authorization) }).toEqual({
      authorization,
      verdict: "missing",
    });
});
