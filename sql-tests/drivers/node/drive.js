// node-postgres against a gateway: usage drive.js PORT.
const assert = require("node:assert");
const { Client, Pool } = require("pg");
const Cursor = require("pg-cursor");

async function main() {
  const settings = { host: "127.0.0.1", port: Number(process.argv[2]), user: "tester", database: "tidegate", statement_timeout: 30000 };
  const client = new Client(settings);
  const notices = [];
  client.on("notice", (notice) => notices.push([notice.code, notice.message]));
  await client.connect();

  // The startup setting is in force.
  assert.equal((await client.query("SHOW statement_timeout")).rows[0].statement_timeout, "30s");
  const created = await client.query("CREATE SOURCE js TYPE sample WITH (scale_factor = '0.001')");
  assert.equal(created.command, "CREATE");
  await client.query("CREATE SOURCE IF NOT EXISTS js TYPE sample WITH (scale_factor = '0.001')");
  assert.deepEqual(notices, [["42710", 'source "js" already exists, skipping']]);

  // Prepared by name and used again.
  for (let i = 0; i < 3; i++) {
    const found = await client.query({ name: "find", text: "SELECT name, job_count, capabilities FROM tidegate.sources WHERE name = $1", values: ["js"] });
    assert.deepEqual(found.rows, [{ name: "js", job_count: "0", capabilities: ["read"] }]);
  }
  const typed = (await client.query("SELECT true AS b, 1::int AS i, 1.5::float8 AS f, null AS n, now() AS t")).rows[0];
  assert.equal(typed.b, true); assert.equal(typed.i, 1); assert.equal(typed.f, 1.5); assert.equal(typed.n, null);
  assert.ok(typed.t instanceof Date);

  // Errors with code, position and hint.
  await assert.rejects(client.query("SELECT nmae FROM tidegate.sources"), (error) => error.code === "42703" && error.position === "8");
  await assert.rejects(client.query("CREATE SOURCE x TYPE sample WITH (scale = '1')"), (error) => error.code === "HV00D" && /scale_factor/.test(error.hint));

  // A cursor reads in pieces.
  const cursor = client.query(new Cursor("SELECT l_orderkey FROM js.tpch.lineitem"));
  let rows = 0;
  for (;;) {
    const part = await cursor.read(1000);
    if (part.length === 0) break;
    rows += part.length;
  }
  assert.equal(rows, 6005);
  await cursor.close();

  // A transaction undoes what it did.
  await client.query("BEGIN");
  await client.query("DROP SOURCE js");
  await client.query("ROLLBACK");
  assert.equal((await client.query("SELECT count(*)::int AS n FROM tidegate.sources")).rows[0].n, 1);
  await client.query("DROP SOURCE js");
  await client.end();

  // A pool of several connections.
  const pool = new Pool({ ...settings, max: 5 });
  const answers = await Promise.all([...Array(20).keys()].map((n) => pool.query("SELECT $1::int * 2 AS n", [n])));
  assert.deepEqual(answers.map((a) => a.rows[0].n), [...Array(20).keys()].map((n) => n * 2));
  await pool.end();
  console.log("ok");
}

main().catch((error) => { console.error(error); process.exit(1); });
