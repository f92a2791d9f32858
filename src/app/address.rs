//! An environment's address at which another program listens.

use std::fmt;
use std::path::{Path, PathBuf};

use super::configuration;
use greenloop_ports::{TargetError, TargetErrorKind};
use greenloop_workspace::Workspace;

/// How far from a port that is in use a free one is looked for.
const PORTS: u16 = 100;

/// Where an environment's address is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredUrl {
    /// Its name.
    pub environment: String,
    /// The configuration, relative to the repository where it lies in it.
    pub file: PathBuf,
    /// The line of its `url`, from 1; `None` when the file can no longer be read.
    pub line: Option<usize>,
    /// The address with the next port that is free.
    pub free: Option<String>,
}

impl ConfiguredUrl {
    /// Looks the place up for a command given in `directory`.
    pub(super) fn of(
        workspace: &Workspace,
        config: Option<&PathBuf>,
        directory: &Path,
        (environment, url): (&str, &str),
    ) -> Self {
        let path = configuration::path(workspace, config, directory);
        let line = greenloop_config::load(&path).ok();
        let line = line.map(|config| config.url_position(environment).line);
        let file = path.strip_prefix(workspace.root()).unwrap_or(&path).to_owned();
        Self { environment: environment.to_owned(), file, line, free: with_free_port(url) }
    }

    /// What to change: "use another port in `environments.local.url` (greenloop.yaml:4)".
    pub fn remedy(&self) -> String {
        let free = self.free.as_ref().map(|url| format!(", for example {url}"));
        format!("use another port in {self}{}", free.unwrap_or_default())
    }
}

impl fmt::Display for ConfiguredUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`environments.{}.url` ({}", self.environment, self.file.display())?;
        match self.line {
            Some(line) => write!(f, ":{line})"),
            None => f.write_str(")"),
        }
    }
}

/// A port on which nothing listens, the nearest from `wanted` on.
pub(super) fn free_port(wanted: u16) -> Option<u16> {
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (wanted..wanted.saturating_add(PORTS)).find(free)
}

fn with_free_port(url: &str) -> Option<String> {
    let mut url = url::Url::parse(url).ok()?;
    let port = url.port_or_known_default()?.checked_add(1)?;
    url.set_port(Some(free_port(port.max(1024))?)).ok()?;
    Some(url.as_str().trim_end_matches('/').to_owned())
}

/// An error of a target's check, with the place of the address where that is in use.
pub(super) fn located(error: TargetError, at: impl FnOnce() -> ConfiguredUrl) -> super::AppError {
    match error.kind {
        TargetErrorKind::AddressInUse => {
            super::AppError::AddressInUse { at: Box::new(at()), error: Box::new(error) }
        }
        _ => super::AppError::Target(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_key_and_a_port_that_is_free() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let free = with_free_port(&format!("http://localhost:{}", port - 1)).unwrap();
        assert!(
            free.starts_with("http://localhost:") && !free.ends_with(&format!(":{port}")),
            "{free}"
        );
        assert_eq!(with_free_port("no url"), None);
        let at = ConfiguredUrl {
            environment: "local".to_owned(),
            file: "greenloop.yaml".into(),
            line: Some(4),
            free: Some("http://localhost:8081".to_owned()),
        };
        assert_eq!(
            at.remedy(),
            "use another port in `environments.local.url` (greenloop.yaml:4), for example \
             http://localhost:8081"
        );
    }
}
