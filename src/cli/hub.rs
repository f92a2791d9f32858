//! `greenloop hub`.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::error::{CommandError, Exit};
use super::sandbox_choice::SandboxChoiceArgs;
use super::{block_on, block_on_all_processors, output, terminal};
use crate::app::{self, HubRequest, HubStarted, MergePlan};
use greenloop_hub::store::{Retention, Scope, TokenRequest, TokenView};
use greenloop_model::task::HoldDecision;
use greenloop_report::safe_text::safe;

/// The hub that gives tasks to workers.
#[derive(Debug, Subcommand)]
pub(super) enum HubCommand {
    /// Serve the API and the dashboard until SIGTERM
    Serve(Box<ServeArgs>),
    /// Create, list and revoke tokens for workers, pipelines and dashboards
    #[command(subcommand)]
    Token(TokenCommand),
}

/// Where the hub keeps everything.
#[derive(Debug, Args)]
pub(super) struct StoreArgs {
    /// sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE [default: greenloop/hub.db in the
    /// user's data folder]
    #[arg(long, value_name = "URL", env = "GREENLOOP_STORE", hide_env_values = true)]
    store: Option<String>,
}

/// How long ended things are kept. 0 keeps them for ever.
#[derive(Debug, Args)]
struct KeepArgs {
    /// Delete events after this many days; a client that resumes from an older event is told about
    /// the gap; 0 keeps them
    #[arg(long, value_name = "DAYS", env = "GREENLOOP_KEEP_EVENTS", hide_env_values = true, default_value_t = 30, value_parser = days())]
    keep_events: u64,
    /// Delete ended graphs, with their tasks, attempts, evidence and merges, after this many days
    /// (at least one more than --keep-branches); 0 keeps them
    #[arg(long, value_name = "DAYS", env = "GREENLOOP_KEEP_GRAPHS", hide_env_values = true, default_value_t = 90, value_parser = days())]
    keep_graphs: u64,
    /// Delete reports of deploy runs after this many days; 0 keeps them
    #[arg(long, value_name = "DAYS", env = "GREENLOOP_KEEP_RUNS", hide_env_values = true, default_value_t = 90, value_parser = days())]
    keep_runs: u64,
    /// Delete revoked and expired tokens after this many days; 0 keeps them
    #[arg(long, value_name = "DAYS", env = "GREENLOOP_KEEP_TOKENS", hide_env_values = true, default_value_t = 90, value_parser = days())]
    keep_tokens: u64,
    /// Delete branches of tasks (task/ID/eEPOCH) this many days after the end of the task; 0 keeps
    /// them
    #[arg(long, value_name = "DAYS", env = "GREENLOOP_KEEP_BRANCHES", hide_env_values = true, default_value_t = 7, value_parser = days())]
    keep_branches: u64,
    /// Workers that stopped or died, after their last heartbeat; 0 keeps them
    #[arg(long, value_name = "HOURS", env = "GREENLOOP_KEEP_AGENTS", hide_env_values = true, default_value_t = 24, value_parser = clap::value_parser!(u64).range(0..=87_600))]
    keep_agents: u64,
    /// Interval between deletions of old records
    #[arg(long, value_name = "SECONDS", env = "GREENLOOP_PURGE_EVERY", hide_env_values = true, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    purge_every: u64,
}

fn days() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(0..=36_500)
}

/// How long graphs are kept: longer than their branches, which nobody would know any more.
fn graph_days(graphs: u64, branches: u64) -> u64 {
    if graphs == 0 { 0 } else { graphs.max(branches + u64::from(branches > 0)) }
}

