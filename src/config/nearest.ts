/** Which name was meant by one that was mistyped. */

/** One slip in so many characters is forgiven. */
const CHARACTERS_A_SLIP = 3;

/** The name that is nearest to the word; null when none is near enough to have been meant. */
export function nearest(word: string, names: readonly string[]): string | null {
  const ranked = names
    .map((name) => ({ name, slips: slipsBetween(word, name) }))
    .sort((a, b) => a.slips - b.slips);
  const [best] = ranked;
  return best !== undefined && best.slips * CHARACTERS_A_SLIP <= word.length ? best.name : null;
}

/**
 * Characters to insert, leave out, replace, or swap with their neighbour: the optimal string alignment distance
 * (a restricted form of Damerau, "A technique for computer detection and correction of spelling errors", 1964).
 */
function slipsBetween(a: string, b: string): number {
  const slips = Array.from({ length: a.length + 1 }, (_, i) => [i]);
  for (let j = 1; j <= b.length; j++) slips[0]!.push(j);
  for (let i = 1; i <= a.length; i++)
    for (let j = 1; j <= b.length; j++) {
      const replaced = slips[i - 1]![j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = isSwapped ? slips[i - 2]![j - 2]! + 1 : Infinity;
      slips[i]!.push(Math.min(replaced, swapped, slips[i - 1]![j]! + 1, slips[i]![j - 1]! + 1));
    }
  return slips[a.length]![b.length]!;
}
