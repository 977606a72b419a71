// ioredis and node-redis against a gateway: node clients.mjs PORT. Prints one line a client; exit status 1 if one is not
// answered rightly.
import { createRequire } from "node:module";
import assert from "node:assert/strict";

const require = createRequire(process.env.NODE_PACKAGES + "/");
const port = Number(process.argv[2]);

async function withIoredis() {
  const Redis = require("ioredis");
  const client = new Redis({ port, lazyConnect: true });
  await client.connect();
  assert.equal(await client.ping(), "PONG");
  assert.deepEqual((await client.call("HF.RECEIVE", "io-in", "io:apple", 10)).slice(0, 1), ["ok"]);
  const pipeline = client.pipeline();
  for (let i = 0; i < 100; i++) pipeline.call("HF.RESERVE", `io-${i}`, 600000, "io:apple", 1);
  const outcomes = (await pipeline.exec()).map(([error, reply]) => error ?? reply[0]);
  assert.deepEqual(outcomes, [...Array(10).fill("ok"), ...Array(90).fill("out_of_stock")]);
  await assert.rejects(client.call("HF.RESERVE", "x", "soon", "io:apple", 1), /HFARG ttl_ms/);
  await assert.rejects(client.get("x"), /unknown command/);
  const stock = await client.call("HF.STOCK", "io:apple", "none");
  assert.equal(stock[1], null);
  assert.deepEqual(stock[0].slice(0, 8), ["sku", "io:apple", "on_hand", 10, "reserved", 10, "available", 0]);
  const blocked = client.duplicate();
  const events = await blocked.call("HF.EVENTS", "FROM", 0, "SKU", "io:", "BLOCK", 1000);
  assert.equal(events[3].length, 11);
  await blocked.quit();
  await client.quit();
  console.log("ioredis: passed");
}

async function withNodeRedis(RESP) {
  const { createClient } = require("redis");
  const client = createClient({ socket: { port, host: "127.0.0.1" }, RESP });
  client.on("error", (error) => console.error(error.message));
  await client.connect();
  assert.equal(await client.ping(), "PONG");
  const prefix = `node${RESP}`;
  const first = await client.sendCommand(["HF.RECEIVE", `${prefix}-in`, `${prefix}:apple`, "10"]);
  assert.equal(RESP === 3 ? first.outcome : first[0], "ok");
  const replies = await Promise.all(
    [...Array(100).keys()].map((i) => client.sendCommand(["HF.RESERVE", `${prefix}-${i}`, "600000", `${prefix}:apple`, "1"])),
  );
  const outcomes = replies.map((reply) => (RESP === 3 ? reply.outcome : reply[0]));
  assert.deepEqual(outcomes, [...Array(10).fill("ok"), ...Array(90).fill("out_of_stock")]);
  await assert.rejects(client.sendCommand(["HF.CONFIRM", ""]), /HFARG id/);
  const close = client.close ?? client.quit;
  await close.call(client);
  console.log(`node-redis, RESP${RESP}: passed`);
}

await withIoredis();
await withNodeRedis(2);
await withNodeRedis(3);
