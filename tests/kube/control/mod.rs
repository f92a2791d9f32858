//! The simulated cluster behind the API server: controllers, scheduler and kubelet, on an
//! accelerated clock. Each acts only on stored objects, and writes like the real one.

mod clock;
mod condition;
mod container;
mod daemon_set;
mod deployment;
mod housekeeping;
mod image;
mod job;
mod kubelet;
mod pods;
mod probe;
mod recorder;
mod replica_set;
mod revisions;
mod scheduler;
mod stateful_set;

use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

pub(crate) use image::Images;
pub(crate) use kubelet::Kubelet;
pub(crate) use scheduler::Autoscaler;

use crate::server::Server;
use crate::server::resource::by_kind;
use pods::Ready;
use scheduler::Scheduler;

/// The parts that a scenario can change.
pub(crate) struct Cluster {
    pub(crate) kubelet: Kubelet,
    pub(crate) scheduler: Scheduler,
}

/// The running cluster.
#[derive(Clone)]
pub(crate) struct Control(Arc<Mutex<Cluster>>);

/// The interval without changes, for probes and back-offs.
const TICK: Duration = Duration::from_millis(10);
/// The interval of the controllers without changes.
const IDLE: Duration = Duration::from_millis(50);

impl Control {
    /// Runs a cluster behind `server` until either is dropped.
    pub(crate) fn start(server: &Arc<Server>) -> Self {
        let control = Self(Arc::new(Mutex::new(Cluster {
            kubelet: Kubelet::default(),
            scheduler: Scheduler::new(),
        })));
        tokio::spawn(run(Arc::downgrade(server), Arc::downgrade(&control.0)));
        control
    }

    pub(crate) fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.0.lock().unwrap()
    }
}

#[derive(Default)]
struct Memory {
    /// The version the controllers have seen, and when.
    seen: Option<(u64, Instant)>,
    ready: Ready,
    refused: replica_set::Refused,
    progress: deployment::Progress,
    pauses: job::Pauses,
}

async fn run(server: Weak<Server>, cluster: Weak<Mutex<Cluster>>) {
    let mut memory = Memory::default();
    loop {
        let (Some(server), Some(cluster)) = (server.upgrade(), cluster.upgrade()) else { return };
        pass(&server, &mut cluster.lock().unwrap(), &mut memory);
        drop((server, cluster));
        tokio::time::sleep(TICK).await;
    }
}

/// All parts act once, with the store locked.
fn pass(server: &Server, cluster: &mut Cluster, memory: &mut Memory) {
    let mut api = server.api();
    let mut logs = server.logs();
    cluster.kubelet.sync(&mut api, &mut logs, server.images());
    let idle = memory
        .seen
        .is_some_and(|(revision, at)| revision == api.store.revision() && at.elapsed() < IDLE);
    if idle {
        return;
    }
    note_ready(&api, &mut memory.ready);
    housekeeping::sync(&mut api);
    deployment::sync(&mut api, &mut memory.progress);
    replica_set::sync(&mut api, &memory.ready, &mut memory.refused);
    stateful_set::sync(&mut api, &memory.ready);
    daemon_set::sync(&mut api, &memory.ready);
    job::sync(&mut api, &mut memory.pauses);
    cluster.scheduler.sync(&mut api);
    memory.seen = Some((api.store.revision(), Instant::now()));
}

fn note_ready(api: &crate::server::api::Api, ready: &mut Ready) {
    let mut seen = Vec::new();
    for pod in api.store.list(by_kind("Pod"), None) {
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        if pods::ready(pod) {
            ready.entry(uid.clone()).or_insert_with(Instant::now);
            seen.push(uid);
        }
    }
    ready.retain(|uid, _| seen.contains(uid));
}
