//! `scripts/vm.sh` with a fake `az` that records its calls and really runs the scripts: each VM is
//! a folder, and `systemctl` records its arguments.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::{root, text};

/// The part of the Azure CLI that vm.sh uses: each command's options as in its reference, `@FILE`
/// and `NAME=@FILE` resolved first, named parameters as variables of the script, and a `create`
/// that succeeds whatever the script's exit code.
const AZ: &str = r#"#!/usr/bin/env bash
set -euo pipefail
{ printf '%s\n' "$@"; echo --; } >>"$FAKE/az.log"
args=()
for arg in "$@"; do
  case $arg in
  @*) arg=$(cat "${arg#@}") ;;
  *=@*) arg=${arg%%=*}=$(cat "${arg#*=@}") ;;
  esac
  args+=("$arg")
done
set -- "${args[@]}"
refuse() { echo "az: error: $*" >&2; exit 2; }
case "${1-} ${2-} ${3-}" in
"vm show "*) command=show-vm; shift 2; known=" --resource-group --name --query --output --subscription --only-show-errors " ;;
"vm run-command create") command=create; shift 3
  known=" --resource-group --vm-name --run-command-name --location --script --timeout-in-seconds --async-execution --parameters --protected-parameters --output --subscription --only-show-errors " ;;
"vm run-command show") command=show; shift 3
  known=" --resource-group --vm-name --run-command-name --instance-view --query --output --subscription --only-show-errors " ;;
"vm run-command delete") command=delete; shift 3
  known=" --resource-group --vm-name --run-command-name --yes --output --subscription --only-show-errors " ;;
"vm run-command invoke") command=invoke; shift 3
  known=" --resource-group --name --command-id --scripts --query --output --subscription --only-show-errors " ;;
*) refuse "'$*' is misspelled or not recognized by the system." ;;
esac
declare -A value=()
parameters=()
while [ $# -gt 0 ]; do
  case $known in *" $1 "*) ;; *) refuse "unrecognized arguments: $1" ;; esac
  flag=$1
  shift
  case $flag in
  --only-show-errors | --instance-view | --yes) value[$flag]=yes ;;
  --parameters | --protected-parameters)
    while [ $# -gt 0 ] && [[ $1 != --* ]]; do
      [[ $1 == *=* ]] || refuse "unnamed parameter"
      parameters+=("$1")
      shift
    done
    ;;
  *) [ $# -gt 0 ] || refuse "argument $flag: expected one argument"; value[$flag]=$1; shift ;;
  esac
done
: "${value[--resource-group]:?}"
vm=$FAKE/vms/${value[--vm-name]:-${value[--name]}}
[ -d "$vm" ] || { echo "ERROR: (ResourceNotFound) no such VM" >&2; exit 3; }
run=$vm/run-${value[--run-command-name]:-}
case $command in
show-vm) echo eastus ;;
create)
  : "${value[--script]:?}" "${value[--location]:?}"
  printf '%s\n' "${value[--script]}" >"$vm/script"
  chmod +x "$vm/script"
  code=0
  env -i PATH="$PATH" FAKE="$FAKE" ROOT="$vm/root" VM="$vm" "${parameters[@]}" "$vm/script" >"$vm/out" 2>"$vm/err" || code=$?
  jq -n --argjson code "$code" --rawfile out "$vm/out" --rawfile err "$vm/err" \
    '{executionState: (if $code == 0 then "Succeeded" else "Failed" end), exitCode: $code, output: $out, error: $err}' >"$run"
  ;;
show) [ "${value[--query]}" = instanceView ] && cat "$run" ;;
delete) [ "${value[--yes]:-}" = yes ] || refuse "cannot prompt"; rm "$run" ;;
invoke) [ "${value[--command-id]}" = RunShellScript ] || refuse "unknown command id"; echo "[stdout] greenloop 1" ;;
esac
"#;

/// Units that were started stay active; `FAKE`'s `VM` is where they are.
const SYSTEMCTL: &str = r#"#!/usr/bin/env bash
echo "$*" >>"$VM/systemctl.log"
unit=${*: -1}
case $1 in
is-active) [ -e "$VM/active-$unit" ] ;;
restart) touch "$VM/active-$unit" ;;
stop) rm -f "$VM/active-$unit" ;;
esac
"#;

