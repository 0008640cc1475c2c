/** The paths of each dialect. */
import type { Routes } from "../answer";
import type { DialectName } from "./names";
import { nx } from "./nx";
import { turborepo } from "./turborepo";
import { unstorage } from "./unstorage";
import { upstash } from "./upstash";
import { webdav } from "./webdav";

export const DIALECT_TABLES: Record<DialectName, Routes> = { turborepo, nx, webdav, unstorage, upstash };
