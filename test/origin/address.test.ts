/** The text of --origin becomes seeds, a user and a password, or one clear error that never repeats a password. */
import { describe, expect, test } from "bun:test";
import {
  AddressError,
  endpointText,
  isNamespace,
  parseAddress,
  PORT_DEFAULT,
  SEEDS_MAX,
} from "../../src/origin/address";

const plain = { username: null, password: null, isTls: false };

describe("addresses", () => {
  const GOOD: [string, ReturnType<typeof parseAddress>][] = [
    ["redis://localhost", { ...plain, seeds: [{ host: "localhost", port: PORT_DEFAULT }] }],
    ["redis://10.0.0.1:7001", { ...plain, seeds: [{ host: "10.0.0.1", port: 7001 }] }],
    [
      "rediss://a:1,b:2,C.example",
      {
        ...plain,
        isTls: true,
        seeds: [
          { host: "a", port: 1 },
          { host: "b", port: 2 },
          { host: "c.example", port: PORT_DEFAULT },
        ],
      },
    ],
    [
      "redis://[::1]:7001,[2001:DB8::1]",
      {
        ...plain,
        seeds: [
          { host: "::1", port: 7001 },
          { host: "2001:db8::1", port: PORT_DEFAULT },
        ],
      },
    ],
    ["redis://:secret@h", { ...plain, password: "secret", seeds: [{ host: "h", port: PORT_DEFAULT }] }],
    [
      "redis://me:p%40s%2Fs%3A%20%25@h:1/0",
      { ...plain, username: "me", password: "p@s/s: %", seeds: [{ host: "h", port: 1 }] },
    ],
    [
      "redis://m%C3%A9:a:b@h",
      { ...plain, username: "mé", password: "a:b", seeds: [{ host: "h", port: PORT_DEFAULT }] },
    ],
    ["REDIS://h/", { ...plain, seeds: [{ host: "h", port: PORT_DEFAULT }] }],
    ["valkey://h:65535", { ...plain, seeds: [{ host: "h", port: 65_535 }] }],
    ["valkeys://h", { ...plain, isTls: true, seeds: [{ host: "h", port: PORT_DEFAULT }] }],
  ];
  for (const [text, address] of GOOD) test(text, () => expect(parseAddress(text)).toEqual(address));
});

describe("mistakes", () => {
  const BAD: [string, string][] = [
    ["", "must begin with redis://"],
    ["localhost:6379", "must begin with redis://"],
    ["http://h", "must begin with redis://"],
    ["redis:/h", "must begin with redis://"],
    ["redis://", "needs a host"],
    ["redis://a,,b", "needs a host"],
    ["redis://a, b", "must have no spaces"],
    ["redis://a:0", "a port is a number from 1"],
    ["redis://a:65536", "a port is a number from 1"],
    ["redis://a:", "every node is host:port"],
    ["redis://a:x", "every node is host:port"],
    ["redis://::1:7001", "an IPv6 address in brackets"],
    ["redis://h/1", "database 0 alone"],
    ["redis://h/0/", "database 0 alone"],
    ["redis://h?db=1", "takes no options"],
    ["redis://h/0#x", "takes no options"],
    ["redis://:hidden@h/1", "database 0 alone"],
    ["redis://hidden@h", "user:password, or :password"],
    ["redis://me:@h", "the password is empty"],
    ["redis://:hid/den@h", "percent-encode"],
    ["redis://:hid@den@h", "percent-encode"],
    ["redis://:hidden%zz@h", "two hex digits"],
    ["redis://:hidden@", "needs a host"],
    [`redis://:hidden@${"h,".repeat(SEEDS_MAX)}h`, `at most ${SEEDS_MAX} nodes`],
  ];
  for (const [text, problem] of BAD)
    test(text.slice(0, 40) || "nothing", () => {
      const parse = () => parseAddress(text);
      expect(parse).toThrow(AddressError);
      expect(parse).toThrow(problem);
      expect(parse).not.toThrow(/hidden|hid/);
    });
});

test("as many nodes as are allowed", () => {
  expect(parseAddress(`redis://${Array(SEEDS_MAX).fill("h").join(",")}`).seeds).toHaveLength(SEEDS_MAX);
});

test("an endpoint as text can be read again", () => {
  for (const text of ["h:1", "[::1]:7001"])
    expect(endpointText(parseAddress(`redis://${text}`).seeds[0]!)).toBe(text);
});

test("namespaces", () => {
  for (const text of ["bb", "a.b_c-D9", "x".repeat(64)]) expect(isNamespace(text)).toBe(true);
  for (const text of ["", "a:b", "a{b}", "a*", "a b", "é", "x".repeat(65)])
    expect(isNamespace(text)).toBe(false);
});
