//! `greenloop config migrate` on files as people have them.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::repository::Repository;

/// Without a version, with every name that was changed since, in each form it can be written in.
const OLD: &str = "\
# Who deploys what: ask the platform team.

# Where it runs.  Not the `kubectl` of the laptop.
environments:            # two of them
  staging:
    namespace: fleet-staging
    url: 'https://staging.kubectl.example.org'
    deploy: &cluster
      method: \"kubectl\"   # since 2023
      manifest_path: ./k8s

  production: {namespace: fleet, url: 'https://fleet.example.org', deploy: *cluster}

quality_gates:
    - name: kubectl        # a gate of that name stays
      command: kubectl version --client

deploy: {method: kubectl, manifest_path: k8s}   # no final line end";

fn expected() -> String {
    OLD.replace("\"kubectl\"", "\"kubernetes\"")
        .replace("{method: kubectl,", "{method: kubernetes,")
        .replace("# Where it runs.", "version: 1\n\n# Where it runs.")
}

fn mode(repository: &Repository, path: &str) -> u32 {
    std::fs::metadata(repository.path().join(path)).unwrap().permissions().mode() & 0o7777
}

#[test]
fn an_old_file_is_shown_then_written_then_left_alone() {
    let repository = Repository::new(&[("config.yaml", OLD)]);
    let file = repository.path().join("config.yaml");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    // Without --write it is a preview.
    let preview = repository.run(&["config", "migrate"]);
    assert_eq!(preview.code, Some(0), "{}", preview.all());
    for part in ["-      method: \"kubectl\"", "+      method: \"kubernetes\"", "+version: 1"] {
        assert!(preview.stdout.contains(part), "{part}: {}", preview.all());
    }
    assert!(preview.stderr.contains("`kubectl` is called `kubernetes`"), "{}", preview.all());
    assert!(preview.stderr.contains("nothing was written"), "{}", preview.all());
    assert_eq!(repository.read("config.yaml"), OLD);
    // From a folder below as well.
    std::fs::create_dir(repository.path().join("k8s")).unwrap();
    let mut command = repository.greenloop();
    command.current_dir(repository.path().join("k8s")).args(["config", "migrate", "--write"]);
    let written = command.output().unwrap();
    assert!(written.status.success(), "{written:?}");
    assert_eq!(repository.read("config.yaml"), expected(), "comments and layout stay");
    assert_eq!(mode(&repository, "config.yaml"), 0o640);
    let checked = repository.run(&["config", "check"]);
    assert_eq!(checked.code, Some(0), "{}", checked.all());
    assert!(checked.stdout.contains("staging, production"), "{}", checked.all());
    let before = std::fs::metadata(&file).unwrap().modified().unwrap();
    let again = repository.run(&["config", "migrate", "--write"]);
    assert_eq!(again.code, Some(0), "{}", again.all());
    assert!(again.stdout.contains("has the current form"), "{}", again.all());
    assert_eq!(repository.read("config.yaml"), expected());
    assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), before, "not written again");
}

#[test]
fn a_link_stays_a_link_and_the_file_it_names_is_migrated() {
    let repository = Repository::new(&[("deploy/fleet.yaml", OLD)]);
    symlink("deploy/fleet.yaml", repository.path().join("config.yaml")).unwrap();
    let written = repository.run(&["config", "migrate", "--write"]);
    assert_eq!(written.code, Some(0), "{}", written.all());
    let link = repository.path().join("config.yaml");
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(repository.read("deploy/fleet.yaml"), expected());
}

#[test]
fn what_is_not_valid_is_not_touched() {
    for (text, part) in [
        (format!("version: 9\n{OLD}\n"), "version 9"),
        (OLD.replace("manifest_path: ./k8s", "manifest_pat: ./k8s"), "manifest_pat"),
        ("environments: [\n".to_owned(), "config.yaml"),
    ] {
        let repository = Repository::new(&[("config.yaml", &text)]);
        let refused = repository.run(&["config", "migrate", "--write", "--config", "config.yaml"]);
        assert_eq!(refused.code, Some(2), "{}", refused.all());
        assert!(refused.stderr.contains(part), "{part}: {}", refused.all());
        assert_eq!(repository.read("config.yaml"), text);
    }
}
