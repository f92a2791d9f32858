//! Which repository an environment's releases come from, and which configuration in it. Two of them
//! may use one namespace and one name of an environment by accident: each would take the other's
//! release for its own last one, remove its objects and restore it.

use greenloop_model::CommitId;

/// A repository, by what its clones have in common. Either part may be unknown: a shallow clone
/// has no first commit, a new repository no remote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repository {
    pub(super) root: Option<CommitId>,
    pub(super) remote: Option<String>,
    /// The path of the configuration in the work tree: `services/api/config.yaml`.
    pub(super) configuration: Option<String>,
}

impl Repository {
    /// `root` is the first commit of its history, `remote` the address that it is fetched from.
    pub fn new(root: Option<CommitId>, remote: Option<&str>) -> Self {
        Self { root, remote: remote.and_then(name_of), configuration: None }
    }

    /// `path` is that of the configuration in the work tree.
    #[must_use]
    pub fn configured_by(mut self, path: Option<String>) -> Self {
        self.configuration = path;
        self
    }

    /// Whether the two differ for certain: in a part that both have, and in none are they the same.
    pub(super) fn is_other_than(&self, other: &Self) -> bool {
        fn same<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> Option<bool> {
            Some(one? == other?)
        }
        let parts = [
            same(self.root.as_ref(), other.root.as_ref()),
            same(self.remote.as_ref(), other.remote.as_ref()),
        ];
        parts.contains(&Some(false)) && !parts.contains(&Some(true))
    }

    /// `fleet/api (first commit 0123456789ab)`
    pub(super) fn in_words(&self) -> String {
        let root = self.root.as_ref().map(|root| format!("first commit {}", root.short()));
        match (&self.remote, root) {
            (Some(remote), Some(root)) => format!("{remote} ({root})"),
            (Some(remote), None) => remote.clone(),
            (None, Some(root)) => format!("with the {root}"),
            (None, None) => "unknown".to_owned(),
        }
    }
}

/// `fleet/api` of every address of the repository: with https, ssh, or a mirror's host.
fn name_of(address: &str) -> Option<String> {
    let path = match address.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?.1,
        None => address.split_once(':').map_or(address, |(_, path)| path),
    };
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path).to_lowercase();
    // Azure DevOps says `project/_git/name` over https, `v3/organisation/project/name` over ssh.
    let segments: Vec<&str> =
        path.split('/').filter(|part| !part.is_empty() && *part != "_git").collect();
    let from = segments.len().saturating_sub(2);
    Some(segments[from..].join("/")).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repository_has_one_name() {
        for (address, name) in [
            ("https://github.com/Fleet/api.git", "fleet/api"),
            ("https://github.com/fleet/api/", "fleet/api"),
            ("ssh://git@github.com:22/fleet/api.git", "fleet/api"),
            ("git@github.com:fleet/api.git", "fleet/api"),
            ("https://dev.azure.com/org/fleet/_git/api", "fleet/api"),
            ("git@ssh.dev.azure.com:v3/org/fleet/api", "fleet/api"),
            ("/srv/git/fleet/api.git", "fleet/api"),
            ("file:///srv/git/fleet/api", "fleet/api"),
        ] {
            assert_eq!(name_of(address).as_deref(), Some(name), "{address}");
        }
        assert_eq!(name_of("https://github.com/"), None);
    }

    #[test]
    fn only_what_differs_for_certain_is_another_repository() {
        let root = |digit: &str| digit.repeat(40).parse::<CommitId>().unwrap();
        let full = Repository::new(Some(root("1")), Some("https://example.com/fleet/api"));
        for (root, remote, other) in [
            (Some(root("1")), Some("git@example.com:fleet/api"), false),
            // A shallow clone; a clone without a remote; one that says nothing.
            (None, Some("git@example.com:fleet/api"), false),
            (Some(root("1")), None, false),
            (None, None, false),
            // It was moved; its history was written again.
            (Some(root("1")), Some("git@example.com:cars/api"), false),
            (Some(root("2")), Some("git@example.com:fleet/api"), false),
            (Some(root("2")), Some("git@example.com:fleet/web"), true),
            (Some(root("2")), None, true),
            (None, Some("git@example.com:fleet/web"), true),
        ] {
            let it = Repository::new(root, remote);
            assert_eq!(it.is_other_than(&full), other, "{it:?}");
            assert_eq!(full.is_other_than(&it), other, "{it:?}");
        }
    }
}
