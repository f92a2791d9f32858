//! Probes that fail.

use super::super::rule::{Deferral, ROW, Rule, Source, When, s};
use greenloop_model::FailureClass;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "liveness-loop",
        source: Source::Kill,
        reasons: &["Liveness"],
        when: When::Times(2),
        deferral: Deferral::Moving,
        class: FailureClass::Code,
        log_class: true,
        line: "{pod}: container {container} was killed {count} times for failing its liveness \
               probe: {message}",
        about: "The kubelet kills the container for its liveness probe a second time.",
        examples: &[("Liveness", "Liveness probe failed: HTTP probe failed with statuscode: 500")],
        ..ROW
    },
    Rule {
        id: "startup-loop",
        source: Source::Kill,
        reasons: &["Startup"],
        when: When::Times(2),
        deferral: Deferral::Moving,
        class: FailureClass::Code,
        log_class: true,
        line: "{pod}: container {container} was killed {count} times for failing its startup \
               probe: {message}",
        about: "The kubelet kills the container for its startup probe a second time.",
        examples: &[("Startup", "Startup probe failed: dial tcp 10.244.0.7:80: connect: refused")],
        ..ROW
    },
    Rule {
        id: "probe-port",
        source: Source::Probe,
        reasons: &["WrongPort"],
        when: When::Now,
        class: FailureClass::Config,
        line: "{pod}: container {container} cannot become ready: {message}",
        about: "The readiness probe's connection is refused while the same container listens on \
            another port. Greenloop checked twice, through a port-forward, the ports that the \
            container declares, or common ones if it is the only container of its pod.",
        examples: &[(
            "WrongPort",
            "its readiness probe uses port 9999, where nothing listens; it listens on 8080",
        )],
        ..ROW
    },
    Rule {
        id: "probe-loopback",
        source: Source::Probe,
        reasons: &["LoopbackOnly"],
        when: When::Now,
        class: FailureClass::Config,
        line: "{pod}: container {container} cannot become ready: {message}",
        about: "The readiness probe's connection is refused at the pod's address, while the port \
                is open on the pod's loopback: the program binds 127.0.0.1.",
        examples: &[(
            "LoopbackOnly",
            "it listens on port 8080 of its loopback address only; bind 0.0.0.0",
        )],
        ..ROW
    },
    Rule {
        id: "probe-command",
        source: Source::Probe,
        reasons: &["Errored"],
        says: &["executable file not found", "no such file or directory"],
        when: When::After(s(2)),
        class: FailureClass::Config,
        line: "{pod}: container {container} cannot become ready, because its readiness probe \
            cannot run: {message}",
        about: "The probe's command is not in the image.",
        examples: &[(
            "Errored",
            "Readiness probe errored: rpc error: code = Unknown desc = failed to exec in \
             container: failed to start exec \"0f\": OCI runtime exec failed: exec failed: unable \
             to start container process: exec: \"curl\": executable file not found in $PATH",
        )],
        ..ROW
    },
    Rule {
        id: "probe-path",
        source: Source::Probe,
        reasons: &["Status"],
        says: &[
            "statuscode: 400",
            "statuscode: 401",
            "statuscode: 403",
            "statuscode: 404",
            "statuscode: 405",
        ],
        when: When::Window(s(10)),
        class: FailureClass::Code,
        log_class: true,
        line: "{pod}: container {container} is not ready: {message}",
        about: "The program answers the readiness probe, but does not have the path.",
        examples: &[("Status", "Readiness probe failed: HTTP probe failed with statuscode: 404")],
        ..ROW
    },
    Rule {
        id: "never-ready",
        source: Source::Probe,
        when: When::Never,
        class: FailureClass::Code,
        log_class: true,
        line: "{pod}: container {container} runs, but does not become ready: {message}",
        about: "Any other result of the readiness probe. A program that is slow to start looks \
            the same, so the deadline is `wait_timeout` or the Deployment's own \
            progressDeadlineSeconds.",
        examples: &[
            ("Status", "Readiness probe failed: HTTP probe failed with statuscode: 503"),
            (
                "Refused",
                "Readiness probe failed: Get \"http://10.244.0.7:8080/health\": dial tcp \
                 10.244.0.7:8080: connect: connection refused",
            ),
        ],
        ..ROW
    },
];
