//! `greenloop tasks simulate`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};

use super::{counted, hours, print, record, summary};
use crate::cli::error::{CommandError, Exit};
use crate::cli::output;
use greenloop_hub_api::graph::{self, NobodyFits, Simulation, TaskGraph, Team, critical_path};
use greenloop_model::task::total_hours;

/// More tasks than this are not listed in a sentence.
const MOST_LISTED: usize = 12;

/// What to play, with whom.
#[derive(Debug, Args)]
pub(in crate::cli) struct SimulateArgs {
    /// Task file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Number of agents without restriction of roles; several numbers run several simulations
    #[arg(short = 'n', long, value_name = "N", value_delimiter = ',', required_unless_present = "team",
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    agents: Vec<u16>,
    /// Agents by role, for example backend=4,frontend=3; repeatable
    #[arg(long, value_name = "ROLE=N,…")]
    team: Vec<Roles>,
    /// Speed-up X claimed for N agents, for example 18.8@3; repeatable
    #[arg(long, value_name = "X@N")]
    claim: Vec<Claim>,
    /// Simulate from the start, as if no task were done
    #[arg(long)]
    from_start: bool,
    /// Print what each agent does when
    #[arg(long)]
    timeline: bool,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = SimulateOutput::Table)]
    output: SimulateOutput,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SimulateOutput {
    /// Tables and text
    #[value(alias = "human", alias = "plain", alias = "auto")]
    Table,
    /// One JSON object
    Json,
}

/// `backend=4,frontend=3`
#[derive(Debug, Clone, PartialEq, Eq)]
struct Roles(Vec<(String, usize)>);

impl FromStr for Roles {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let one = |part: &str| {
            let (role, number) = part.rsplit_once('=')?;
            let number = number.trim().parse().ok().filter(|n| (1..=1000).contains(n))?;
            (!role.trim().is_empty()).then(|| (role.trim().to_owned(), number))
        };
        let roles: Option<Vec<_>> = text.split(',').map(one).collect();
        roles.map(Self).ok_or("write roles with their number of agents: backend=4,frontend=3")
    }
}

/// `18.8@3`
#[derive(Debug, Clone, Copy, PartialEq)]
struct Claim {
    speed_up: f64,
    agents: u16,
}

impl FromStr for Claim {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "write a speed-up and a number of agents: 18.8@3";
        let (speed_up, agents) = text.split_once('@').ok_or(FORM)?;
        let speed_up = speed_up.trim().trim_end_matches('x').parse().map_err(|_| FORM)?;
        let agents = agents.trim().parse().map_err(|_| FORM)?;
        let sensible = (0.0..=1e6).contains(&speed_up) && (1..=1000).contains(&agents);
        if sensible { Ok(Self { speed_up, agents }) } else { Err(FORM) }
    }
}

/// What becomes of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClaimResult {
    /// The play is as fast.
    Reached,
    /// The play is slower, and nothing proves that no order of work is as fast.
    Open,
    /// No order of work is as fast.
    Impossible,
}

impl ClaimResult {
    fn of(claim: Claim, simulation: &Simulation) -> Self {
        if claim.speed_up <= simulation.speed_up() {
            Self::Reached
        } else if claim.speed_up <= simulation.largest_speed_up() {
            Self::Open
        } else {
            Self::Impossible
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::Open => "open",
            Self::Impossible => "impossible",
        }
    }
}

struct Played {
    name: String,
    team: Team,
    simulation: Simulation,
}

