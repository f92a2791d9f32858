//! The same work as `benches/queue.rs throughput`, with apalis: `queue-apalis URL WORKERS TASKS
//! BATCH`. Tasks are there already; workers take BATCH at a time and run them one by one. The
//! clock stops when the database says that all are done.

use std::error::Error;
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use apalis::prelude::*;
use apalis_postgres::PostgresStorage;
use apalis_sqlite::SqliteStorage;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

const CONNECTIONS: u32 = 16;
const POSTGRES_OPEN: &str = "SELECT COUNT(*) FROM apalis.jobs WHERE status <> 'Done'";
const SQLITE_OPEN: &str = "SELECT COUNT(*) FROM Jobs WHERE status <> 'Done'";

async fn work(_n: usize) -> Result<(), BoxDynError> {
    Ok(())
}

/// Runs workers on a backend until none of its tasks is open.
macro_rules! measure {
    ($backend:expr, $pool:expr, $open:expr, $workers:expr) => {{
        let begun = Instant::now();
        for n in 0..$workers {
            let strategy = Strategy::new().interval(Duration::from_millis(1));
            let backend = $backend.clone().poll_with_strategy(strategy);
            let worker = WorkerBuilder::new(format!("worker-{n}")).backend(backend).build(work);
            tokio::spawn(async move { worker.run().await.map_err(|error| eprintln!("{error}")) });
        }
        loop {
            let open: i64 = sqlx::query_scalar($open).fetch_one($pool).await?;
            if open == 0 {
                break begun.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }};
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [url, workers, tasks, batch] = words.as_slice() else {
        return Err("usage: queue-apalis URL WORKERS TASKS BATCH".into());
    };
    let (workers, tasks, batch): (usize, usize, usize) =
        (workers.parse()?, tasks.parse()?, batch.parse()?);
    let took = if url.starts_with("sqlite:") {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(30));
        let pool =
            SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(options).await?;
        SqliteStorage::setup(&pool).await?;
        let config = apalis_sqlite::Config::default().queue("bench").batch_size(batch);
        let mut backend = SqliteStorage::new(&pool).with_config(config);
        backend
            .push_all(&mut futures::stream::iter((0..tasks).map(|n| TaskBuilder::new(n).build())))
            .await?;
        measure!(backend, &pool, SQLITE_OPEN, workers)
    } else {
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).connect(url).await?;
        PostgresStorage::setup(&pool).await?;
        let config = apalis_postgres::Config::default().queue("bench").batch_size(batch);
        let mut backend = PostgresStorage::new(&pool).with_config(config);
        backend
            .push_all(&mut futures::stream::iter((0..tasks).map(|n| TaskBuilder::new(n).build())))
            .await?;
        measure!(backend, &pool, POSTGRES_OPEN, workers)
    };
    println!("{:.0}", tasks as f64 / took.as_secs_f64());
    // Workers have no more to do.
    std::process::exit(0);
}
