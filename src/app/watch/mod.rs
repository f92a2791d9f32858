//! Healing a command whenever files are saved.
//!
//! Every run works in a copy of the work tree, so that whoever edits is never in its way; its fix
//! lies on the run's branch and is written to the work tree when it is asked for. What is in the
//! work tree, and nothing else, decides whether the command is run again: the tree that git would
//! commit is compared with the one that was run. So neither Greenloop's own files nor a fix that
//! it has written cause a run.

mod changes;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use self::changes::Changes;
pub use self::changes::WatchError;
use super::heal::{HealRequest, Healed, heal_copy};
use super::{AppError, session};
use greenloop_model::{CommitId, RepoPath, RunId, RunSummary, StopReason, TreeId, Usage};
use greenloop_report::Boxed;
use greenloop_workspace::Workspace;

/// What is watched.
pub struct WatchRequest {
    /// What is run and healed each time.
    pub heal: HealRequest,
    /// Write each fix to the work tree without asking.
    pub apply: bool,
    /// Tokens that all runs together may use.
    pub max_tokens: Option<u64>,
    /// US dollars that all runs together may cost, by the configured prices.
    pub max_cost_usd: Option<f64>,
}

/// What a person asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchKey {
    /// Write the fix that is offered to the work tree.
    Apply,
    /// Leave it.
    Skip,
    /// End.
    Quit,
}

/// What has happened.
pub enum WatchNews<'a> {
    /// The command is run.
    Runs,
    /// Files were saved while it ran: that run is cancelled.
    Changed,
    /// A run has ended; `offered` where it found a fix that is not in the work tree.
    Ended { run: RunId, summary: &'a RunSummary, offered: bool, spent: &'a Usage },
    /// The fix is in the work tree.
    Applied { files: &'a [RepoPath] },
    /// The fix could not be written to the work tree.
    NotApplied { error: &'a AppError },
    /// The fix stays on its branch only.
    Skipped,
    /// A run could not begin.
    Failed { error: &'a AppError },
    /// No more is spent: failures are shown and not repaired.
    LimitReached { spent: &'a Usage },
}

/// How a watch reports, and what it is told.
pub struct WatchHooks<'a> {
    /// The reporters of the next run.
    pub reporters: &'a dyn Fn() -> Vec<Boxed>,
    pub news: &'a mut dyn FnMut(WatchNews<'_>),
    /// None arrive where there is no terminal.
    pub keys: UnboundedReceiver<WatchKey>,
}

/// A fix that is not in the work tree yet.
struct Offer {
    run: RunId,
    base: CommitId,
    tip: CommitId,
}

/// How a run ended for the watch.
enum Pass {
    Ended(Box<Result<Healed, AppError>>),
    /// Files were saved meanwhile.
    Changed,
    Quit,
}

/// Runs the command, heals it where it fails, and does both again whenever files were saved, until
/// `cancel` or [`WatchKey::Quit`].
///
/// # Errors
/// When the first run cannot begin, or the work tree cannot be watched.
pub async fn watch(
    request: WatchRequest,
    hooks: WatchHooks<'_>,
    cancel: CancellationToken,
) -> Result<(), AppError> {
    let workspace = Workspace::open(&request.heal.directory)?;
    let changes = Changes::watch(workspace.root())?;
    let keys_end = false;
    let mut watch =
        Watch { request, hooks, cancel, workspace, changes, spent: Usage::default(), keys_end };
    watch.go().await
}

struct Watch<'a> {
    request: WatchRequest,
    hooks: WatchHooks<'a>,
    cancel: CancellationToken,
    workspace: Workspace,
    changes: Changes,
    spent: Usage,
    /// Nobody is left who could press one.
    keys_end: bool,
}