pub(super) fn simulate(args: SimulateArgs) -> Result<Exit, CommandError> {
    let SimulateArgs { file, agents, team, claim, from_start, timeline, output } = args;
    let mut graph = graph::load(&file)?;
    if from_start {
        graph.tasks.iter_mut().for_each(|task| task.done = false);
        graph::rank(&mut graph);
    }
    let mut plays = Vec::new();
    for number in agents {
        plays.push(play(&graph, agents_name(number), all_trades(&graph, number))?);
    }
    for Roles(roles) in team {
        let names: Vec<String> = roles.iter().map(|(role, n)| format!("{n} {role}")).collect();
        plays.push(play(&graph, names.join(", "), Team::of_roles(&graph, &roles))?);
    }
    let mut claims = Vec::new();
    for claim in claim {
        let team = all_trades(&graph, claim.agents);
        claims.push((claim, play(&graph, agents_name(claim.agents), team)?.simulation));
    }
    match output {
        SimulateOutput::Table => print(&table(&graph, &plays, &claims, timeline)),
        SimulateOutput::Json => {
            output::print_json(&json(&graph, &plays, &claims))?;
            Ok(Exit::Ok)
        }
    }
}

fn agents_name(number: u16) -> String {
    counted(number.into(), "agent")
}

fn all_trades(graph: &TaskGraph, number: u16) -> Team {
    Team::of_all_trades(graph, number.into())
}

fn play(graph: &TaskGraph, name: String, team: Team) -> Result<Played, CommandError> {
    let simulation = graph::simulate(graph, &team).map_err(|NobodyFits { tasks }| {
        let task = tasks.first().map(|task| &graph.tasks[*task]);
        let role = task.and_then(|task| task.role.as_deref()).unwrap_or_default();
        let key = task.map_or("", |task| &task.key);
        CommandError::usage(format!(
            "no agent of {name} can run {} of the tasks, for example {key} (role {role})",
            tasks.len()
        ))
        .hint("add an agent with that role, or use --agents")
    })?;
    Ok(Played { name, team, simulation })
}

type Claims = Vec<(Claim, Simulation)>;

fn json(graph: &TaskGraph, plays: &[Played], claims: &Claims) -> Json {
    let path = critical_path(graph);
    let keys = path.tasks.iter().map(|task| &graph.tasks[*task].key);
    let plays =
        plays.iter().map(|played| record::simulation(graph, &played.team, &played.simulation));
    let claims = claims.iter().map(|(claim, simulation)| {
        json!({
            "speed_up": claim.speed_up,
            "agents": claim.agents,
            "verdict": ClaimResult::of(*claim, simulation).name(),
            "played_speed_up": simulation.speed_up(),
            "largest_speed_up": simulation.largest_speed_up(),
        })
    });
    json!({
        "name": graph.name,
        "tasks": graph.tasks.len(),
        "done_tasks": graph.tasks.iter().filter(|task| task.done).count(),
        "hours": total_hours(graph.tasks.iter().map(|task| task.hours)),
        "critical_path": { "hours": path.hours, "tasks": keys.collect::<Vec<_>>() },
        "plays": plays.collect::<Vec<_>>(),
        "claims": claims.collect::<Vec<_>>(),
    })
}

