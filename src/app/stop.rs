//! Stopping what was deployed, and reading its log.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::delivery::Delivering;
use super::release::{ReleaseRequest, plan_of};
use super::session::claim_environment;
use super::{AppError, configuration};
use greenloop_model::ReleaseId;
use greenloop_ports::{PartLog, Stopped, Target};
use greenloop_workspace::Workspace;

/// Between two looks at a log that is followed.
const FOLLOW: Duration = Duration::from_secs(1);
/// Looks at a log between two looks at which release serves.
const LOOKS: u32 = 5;

/// Stops what serves in an environment.
///
/// # Errors
/// When another run holds the environment, or the target cannot be told.
pub async fn stop(request: &ReleaseRequest) -> Result<Stopped, AppError> {
    let workspace = Workspace::open(&request.directory)?;
    let plan = plan_of(&workspace, request)?;
    let delivering = Delivering::new(plan, &request.env).with_secrets().await?;
    let target = delivering.target(&workspace)?;
    let name = &delivering.plan.environment.name;
    let apart = configuration::apart(&delivering.plan);
    let _claim = claim_environment(&workspace, name, apart)?;
    Ok(target.stop().await?)
}

/// What goes on while a log is read.
pub enum LogNews<'a> {
    /// Text of the service, redacted; with the part that wrote it where there are several.
    Text { part: Option<&'a str>, text: &'a str },
    /// More was written than is kept between two looks.
    Gap,
    /// It, or this part of it, was started again.
    Restarted { part: Option<&'a str> },
    /// This release serves now.
    Serves(ReleaseId),
}

