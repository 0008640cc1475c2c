/** Values of others on a terminal: what would move the cursor, or worse, is shown and not obeyed. */

/** Line breaks and tabs do no harm. */
const CONTROLS = /[\0-\x08\x0b-\x1f\x7f-\x9f]/g;
const BEYOND_ASCII = /[\x80-\xff]/g;

/** Text with its control characters as the prompt takes them in $'…'; of bytes that are not UTF-8, those beyond ASCII as \xHH. */
export function printable(data: string | Uint8Array): string {
  const text = typeof data === "string" ? data : textOf(data);
  return text.replace(CONTROLS, (control) =>
    control < "\x80" ? `\\x${hex(control, 2)}` : `\\u${hex(control, 4)}`,
  );
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    const everyByte = Buffer.from(bytes).toString("latin1");
    return everyByte.replace(BEYOND_ASCII, (byte) => `\\x${hex(byte, 2)}`);
  }
}

function hex(character: string, digits: number): string {
  return character.charCodeAt(0).toString(16).padStart(digits, "0");
}
