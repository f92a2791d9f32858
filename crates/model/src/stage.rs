//! The stages of an iteration.

/// One part of an iteration. They run in this order; the first failure ends the iteration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Quality gates.
    Gates,
    /// The multi-VM task graph.
    Tasks,
    /// Image build and push.
    Image,
    /// Rollout of the release on the target.
    Rollout,
    /// Smoke tests against the rolled-out release.
    Smoke,
}

impl Stage {
    /// All stages in the order they run.
    pub const ALL: [Self; 5] = [Self::Gates, Self::Tasks, Self::Image, Self::Rollout, Self::Smoke];

    /// The name in files, events and on the screen.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gates => "gates",
            Self::Tasks => "tasks",
            Self::Image => "image",
            Self::Rollout => "rollout",
            Self::Smoke => "smoke",
        }
    }

    /// The stage of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
