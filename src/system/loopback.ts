/** Which addresses and names are this machine's own, whatever a name server says. */

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i;

/** Of an address, or of the host of a URL or header, without its port. */
export function isLoopback(name: string): boolean {
  return LOOPBACK.test(name);
}
