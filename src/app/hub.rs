//! A hub: the store, the API around it, and what runs beside it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use super::sandbox::SandboxChoice;
use super::{AppError, Environment, audit_key, logging};
use greenloop_evidence::Redactor;
use greenloop_hub::api::{Hosts, Settings, service};
use greenloop_hub::merge_queue::{MergeOptions, MergeQueue, SandboxOptions};
use greenloop_hub::notify::{NotifyOptions, notify};
use greenloop_hub::retention::{BranchPlan, branches, purge};
use greenloop_hub::server::{Limits, Listener, Tls, allow, serve};
use greenloop_hub::store::{NewToken, Retention, StoreOptions, TaskStore, TokenRequest, TokenView};
use greenloop_hub::sweep::{SweepPlan, sweep};
use greenloop_model::RunId;
use greenloop_model::task::HoldDecision;
use greenloop_notify::Sink;

/// How long requests under way may take when the hub stops.
const DRAIN: Duration = Duration::from_secs(20);
/// How long a branch has no writer after its hub died.
const MERGE_LEASE: Duration = Duration::from_secs(15);
/// How often the merge queues are looked at when nothing wakes them.
const MERGE_LOOK: Duration = Duration::from_secs(1);
/// How often the target of a queue on hold is looked at.
const MERGE_RECHECK: Duration = Duration::from_secs(3);
/// How often the target of a queue without entries is looked at.
const MERGE_WATCH: Duration = Duration::from_secs(30);
/// How often mirrors and logs that nobody needs are looked for.
const MERGE_TIDY: Duration = Duration::from_secs(3600);
/// And at least between two looks.
const MERGE_REST: Duration = Duration::from_millis(100);

/// A hub as it is asked for.
#[derive(Debug, Clone)]
pub struct HubRequest {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The store's address.
    pub store: String,
    /// Redis, to wake other hubs faster.
    pub redis: Option<String>,
    /// Certificate and key, in PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Whether others than this machine may be served without TLS.
    pub insecure_http: bool,
    /// Whether even this machine needs a token to look.
    pub read_token_required: bool,
    /// What the hub is called besides.
    pub hosts: Vec<String>,
    /// Pages of other origins that may change things.
    pub origins: Vec<String>,
    /// Requests a second of one token; 0 for no limit.
    pub rate: u32,
    /// Connections at the same time.
    pub connections: usize,
    /// Events that a live connection may fall behind by.
    pub live_events: usize,
    /// How often agents are to be heard of.
    pub heartbeat: Duration,
    /// How long a task may say nothing new.
    pub stuck_after: Duration,
    /// How long a merge waits for a person to approve it.
    pub merge_approval: Duration,
    /// Whether people may approve what they requested themselves.
    pub self_approval: bool,
    /// How long ended things are kept.
    pub keep: Retention,
    /// How long branches of tasks stay after the end of their task; `None` for ever.
    pub keep_branches: Option<Duration>,
    /// How often old things are looked for.
    pub purge_every: Duration,
    /// What merges the work; `None` leaves it to other hubs of the store.
    pub merges: Option<MergePlan>,
    /// A file that says who is notified of what happens.
    pub notifications: Option<PathBuf>,
    /// Where people reach the dashboard; `None` for where it listens.
    pub public_url: Option<String>,
    /// Whether anybody may have badges without a token.
    pub public_badges: bool,
    /// Log in detail.
    pub debug: bool,
}

/// How a hub merges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergePlan {
    /// Mirrors, work trees and logs go below it.
    pub work: PathBuf,
    /// Merges of one branch that are tested at the same time, each on top of the one before.
    pub window: usize,
    /// What becomes of a target that was moved other than forward; `None` asks a person.
    pub on_rewind: Option<HoldDecision>,
    /// The sandbox of gates.
    pub sandbox: SandboxChoice,
}

/// What there is to say once a hub listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubStarted {
    /// Where its dashboard is.
    pub address: String,
    /// Where its store is, without passwords.
    pub store: String,
    /// Whether anybody on this machine may look without a token.
    pub open_to_read: bool,
    /// Tokens that are good for something.
    pub tokens: usize,
    /// The key that verifies its signatures of audit logs' checkpoints; `None` where it signs none.
    pub witness: Option<String>,
}

