//! Asking a person.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How long the reporters may take to come to the end of what they were sent.
const REPORTERS: Duration = Duration::from_millis(150);

/// What a person says to a request, or `None` when they went away without an answer. The second
/// text is what there is to know before an answer; it may be empty.
pub type Asker = Arc<dyn Fn(&str, &str) -> Option<bool> + Send + Sync>;

/// How a person's decision is obtained.
#[derive(Clone)]
pub enum Approval {
    /// There is no terminal: every request stops the run.
    Nobody,
    /// `--yes`: the person said so beforehand.
    Beforehand { who: String },
    /// Asked on the terminal.
    Ask { who: String, asker: Asker },
}

impl fmt::Debug for Approval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("Nobody"),
            Self::Beforehand { who } => write!(f, "Beforehand({who})"),
            Self::Ask { who, .. } => write!(f, "Ask({who})"),
        }
    }
}

impl Approval {
    /// Who decides; `None` when nobody can be asked.
    pub fn who(&self) -> Option<&str> {
        match self {
            Self::Nobody => None,
            Self::Beforehand { who } | Self::Ask { who, .. } => Some(who),
        }
    }

    /// The decision on `request`, with what there is to know about it; `None` when nobody could
    /// be asked.
    pub async fn decide(&self, request: &str, facts: &str) -> Option<bool> {
        match self {
            Self::Nobody => None,
            Self::Beforehand { .. } => Some(true),
            Self::Ask { asker, .. } => {
                let asker = Arc::clone(asker);
                let (request, facts) = (request.to_owned(), facts.to_owned());
                // The reporters write from a thread of their own: the question comes after what
                // they have to say so far, not in its middle.
                tokio::time::sleep(REPORTERS).await;
                // Reading a terminal blocks, perhaps for hours.
                tokio::task::spawn_blocking(move || asker(&request, &facts)).await.ok().flatten()
            }
        }
    }
}