fn table(graph: &TaskGraph, plays: &[Played], claims: &Claims, timeline: bool) -> String {
    let mut out = format!("{}: {}\n\n", graph.name, summary(graph));
    let rows = plays.iter().map(|Played { name, simulation, .. }| {
        let bound = simulation.bound;
        let what = if bound.critical_path >= bound.work_per_agent { "path" } else { "work" };
        vec![
            name.clone(),
            format!("{} h", hours(simulation.play.makespan)),
            format!("{} h ({what})", hours(bound.hours())),
            format!("{:.3}", simulation.over_bound()),
            format!("{:.2}x", simulation.speed_up()),
            format!("{:.2}x", simulation.largest_speed_up()),
            format!("{:.0} %", 100.0 * simulation.utilisation()),
        ]
    });
    let head = ["", "makespan", "bound", "over bound", "speed-up", "at most", "utilisation"];
    columns(&mut out, &head, rows.collect());
    out.push_str(
        "\nspeed-up: compared with one agent that can do everything; at most: upper bound for any \
         schedule\n\n",
    );
    ceiling(&mut out, graph);
    out.push_str("\nhours of the agents\n");
    let rows = plays.iter().map(|Played { name, simulation, .. }| {
        let idle = simulation.play.idle;
        let parts = [simulation.work, idle.needs, idle.conditions, idle.roles, idle.finished];
        let all = total_hours(parts);
        let part = |part: f64| {
            format!("{} h, {:.0} %", hours(part), 100.0 * part / all.max(f64::MIN_POSITIVE))
        };
        std::iter::once(name.clone()).chain(parts.into_iter().map(part)).collect()
    });
    let head = [
        "",
        "work",
        "idle: dependencies",
        "idle: conditions",
        "idle: no task for the role",
        "idle: \
            all tasks started",
    ];
    columns(&mut out, &head, rows.collect());
    out.push_str("\nwaiting time of the tasks, summed\n");
    let rows = plays.iter().map(|Played { name, simulation, .. }| {
        let waits = simulation.play.waits;
        let parts = [waits.needs, waits.conditions, waits.agents];
        let parts = parts.into_iter().map(|part| format!("{} h", hours(part)));
        std::iter::once(name.clone()).chain(parts).collect()
    });
    columns(&mut out, &["", "needs", "conditions", "an agent"], rows.collect());
    if timeline {
        for played in plays {
            let _infallible = writeln!(out, "\nwho does what with {}, in hours", played.name);
            spans(&mut out, graph, played);
        }
    }
    if !claims.is_empty() {
        out.push_str("\nclaims\n");
    }
    for (claim, simulation) in claims {
        let _infallible = writeln!(out, "{}", sentence(*claim, simulation));
    }
    out
}

/// What more agents can never do.
fn ceiling(out: &mut String, graph: &TaskGraph) {
    let path = critical_path(graph);
    let left = graph.tasks.iter().filter(|task| !task.done);
    let work = total_hours(left.map(|task| task.hours));
    if path.hours <= 0.0 {
        out.push_str("all tasks are done\n");
        return;
    }
    let keys: Vec<&str> = path.tasks.iter().map(|task| graph.tasks[*task].key.as_str()).collect();
    let keys = match keys.as_slice() {
        [first @ .., last] if keys.len() > MOST_LISTED => {
            format!("{} → … → {last}", first[..MOST_LISTED - 2].join(" → "))
        }
        all => all.join(" → "),
    };
    let _infallible = writeln!(
        out,
        "with any number of agents: at least {} h, at most {:.2}x, because of {keys}",
        hours(path.hours),
        work / path.hours
    );
}

fn sentence(claim: Claim, simulation: &Simulation) -> String {
    let (played, most) = (simulation.speed_up(), simulation.largest_speed_up());
    let said = format!("{}x with {}", hours(claim.speed_up), agents_name(claim.agents));
    match ClaimResult::of(claim, simulation) {
        ClaimResult::Reached => format!("{said}: possible; the simulation reaches {played:.2}x"),
        ClaimResult::Open => {
            format!(
                "{said}: not ruled out; the simulation reaches {played:.2}x, the bound is \
                {most:.2}x"
            )
        }
        ClaimResult::Impossible => format!(
            "{said}: impossible by parallel work alone; the simulation reaches {played:.2}x, and \
             no schedule more than {most:.2}x. Each agent would have to be {:.1} times as fast as \
             the estimates.",
            claim.speed_up / played
        ),
    }
}

fn spans(out: &mut String, graph: &TaskGraph, played: &Played) {
    for (agent, spans) in played.team.agents.iter().zip(&played.simulation.play.agents) {
        let spans: Vec<String> = spans
            .iter()
            .map(|span| {
                let key = &graph.tasks[span.task].key;
                format!("{}–{} {key}", hours(span.start), hours(span.end))
            })
            .collect();
        let spans = if spans.is_empty() { "nothing".to_owned() } else { spans.join(", ") };
        let _infallible = writeln!(out, "  {}: {spans}", agent.name);
    }
}

