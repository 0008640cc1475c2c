/** The first page of the file: what is written is read, and what has changed since is noticed. */
import { describe, expect, test } from "bun:test";
import {
  blockStart,
  encodeIdentity,
  encodeNote,
  fileBytesOf,
  HEADER_BYTES,
  type Identity,
  isOurs,
  type Note,
  NOTE_BYTES,
  notePlace,
  readHeader,
  State,
} from "../../src/warm/header";
import { misfit } from "../../src/warm/misfit";
import { MINUTE_MS, SHAPE } from "../support/kept";

const NOW = 1_800_000_000_000;
const BOOT = "0f7b3a0e-6d1c-4f3e-9b59-7a1f0c2d4e68";
const OTHER_BOOT = "7d3c1c1a-2b4e-4d0f-8f61-1e9a5b7c3d20";
const IDENTITY: Identity = { ...SHAPE, seed: [0xfedcba98, 7], fileBytes: fileBytesOf(SHAPE) };

function note(sequence: number, state: State): Note {
  return {
    sequence,
    state,
    heartbeat: NOW - 10_000 + sequence,
    clock: NOW - 9000 + sequence,
    versionFloor: 2 ** 52 + sequence,
    bootId: BOOT,
  };
}

/** A page with these notes, each in its place. */
function pageOf(...notes: Note[]): Buffer {
  const page = encodeIdentity(IDENTITY);
  for (const one of notes) encodeNote(one).copy(page, notePlace(one));
  return page;
}

/** What becomes of a cache with this page. */
function outcome(page: Buffer, bootId: string): "refused" | "cold" | "unclean" | "clean" {
  if (!isOurs(page)) return "refused";
  const header = readHeader(page);
  const present = { shape: SHAPE, fileBytes: IDENTITY.fileBytes, bootId, now: NOW, maxAgeMs: MINUTE_MS };
  if (misfit(header, present) !== null) return "cold";
  return header.note!.state === State.CLEAN ? "clean" : "unclean";
}

const RUNNING = pageOf(note(1, State.RUNNING), note(2, State.RUNNING));
const CLEAN = pageOf(note(1, State.RUNNING), note(2, State.CLEAN));
const FORMING = pageOf({ ...note(0, State.FORMING), bootId: "" });
const BEGUN = pageOf({ ...note(0, State.FORMING), bootId: "" }, note(1, State.RUNNING));

describe("the page", () => {
  test("has every byte where the map says, for later versions to find", () => {
    const hex = (start: number, bytes: number) => CLEAN.toString("hex", start, start + bytes);
    const identity = ["89425244424f580a", "01000000", "04000000", "04000000", "000a0000", "00020000"];
    const rest = ["98badcfe07000000", "00000000", "000000000000d440", "b0824a03"];
    expect(hex(0, 52)).toBe([...identity, ...rest].join(""));
    const first = [
      "000000000000f03f",
      "00108fc285317a42",
      "0100000000003043",
      "0090cdc285317a42",
      "02000000",
    ];
    expect(hex(2048, NOTE_BYTES)).toBe([...first, Buffer.from(BOOT).toString("hex"), "95bd5cf2"].join(""));
    const second = [
      "0000000000000040",
      "00208fc285317a42",
      "0200000000003043",
      "00a0cdc285317a42",
      "03000000",
    ];
    expect(hex(1024, NOTE_BYTES)).toBe([...second, Buffer.from(BOOT).toString("hex"), "e96de15f"].join(""));
    expect(CLEAN.length).toBe(4096);
  });

  test("is read as it was written", () => {
    expect(readHeader(CLEAN)).toEqual({ headerVersion: 1, identity: IDENTITY, note: note(2, State.CLEAN) });
    expect(readHeader(FORMING).note).toEqual({ ...note(0, State.FORMING), bootId: "" });
    expect(readHeader(encodeIdentity(IDENTITY))).toEqual({
      headerVersion: 1,
      identity: IDENTITY,
      note: null,
    });
  });

  test("of zeros, or cut short, is not believed", () => {
    expect(isOurs(Buffer.alloc(HEADER_BYTES))).toBe(false);
    expect(readHeader(Buffer.alloc(HEADER_BYTES))).toEqual({ headerVersion: 0, identity: null, note: null });
    for (let bytes = 0; bytes < HEADER_BYTES; bytes++) {
      const cut = CLEAN.subarray(0, bytes);
      expect({ bytes, isOurs: isOurs(cut) }).toEqual({ bytes, isOurs: bytes >= 8 });
      const { identity, note } = readHeader(cut);
      expect([identity === null || bytes >= 49, note === null || bytes >= 1024 + NOTE_BYTES]).toEqual([
        true,
        true,
      ]);
    }
  });

  test("leaves room for blocks that begin with a page", () => {
    expect([0, 1, 3].map((index) => blockStart(index, { shardBytes: 4097 }))).toEqual([4096, 12_288, 28_672]);
    expect(fileBytesOf({ ...SHAPE, shards: 3, shardBytes: 8192 })).toBe(4096 + 3 * 8192);
  });
});

describe("damage", () => {
  /** From the most that is trusted to the least. */
  const TRUST = ["clean", "unclean", "cold", "refused"];

  test.each([
    ["a server that runs", RUNNING, BOOT, "unclean"],
    ["one that ran when the machine went down", RUNNING, OTHER_BOOT, "cold"],
    ["one that has ended", CLEAN, OTHER_BOOT, "clean"],
    ["one that makes the file", FORMING, BOOT, "cold"],
    ["one that has just begun", BEGUN, BOOT, "unclean"],
  ])("of one bit, in the page of %s, is noticed or does not matter", (_, page, bootId, wanted) => {
    const before = readHeader(page);
    expect(outcome(page, bootId)).toBe(wanted as "clean");
    let noticed = 0;
    for (let bit = 0; bit < page.length * 8; bit++) {
      page[bit >> 3]! ^= 1 << (bit & 7);
      const now = outcome(page, bootId);
      const { identity, note } = readHeader(page);
      const isRight =
        (identity === null || Bun.deepEquals(identity, before.identity)) &&
        (note?.sequence !== before.note!.sequence || Bun.deepEquals(note, before.note));
      if (!isRight || TRUST.indexOf(now) < TRUST.indexOf(wanted)) throw new Error(`bit ${bit}: ${now}`);
      if (now === "refused" || identity === null || note?.sequence !== before.note!.sequence) noticed++;
      page[bit >> 3]! ^= 1 << (bit & 7);
    }
    // Magic, identity and its checksum, and the note that counts: all that is read and matters.
    expect(noticed).toBe((52 + NOTE_BYTES) * 8);
  });

  test("a note that was written by halves leaves the one before it, wherever it ends", () => {
    const next = encodeNote(note(3, State.CLEAN));
    const at = notePlace({ sequence: 3 });
    for (let cut = 0; cut <= NOTE_BYTES; cut++)
      for (const [start, end] of [
        [0, cut],
        [cut, NOTE_BYTES],
      ] as const) {
        const page = Buffer.from(RUNNING);
        next.copy(page, at + start, start, end);
        const isWhole = page.subarray(at, at + NOTE_BYTES).equals(next);
        expect({ cut, note: readHeader(page).note }).toEqual({
          cut,
          note: isWhole ? note(3, State.CLEAN) : note(2, State.RUNNING),
        });
      }
  });

  test("of both notes leaves none", () => {
    const page = Buffer.from(CLEAN);
    for (const sequence of [1, 2]) page[notePlace({ sequence }) + 20]! ^= 1;
    expect(readHeader(page)).toMatchObject({ identity: IDENTITY, note: null });
  });
});
