//! `greenloop tasks report`: the completion report of a graph.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::hub_args::HubArgs;
use crate::app;
use crate::cli::error::{CommandError, Exit};
use crate::cli::{block_on, output};
use greenloop_report::safe_text::safe;

/// Which graph, and how.
#[derive(Debug, Args)]
pub(in crate::cli) struct ReportArgs {
    /// Id of the graph [default: the newest]
    #[arg(value_name = "GRAPH")]
    graph: Option<i64>,
    #[command(flatten)]
    hub: HubArgs,
    /// Output format
    #[arg(long, value_enum, default_value_t = ReportFormat::Markdown)]
    format: ReportFormat,
    /// Write the report to this file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// Tables and lists
    #[value(alias = "md")]
    Markdown,
    /// One page with its style
    Html,
    /// One JSON object
    Json,
}

impl ReportFormat {
    const fn name(self) -> &'static str {
        match self {
            Self::Markdown => "markdown",
            Self::Html => "html",
            Self::Json => "json",
        }
    }
}

pub(super) fn report(args: ReportArgs) -> Result<Exit, CommandError> {
    let ReportArgs { graph, hub, format, out } = args;
    let access = hub.access();
    let mut text = block_on(app::graph_report(&access, graph, format.name()))??;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    match out {
        None => output::print(&safe(&text))?,
        Some(file) => {
            std::fs::write(&file, text).map_err(|error| {
                let message = format!("could not write the report to {}", file.display());
                CommandError::usage(message).because(error)
            })?;
            output::tell(&format!("wrote {}\n", file.display()));
        }
    }
    Ok(Exit::Ok)
}