/// Serves until `cancel`, and then until what is under way has ended. `told` hears of the hub
/// once it listens.
///
/// # Errors
/// When it cannot listen, its store cannot be opened, or it would speak to others in the clear.
pub async fn serve_hub(
    request: HubRequest,
    told: impl FnOnce(&HubStarted),
    cancel: CancellationToken,
) -> Result<(), AppError> {
    logging::to_stderr(request.debug);
    let local = request.listen.ip().is_loopback();
    if !local && request.tls.is_none() && !request.insecure_http {
        return Err(AppError::Unsupported {
            what: format!(
                "on {} other machines could reach the hub, and their tokens would be sent \
                 unencrypted",
                request.listen
            ),
            hint: "use --tls-cert and --tls-key, or --insecure-http behind a proxy that \
                terminates TLS"
                .to_owned(),
        });
    }
    let tls = match &request.tls {
        Some((certificate, key)) => Some(Arc::new(Tls::read(certificate, key)?)),
        None => None,
    };
    let sinks = match &request.notifications {
        Some(file) => sinks(file)?,
        None => Vec::new(),
    };
    let witness = audit_key::from_environment()?;
    // Before the store: a second hub on one address leaves the store alone.
    let listener = Listener::bind(request.listen)
        .map_err(|source| AppError::Listen { address: request.listen, source })?;
    let options = StoreOptions {
        heartbeat: request.heartbeat,
        redis: request.redis.clone(),
        merge_approval: request.merge_approval,
        self_approval: request.self_approval,
        ..StoreOptions::default()
    };
    let store = TaskStore::open(&request.store, options).await?;
    store.note_self_approval().await?;
    if request.self_approval {
        tracing::warn!("people may approve what they requested themselves");
    }

    let open_to_read = local && !request.read_token_required;
    let started = HubStarted {
        address: address(listener.address(), tls.is_some()),
        store: without_password(&request.store),
        open_to_read,
        tokens: good(&store.tokens().await?),
        witness: witness.as_ref().map(|key| key.as_witness().to_string()),
    };
    let end = cancel.clone();
    let background = TaskTracker::new();
    let settings = Settings {
        open_to_read,
        public_badges: request.public_badges,
        tls: tls.is_some(),
        hosts: match (local, request.hosts.is_empty()) {
            (true, _) => Hosts::Local(request.hosts),
            (false, true) => Hosts::Any,
            (false, false) => Hosts::Named(request.hosts),
        },
        origins: request.origins,
        rate: request.rate,
        live_events: request.live_events,
        witness: witness.map(Arc::new),
    };
    let service = service(store.clone(), settings, &background, &end).await?;
    let mut plan = SweepPlan::default();
    plan.options.stuck_after = request.stuck_after;
    background.spawn(purge(store.clone(), request.keep, request.purge_every, end.clone()));
    if let Some(merges) = request.merges {
        // Who may push to the repositories may tidy them up, too.
        if let Some(after) = request.keep_branches {
            let plan = BranchPlan {
                after,
                every: request.purge_every,
                work: merges.work.clone(),
                redactor: Redactor::from_env().guard_exits(),
            };
            background.spawn(branches(store.clone(), plan, end.clone()));
        }
        let path = merges.work.clone();
        let options = merge_options(merges, &request.store, request.redis.as_deref())?;
        let queue =
            MergeQueue::open(options).map_err(|source| AppError::Folder { path, source })?;
        let wake = Arc::new(Notify::new());
        background.spawn(wake_at_work(store.clone(), Arc::clone(&wake), end.clone()));
        background.spawn(queue.run(Arc::new(store.clone()), wake, end.clone()));
    }
    if !sinks.is_empty() {
        let address = request.public_url.as_deref().unwrap_or(&started.address);
        let address = format!("{}/", address.trim_end_matches('/'));
        let options = NotifyOptions { sinks, address };
        background.spawn(notify(store.clone(), options, end.clone()));
    }
    background.spawn(sweep(store, plan, end.clone()));
    if let Some(tls) = &tls {
        background.spawn(Arc::clone(tls).keep(end.clone()));
    }
    told(&started);
    tracing::info!(address = started.address, store = started.store, "the hub is listening");

    let connections = allow(request.connections);
    if connections < request.connections {
        tracing::warn!(
            "at most {connections} connections: limited by the maximum number of open \
            files"
        );
    }
    let limits = Limits { connections, drain: DRAIN };
    serve(listener, tls, service.router, limits, end).await;
    service.sockets.close();
    let _cut_after = tokio::time::timeout(DRAIN, service.sockets.wait()).await;
    background.close();
    background.wait().await;
    tracing::info!("the hub has stopped");
    Ok(())
}

