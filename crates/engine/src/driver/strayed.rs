//! Whether the tree that the gates have tested is the commit that is deployed.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::{DriveError, Driver};
use crate::stages::identity::combined;
use greenloop_config::plan::GatePlan;
use greenloop_model::{
    Evidence, Excerpt, Failure, FailureClass, Remedy, RepoPath, RunKind, Stage, counted,
};

/// Lines of the diff that are evidence.
const MOST_LINES: usize = 80;

impl Driver {
    /// Why the run does not go on with the work tree as the gates have left it: tracked files are
    /// not as the commit has them, and no gate says that it writes them. `heal` deploys nothing,
    /// and its command may well be a formatter.
    pub(super) fn strayed(&self) -> Result<Option<Failure>, DriveError> {
        if self.run.header.task != RunKind::Deploy {
            return Ok(None);
        }
        let workspace = &self.run.workspace;
        let allowed = written(&self.run.gates);
        let mut strayed = workspace.strayed(&self.tip)?;
        strayed.retain(|path| !allowed.is_match(path.to_os_path()));
        if strayed.is_empty() {
            return Ok(None);
        }
        let diff = workspace.stray_diff(&self.tip, &strayed)?;
        Ok(Some(self.failure_of_strayed(&strayed, &diff)))
    }

    fn failure_of_strayed(&self, strayed: &[RepoPath], diff: &str) -> Failure {
        let names: Vec<String> = strayed.iter().take(10).map(ToString::to_string).collect();
        let some = names.join(", ");
        let count = counted(strayed.len(), "tracked file", "tracked files");
        let headline = format!(
            "the gates changed {count}: {some}; what would be deployed is not the commit that \
             was tested"
        );
        let lines: Vec<&str> = diff.lines().take(MOST_LINES).collect();
        let excerpt = Excerpt {
            start: 1,
            end: lines.len().max(1) as u64,
            kind: "written by a gate".to_owned(),
            text: self.redacted(&lines.join("\n")),
            locations: Vec::new(),
        };
        let remedy = Remedy {
            what: format!(
                "let the gate leave tracked files alone, commit what it writes, or name the files \
                 in its `writes`: [{some}]"
            ),
            command: None,
            person_only: true,
        };
        let gate = self.run.gates.first().map_or_else(String::new, |gate| gate.name.clone());
        Failure {
            stage: Stage::Gates,
            name: gate,
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
        }
    }
}

/// What the gates say that they write.
fn written(gates: &[GatePlan]) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for pattern in gates.iter().flat_map(|gate| &gate.writes) {
        let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
        // The configuration has refused what is no pattern.
        if let Ok(glob) = GlobBuilder::new(pattern).literal_separator(true).build() {
            set.add(glob);
        }
    }
    set.build().unwrap_or_else(|_| GlobSet::empty())
}
