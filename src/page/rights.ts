/** What the page may ask for, as the server says of its token (GET /access). The server refuses everything else in any case. */

export interface Access {
  readonly verbs: readonly string[];
  /** Every key begins with it; null where any may be named. */
  readonly prefix: string | null;
  /** Null where it does not end. */
  readonly expiresAt: string | null;
}

const LIST = new Intl.ListFormat("en");

export class Rights {
  private readonly verbs: ReadonlySet<string>;
  readonly prefix: string;

  constructor(access: Access) {
    this.verbs = new Set(access.verbs);
    this.prefix = access.prefix ?? "";
  }

  may(verb: string): boolean {
    return this.verbs.has(verb);
  }

  /** Why one of these cannot be asked for; null where all can. */
  against(...verbs: readonly string[]): string | null {
    const missing = verbs.filter((verb) => !this.may(verb)).map((verb) => verb.toUpperCase());
    return missing.length === 0 ? null : `This token does not allow ${LIST.format(missing)}.`;
  }
}