impl Watch<'_> {
    async fn go(&mut self) -> Result<(), AppError> {
        let mut first = true;
        loop {
            let begun = self.tree()?;
            if self.is_spent() {
                (self.hooks.news)(WatchNews::LimitReached { spent: &self.spent });
            }
            (self.hooks.news)(WatchNews::Runs);
            let (seen, offer) = match self.pass(&begun).await? {
                Pass::Quit => return Ok(()),
                Pass::Changed => {
                    (self.hooks.news)(WatchNews::Changed);
                    continue;
                }
                Pass::Ended(ended) => match *ended {
                    Err(error) if first => return Err(error),
                    Err(error) => {
                        (self.hooks.news)(WatchNews::Failed { error: &error });
                        (begun, None)
                    }
                    Ok(healed) => {
                        self.spent += healed.summary.usage;
                        let offer = self.offer(&healed)?;
                        let offered = offer.is_some();
                        let (run, summary, spent) = (healed.run, &healed.summary, &self.spent);
                        (self.hooks.news)(WatchNews::Ended { run, summary, offered, spent });
                        (self.tree_with(healed.run, &healed.base)?, offer)
                    }
                },
            };
            first = false;
            if !self.wait(seen, offer).await? {
                return Ok(());
            }
        }
    }

    /// One run of the command, with all that follows from it.
    async fn pass(&mut self, begun: &TreeId) -> Result<Pass, AppError> {
        let child = self.cancel.child_token();
        let run = heal_copy(self.next_request(), (self.hooks.reporters)(), child.clone());
        tokio::pin!(run);
        let pass = loop {
            tokio::select! {
                ended = &mut run => {
                    let cancelled = self.cancel.is_cancelled();
                    return Ok(if cancelled { Pass::Quit } else { Pass::Ended(Box::new(ended)) });
                }
                () = self.cancel.cancelled() => break Pass::Quit,
                key = self.hooks.keys.recv(), if !self.keys_end => match key {
                    Some(WatchKey::Quit) => break Pass::Quit,
                    Some(WatchKey::Apply | WatchKey::Skip) => {}
                    None => self.keys_end = true,
                },
                settled = self.changes.settled() => {
                    settled?;
                    let now = tree_of(&self.workspace)?;
                    if now != *begun && !is_fix(&self.workspace, begun, &now)? {
                        break Pass::Changed;
                    }
                }
            }
        };
        child.cancel();
        // What it has spent until then is spent.
        if let Ok(healed) = run.await {
            self.spent += healed.summary.usage;
        }
        Ok(pass)
    }

    /// Waits for a work tree other than `seen`, and meanwhile for what is done with the fix. `false`
    /// at the end.
    async fn wait(&mut self, mut seen: TreeId, mut offer: Option<Offer>) -> Result<bool, AppError> {
        loop {
            // Also what was saved before anybody waited for it.
            if self.tree()? != seen {
                return Ok(true);
            }
            tokio::select! {
                () = self.cancel.cancelled() => return Ok(false),
                key = self.hooks.keys.recv(), if !self.keys_end => match (key, offer.take()) {
                    (Some(WatchKey::Quit), _) => return Ok(false),
                    (Some(WatchKey::Apply), Some(fix)) => match self.apply(&fix) {
                        Ok(tree) => seen = tree,
                        Err(error) => (self.hooks.news)(WatchNews::NotApplied { error: &error }),
                    },
                    (Some(WatchKey::Skip), Some(_)) => (self.hooks.news)(WatchNews::Skipped),
                    (Some(WatchKey::Apply | WatchKey::Skip), None) => {}
                    (None, kept) => (self.keys_end, offer) = (true, kept),
                },
                settled = self.changes.settled() => settled?,
            }
        }
    }

    /// Writes a fix to the work tree. Returns the tree that is there then, as far as nobody else
    /// has changed it.
    fn apply(&mut self, fix: &Offer) -> Result<TreeId, AppError> {
        let _claim = session::hold_work_tree(&self.workspace)?;
        let brought = self.workspace.bring_back(fix.run, &fix.base, &fix.tip)?;
        (self.hooks.news)(WatchNews::Applied { files: &brought.files });
        self.tree_with(fix.run, &fix.base)
    }

    /// The fix of a run that passes with it, where it is on the run's branch only.
    fn offer(&self, healed: &Healed) -> Result<Option<Offer>, AppError> {
        let Healed { summary, run, base, .. } = healed;
        let is_fixed = summary.stop == StopReason::Verified && !summary.patches.is_empty();
        let in_work_tree = self.request.apply && summary.not_brought_back().is_none();
        if !is_fixed || in_work_tree {
            return Ok(None);
        }
        let tip = self.workspace.tip(*run)?;
        Ok(tip.map(|tip| Offer { run: *run, base: base.clone(), tip }))
    }

    /// The tree that a run has judged: with its fix, where that is in the work tree.
    fn tree_with(&self, run: RunId, base: &CommitId) -> Result<TreeId, AppError> {
        let judged = self.workspace.tree_id(base)?;
        let fixes = self.workspace.fixes()?;
        let Some(fix) = fixes.into_iter().find(|fix| fix.run == run) else { return Ok(judged) };
        // What somebody saved before the fix was written has not been run yet.
        if self.workspace.tree_id(&fix.before)? != judged {
            return Ok(judged);
        }
        Ok(self.workspace.tree_id(&fix.after)?)
    }

    fn tree(&self) -> Result<TreeId, AppError> {
        tree_of(&self.workspace)
    }

    fn is_spent(&self) -> bool {
        let WatchRequest { max_tokens, max_cost_usd, .. } = &self.request;
        max_tokens.is_some_and(|most| self.spent.tokens() >= most)
            || max_cost_usd.is_some_and(|most| self.spent.cost_usd >= most)
    }

    /// The next run, within what is left.
    fn next_request(&self) -> HealRequest {
        let mut heal = self.request.heal.clone();
        heal.branch = !self.request.apply;
        if self.is_spent() {
            // The author is asked after the first pass: there is none.
            heal.max_iterations = Some(1);
        }
        let left = |most: u64| most.saturating_sub(self.spent.tokens());
        heal.max_tokens = self.request.max_tokens.map(left);
        heal.max_cost_usd = self.request.max_cost_usd.map(|most| most - self.spent.cost_usd);
        heal
    }
}

/// Whether the work tree differs by a fix that was written to it, as a run does at its end.
fn is_fix(workspace: &Workspace, before: &TreeId, now: &TreeId) -> Result<bool, AppError> {
    for fix in workspace.fixes()? {
        if workspace.tree_id(&fix.after)? == *now && workspace.tree_id(&fix.before)? == *before {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The tree that a commit of everything would have.
fn tree_of(workspace: &Workspace) -> Result<TreeId, AppError> {
    tokio::task::block_in_place(|| Ok(workspace.tree_id(&workspace.snapshot()?.commit)?))
}
