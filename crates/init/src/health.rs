//! Where a service may say that it is well: routes that the sources name.

use regex::Regex;

use crate::files::Files;

/// Sources that are looked through.
const MOST_SOURCES: usize = 400;
const SOURCES: &str =
    "**/*.{rs,py,js,mjs,cjs,ts,tsx,go,java,kt,cs,fs,rb,php,properties,yml,yaml,html}";

/// Routes of health checks below `folder`, the likeliest first, and whether `/` is one of the
/// routes.
pub(crate) fn routes(files: &Files, folder: &str) -> (Vec<String>, bool) {
    const ROUTE: &str = r#"["'`](/(?:[\w-]+/)?(?:healthz?|health[-_]check|livez?|liveness|readyz?|ping|up)(?:/(?:live|ready|liveness|readiness))?)/?["'`?]"#;
    let (Ok(route), Ok(root)) = (Regex::new(ROUTE), Regex::new(r#"["'`]/["'`]"#)) else {
        return (Vec::new(), false);
    };
    let mut found: Vec<String> = Vec::new();
    let mut has_root = false;
    for path in files.matching(folder, SOURCES).into_iter().take(MOST_SOURCES) {
        let Some(text) = files.text(path) else { continue };
        has_root |= root.is_match(&text);
        let names = route.captures_iter(&text).filter_map(|found| Some(found.get(1)?.as_str()));
        found.extend(names.map(str::to_owned));
        if text.contains("spring-boot-starter-actuator") || text.contains("management.endpoint") {
            found.push("/actuator/health".to_owned());
        }
    }
    found.sort_by_key(|route| (!route.contains("health"), route.len(), route.clone()));
    found.dedup();
    found.truncate(6);
    (found, has_root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::tests::written;

    #[test]
    fn routes_of_health_checks_are_found_in_sources() {
        let text = "if path == '/' or path == \"/ready\": x\nget('/healthz')\nget(`/api/health`)\nx = '/unhealthy'\n";
        let (_folder, files) = written([("a.py", text)]);
        let (found, root) = routes(&files, "");
        assert_eq!(found, ["/healthz", "/api/health", "/ready"]);
        assert!(root);
    }
}
