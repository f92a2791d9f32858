// The same work as `benches/queue.rs throughput`, with graphile-worker: URL WORKERS TASKS.
import { run, makeWorkerUtils } from "graphile-worker";
import pg from "pg";

const [url, workers, tasks] = process.argv.slice(2);
const pool = new pg.Pool({ connectionString: url, max: 16 });
pool.on("error", console.error);
pool.on("connect", (client) => client.on("error", console.error));
const utils = await makeWorkerUtils({ pgPool: pool });
await utils.migrate();
await pool.query(
  "SELECT 1 FROM graphile_worker.add_jobs((SELECT array_agg(json_populate_record(" +
    "null::graphile_worker.job_spec, json_build_object('identifier', 'work', 'payload', " +
    "json_build_object('n', n)))) FROM generate_series(1, $1) n))",
  [Number(tasks)],
);

const quiet = { debug() {}, info() {}, warn: console.error, error: console.error };
const { Logger } = await import("graphile-worker");
const logger = new Logger(() => (level, message) => quiet[level]?.(message));
const begun = process.hrtime.bigint();
const runner = await run({
  pgPool: pool,
  concurrency: Number(workers),
  pollInterval: 1000,
  noHandleSignals: true,
  logger,
  taskList: { work: async () => {} },
});
for (;;) {
  const { rows } = await pool.query("SELECT count(*)::int AS open FROM graphile_worker.jobs");
  if (rows[0].open === 0) break;
  await new Promise((done) => setTimeout(done, 20));
}
const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
console.log((Number(tasks) / seconds).toFixed(0));
await runner.stop();
process.exit(0);
