//! Stores for tests, one per test.

use std::process::Command;

use super::program::greenloop;

/// The store of a hub.
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) folder: tempfile::TempDir,
    /// The server and the name of a database on it.
    database: Option<(String, String)>,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("hub.db").display());
        Self { url, folder, database: None }
    }

    /// A new database; `None` to skip these tests.
    pub(crate) fn postgres() -> Option<Self> {
        let server = std::env::var("GREENLOOP_TEST_POSTGRES").expect(
            "set GREENLOOP_TEST_POSTGRES (scripts/services.sh starts a server), or set it to `skip`",
        );
        if server == "skip" {
            return None;
        }
        let name = format!("hub_{}", uuid::Uuid::new_v4().simple());
        sql(&server, &format!("CREATE DATABASE {name}"));
        let mut url = url::Url::parse(&server).unwrap();
        url.set_path(&name);
        let folder = tempfile::tempdir().unwrap();
        Some(Self { url: url.to_string(), folder, database: Some((server, name)) })
    }

    /// One store of each available kind.
    pub(crate) fn all() -> Vec<Self> {
        [Some(Self::sqlite()), Self::postgres()].into_iter().flatten().collect()
    }

    /// A new token.
    pub(crate) fn token(&self, arguments: &[&str]) -> String {
        let output = self.hub(&[&["token", "create", "--name", "test"], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Runs `greenloop hub …` on this store.
    pub(crate) fn hub(&self, arguments: &[&str]) -> std::process::Output {
        greenloop().arg("hub").args(arguments).args(["--store", &self.url]).output().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((server, name)) = &self.database {
            let _left_behind = Command::new("psql")
                .args([server.as_str(), "-qc", &format!("DROP DATABASE {name} WITH (FORCE)")])
                .output();
        }
    }
}

fn sql(server: &str, statement: &str) {
    let output = Command::new("psql").args([server, "-qc", statement]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