/// The first column to the left, the others to the right.
fn columns(out: &mut String, head: &[&str], rows: Vec<Vec<String>>) {
    let head = head.iter().map(|title| (*title).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let wide = |cell: &String| unicode_width::UnicodeWidthStr::width(cell.as_str());
    let count = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..count)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(wide).max().unwrap_or(0))
        .collect();
    for row in &rows {
        let mut line = String::new();
        for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let room = " ".repeat(width.saturating_sub(wide(cell)));
            line.push_str(if i == 0 { "  " } else { "   " });
            line.push_str(&if i == 0 { format!("{cell}{room}") } else { format!("{room}{cell}") });
        }
        let _infallible = writeln!(out, "{}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_and_teams_are_read() {
        for (text, expect) in [
            ("18.8@3", Some((18.8, 3))),
            ("100x@16", Some((100.0, 16))),
            ("3", None),
            ("x@3", None),
            ("nan@3", None),
            ("2@0", None),
        ] {
            let read = text.parse::<Claim>().ok().map(|claim| (claim.speed_up, claim.agents));
            assert_eq!(read, expect, "{text}");
        }
        for (text, expect) in [
            ("backend=4,frontend=3", Some(2)),
            ("backend=0", None),
            ("=3", None),
            ("backend", None),
        ] {
            assert_eq!(text.parse::<Roles>().ok().map(|roles| roles.0.len()), expect, "{text}");
        }
    }

    /// `GREENLOOP_UPDATE=1 cargo test --lib cli::` writes the page again.
    #[test]
    fn the_page_shows_what_the_command_prints() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tasks.md");
        let mut page = std::fs::read_to_string(path).unwrap();
        let written = page.clone();
        let claims = [(18.8, 3), (50.0, 7), (100.0, 16)];
        for (name, numbers, claims) in
            [("fleet-remediation", [3, 7, 16], &claims[..]), ("ten-agents", [3, 7, 10], &[])]
        {
            let file = format!("{}/examples/tasks/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
            let graph = graph::load(file.as_ref()).unwrap();
            let simulated = |n| play(&graph, agents_name(n), all_trades(&graph, n)).unwrap();
            let plays: Vec<Played> = numbers.into_iter().map(simulated).collect();
            let claims = claims.iter().map(|(speed_up, agents)| {
                let claim = Claim { speed_up: *speed_up, agents: *agents };
                (claim, simulated(*agents).simulation)
            });
            let table = table(&graph, &plays, &claims.collect(), false);
            let begin = format!("<!-- simulate {name} -->\n```text\n");
            let from = page.find(&begin).unwrap() + begin.len();
            let to = from + page[from..].find("```").unwrap();
            page.replace_range(from..to, &table);
        }
        if std::env::var_os("GREENLOOP_UPDATE").is_some() {
            std::fs::write(path, &page).unwrap();
        } else {
            assert!(written == page, "docs/tasks.md is out of date: just generate");
        }
    }

    #[test]
    fn a_claim_is_judged_by_the_play_and_the_bound() {
        let text = "project: {name: p}\ntasks:\n  - {key: a, title: A, command: x, hours: 3}\n  \
                    - {key: b, title: B, command: x, hours: 3}\n  \
                    - {key: c, title: C, command: x, hours: 2}\n  \
                    - {key: d, title: D, command: x, hours: 2}\n  \
                    - {key: e, title: E, command: x, hours: 2}\n";
        let graph = graph::parse(text, "tasks.yaml").unwrap();
        // Twelve hours: 3+2+2 and 3+2 in that order, 3+3 and 2+2+2 would be the best.
        let simulation = graph::simulate(&graph, &all_trades(&graph, 2)).unwrap();
        assert_eq!((simulation.play.makespan, simulation.bound.hours()), (7.0, 6.0));
        for (speed_up, expect) in
            [(1.7, ClaimResult::Reached), (2.0, ClaimResult::Open), (2.1, ClaimResult::Impossible)]
        {
            let claim = Claim { speed_up, agents: 2 };
            assert_eq!(ClaimResult::of(claim, &simulation), expect, "{speed_up}");
        }
    }
}
