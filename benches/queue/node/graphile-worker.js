// The same work as `benches/queue.rs throughput`, with graphile-worker: URL WORKERS TASKS [VARIANT].
// `0.16` is that version; `0.18` is as it is installed; `batches` is 0.18 with a local queue, which
// takes many jobs at once, and with completions that are gathered: a job is over for its worker
// before the database knows it.
import pg from "pg";

const [url, workers, tasks, variant = "0.18"] = process.argv.slice(2);
const { Logger, makeWorkerUtils, run } = await import(
  variant === "0.16" ? "graphile-worker-0.16" : "graphile-worker"
);
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
const logger = new Logger(() => (level, message) => quiet[level]?.(message));
const batches = {
  worker: { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 },
};
const wal = async () =>
  (await pool.query("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn AS at")).rows[0].at;
const before = await wal();
const begun = process.hrtime.bigint();
const runner = await run({
  pgPool: pool,
  concurrency: Number(workers),
  pollInterval: 1000,
  noHandleSignals: true,
  logger,
  taskList: { work: async () => {} },
  ...(variant === "batches" ? { preset: batches } : {}),
});
for (;;) {
  const { rows } = await pool.query("SELECT count(*)::int AS open FROM graphile_worker.jobs");
  if (rows[0].open === 0) break;
  await new Promise((done) => setTimeout(done, 20));
}
const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
const written = (await wal()) - before;
console.log((Number(tasks) / seconds).toFixed(0), Math.round(written / Number(tasks)));
await runner.stop();
process.exit(0);
