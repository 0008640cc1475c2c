/** Bytes that come in pieces. */
import { expect, test } from "bun:test";
import { Growing } from "../../src/net/growing";

const piece = (length: number) => Buffer.alloc(length, 1);

test("a million pieces of one byte: few buffers, none larger than the whole", () => {
  const growing = new Growing(1 << 20);
  const buffers = new Set<Buffer>();
  for (let i = 0; i < 1 << 20; i++) {
    growing.append(Buffer.from([i]), 0, 1);
    buffers.add(growing.bytes);
  }
  expect(buffers.size).toBeLessThan(15);
  expect(growing.bytes.length).toBe(1 << 20);
  expect(growing.whole().equals(Buffer.from(Uint8Array.from({ length: 1 << 20 }, (_, i) => i & 255)))).toBe(
    true,
  );
});

test("what is announced is not taken before a good part of it came", () => {
  const growing = new Growing(16 << 20);
  expect(growing.bytes.length).toBe(0);
  growing.append(piece(1000), 0, 1000);
  expect(growing.bytes.length).toBe(1000);
  growing.append(piece(100_000), 0, 100_000);
  expect(growing.bytes.length).toBe(101_000);
  growing.append(piece(200_000), 0, 200_000);
  expect(growing.bytes.length).toBe(16 << 20);
});

test("a small whole does not keep a large buffer", () => {
  const growing = new Growing();
  growing.append(piece(100), 0, 100);
  growing.append(piece(1), 0, 1);
  expect(growing.bytes.length).toBe(400);
  expect(growing.whole().length).toBe(101);
  expect(growing.whole().buffer).not.toBe(growing.bytes.buffer);
});
