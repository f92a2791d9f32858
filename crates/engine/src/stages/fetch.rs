//! Fetching what a gate needs before it runs without network.
//!
//! The usual commands are chosen by the lock files in the gate's folder. They install nothing that
//! runs: scripts of packages are left out where the package manager can.

use std::path::Path;

use super::StageContext;
use super::confined;
use super::output::Output;
use greenloop_config::plan::{FetchPlan, GatePlan};
use greenloop_exec::sandbox::Grant;
use greenloop_exec::{Outcome, Program};
use greenloop_model::Exit;

/// How the dependencies of one ecosystem are fetched.
struct Ecosystem {
    /// Any of these files, with nothing of `unless`.
    files: &'static [&'static str],
    unless: &'static [&'static str],
    command: &'static str,
    /// Variables of the gate that keep its tools from asking the network all the same.
    offline: &'static [(&'static str, &'static str)],
}

const ECOSYSTEMS: &[Ecosystem] = &[
    Ecosystem {
        files: &["Cargo.lock"],
        unless: &[],
        command: "cargo fetch --locked",
        offline: &[("CARGO_NET_OFFLINE", "true")],
    },
    Ecosystem {
        files: &["package-lock.json", "npm-shrinkwrap.json"],
        unless: &[],
        command: "npm ci --ignore-scripts --no-audit --no-fund",
        offline: &[("npm_config_offline", "true")],
    },
    Ecosystem {
        files: &["pnpm-lock.yaml"],
        unless: &[],
        command: "pnpm install --frozen-lockfile --ignore-scripts",
        offline: &[("npm_config_offline", "true")],
    },
    Ecosystem {
        files: &["yarn.lock"],
        unless: &[".yarnrc.yml"],
        command: "yarn install --frozen-lockfile --ignore-scripts",
        offline: &[],
    },
    Ecosystem {
        files: &[".yarnrc.yml"],
        unless: &[],
        command: "yarn install --immutable --mode=skip-build",
        offline: &[("YARN_ENABLE_NETWORK", "0")],
    },
    Ecosystem {
        files: &["bun.lock", "bun.lockb"],
        unless: &[],
        command: "bun install --frozen-lockfile --ignore-scripts",
        offline: &[],
    },
    Ecosystem {
        files: &["go.sum"],
        unless: &[],
        command: "go mod download",
        offline: &[("GOPROXY", "off"), ("GOFLAGS", "-mod=mod"), ("GONOSUMDB", "*")],
    },
    Ecosystem {
        files: &["uv.lock"],
        unless: &[],
        command: "uv sync --frozen",
        offline: &[("UV_OFFLINE", "1")],
    },
    Ecosystem {
        files: &["requirements.txt"],
        unless: &["uv.lock"],
        command: "python3 -m pip download --quiet --requirement requirements.txt --dest \"$HOME/wheels\"",
        offline: &[("PIP_NO_INDEX", "1")],
    },
    Ecosystem {
        files: &["pom.xml"],
        unless: &[],
        command: "mvn --batch-mode --quiet dependency:go-offline",
        offline: &[("MAVEN_ARGS", "--offline")],
    },
    Ecosystem {
        files: &["packages.lock.json"],
        unless: &[],
        command: "dotnet restore --locked-mode",
        offline: &[],
    },
    Ecosystem {
        files: &["composer.lock"],
        unless: &[],
        command: "composer install --no-interaction --no-scripts --no-plugins",
        offline: &[("COMPOSER_DISABLE_NETWORK", "1")],
    },
    Ecosystem {
        files: &["mix.lock"],
        unless: &[],
        command: "mix deps.get",
        offline: &[("HEX_OFFLINE", "1")],
    },
];

/// The command that fetches a gate's dependencies, and the variables that keep the gate offline
/// afterwards.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fetch {
    pub(super) command: String,
    pub(super) offline: Vec<(&'static str, &'static str)>,
}

impl Fetch {
    /// The given command, or the usual ones for the files of `folder`; `None` when it has none
    /// that is known.
    pub(super) fn of(plan: &FetchPlan, folder: &Path) -> Option<Self> {
        if let Some(command) = &plan.command {
            return Some(Self { command: command.clone(), offline: Vec::new() });
        }
        let has = |names: &[&str]| names.iter().any(|name| folder.join(name).is_file());
        let found: Vec<&Ecosystem> =
            ECOSYSTEMS.iter().filter(|it| has(it.files) && !has(it.unless)).collect();
        let commands: Vec<&str> = found.iter().map(|it| it.command).collect();
        let offline = found.iter().flat_map(|it| it.offline.iter().copied()).collect();
        (!commands.is_empty()).then(|| Self { command: commands.join(" && "), offline })
    }
}

/// Fetches what a gate needs, into the same log. `Ok` with the variables for the gate, `Err` with
/// how the gate ends without having run, and why.
pub(super) async fn fetch(
    plan: &FetchPlan,
    gate: &GatePlan,
    cwd: &Path,
    output: &mut Output<'_>,
    context: &StageContext<'_>,
) -> Result<Vec<(&'static str, &'static str)>, (Box<Outcome>, String)> {
    let Some(Fetch { command: line, offline }) = Fetch::of(plan, cwd) else {
        let reason = "`network: fetch` finds no lock file that it knows in the gate's folder; give \
                      the gate the command: `fetch: COMMAND`";
        let outcome = Outcome { exit: Exit::NotStarted(reason.to_owned()), ..Outcome::nothing() };
        return Err((Box::new(outcome), reason.to_owned()));
    };
    let grant = Grant { network: plan.network.clone(), ..confined::grant(gate) };
    let program = Program::Shell(line.clone());
    let mut command = context.command(greenloop_model::Stage::Gates, program, cwd, grant);
    command.env.extend(gate.env.iter().map(|(name, value)| (name.into(), value.into())));
    command.timeout = gate.timeout;
    output.push(format!("fetching dependencies: {line}\n").as_bytes());
    let outcome =
        greenloop_exec::run(&command, &mut |bytes| output.push(bytes), context.cancel).await;
    if outcome.exit == Exit::Code(0) && !outcome.cancelled {
        return Ok(offline);
    }
    let why = format!("its dependencies could not be fetched (`{line}`), so it did not run");
    Err((Box::new(outcome), why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::Network;

    #[test]
    fn the_lock_files_say_what_is_fetched() {
        let usual = FetchPlan { command: None, network: Network::All };
        let folder = tempfile::tempdir().unwrap();
        let with = |files: &[&str]| {
            let folder = tempfile::tempdir_in(folder.path()).unwrap();
            for file in files {
                std::fs::write(folder.path().join(file), "").unwrap();
            }
            Fetch::of(&usual, folder.path()).map(|fetch| fetch.command)
        };
        assert_eq!(with(&["Cargo.toml"]), None);
        assert_eq!(with(&["Cargo.lock"]).as_deref(), Some("cargo fetch --locked"));
        let both = with(&["go.sum", "Cargo.lock"]);
        assert_eq!(both.as_deref(), Some("cargo fetch --locked && go mod download"));
        let berry = with(&["yarn.lock", ".yarnrc.yml"]);
        assert_eq!(berry.as_deref(), Some("yarn install --immutable --mode=skip-build"));
        let given = FetchPlan { command: Some("make deps".into()), network: Network::All };
        let fetch = Fetch::of(&given, folder.path()).unwrap();
        assert_eq!((fetch.command.as_str(), fetch.offline.len()), ("make deps", 0));
    }
}