const PROGRAM: &str = "#!/bin/sh\necho greenloop 9.9\n";

struct Azure {
    folder: tempfile::TempDir,
}

impl Azure {
    fn with_vms(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let azure = Self { folder };
        std::fs::create_dir(azure.path("bin")).unwrap();
        for (name, text) in [("az", AZ), ("systemctl", SYSTEMCTL)] {
            let path = azure.path(&format!("bin/{name}"));
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        for name in names {
            std::fs::create_dir_all(azure.path(&format!("vms/{name}/root"))).unwrap();
        }
        std::fs::write(azure.path("greenloop"), PROGRAM).unwrap();
        azure
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn vm_sh(&self, arguments: &[&str], env: &[(&str, &str)]) -> Output {
        let path = std::env::var("PATH").unwrap();
        Command::new(root().join("scripts/vm.sh"))
            .args(arguments)
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("FAKE", self.folder.path())
            .env_remove("GREENLOOP_HUB_TOKEN")
            .envs(env.iter().copied())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap()
    }

    /// `--binary-url` and `--sha256` of the program that VMs download.
    fn download(&self) -> [String; 4] {
        let path = self.path("greenloop");
        let sum = Command::new("sha256sum").arg(&path).output().unwrap();
        let sum = String::from_utf8(sum.stdout).unwrap();
        let url = format!("file://{}", path.display());
        ["--binary-url".into(), url, "--sha256".into(), sum[..64].to_owned()]
    }

    fn calls(&self) -> Vec<String> {
        let log = self.read("az.log");
        log.split("--\n")
            .filter(|call| !call.is_empty())
            .map(|call| {
                call.lines().take_while(|w| !w.starts_with("--")).collect::<Vec<_>>().join(" ")
            })
            .collect()
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn and<'a>(one: &[&'a str], other: &'a [String]) -> Vec<&'a str> {
    one.iter().copied().chain(other.iter().map(String::as_str)).collect()
}

#[test]
fn the_hub_is_installed_and_a_second_time_nothing_is_touched() {
    let azure = Azure::with_vms(&["hub-1"]);
    let store = "postgres://greenloop:p@ss=word$x@db.example.org/greenloop?sslmode=verify-full";
    for (name, text) in [("cert", "-----BEGIN\nabc\n-----END"), ("key", "-----KEY\nTOPSECRET")] {
        std::fs::write(azure.path(name), text).unwrap();
    }
    let (cert, key) = (azure.path("cert"), azure.path("key"));
    let download = azure.download();
    let arguments = and(
        &[
            "hub",
            "--vm",
            "rg/hub-1",
            "--listen",
            "0.0.0.0:7474",
            "--store-env",
            "THE_STORE",
            "--tls-cert",
            cert.to_str().unwrap(),
            "--tls-key",
            key.to_str().unwrap(),
            "--yes",
        ],
        &download,
    );
    let output = azure.vm_sh(&arguments, &[("THE_STORE", store)]);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("installed greenloop 9.9"), "{said}");
    assert!(said.contains("restarted greenloop-hub"), "{said}");

    let etc = azure.path("vms/hub-1/root/etc");
    let env = std::fs::read_to_string(etc.join("greenloop/hub.env")).unwrap();
    assert!(env.contains(&format!("GREENLOOP_STORE='{store}'\n")), "{env}");
    let credentials = "/run/credentials/greenloop-hub.service";
    let options = format!(
        "GREENLOOP_HUB_OPTIONS='--listen 0.0.0.0:7474 --tls-cert {credentials}/tls.crt --tls-key {credentials}/tls.key'\n"
    );
    assert!(env.contains(&options), "{env}");
    for secret in ["hub.env", "tls.key", "git-credentials"] {
        assert_eq!(mode(&etc.join("greenloop").join(secret)), 0o600, "{secret}");
    }
    assert_eq!(
        std::fs::read_to_string(etc.join("greenloop/tls.key")).unwrap(),
        "-----KEY\nTOPSECRET\n"
    );
    assert_eq!(
        std::fs::read_to_string(etc.join("systemd/system/greenloop-hub.service")).unwrap(),
        super::read("deploy/systemd/greenloop-hub.service")
    );

    // Secrets are on no command line, in no output and not in the script; nothing stays in Azure.
    for secret in ["p@ss=word", "TOPSECRET", "cEBzcz13b3Jk"] {
        for place in ["az.log", "vms/hub-1/script"] {
            assert!(!azure.read(place).contains(secret), "{secret} in {place}");
        }
        assert!(!said.contains(secret), "{said}");
    }
    assert!(!azure.path("vms/hub-1/run-greenloop-hub").exists());
    assert_eq!(
        azure.calls(),
        ["vm show", "vm run-command create", "vm run-command show", "vm run-command delete"]
    );

    std::fs::remove_file(azure.path("vms/hub-1/systemctl.log")).unwrap();
    let output = azure.vm_sh(&arguments, &[("THE_STORE", store)]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("greenloop-hub is up to date"), "{}", text(&output));
    assert!(!azure.read("vms/hub-1/systemctl.log").contains("restart"));

    // Settings that are not given keep their values.
    let output = azure.vm_sh(&["hub", "--vm", "rg/hub-1", "--yes"], &[]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(std::fs::read_to_string(etc.join("greenloop/hub.env")).unwrap(), env);
}

#[test]
fn workers_come_change_and_go() {
    let azure = Azure::with_vms(&["vm-1", "vm-2"]);
    let download = azure.download();
    let arguments = and(
        &[
            "worker",
            "--vm",
            "rg/vm-1",
            "--worker",
            "d:backend",
            "--worker",
            "e:backend,docs:3",
            "--vm",
            "other-rg/vm-2",
            "--worker",
            "f:frontend",
            "--hub-url",
            "https://hub.example.org:7474",
            "--yes",
        ],
        &download,
    );
    let output = azure.vm_sh(&arguments, &[("GREENLOOP_HUB_TOKEN", "glh_7_qwerty")]);
    assert!(output.status.success(), "{}", text(&output));
    let env = |vm: &str, name: &str| azure.read(&format!("vms/{vm}/root/etc/greenloop/{name}.env"));
    for vm in ["vm-1", "vm-2"] {
        let shared = env(vm, "worker");
        assert!(shared.contains("GREENLOOP_HUB_TOKEN='glh_7_qwerty'\n"), "{shared}");
        assert!(shared.contains("GREENLOOP_HUB_URL='https://hub.example.org:7474'\n"), "{shared}");
    }
    let options = |options: &str| format!("GREENLOOP_WORKER_OPTIONS='{options}'\n");
    assert_eq!(env("vm-1", "worker-d"), options("--role backend --slots 1"));
    assert_eq!(env("vm-1", "worker-e"), options("--role backend docs --slots 3"));
    assert_eq!(env("vm-2", "worker-f"), options("--role frontend --slots 1"));
    let told = azure.read("vms/vm-1/systemctl.log");
    // Its tasks may run for minutes; the script does not wait.
    assert!(told.contains("restart --no-block greenloop-worker@d.service"), "{told}");
    assert!(!azure.read("az.log").contains("qwerty"));

    // One worker gets another role, one is removed; the token stays although it is not given again.
    std::fs::remove_file(azure.path("vms/vm-1/systemctl.log")).unwrap();
    let hub = "https://hub.example.org:7474";
    let again = ["worker", "--vm", "rg/vm-1", "--worker", "d:frontend", "--hub-url", hub, "--yes"];
    let output = azure.vm_sh(&again, &[]);
    assert!(output.status.success(), "{}", text(&output));
    let told = azure.read("vms/vm-1/systemctl.log");
    assert!(told.contains("restart --no-block greenloop-worker@d.service"), "{told}");
    assert!(told.contains("disable --quiet greenloop-worker@e.service"), "{told}");
    assert!(told.contains("stop --no-block greenloop-worker@e.service"), "{told}");
    assert_eq!(env("vm-1", "worker-e"), "");
    assert!(env("vm-1", "worker").contains("glh_7_qwerty"));
}

#[test]
fn what_is_not_what_was_announced_is_not_installed() {
    let azure = Azure::with_vms(&["vm-1"]);
    let [flag, url, sum, _] = azure.download();
    let wrong = "0".repeat(64);
    let hub = "http://hub:7474";
    let arguments = [
        "worker",
        "--vm",
        "rg/vm-1",
        "--worker",
        "a:b",
        "--hub-url",
        hub,
        "--yes",
        &flag,
        &url,
        &sum,
        &wrong,
    ];
    let output = azure.vm_sh(&arguments, &[("GREENLOOP_HUB_TOKEN", "glh_1_x")]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("nothing was changed"), "{}", text(&output));
    assert!(!azure.path("vms/vm-1/root/usr/local/bin/greenloop").exists());
    assert_eq!(azure.read("vms/vm-1/systemctl.log"), "");
    // The failed script is removed as well.
    assert_eq!(azure.calls().last().unwrap(), "vm run-command delete");
}

#[test]
fn a_dry_run_says_everything_but_secrets_and_calls_nobody() {
    let azure = Azure::with_vms(&[]);
    let download = azure.download();
    let hub = "https://hub.example.org:7474";
    let arguments = and(
        &["worker", "--vm", "rg/vm-1", "--worker", "d:backend:2", "--hub-url", hub, "--dry-run"],
        &download,
    );
    let output = azure.vm_sh(&arguments, &[("GREENLOOP_HUB_TOKEN", "glh_7_qwerty")]);
    assert!(output.status.success(), "{}", text(&output));
    let said = text(&output).replace(&download[3], "SUM");
    assert_eq!(
        said,
        "Plan:\n  rg/vm-1\n    PART=worker\n    BINARY_SHA256=SUM\n    \
         HUB_URL=https://hub.example.org:7474\n    WORKERS=d:backend:2\n    \
         BINARY_URL=(secret, from --binary-url)\n    \
         HUB_TOKEN=(secret, from $GREENLOOP_HUB_TOKEN)\nNothing was changed: --dry-run.\n"
    );
    assert_eq!(azure.read("az.log"), "");
}

#[test]
fn wrong_usage_changes_nothing() {
    let azure = Azure::with_vms(&["vm-1"]);
    let vm = ["--vm", "rg/vm-1"];
    for (arguments, says) in [
        (&["install"][..], "must be hub, worker or status"),
        (&["hub"], "--vm GROUP/NAME is missing"),
        (&["hub", "--vm", "vm-1"], "--vm GROUP/NAME: vm-1"),
        (&["worker", "--worker", "a:b"], "belongs to the --vm before it"),
        (&["worker", vm[0], vm[1], "--hub-url", "https://h"], "--worker is missing"),
        (&["worker", vm[0], vm[1], "--worker", "a:b;reboot"], "INSTANCE:ROLE"),
        (&["worker", vm[0], vm[1], "--worker", "a:b"], "--hub-url is missing"),
        (&["hub", vm[0], vm[1], "--listen", "@/etc/shadow"], "cannot begin with @"),
        (&["hub", vm[0], vm[1], "--listen", "0.0.0.0:7474"], "--insecure-http on a network"),
        (&["hub", vm[0], vm[1], "--binary-url", "https://x"], "needs --sha256"),
        (&["hub", vm[0], vm[1], "--store-env", "NOT_THERE_AT_ALL"], "is empty"),
        (&["hub", vm[0], vm[1], "--worker", "a:b"], "hub has no --worker"),
        (&["hub", vm[0], vm[1]], "stdin is not a terminal"),
    ] {
        let output = azure.vm_sh(arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains(says), "{arguments:?}: {}", text(&output));
    }
    assert_eq!(azure.read("az.log"), "");
    let output = azure.vm_sh(&["hub", "--vm", "rg/gone", "--yes"], &[]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("does it exist"), "{}", text(&output));
}

#[test]
fn status_asks_the_vm() {
    let azure = Azure::with_vms(&["vm-1"]);
    let output = azure.vm_sh(&["status", "--vm", "rg/vm-1", "--subscription", "sub"], &[]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(text(&output), "== rg/vm-1\n[stdout] greenloop 1\n");
    assert_eq!(azure.calls(), ["vm run-command invoke"]);
}
