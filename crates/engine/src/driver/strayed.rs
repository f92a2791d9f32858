//! Whether the tree that was tested is the commit that is deployed: no gate, no renderer of manifests
//! and no smoke script may change tracked files unsaid.

use std::collections::BTreeMap;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::{DriveError, Driver};
use crate::stages::identity::combined;
use greenloop_model::{
    Evidence, Excerpt, Failure, FailureClass, Remedy, RepoPath, RunKind, Stage, TargetKind, counted,
};

/// Lines of the diff that are evidence.
const MOST_LINES: usize = 80;

/// The tracked files that were not as the commit has them before commands ran, with what they held.
pub(super) struct StrayedBefore(BTreeMap<RepoPath, Option<String>>);

/// Whose commands changed tracked files.
struct Culprit {
    stage: Stage,
    /// What failed, by name.
    name: String,
    /// `the gates`
    who: &'static str,
    /// The kind of the excerpt that shows the diff.
    kind: &'static str,
    what_to_do: &'static str,
}

impl Driver {
    /// Why the run does not go on with the work tree as the gates have left it: tracked files are
    /// not as the commit has them, and no gate says that it writes them. `heal` deploys nothing,
    /// and its command may well be a formatter.
    pub(super) fn strayed(&self) -> Result<Option<Failure>, DriveError> {
        if self.run.header.task != RunKind::Deploy {
            return Ok(None);
        }
        let allowed = patterns(self.run.gates.iter().flat_map(|gate| &gate.writes));
        let mut strayed = self.run.workspace.strayed(&self.tip)?;
        strayed.retain(|path| !allowed.is_match(path.to_os_path()));
        let gate = self.run.gates.first().map_or_else(String::new, |gate| gate.name.clone());
        let culprit = Culprit {
            stage: Stage::Gates,
            name: gate,
            who: "the gates",
            kind: "written by a gate",
            what_to_do: "let the gate leave tracked files alone, commit what it writes, or name \
                         the files in its `writes`",
        };
        self.failure_of_strayed(culprit, strayed)
    }

    /// What is compared with when the stage is over; `None` for a stage that runs no command in the
    /// work tree.
    pub(super) fn before_commands(
        &self,
        stage: Stage,
    ) -> Result<Option<StrayedBefore>, DriveError> {
        if self.run.header.task != RunKind::Deploy || self.commands_of(stage).is_none() {
            return Ok(None);
        }
        let workspace = &self.run.workspace;
        Ok(Some(StrayedBefore(workspace.digests(workspace.strayed(&self.tip)?)?)))
    }

    /// Why the run does not go on with the work tree as the commands of a later stage have left it:
    /// what serves was made of another one.
    pub(super) fn strayed_since(
        &self,
        stage: Stage,
        before: &StrayedBefore,
    ) -> Result<Option<Failure>, DriveError> {
        let Some((culprit, writes)) = self.commands_of(stage) else { return Ok(None) };
        let workspace = &self.run.workspace;
        let StrayedBefore(before) = before;
        let mut paths = workspace.strayed(&self.tip)?;
        paths.extend(before.keys().cloned());
        paths.sort_unstable();
        paths.dedup();
        let allowed = patterns(writes);
        let now = workspace.digests(paths)?;
        let strayed = now
            .into_iter()
            .filter(|(path, digest)| before.get(path) != Some(digest))
            .map(|(path, _)| path)
            .filter(|path| !allowed.is_match(path.to_os_path()))
            .collect();
        self.failure_of_strayed(culprit, strayed)
    }

    /// Which commands a stage runs in the work tree, and what they say that they write.
    fn commands_of(&self, stage: Stage) -> Option<(Culprit, &[String])> {
        let delivery = self.run.delivery.as_ref()?;
        match stage {
            Stage::Smoke => {
                let script = delivery.verification.script.as_ref()?;
                let culprit = Culprit {
                    stage,
                    name: script.script.display().to_string(),
                    who: "the smoke script",
                    kind: "written by the smoke script",
                    what_to_do: "let the script leave tracked files alone, or name the files in \
                                 `verification.smoke_tests.writes`",
                };
                Some((culprit, &script.writes))
            }
            Stage::Rollout => {
                let target = delivery.target.as_ref()?;
                // The others start what they have copied.
                let renders = target.kind() == TargetKind::Kubernetes;
                let culprit = Culprit {
                    stage,
                    name: target.kind().name().to_owned(),
                    who: "helm or kustomize, which the rollout runs,",
                    kind: "written by the rollout",
                    what_to_do: "commit what they write (a chart's lock file and dependencies, for \
                                 example)",
                };
                renders.then_some((culprit, &[]))
            }
            Stage::Gates | Stage::Tasks | Stage::Image => None,
        }
    }

    fn failure_of_strayed(
        &self,
        culprit: Culprit,
        strayed: Vec<RepoPath>,
    ) -> Result<Option<Failure>, DriveError> {
        if strayed.is_empty() {
            return Ok(None);
        }
        let Culprit { stage, name, who, kind, what_to_do } = culprit;
        let diff = self.run.workspace.stray_diff(&self.tip, &strayed)?;
        let names: Vec<String> = strayed.iter().take(10).map(ToString::to_string).collect();
        let some = names.join(", ");
        let count = counted(strayed.len(), "tracked file", "tracked files");
        let headline = format!(
            "{who} changed {count}: {some}; what would be deployed is not the commit that was tested"
        );
        let lines: Vec<&str> = diff.lines().take(MOST_LINES).collect();
        let excerpt = Excerpt {
            start: 1,
            end: lines.len().max(1) as u64,
            kind: kind.to_owned(),
            text: self.redacted(&lines.join("\n")),
            locations: Vec::new(),
        };
        let remedy =
            Remedy { what: format!("{what_to_do}: [{some}]"), command: None, person_only: true };
        Ok(Some(Failure {
            stage,
            name,
            fingerprint: combined(&["strayed", &some]),
            class: FailureClass::Config,
            flaky_suspect: false,
            symptoms: strayed.iter().map(ToString::to_string).collect(),
            evidence: Evidence {
                excerpts: vec![excerpt],
                remedy: Some(remedy),
                ..Evidence::default()
            },
            headline,
        }))
    }
}

fn patterns<'p>(patterns: impl IntoIterator<Item = &'p String>) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
        // The configuration has refused what is no pattern.
        if let Ok(glob) = GlobBuilder::new(pattern).literal_separator(true).build() {
            set.add(glob);
        }
    }
    set.build().unwrap_or_else(|_| GlobSet::empty())
}