/// So long; for ever when it is 0.
fn hours(count: u64) -> Option<Duration> {
    (count > 0).then(|| Duration::from_secs(count * 3600))
}

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Address to listen on; port 0 selects a free port
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7474")]
    listen: SocketAddr,
    #[command(flatten)]
    store: StoreArgs,
    /// redis://…: notifies other hubs on the same PostgreSQL; optional
    #[arg(long, value_name = "URL", env = "GREENLOOP_REDIS", hide_env_values = true)]
    redis: Option<String>,
    /// Certificate chain in PEM; reloaded when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Serve other machines without TLS, behind a proxy that terminates it
    #[arg(long)]
    insecure_http: bool,
    /// Require a token for reading too, even on this machine
    #[arg(long)]
    read_token_required: bool,
    /// Additional host name that requests may use [default: on this machine its own names, beyond
    /// it any name]
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// Accept changes from pages of this origin, for example https://ops.example.org
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    /// Requests per second and token, with bursts of twice as many; 0 for no limit
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    rate: u32,
    /// Maximum number of connections
    #[arg(long, value_name = "N", default_value_t = 16_384)]
    connections: u32,
    /// Disconnect a live client that is this many events behind
    #[arg(long, value_name = "N", default_value_t = 8_192, value_parser = clap::value_parser!(u32).range(16..))]
    live_events: u32,
    /// Expected period of heartbeats; a worker without one for three times as long is down
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    heartbeat: u64,
    /// Raise an alert when a running task reports no progress for this long
    #[arg(long, value_name = "SECONDS", default_value_t = 1_800, value_parser = clap::value_parser!(u64).range(1..))]
    stuck_after: u64,
    /// Return a merge that nobody approves within this time to a person, for tasks and graphs with
    /// `approval: merge`
    #[arg(long, value_name = "HOURS", default_value_t = 168, value_parser = clap::value_parser!(u64).range(1..=8_760))]
    merge_approval_timeout: u64,
    /// Let people approve what they requested themselves, where one person works alone; recorded
    #[arg(long)]
    allow_self_approval: bool,
    #[command(flatten)]
    keep: KeepArgs,
    /// File with `notifications`, as in config.yaml: who is notified of what happens
    #[arg(long, value_name = "FILE", env = "GREENLOOP_NOTIFICATIONS", hide_env_values = true)]
    notifications: Option<PathBuf>,
    /// Where people reach the dashboard, for links in notifications [default: where it listens]
    #[arg(long, value_name = "URL", env = "GREENLOOP_PUBLIC_URL", hide_env_values = true)]
    public_url: Option<String>,
    /// Hand out badges without a token
    #[arg(long)]
    public_badges: bool,
    /// Do not run merge queues; other hubs on the same store do
    #[arg(long, conflicts_with_all = ["work", "speculate"])]
    no_merges: bool,
    /// Folder for mirrors and merge checkouts [default: greenloop-hub in the user's cache folder]
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Number of merges of one branch tested at the same time, each on top of the previous one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    speculate: u32,
    /// What to do about a target branch that somebody moved back
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = OnRewind::Ask)]
    on_rewind: OnRewind,
    #[command(flatten)]
    sandbox: SandboxChoiceArgs,
    /// Write debug messages to the log
    #[arg(long)]
    debug: bool,
}

/// What becomes of a target that was moved other than forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnRewind {
    /// Pause the merge queue until a person decides (`greenloop tasks queue`)
    Ask,
    /// Accept the new position and redo the tasks whose merges are missing
    Follow,
    /// Push the missing commits again, unless that would lose commits of others
    Restore,
}

