// The same work as `benches/queue.rs throughput`, with pg-boss: URL WORKERS TASKS. Its own
// workers poll every half second at most; here each takes the next job as soon as it can.
import pg from "pg";
import { PgBoss } from "pg-boss";

const [url, workers, tasks] = process.argv.slice(2);
const boss = new PgBoss({ connectionString: url, max: 16, supervise: false, schedule: false });
boss.on("error", console.error);
await boss.start();
await boss.createQueue("work");
const jobs = Array.from({ length: Number(tasks) }, (_, n) => ({ data: { n } }));
for (let n = 0; n < jobs.length; n += 1000) await boss.insert("work", jobs.slice(n, n + 1000));

const watch = new pg.Client({ connectionString: url });
await watch.connect();
const wal = async () =>
  (await watch.query("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn AS at")).rows[0].at;
const before = await wal();
const begun = process.hrtime.bigint();
let done = 0;
await Promise.all(
  Array.from({ length: Number(workers) }, async () => {
    for (;;) {
      const [job] = await boss.fetch("work", { batchSize: 1 });
      if (!job) return;
      await boss.complete("work", job.id);
      done += 1;
    }
  }),
);
const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
if (done !== Number(tasks)) throw new Error(`${done} of ${tasks} jobs are done`);
const written = (await wal()) - before;
console.log((done / seconds).toFixed(0), Math.round(written / done));
process.exit(0);
