//! What Dockerfiles and compose files say.

use regex::Regex;

use crate::files::{Files, folder_of};

/// A Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dockerfile {
    /// Relative to the root.
    pub(crate) path: String,
    /// The folder it is built from.
    pub(crate) context: String,
    /// The first port that it exposes.
    pub(crate) port: Option<u16>,
}

/// The Dockerfile nearest to the root.
pub(crate) fn dockerfile(files: &Files) -> Option<Dockerfile> {
    let mut found = files.matching("", "{Dockerfile,*/Dockerfile,*/*/Dockerfile,Containerfile}");
    found.sort_by_key(|path| (path.matches('/').count(), path.to_string()));
    let path = found.first()?.to_string();
    let context = folder_of(&path).to_owned();
    let exposed = Regex::new(r"(?mi)^\s*EXPOSE\s+(\d+)").ok()?;
    let text = files.text(&path)?;
    let port =
        exposed.captures_iter(&text).last().and_then(|found| found.get(1)?.as_str().parse().ok());
    Some(Dockerfile { path, context, port })
}

/// A compose file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Compose {
    pub(crate) path: String,
    pub(crate) services: Vec<String>,
    /// The first port that a service publishes on the host.
    pub(crate) port: Option<u16>,
}

/// The compose file at the root.
pub(crate) fn compose(files: &Files) -> Option<Compose> {
    let path = files.matching("", "{compose,docker-compose}.y{,a}ml").first()?.to_string();
    let json: serde_json::Value = serde_yaml::from_str(&files.text(&path)?).ok()?;
    let services = json.get("services")?.as_object()?;
    let published = |port: &serde_json::Value| {
        let text = port.as_str().map(str::to_owned);
        let text = text.or_else(|| port.get("published").map(|it| it.to_string()))?;
        let host = text.trim_matches('"').rsplit(':').nth(1).map(str::to_owned).unwrap_or(text);
        host.trim_matches('"').parse().ok()
    };
    let ports = services.values().filter_map(|service| service.get("ports")?.as_array());
    let port = ports.flatten().find_map(published);
    Some(Compose { path, services: services.keys().cloned().collect(), port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::tests::written;

    #[test]
    fn the_port_of_the_last_stage_counts() {
        let (_folder, files) = written([
            ("api/Dockerfile", "FROM a AS build\nEXPOSE 1\nFROM b\nexpose 8081/tcp\n"),
            ("api/deep/Dockerfile", "FROM c\n"),
        ]);
        let expect =
            Dockerfile { path: "api/Dockerfile".into(), context: "api".into(), port: Some(8081) };
        assert_eq!(dockerfile(&files), Some(expect));
    }

    #[test]
    fn services_and_published_ports_are_read() {
        let (_folder, files) = written([(
            "compose.yaml",
            "services:\n  db: {image: postgres}\n  web:\n    ports: ['127.0.0.1:8088:80', 9:9]\n",
        )]);
        let found = compose(&files).unwrap();
        assert_eq!(found.services, ["db", "web"]);
        assert_eq!(found.port, Some(8088));
    }
}
