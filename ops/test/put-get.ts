/** A put and a get over one WebSocket to 127.0.0.1:$PORT, with the token $TOKEN if there is one; prints the value. */
import { connect } from "../../src/client/client";

const token = process.env["TOKEN"];
await using cache = await connect(`ws://127.0.0.1:${process.env["PORT"]}`, token ? { token } : {});
await cache.put("socket", "Breadbox");
console.log(await cache.get("socket"));