/// The end of the log of what serves; with `follow`, what comes after it until `cancel`. Whether
/// anything serves.
///
/// # Errors
/// When the target cannot be asked.
pub async fn logs(
    request: &ReleaseRequest,
    follow: bool,
    news: &mut (dyn FnMut(LogNews<'_>) + Send),
    cancel: &CancellationToken,
) -> Result<bool, AppError> {
    let workspace = Workspace::open(&request.directory)?;
    let plan = plan_of(&workspace, request)?;
    let delivering = Delivering::new(plan, &request.env);
    // Without the vault's values, what they are is not recognised in the log: it is not shown then.
    if let Some(why) = delivering.learn_secrets().await {
        return Err(AppError::Unsupported {
            what: format!("the log is not shown: {why}"),
            hint: "log in to Azure, or name the value in GREENLOOP_SECRET_NAME".to_owned(),
        });
    }
    let target = delivering.target(&workspace)?;
    let Some(mut serving) = serving(target.as_ref()).await? else { return Ok(false) };
    let mut logs = LogTails::default();
    let mut looks = 0;
    loop {
        logs.next(&target.part_logs(serving).await?, follow, news);
        if !follow {
            return Ok(true);
        }
        tokio::select! {
            () = cancel.cancelled() => return Ok(true),
            () = tokio::time::sleep(FOLLOW) => {}
        }
        looks += 1;
        if looks % LOOKS == 0 {
            match self::serving(target.as_ref()).await? {
                Some(now) if now != serving => {
                    news(LogNews::Serves(now));
                    (serving, logs) = (now, LogTails::default());
                }
                Some(_) => {}
                None => return Ok(true),
            }
        }
    }
}

async fn serving(target: &dyn Target) -> Result<Option<ReleaseId>, AppError> {
    Ok(target.status().await?.serving.map(|(release, _)| release.id))
}

/// What has been shown of the logs of all parts.
#[derive(Debug, Default)]
struct LogTails {
    tails: BTreeMap<String, LogTail>,
    /// There has been more than one part: lines say which they are of.
    several: bool,
}

impl LogTails {
    fn next(&mut self, logs: &[PartLog], more: bool, news: &mut (dyn FnMut(LogNews<'_>) + Send)) {
        self.tails.retain(|part, _| logs.iter().any(|log| log.part == *part));
        let unknown = logs.iter().filter(|log| !self.tails.contains_key(&log.part)).count();
        self.several |= self.tails.len() + unknown > 1;
        for log in logs {
            let part = Some(log.part.as_str()).filter(|_| self.several);
            let tail = self.tails.entry(log.part.clone()).or_default();
            if tail.life != log.life && !tail.lines.is_empty() {
                news(LogNews::Restarted { part });
                tail.lines.clear();
            }
            tail.life = log.life;
            tail.next(&log.text, more, part, news);
        }
    }
}

/// What has been shown of a log of which only the end is kept.
#[derive(Debug, Default)]
struct LogTail {
    life: u32,
    lines: Vec<String>,
}

impl LogTail {
    /// Shows what `text`, the end of the log as it is now, has beyond what was shown. A last line
    /// without an end is kept back where more may follow.
    fn next(
        &mut self,
        text: &str,
        more: bool,
        part: Option<&str>,
        news: &mut (dyn FnMut(LogNews<'_>) + Send),
    ) {
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        if more && lines.last().is_some_and(|line| !line.ends_with('\n')) {
            lines.pop();
        }
        let mut shown = overlap(&self.lines, &lines);
        if shown == 0 && lines.len() > 1 {
            // The first line may have been cut where the end begins that is kept.
            shown = match overlap(&self.lines, &lines[1..]) {
                0 => 0,
                rest => rest + 1,
            };
        }
        if shown == 0 && !self.lines.is_empty() && !lines.is_empty() {
            news(LogNews::Gap);
        }
        for line in &lines[shown..] {
            news(LogNews::Text { part, text: line });
        }
        if !lines.is_empty() {
            self.lines = lines.into_iter().map(str::to_owned).collect();
        }
    }
}

/// How many lines at the beginning of `new` are lines at the end of `old`, the most that fit.
fn overlap(old: &[String], new: &[&str]) -> usize {
    let most = old.len().min(new.len());
    (1..=most)
        .rev()
        .find(|count| old[old.len() - count..].iter().zip(new).all(|(old, new)| old == new))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_followed_log_is_shown_once_and_gaps_are_told() {
        let mut log = LogTail::default();
        let mut shown = String::new();
        for text in ["a\nb\n", "a\nb\n", "b\nc\npart", "c\npart of d\n", "x\ny\n", ""] {
            log.next(text, true, None, &mut |news| shown.push_str(&in_words(&news)));
        }
        assert_eq!(shown, "a\nb\nc\npart of d\n…\nx\ny\n");
        let mut last = String::new();
        let mut take = |news: LogNews<'_>| last.push_str(&in_words(&news));
        LogTail::default().next("a\nno end", false, None, &mut take);
        assert_eq!(last, "a\nno end");
        // What is kept may begin within a line.
        let mut cut = LogTail::default();
        let mut shown = String::new();
        for text in ["first line\nsecond line\n", "t line\nsecond line\nthird line\n"] {
            cut.next(text, true, None, &mut |news| shown.push_str(&in_words(&news)));
        }
        assert_eq!(shown, "first line\nsecond line\nthird line\n");
    }

    fn in_words(news: &LogNews<'_>) -> String {
        match news {
            LogNews::Text { part: None, text } => (*text).to_owned(),
            LogNews::Text { part: Some(part), text } => format!("{part} | {text}"),
            LogNews::Gap => "…\n".to_owned(),
            LogNews::Restarted { part } => format!("{} restarted\n", part.unwrap_or("it")),
            LogNews::Serves(_) => String::new(),
        }
    }

    #[test]
    fn logs_of_several_parts_are_followed_apart_and_through_a_restart() {
        let log = |part: &str, life, text: &str| PartLog {
            part: part.to_owned(),
            life,
            text: text.to_owned(),
        };
        let mut logs = LogTails::default();
        let mut shown = String::new();
        for look in [
            vec![log("a/web", 0, "1\n")],
            // Scaled up: what is written in one place is not taken for another's.
            vec![log("a/web", 0, "1\n2\n"), log("b/web", 0, "1\n")],
            vec![log("a/web", 0, "1\n2\n"), log("b/web", 0, "1\n2\n")],
            vec![log("a/web", 1, "1\n"), log("b/web", 0, "1\n2\n")],
            vec![log("b/web", 0, "2\n3\n"), log("c/web", 0, "1\n")],
        ] {
            logs.next(&look, true, &mut |news| shown.push_str(&in_words(&news)));
        }
        assert_eq!(
            shown,
            "1\na/web | 2\nb/web | 1\nb/web | 2\na/web restarted\na/web | 1\nb/web | 3\n\
             c/web | 1\n"
        );
    }
}
