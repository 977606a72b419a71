// Clients on ioredis and node-redis that keep their own books, as hiredis_books.c does:
// node books.mjs PORT PREFIX BOOK ioredis|node-redis
import { createRequire } from "node:module";
import { createWriteStream } from "node:fs";

const require = createRequire(process.env.NODE_PACKAGES + "/");
const [port, prefix, path, kind] = [Number(process.argv[2]), ...process.argv.slice(3)];
const book = createWriteStream(path);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
let stopped = false;
process.on("SIGTERM", () => (stopped = true));

// Both reconnect by themselves; what is not acknowledged is rejected, not sent again: sending again is ours.
async function connectIoredis() {
  const Redis = require("ioredis");
  const client = new Redis({
    port, maxRetriesPerRequest: 0, autoResendUnfulfilledCommands: false, retryStrategy: () => 5, enableOfflineQueue: true,
  });
  client.on("error", () => {});
  return (words) => client.call(...words);
}

async function connectNodeRedis() {
  const { createClient } = require("redis");
  const client = createClient({
    RESP: 3, socket: { port, host: "127.0.0.1", reconnectStrategy: () => 5 }, disableOfflineQueue: true,
  });
  client.on("error", () => {});
  for (;;) {
    try {
      await client.connect();
      break;
    } catch {
      await sleep(5);
    }
  }
  return (words) => client.sendCommand(words);
}

const call = await (kind === "ioredis" ? connectIoredis() : connectNodeRedis());

async function order(id) {
  for (;;) {
    try {
      const reply = await call(["HF.RESERVE", id, "3600000", "books", "1"]);
      const outcome = Array.isArray(reply) ? reply[0] : reply.outcome;
      if (outcome === "ok" || outcome === "duplicate") {
        book.write(`${id} ${outcome}\n`);
        return;
      }
      if (outcome !== "in_progress") throw new Error(`outcome ${outcome}`);
    } catch (error) {
      if (/outcome/.test(error.message)) {
        console.error(error.message);
        process.exit(1);
      }
      await sleep(5);
    }
  }
}

for (let first = 0; !stopped; first += 16) {
  await Promise.all([...Array(16).keys()].map((i) => order(`${prefix}${first + i}`)));
}
book.end(() => process.exit(0));
