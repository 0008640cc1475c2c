/**
 * What a value is, as whoever stored it says (a media type, for HTTP). The store keeps it with the entry and knows nothing of
 * its meaning: it is nothing, or a number, or a text. A number takes no bytes, because it stands in the entry's first word.
 */
export interface ValueType {
  /** 0 to TYPE_NUMBER_MAX; 0 where the type is nothing or a text. */
  readonly number: number;
  /** See isTypeText; empty where the type is no text. */
  readonly text: string;
}

export const TYPE_NUMBER_MAX = 255;
export const TYPE_TEXT_BYTES_MAX = 255;

const NUMBERED: readonly ValueType[] = Array.from({ length: TYPE_NUMBER_MAX + 1 }, (_, number) =>
  Object.freeze({ number, text: "" }),
);

export const NO_TYPE: ValueType = NUMBERED[0]!;

/** Whether it can be the text of a type: 1 to TYPE_TEXT_BYTES_MAX characters of printable ASCII, so that it can stand in any header. */
export function isTypeText(text: string): boolean {
  return text.length <= TYPE_TEXT_BYTES_MAX && /^[\x20-\x7e]+$/.test(text);
}

export function typeNumbered(number: number): ValueType {
  return NUMBERED[number]!;
}
