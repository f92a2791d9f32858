//! The sandbox of commands that no configuration speaks of: those of a worker and of a hub's merges.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::app::SandboxChoice;
use greenloop_config::plan::{SandboxLevel, SandboxPlan};
use greenloop_model::Network;

/// The weakest sandbox that will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Weakest {
    /// Namespaces (bubblewrap), Landlock and seccomp
    #[value(name = "A")]
    A,
    /// Landlock and seccomp
    #[value(name = "B")]
    B,
    /// A container, where the configuration has an image for it
    #[value(name = "C")]
    C,
    /// Whatever the machine has, and none where it has none
    #[value(name = "D")]
    D,
    /// None, whatever the machine has
    #[value(name = "off")]
    Off,
}

/// The sandbox of commands.
#[derive(Debug, Args)]
pub(super) struct SandboxChoiceArgs {
    /// The weakest sandbox that will do for commands
    #[arg(long, value_name = "LEVEL", value_enum, ignore_case = true, default_value = "B")]
    sandbox: Weakest,
    /// Let commands use the network
    #[arg(long)]
    network: bool,
    /// Let commands inherit this variable, or all that begin so when it ends in `*`
    #[arg(long, value_name = "NAME")]
    pass_env: Vec<String>,
    /// Let commands write to this folder, too
    #[arg(long, value_name = "DIR")]
    cache: Vec<PathBuf>,
}

impl Weakest {
    pub(super) fn level(self) -> SandboxLevel {
        match self {
            Self::A => SandboxLevel::A,
            Self::B => SandboxLevel::B,
            Self::C => SandboxLevel::C,
            Self::D => SandboxLevel::D,
            Self::Off => SandboxLevel::Off,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::D => "D",
            Self::Off => "off",
        }
    }
}

impl SandboxChoiceArgs {
    pub(super) fn choice(self) -> SandboxChoice {
        let Self { sandbox, network, pass_env, cache } = self;
        let cache = cache.iter().filter_map(|path| std::path::absolute(path).ok()).collect();
        SandboxChoice(SandboxPlan {
            level: sandbox.level(),
            network: Network::all_or_none(network),
            env: pass_env,
            cache,
            ..SandboxPlan::default()
        })
    }
}
