/**
 * A server for tests that says what Breadbox says when it serves, and answers like it, but gives key 0, the one asked for most,
 * the value of key 1.
 */
import { keyText } from "../../src/cli/bench/plan";
import { Intake, Message, RequestRows } from "../../src/protocol/request";
import { ReplyWriter } from "../../src/protocol/reply";
import { Op, Status } from "../../src/protocol/wire";
import { VALUE_BYTES, Values } from "./peers/values";

const LIE_ABOUT = 0;
const values = new Values(100_000);
const message = new Message(new Intake());
const rows = new RequestRows();
const reply = new ReplyWriter(1 << 16);
const keyDigits = keyText(0).indexOf(":") + 1;

const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch(request, upgrading): Response | undefined {
    return upgrading.upgrade(request) ? undefined : new Response("", { status: 400 });
  },
  websocket: {
    message(socket, data) {
      message.open(data as Buffer);
      for (rows.decode(message); rows.count > 0; rows.decode(message)) {
        for (let row = 0; row < rows.count; row++) answer(row);
        message.at = rows.ends[rows.count - 1]!;
      }
      socket.sendBinary(reply.bytes.subarray(0, reply.length));
      reply.reset();
    },
  },
});

function answer(row: number): void {
  if (rows.opOf(row) === Op.PUT) return reply.status(Status.OK);
  const keyStart = rows.keyStarts[row]! + keyDigits;
  const index = Number(rows.bytes.toString("latin1", keyStart, rows.keyEnds[row]));
  values.writeValue(reply.bytes, reply.value(VALUE_BYTES), index === LIE_ABOUT ? index + 1 : index);
}

process.stderr.write(`serves http://127.0.0.1:${server.port} with lies\n`);
