/**
 * The two verbs of WebDAV (RFC 4918) that sccache sends beside GET, PUT, HEAD and DELETE: before it writes, it asks whether the
 * collections in the path are there (PROPFIND) and makes them (MKCOL). Here a slash is a character of the key, so collections are
 * nothing that is stored: each is there, none has a list of its members, and making one changes nothing.
 */
import type { Access } from "../../commands/access";
import { Op } from "../../protocol/wire";
import type { Routes } from "../answer";
import { BYTES_TYPE, contentTypeOf } from "../content-type";
import type { HttpContext } from "../context";
import { KV_PATHS, kvName } from "../kv";
import { pathOf } from "../query";
import { errorResponse, headersWith, ofText } from "../respond";

const FOUND = { status: 207, headers: headersWith({ "Content-Type": "application/xml; charset=utf-8" }) };
const MADE = { status: 201, headers: headersWith({}) };
const COLLECTION = "<D:resourcetype><D:collection/></D:resourcetype>";
/** OpenDAL, which sccache speaks WebDAV with, refuses an answer without it. When an entry was stored is not kept. */
const LAST_MODIFIED = "<D:getlastmodified>Thu, 01 Jan 1970 00:00:00 GMT</D:getlastmodified>";

export const webdav: Routes = {
  [KV_PATHS]: {
    PROPFIND: { right: Op.INFO, handle: handlePropfind },
    MKCOL: { right: Op.PUT, handle: handleMkcol },
  },
};

/** All properties that there are, whichever were asked for, of the resource itself, whatever its Depth. */
function handlePropfind({ commands }: HttpContext, { url }: Request, access: Access): Response {
  const name = kvName(url);
  if (isCollection(name)) return multistatus(url, COLLECTION);
  commands.refreshClock();
  if (!commands.info(access, commands.keyOf(name))) return errorResponse(404, "Key not found.");
  const { version, valueLength, type } = commands.entryInfo;
  return multistatus(
    url,
    `<D:resourcetype/><D:getcontentlength>${valueLength}</D:getcontentlength><D:getetag>"${version}"</D:getetag>` +
      `<D:getcontenttype>${escaped(contentTypeOf(type) ?? BYTES_TYPE)}</D:getcontenttype>`,
  );
}

function handleMkcol(_: HttpContext, { url }: Request): Response {
  return isCollection(kvName(url))
    ? new Response(null, MADE)
    : errorResponse(409, "a collection's path ends with a slash");
}

function isCollection(name: string): boolean {
  return name === "" || name.endsWith("/");
}

function multistatus(url: string, properties: string): Response {
  return ofText(
    '<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus xmlns:D="DAV:"><D:response>' +
      `<D:href>${escaped(pathOf(url))}</D:href><D:propstat><D:prop>${LAST_MODIFIED}${properties}</D:prop>` +
      "<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>\n",
    FOUND,
  );
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
