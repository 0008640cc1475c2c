/** The buffer that replies gather in: what is taken is what was written, whatever the buffer went through before. */
import { expect, test } from "bun:test";
import { ReplyWriter } from "../../src/protocol/reply";
import { Status } from "../../src/protocol/wire";

const MIB = 1 << 20;

/** Writes a VALUE of `length` bytes; returns what it has to be. */
function writeValue(reply: ReplyWriter, length: number, byte: number): Buffer {
  const at = reply.value(length);
  reply.bytes.fill(byte, at, at + length);
  const wanted = Buffer.alloc(5 + length, byte);
  wanted[0] = Status.VALUE;
  wanted.writeUInt32LE(length, 1);
  return wanted;
}

test("replies of every length, again and again, with a buffer that grows and is given back in between", () => {
  const reply = new ReplyWriter(64);
  for (const longest of [0, 10_000, 2 * MIB, 0]) {
    for (let length = 0; length < 600; length++) {
      const wanted = writeValue(reply, length, length & 255);
      expect(reply.take()).toEqual(wanted);
      reply.reset();
    }
    const wanted = writeValue(reply, longest, 7);
    expect(reply.take().equals(wanted)).toBe(true);
    reply.reset();
  }
});

test("a value written into the room made for it is the same reply", () => {
  const reply = new ReplyWriter(64);
  reply.status(Status.MISS);
  const at = reply.roomForValue(5000);
  expect(reply.bytes.length).toBeGreaterThan(5000);
  reply.bytes.write("five!", at);
  reply.valueIsThere(5);
  reply.status(Status.OK);
  const wanted = Buffer.concat([
    Buffer.from([Status.MISS]),
    writeValue(new ReplyWriter(64), 5, 0),
    Buffer.from([Status.OK]),
  ]);
  wanted.write("five!", 6);
  expect(reply.take()).toEqual(wanted);
});
