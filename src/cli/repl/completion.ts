/** What Tab offers: names of commands, options and their values, and keys, which are asked for. */
import { type Cache, CacheError } from "../../client/client";
import type { Command } from "../command";
import { VERBS } from "../verbs";
import { closing, type Line, quoted, split } from "./words";

/** More keys are not asked for, and not shown. */
export const COMPLETION_KEYS_MAX = 100;
/** A scan for a rare prefix may go through all keys; what was found by then is offered. */
const COMPLETION_MS = 500;
/** No word begins so unless it is quoted, so what all offers have in common is nothing, and nothing is filled in. */
const MORE = "(more)";

interface Offer {
  texts: string[];
  /** There may be more. */
  isPartial: boolean;
}

const NAMES = [...Object.keys(VERBS), "help", "quit"];

/** As readline takes it: what the last word may become, and that word as it stands there. */
export async function completions(text: string, cache: Cache): Promise<[string[], string]> {
  const line = split(text);
  const typed = line.lastStart < 0 ? "" : text.slice(line.lastStart);
  if (line.isUnfinished) return [[], typed];
  const before = line.lastStart < 0 ? line.words : line.words.slice(0, -1);
  const last = line.lastStart < 0 ? "" : line.words.at(-1)!;
  const { texts, isPartial } = await offerAfter(before, last, line, cache);
  const [first] = texts;
  const whole = texts
    .filter((candidate) => candidate.startsWith(last))
    .map((candidate) => typed + quoted(candidate.slice(last.length), line.quote));
  if (isPartial) return [whole.length === 0 ? [] : [...whole, MORE], typed];
  const isOnly = texts.length === 1 && first !== undefined;
  return [isOnly ? whole.map((one) => `${one}${closing(line.quote)} `) : whole, typed];
}

async function offerAfter(
  before: readonly string[],
  last: string,
  { quote }: Line,
  cache: Cache,
): Promise<Offer> {
  const [name, ...args] = before;
  if (name === undefined) return matching(NAMES, last);
  if (name === "help") return matching(args.length === 0 ? Object.keys(VERBS) : [], last);
  if (!Object.hasOwn(VERBS, name)) return matching([], last);
  const verb = VERBS[name]!;
  const { valueOf, position, isOnlyArguments } = placeAfter(args, verb);
  if (valueOf !== null) return matching(choicesOf(verb, valueOf), last);
  if (last.startsWith("-") && quote === "" && !isOnlyArguments) return matching(flagsOf(verb), last);
  if (position >= (verb.keys ?? 0)) return matching([], last);
  const keys = await keysFrom(last, cache);
  // Such a key would be taken for an option.
  if (!isOnlyArguments) keys.texts = keys.texts.filter((key) => !key.startsWith("-"));
  return keys;
}

function matching(texts: readonly string[], last: string): Offer {
  return { texts: texts.filter((text) => text.startsWith(last)), isPartial: false };
}

function flagsOf({ options }: Command): string[] {
  return [...Object.keys(options), "help"].map((name) => `--${name}`);
}

/** Of an option that is one of some words. */
function choicesOf({ options }: Command, name: string): string[] {
  const { value = "" } = options[name]!;
  return value.includes("|") ? value.split("|") : [];
}

/** What the next word is: the value of an option, or an argument, and which. */
function placeAfter(args: readonly string[], { options }: Command) {
  const place = { valueOf: null as string | null, position: 0, isOnlyArguments: false };
  for (const arg of args) {
    const name = arg.slice(2);
    if (place.valueOf !== null) place.valueOf = null;
    else if (place.isOnlyArguments || !arg.startsWith("--")) place.position++;
    else if (arg === "--") place.isOnlyArguments = true;
    else if (Object.hasOwn(options, name) && options[name]!.value !== undefined) place.valueOf = name;
  }
  return place;
}

async function keysFrom(prefix: string, cache: Cache): Promise<Offer> {
  const keys = new Set<string>();
  let isPartial = false;
  try {
    for await (const key of cache.scan(prefix, { signal: AbortSignal.timeout(COMPLETION_MS) })) {
      isPartial = keys.size === COMPLETION_KEYS_MAX && !keys.has(key);
      if (isPartial) break;
      keys.add(key);
    }
  } catch (error) {
    // Nobody asked for an error by pressing Tab.
    if (!(error instanceof CacheError)) throw error;
    isPartial = true;
  }
  return { texts: [...keys].sort(), isPartial };
}
