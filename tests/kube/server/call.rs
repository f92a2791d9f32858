//! A parsed request.

use std::collections::BTreeMap;

use super::resource::{self, Resource};

/// A parsed request.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// As RBAC names it: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    pub(crate) verb: &'static str,
    pub(crate) resource: &'static Resource,
    pub(crate) namespace: Option<String>,
    /// Empty for a collection.
    pub(crate) name: String,
    /// Empty for the object itself.
    pub(crate) subresource: String,
    pub(crate) query: BTreeMap<String, String>,
}

impl Call {
    /// Parses a request to a resource; `None` for every other path.
    pub(crate) fn parse(method: &str, path: &str, query: Option<&str>) -> Option<Self> {
        let query: BTreeMap<String, String> =
            url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..]
                if !rest.is_empty() && !matches!(rest[0], "status" | "finalize") =>
            {
                (Some((*namespace).to_owned()), rest)
            }
            _ => (None, rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (*plural, "", ""),
            [plural, name] => (*plural, *name, ""),
            [plural, name, sub] => (*plural, *name, *sub),
            _ => return None,
        };
        let resource = resource::find(group, plural).filter(|found| found.version == version)?;
        let watch = query.get("watch").is_some_and(|on| on == "true" || on == "1");
        let verb = match (method, name.is_empty(), watch) {
            ("GET", _, true) => "watch",
            ("GET", true, false) => "list",
            ("GET", false, false) => "get",
            ("POST", ..) => "create",
            ("PUT", ..) => "update",
            ("PATCH", ..) => "patch",
            ("DELETE", true, _) => "deletecollection",
            ("DELETE", false, _) => "delete",
            _ => return None,
        };
        Some(Self {
            verb,
            resource,
            namespace,
            name: name.to_owned(),
            subresource: subresource.to_owned(),
            query,
        })
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    pub(crate) fn dry_run(&self) -> bool {
        self.query("dryRun") == Some("All")
    }

    /// Whether it may change stored objects.
    pub(crate) fn writes(&self) -> bool {
        !matches!(self.verb, "get" | "list" | "watch")
            && !self.dry_run()
            && !matches!(self.subresource.as_str(), "portforward" | "exec")
            && self.resource.kind != "SelfSubjectAccessReview"
    }

    /// `patch deployments/web`, `get pods/web-1/log?previous`: for assertions and failures.
    pub(crate) fn told(&self) -> String {
        let mut told = format!("{} {}", self.verb, self.resource.plural);
        for part in [&self.name, &self.subresource] {
            if !part.is_empty() {
                told.push('/');
                told.push_str(part);
            }
        }
        if self.query("previous") == Some("true") {
            told.push_str("?previous");
        }
        if self.dry_run() {
            told.push_str("?dryRun");
        }
        told
    }
}