/// Tokens, in the store itself: the hub need not run.
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Create a token; it is shown only once
    Create {
        /// Name of the owner, for display
        #[arg(long, value_name = "NAME")]
        name: String,
        /// Scope; each one includes the previous ones
        #[arg(long = "scope", value_enum, required = true)]
        scopes: Vec<ScopeChoice>,
        /// Restrict the token to this worker
        #[arg(long, value_name = "NAME")]
        agent: Option<String>,
        /// Validity in days [default: until it is revoked]
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..=3_650))]
        days: Option<u64>,
        #[command(flatten)]
        store: StoreArgs,
    },
    /// List the tokens, without their secrets
    List {
        #[command(flatten)]
        store: StoreArgs,
    },
    /// Revoke a token; hubs notice within seconds
    Revoke {
        /// Id of the token (greenloop hub token list)
        id: String,
        #[command(flatten)]
        store: StoreArgs,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ScopeChoice {
    /// Read everything
    Read,
    /// Claim tasks and report on them
    Work,
    /// Submit, cancel and retry
    Admin,
}

impl From<ScopeChoice> for Scope {
    fn from(choice: ScopeChoice) -> Self {
        match choice {
            ScopeChoice::Read => Self::Read,
            ScopeChoice::Work => Self::Work,
            ScopeChoice::Admin => Self::Admin,
        }
    }
}

pub(super) fn hub(command: HubCommand) -> Result<Exit, CommandError> {
    match command {
        HubCommand::Serve(args) => serve(*args),
        HubCommand::Token(command) => token(command),
    }
}

fn serve(args: ServeArgs) -> Result<Exit, CommandError> {
    let ServeArgs {
        listen,
        store,
        redis,
        tls_cert,
        tls_key,
        insecure_http,
        read_token_required,
        hosts,
        origins,
        rate,
        connections,
        live_events,
        heartbeat,
        stuck_after,
        merge_approval_timeout,
        allow_self_approval,
        keep,
        notifications,
        public_url,
        public_badges,
        no_merges,
        work,
        speculate,
        on_rewind,
        sandbox,
        debug,
    } = args;
    let merges = match no_merges {
        true => None,
        false => Some(MergePlan {
            work: super::work_folder(work, "greenloop-hub")?,
            window: usize::try_from(speculate).unwrap_or(1),
            sandbox: sandbox.choice(),
            on_rewind: match on_rewind {
                OnRewind::Ask => None,
                OnRewind::Follow => Some(HoldDecision::Follow),
                OnRewind::Restore => Some(HoldDecision::Restore),
            },
        }),
    };
    let KeepArgs {
        keep_events,
        keep_graphs,
        keep_runs,
        keep_tokens,
        keep_branches,
        keep_agents,
        purge_every,
    } = keep;
    let request = HubRequest {
        listen,
        store: store.address()?,
        redis,
        tls: tls_cert.zip(tls_key),
        insecure_http,
        read_token_required,
        hosts,
        origins,
        rate,
        connections: usize::try_from(connections).unwrap_or(usize::MAX),
        live_events: usize::try_from(live_events).unwrap_or(usize::MAX),
        heartbeat: Duration::from_secs(heartbeat),
        stuck_after: Duration::from_secs(stuck_after),
        merge_approval: Duration::from_secs(merge_approval_timeout * 3600),
        self_approval: allow_self_approval,
        keep: Retention {
            events: hours(24 * keep_events),
            graphs: hours(24 * graph_days(keep_graphs, keep_branches)),
            runs: hours(24 * keep_runs),
            tokens: hours(24 * keep_tokens),
            agents: hours(keep_agents),
            actions: Retention::default().actions,
            ..Retention::default()
        },
        keep_branches: hours(24 * keep_branches),
        purge_every: Duration::from_secs(purge_every),
        merges,
        notifications,
        public_url,
        public_badges,
        debug,
    };
    block_on_all_processors(async {
        let cancel = terminal::cancel_on_signals();
        app::serve_hub(request, greet, cancel).await
    })??;
    Ok(Exit::Ok)
}

fn greet(started: &HubStarted) {
    let HubStarted { address, store, open_to_read, tokens, witness } = started;
    let look = match (tokens, open_to_read) {
        (0, _) => {
            let program = terminal::program();
            format!(
                "none; create one with {program} hub token create --name NAME --scope admin \
                --store STORE"
            )
        }
        (1, _) => "1".to_owned(),
        (n, _) => n.to_string(),
    };
    let reading = match open_to_read {
        true => "anybody on this machine may read; changes require a token",
        false => "only with a token",
    };
    let signs = witness.as_ref().map_or_else(String::new, |key| format!("  signs as   {key}\n"));
    let text = format!(
        "greenloop hub {}\n  dashboard  {address}\n  store      {store}\n{signs}  \
         tokens     {look}\n  reading    {reading}\n",
        env!("CARGO_PKG_VERSION"),
    );
    // A hub whose output nobody reads serves all the same.
    let _closed_pipe = output::print(&safe(&text));
}

fn token(command: TokenCommand) -> Result<Exit, CommandError> {
    match command {
        TokenCommand::Create { name, scopes, agent, days, store } => {
            let request = TokenRequest {
                name,
                agent,
                scopes: scopes.into_iter().map(Scope::from).collect(),
                valid_for: days.map(|days| Duration::from_secs(days * 24 * 3600)),
            };
            let store = store.address()?;
            let made = block_on(async { app::create_token(&store, &request).await })??;
            // Only the token on stdout, so that a script can take it.
            output::print_content(&format!("{}\n", made.expose()))?;
            output::tell(&format!(
                "token {}: shown only once; revoke it with greenloop hub token revoke {0}\n",
                made.token.id
            ));
        }
        TokenCommand::List { store } => {
            let store = store.address()?;
            let tokens = block_on(async { app::tokens(&store).await })??;
            output::print(&table(&tokens))?;
        }
        TokenCommand::Revoke { id, store } => {
            let store = store.address()?;
            let token = block_on(async { app::revoke_token(&store, &id).await })??;
            output::print(&format!("{} ({}) is revoked\n", token.id, safe(&token.name)))?;
        }
    }
    Ok(Exit::Ok)
}

fn table(tokens: &[TokenView]) -> String {
    if tokens.is_empty() {
        return "There are no tokens.\n".to_owned();
    }
    let mut text =
        format!("{:<14}{:<18}{:<18}{:<14}{}\n", "ID", "SCOPES", "AGENT", "STATE", "NAME");
    for token in tokens {
        let scopes: Vec<&str> = token.scopes.iter().map(|it| it.name()).collect();
        let now = jiff::Timestamp::now().as_microsecond();
        let state = match (token.revoked_at, token.expires_at) {
            (Some(_), _) => "revoked",
            (None, Some(until)) if until.0 <= now => "expired",
            (None, _) => "good",
        };
        // Writing into a string cannot fail.
        let _infallible = writeln!(
            text,
            "{:<14}{:<18}{:<18}{:<14}{}",
            token.id,
            scopes.join(","),
            safe(token.agent.as_deref().unwrap_or("any")),
            state,
            safe(&token.name),
        );
    }
    text
}

impl StoreArgs {
    /// The store's address; the file in the folder for data when none is given.
    fn address(self) -> Result<String, CommandError> {
        if let Some(store) = self.store.filter(|store| !store.is_empty()) {
            return Ok(store);
        }
        let folder = data_folder();
        std::fs::create_dir_all(&folder).map_err(|error| {
            CommandError::usage(format!("could not create {}", folder.display()))
                .because(error)
                .hint("use another file with --store sqlite:PATH")
        })?;
        Ok(format!("sqlite:{}", folder.join("hub.db").display()))
    }
}

/// Where programs keep what is not to be lost; here when there is no such folder.
fn data_folder() -> PathBuf {
    let folder = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    folder("XDG_DATA_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".local/share")))
        .map_or_else(|| PathBuf::from(".greenloop"), |data| data.join("greenloop"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_outlives_its_branches() {
        for (graphs, branches, expect) in
            [(90, 7, 90), (3, 7, 8), (7, 7, 8), (0, 7, 0), (3, 0, 3), (8, 7, 8)]
        {
            assert_eq!(graph_days(graphs, branches), expect, "{graphs} {branches}");
        }
    }
}
