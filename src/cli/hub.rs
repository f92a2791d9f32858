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
    /// Make, list and revoke the tokens of workers, pipelines and dashboards
    #[command(subcommand)]
    Token(TokenCommand),
}

/// Where the hub keeps everything.
#[derive(Debug, Args)]
pub(super) struct StoreArgs {
    /// sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE [default: hub.db in the
    /// folder for data]
    #[arg(long, value_name = "URL", env = "GREENLOOP_STORE", hide_env_values = true)]
    store: Option<String>,
}

/// How long ended things are kept. 0 keeps them for ever.
#[derive(Debug, Args)]
struct KeepArgs {
    /// Events; a live connection that wants older ones is told of the gap; 0 keeps them
    #[arg(long, value_name = "DAYS", env = "GREENLOOP_KEEP_EVENTS", hide_env_values = true, default_value_t = 30, value_parser = days())]
    keep_events: u64,
    /// Graphs that ended, with their tasks, attempts, evidence and merges: a day longer than their
    /// branches at least; 0 keeps them
    #[arg(long, value_name = "DAYS", env = "GREENLOOP_KEEP_GRAPHS", hide_env_values = true, default_value_t = 90, value_parser = days())]
    keep_graphs: u64,
    /// Reports of deploy runs; 0 keeps them
    #[arg(long, value_name = "DAYS", env = "GREENLOOP_KEEP_RUNS", hide_env_values = true, default_value_t = 90, value_parser = days())]
    keep_runs: u64,
    /// Tokens that were revoked or have expired; 0 keeps them
    #[arg(long, value_name = "DAYS", env = "GREENLOOP_KEEP_TOKENS", hide_env_values = true, default_value_t = 90, value_parser = days())]
    keep_tokens: u64,
    /// Branches of tasks (task/ID/eEPOCH), after the end of their task; 0 keeps them
    #[arg(long, value_name = "DAYS", env = "GREENLOOP_KEEP_BRANCHES", hide_env_values = true, default_value_t = 7, value_parser = days())]
    keep_branches: u64,
    /// Workers that stopped or died, after their last heartbeat; 0 keeps them
    #[arg(long, value_name = "HOURS", env = "GREENLOOP_KEEP_AGENTS", hide_env_values = true, default_value_t = 24, value_parser = clap::value_parser!(u64).range(0..=87_600))]
    keep_agents: u64,
    /// How often old things are looked for
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
    /// Where to listen; port 0 takes any that is free
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7474")]
    listen: SocketAddr,
    #[command(flatten)]
    store: StoreArgs,
    /// redis://…: wakes other hubs of the same PostgreSQL; never needed
    #[arg(long, value_name = "URL", env = "GREENLOOP_REDIS", hide_env_values = true)]
    redis: Option<String>,
    /// Chain of certificates, in PEM; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Serve other machines without TLS, behind a proxy that terminates it
    #[arg(long)]
    insecure_http: bool,
    /// Require a token for reading too, even on this machine
    #[arg(long)]
    read_token_required: bool,
    /// What the hub is called besides; beyond this machine, any name when none is given
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// Let pages of this origin change things: https://ops.example.org
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    /// Requests a second of one token, twice as many at once; 0 for no limit
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    rate: u32,
    /// Connections at the same time
    #[arg(long, value_name = "N", default_value_t = 16_384)]
    connections: u32,
    /// Events that a live connection may fall behind by before it is dropped
    #[arg(long, value_name = "N", default_value_t = 8_192, value_parser = clap::value_parser!(u32).range(16..))]
    live_events: u32,
    /// Expected period of heartbeats; a worker without one for three times as long is down
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    heartbeat: u64,
    /// How long a running task may say nothing new before an alert
    #[arg(long, value_name = "SECONDS", default_value_t = 1_800, value_parser = clap::value_parser!(u64).range(1..))]
    stuck_after: u64,
    #[command(flatten)]
    keep: KeepArgs,
    /// Leave the merge queues to other hubs of the same store
    #[arg(long, conflicts_with_all = ["work", "speculate"])]
    no_merges: bool,
    /// Where mirrors and the merges under test go [default: greenloop-hub in the folder for
    /// caches]
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Merges of one branch that are tested at the same time, each on top of the one before
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    speculate: u32,
    /// What to do about a target branch that somebody moved back
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = OnRewind::Ask)]
    on_rewind: OnRewind,
    #[command(flatten)]
    sandbox: SandboxChoiceArgs,
    /// Log in detail
    #[arg(long)]
    debug: bool,
}

/// What becomes of a target that was moved other than forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnRewind {
    /// Its merge queue waits until a person decides (`greenloop tasks queue`)
    Ask,
    /// It stays there: the tasks whose merges are missing are done again
    Follow,
    /// It gets back what it had, unless commits of others would be lost
    Restore,
}

/// Tokens, in the store itself: the hub need not run.
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token; it is shown once
    Create {
        /// For people: who has it
        #[arg(long, value_name = "NAME")]
        name: String,
        /// What it allows; each scope allows what the one before does
        #[arg(long = "scope", value_enum, required = true)]
        scopes: Vec<ScopeChoice>,
        /// The one worker that may use it
        #[arg(long, value_name = "NAME")]
        agent: Option<String>,
        /// How long it is good for [default: until it is revoked]
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
        /// Its id (greenloop hub token list)
        id: String,
        #[command(flatten)]
        store: StoreArgs,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ScopeChoice {
    /// Look
    Read,
    /// Claim tasks, report on them
    Work,
    /// Submit, cancel, retry
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
        keep,
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
        keep: Retention {
            events: hours(24 * keep_events),
            graphs: hours(24 * graph_days(keep_graphs, keep_branches)),
            runs: hours(24 * keep_runs),
            tokens: hours(24 * keep_tokens),
            agents: hours(keep_agents),
            ..Retention::default()
        },
        keep_branches: hours(24 * keep_branches),
        purge_every: Duration::from_secs(purge_every),
        merges,
        debug,
    };
    block_on_all_processors(async {
        let cancel = terminal::cancel_on_signals();
        app::serve_hub(request, greet, cancel).await
    })??;
    Ok(Exit::Ok)
}

fn greet(started: &HubStarted) {
    let HubStarted { address, store, open_to_read, tokens } = started;
    let look = match (tokens, open_to_read) {
        (0, _) => {
            let program = terminal::program();
            format!("none yet: {program} hub token create --name NAME --scope admin --store STORE")
        }
        (1, _) => "1".to_owned(),
        (n, _) => n.to_string(),
    };
    let reading = match open_to_read {
        true => "anybody on this machine; to change something takes a token",
        false => "with a token",
    };
    let text = format!(
        "greenloop hub {}\n  dashboard  {address}\n  store      {store}\n  tokens     {look}\n  \
         reading    {reading}\n",
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
            output::print(&format!("{}\n", made.expose()))?;
            output::tell(&format!(
                "token {}: it is shown only now; revoke it with greenloop hub token revoke {0}\n",
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
            CommandError::usage(format!("{} cannot be made", folder.display()))
                .because(error)
                .hint("name another place with --store sqlite:PATH")
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
