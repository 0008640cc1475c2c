/**
 * What is compared: each work, which servers do it, and how the first of them, ours, should compare with each other one.
 * `goal` is the highest ratio of CPU per operation, ours to theirs, that is good enough.
 */
import type { ProtocolName } from "./orders";
import type { PeerName } from "./servers";

export interface Work {
  name: string;
  text: string;
  connections: number;
  batchSize: number;
  getShare: number;
  /** Processes that make the load: one can keep one core busy, hardly two. */
  loads: number;
  ours: Ours;
  others: Other[];
}

export interface Ours {
  label: string;
  protocol: ProtocolName;
  workers: number;
  keys: number;
}

/** Without a goal it is measured for information. */
export type Other = { goal: number | null } & (
  | { peer: PeerName; label: string; protocol: ProtocolName; keys: number }
  | { peer: "ourselves"; ours: Ours; throughputGoal?: number }
);

const KEYS = 100_000;
const MIXED = 0.9;

const OURS: Ours = { label: "Breadbox", protocol: "wire", workers: 1, keys: KEYS };

const redis = (goal: number): Other => ({
  goal,
  peer: "redis",
  label: "Redis",
  protocol: "resp",
  keys: KEYS,
});
const fasthttp = (goal: number): Other => ({
  goal,
  peer: "fasthttp",
  label: "fasthttp",
  protocol: "httpJson",
  keys: KEYS,
});

export const WORKS: readonly Work[] = [
  {
    name: "ws64",
    text: "batches of 64, 16 connections, 90 % GET",
    connections: 16,
    batchSize: 64,
    getShare: MIXED,
    loads: 1,
    ours: OURS,
    others: [
      redis(0.45),
      { goal: 0.3, peer: "memcached", label: "memcached, single gets", protocol: "memcache", keys: KEYS },
      {
        goal: null,
        peer: "memcached",
        label: "memcached, multi-gets",
        protocol: "memcacheMulti",
        keys: KEYS,
      },
      { goal: 0.9, peer: "pogocache", label: "Pogocache", protocol: "resp", keys: KEYS },
    ],
  },
  {
    name: "ws256",
    text: "batches of 256, 16 connections, 90 % GET",
    connections: 16,
    batchSize: 256,
    getShare: MIXED,
    loads: 1,
    ours: OURS,
    others: [redis(0.4)],
  },
  {
    name: "put64",
    text: "batches of 64, 16 connections, 100 % PUT",
    connections: 16,
    batchSize: 64,
    getShare: 0,
    loads: 1,
    ours: OURS,
    others: [redis(0.6)],
  },
  {
    name: "ws1",
    text: "one request a message, 64 connections, 90 % GET",
    connections: 64,
    batchSize: 1,
    getShare: MIXED,
    loads: 1,
    ours: OURS,
    others: [redis(1)],
  },
  {
    name: "http-get",
    text: "HTTP GET /get, 64 connections",
    connections: 64,
    batchSize: 1,
    getShare: 1,
    loads: 1,
    ours: { ...OURS, protocol: "httpJson" },
    others: [fasthttp(1.05)],
  },
  {
    name: "http-post",
    text: "HTTP POST /put, 64 connections",
    connections: 64,
    batchSize: 1,
    getShare: 0,
    loads: 1,
    ours: { ...OURS, protocol: "httpJson" },
    others: [fasthttp(1.15)],
  },
  {
    // The peer has two endpoints only: its GET /get is what stands against our GET /kv.
    name: "http-kv",
    text: "HTTP GET /kv/{key}, 64 connections (fasthttp: GET /get)",
    connections: 64,
    batchSize: 1,
    getShare: 1,
    loads: 1,
    ours: { ...OURS, protocol: "httpRaw" },
    others: [fasthttp(1.05)],
  },
  {
    name: "workers",
    text: "two workers against one, batches of 64",
    connections: 16,
    batchSize: 64,
    getShare: MIXED,
    loads: 2,
    ours: { ...OURS, label: "two workers", workers: 2 },
    others: [{ goal: 1.1, throughputGoal: 1.8, peer: "ourselves", ours: { ...OURS, label: "one worker" } }],
  },
  {
    name: "million",
    text: "a million keys against 100,000, batches of 64",
    connections: 16,
    batchSize: 64,
    getShare: MIXED,
    loads: 1,
    ours: { ...OURS, label: "a million keys", keys: 1_000_000 },
    others: [{ goal: 1.5, peer: "ourselves", ours: { ...OURS, label: "100,000 keys" } }],
  },
];