/// Who is notified, by a file and the variables that it names.
fn sinks(file: &Path) -> Result<Vec<Sink>, AppError> {
    let plans = greenloop_config::load_notifications(file)?;
    let env = |name: &str| std::env::var(name).ok();
    let sinks = plans.iter().map(|plan| Sink::of(plan, &env)).collect::<Result<_, _>>();
    sinks.map_err(|error: greenloop_notify::SinkError| AppError::Unsupported {
        what: error.to_string(),
        hint: format!("{} names the variables; set them in the hub's environment", file.display()),
    })
}

fn merge_options(
    plan: MergePlan,
    store: &str,
    redis: Option<&str>,
) -> Result<MergeOptions, AppError> {
    let env: Environment = Arc::new(|name| std::env::var(name).ok());
    let (settings, network, launcher) = plan.sandbox.settings(&env)?;
    let own = [Some(store), redis].into_iter().flatten().filter(|url| url.contains("://"));
    let passwords = own.filter_map(|url| Some(Url::parse(url).ok()?.password()?.to_owned()));
    let pid = std::process::id();
    Ok(MergeOptions {
        work: plan.work,
        holder: format!("hub-{pid}-{}", RunId::generate().short()),
        lease: MERGE_LEASE,
        look: MERGE_LOOK,
        window: plan.window,
        recheck: MERGE_RECHECK,
        watch: MERGE_WATCH,
        tidy: MERGE_TIDY,
        on_rewind: plan.on_rewind,
        env_remove: vec!["GREENLOOP_STORE".to_owned(), "GREENLOOP_REDIS".to_owned()],
        sandbox: Some(SandboxOptions { settings, network, launcher }),
        redactor: Redactor::from_env().with(passwords).guard_exits(),
    })
}

/// Work that has ended may be work to merge.
async fn wake_at_work(store: TaskStore, wake: Arc<Notify>, end: CancellationToken) {
    let mut changes = store.event_changes();
    loop {
        tokio::select! {
            () = changes.changed() => wake.notify_one(),
            () = end.cancelled() => return,
        }
        // A busy store wakes for many a thing.
        tokio::time::sleep(MERGE_REST).await;
    }
}

fn address(at: SocketAddr, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    format!("{scheme}://{at}/")
}

/// Tokens that are not revoked.
fn good(tokens: &[TokenView]) -> usize {
    tokens.iter().filter(|token| token.revoked_at.is_none()).count()
}

/// A store's address as it may be shown.
fn without_password(store: &str) -> String {
    let Some((scheme, _)) = store.split_once("://") else { return store.to_owned() };
    match Url::parse(store) {
        Ok(mut url) if url.password().is_some() => {
            if url.set_password(Some("…")).is_err() {
                return format!("{scheme}://…");
            }
            // Parameters may hold one, too.
            url.set_query(None);
            url.to_string().replace("%E2%80%A6", "…")
        }
        Ok(mut url) => {
            url.set_query(None);
            url.to_string()
        }
        Err(_odd) => format!("{scheme}://…"),
    }
}

/// Makes a token in a store.
///
/// # Errors
/// Those of the store.
pub async fn create_token(store: &str, request: &TokenRequest) -> Result<NewToken, AppError> {
    Ok(open(store).await?.create_token(request).await?)
}

/// A store's tokens, oldest first.
///
/// # Errors
/// Those of the store.
pub async fn tokens(store: &str) -> Result<Vec<TokenView>, AppError> {
    Ok(open(store).await?.tokens().await?)
}

/// Ends a token.
///
/// # Errors
/// Those of the store; that there is none of that id.
pub async fn revoke_token(store: &str, id: &str) -> Result<TokenView, AppError> {
    Ok(open(store).await?.revoke_token(id).await?)
}

async fn open(store: &str) -> Result<TaskStore, AppError> {
    let options = StoreOptions { connections: 1, ..StoreOptions::default() };
    Ok(TaskStore::open(store, options).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for (store, expect) in [
            ("sqlite:/srv/hub.db", "sqlite:/srv/hub.db"),
            ("postgres://u:secret@h:5432/d?sslpassword=x", "postgres://u:…@h:5432/d"),
            ("postgres://u@h/d", "postgres://u@h/d"),
            ("postgres://u:se cret@:h/d", "postgres://…"),
        ] {
            assert_eq!(without_password(store), expect);
        }
    }
}
