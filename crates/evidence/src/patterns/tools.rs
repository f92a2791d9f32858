//! Docker, Kubernetes, Helm, Terraform, Ansible, curl, the JSON and YAML of configuration.

use super::super::rule::{Body, Classification, Rule};
use greenloop_model::FailureClass::{Code, Config, Infrastructure, Unknown};

pub(super) const RULES: &[Rule] = &[
    Rule {
        kind: "docker-build",
        needs: &["dockerfile"],
        start: r"(?i)^(?:ERROR: )?(?:failed to solve: )?(?:dockerfile parse error|Error response from daemon: dockerfile parse error|failed to read dockerfile|unable to prepare context|unknown instruction)",
        score: 82,
        share: 4,
        class: Classification::Fixed(Code),
        examples: &[
            "dockerfile parse error on line 3: unknown instruction: RUNN",
            "ERROR: failed to solve: dockerfile parse error on line 3: unknown instruction: RUNN (did you mean RUN?)",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "docker-build",
        needs: &[
            "copy failed: ",
            "add failed: ",
            "failed to calculate checksum",
            "failed to compute cache key",
        ],
        start: r"^(?:Step \d+.*)?(?:COPY|ADD) failed: |failed to (?:compute cache key|calculate checksum)",
        score: 78,
        share: 4,
        class: Classification::ToolText(Code),
        examples: &[
            "COPY failed: file not found in build context or excluded by .dockerignore: stat app.py: file does not exist",
            "ERROR: failed to solve: failed to compute cache key: failed to calculate checksum of ref x: \"/app.py\": not found",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "docker-build",
        needs: &["dockerfile:"],
        start: r"^\S*Dockerfile\S*:\d+$",
        body: Body::While(r"^-+$|^\s*\d+ \||^>>>", 0),
        key: r">>>",
        score: 52,
        share: 10,
        class: Classification::Fixed(Unknown),
        examples: &["Dockerfile:12"],
        ..Rule::TOOL
    },
    Rule {
        kind: "docker-build",
        needs: &[" > ["],
        start: r"^ ?> \[[^\]]*\] ?(?:[A-Z]|https?://|internal|load)",
        body: Body::Until(r"^-{5,}$"),
        score: 57,
        share: 10,
        examples: &[" > [4/5] RUN npm ci:"],
        ..Rule::TOOL
    },
    Rule {
        kind: "docker-build",
        // Says which step, not why.
        needs: &[
            "did not complete successfully",
            "returned a non-zero code",
            "executor failed running",
        ],
        start: r"did not complete successfully: exit code|executor failed running|^The command '.*' returned a non-zero code",
        header: r"^Step \d+/\d+ : ",
        score: 46,
        share: 3,
        examples: &[
            "ERROR: failed to solve: process \"/bin/sh -c npm ci\" did not complete successfully: exit code: 1",
            "The command '/bin/sh -c make' returned a non-zero code: 2",
        ],
        ..Rule::SUMMARY
    },
    Rule {
        kind: "docker-push",
        needs: &["failed to push"],
        start: r"failed to push \S",
        body: Body::While(r"^-{20,}$|^RESPONSE |^ERROR CODE|^<\?xml", 0),
        key: r"^RESPONSE |^ERROR CODE",
        score: 68,
        share: 6,
        class: Classification::ToolText(Infrastructure),
        examples: &[
            "ERROR: failed to push registry.example.com/shop:1.2.0: failed to authorize: 401",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "docker-build",
        needs: &["failed to solve", "failed to build"],
        start: r"^(?:#\d+ )?(?:ERROR: )?failed to (?:solve|build)",
        body: Body::While(r"^\s+\S", 0),
        score: 58,
        share: 4,
        class: Classification::ToolText(Code),
        examples: &["ERROR: failed to solve: alpine:nope: not found"],
        ..Rule::TOOL
    },
    Rule {
        kind: "docker",
        needs: &[
            "error response from daemon",
            "docker: ",
            "cannot connect to the docker daemon",
            "manifest unknown",
            "manifest for ",
        ],
        start: r"(?i)^(?:docker: |error: )?(?:Error response from daemon: |Cannot connect to the Docker daemon|manifest unknown|manifest for \S+ not found|error pulling image|failed to (?:register layer|copy))|^docker: ",
        body: Body::While(r"^\s+\S|^See 'docker", 0),
        score: 68,
        share: 3,
        class: Classification::ToolText(Code),
        examples: &[
            "Error response from daemon: manifest for acme/app:nope not found: manifest unknown",
            "docker: invalid reference format.",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "kubernetes",
        needs: &[
            "error from server",
            "the connection to the server",
            "error validating",
            "unable to recognize",
            "error converting yaml",
            "is invalid:",
            "timed out waiting for",
            "no matches for kind",
        ],
        start: r#"^(?:Error from server|The connection to the server|error: (?:error validating|unable to recognize|error converting|timed out waiting|error parsing|resource mapping|no matches)|The \w+ ".*" is invalid:|error validating)"#,
        body: Body::While(r"^\s*\* |^\s+\S", 0),
        score: 76,
        share: 6,
        class: Classification::ToolText(Code),
        examples: &[
            "Error from server (BadRequest): error when creating \"deploy.yaml\": strict decoding error",
            "The Deployment \"web\" is invalid: spec.selector: Required value",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "kubernetes",
        needs: &[
            "imagepullbackoff",
            "errimagepull",
            "crashloopbackoff",
            "createcontainerconfigerror",
            "oomkilled",
            "failedscheduling",
            "invalidimagename",
            "runcontainererror",
            "back-off restarting",
        ],
        start: r"ImagePullBackOff|ErrImagePull|CrashLoopBackOff|CreateContainerConfigError|OOMKilled|FailedScheduling|InvalidImageName|RunContainerError|Back-off restarting",
        score: 64,
        share: 2,
        examples: &[
            "web-7d9c   0/1   CrashLoopBackOff   3   1m",
            "  Warning  BackOff  38s (x13 over 3m)  kubelet  Back-off restarting failed container",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "helm",
        needs: &[
            "upgrade failed",
            "installation failed",
            "error: failed p",
            "hooks failed: ",
            "error: template",
            "error: failed to parse",
            "execution error at",
        ],
        start: r"^Error: (?:UPGRADE FAILED|failed (?:pre|post)-\w+|.*-\w+ hooks failed|INSTALLATION FAILED|template|failed to parse|execution error|parse error|chart )",
        body: Body::While(r"^\s+\S", 0),
        score: 78,
        share: 4,
        class: Classification::ToolText(Code),
        examples: &["Error: UPGRADE FAILED: cannot patch \"web\" with kind Deployment"],
        ..Rule::TOOL
    },
    Rule {
        kind: "kustomize",
        needs: &[
            "accumulating resources",
            "no objects passed to",
            "kustomization file",
            "kustomization.yaml",
        ],
        start: r"^Error: (?:accumulating|.*[Kk]ustomization|.*kustomize)",
        score: 78,
        share: 2,
        class: Classification::Fixed(Code),
        examples: &[
            "Error: accumulating resources: accumulation err='accumulating resources from '../base'",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "pulumi",
        needs: &["    error: "],
        start: r"^\s+error: (?:[\w./-]+:\w+|Running program |\d+ errors? occurred:$|Code=)",
        body: Body::While(r"^\s+\S", 0),
        key: r"^\s+\* \S|^\s+[A-Z]\w*(?:Error|Exception)\b|^\s+at [^(]*\(?/[^)]*\)?$",
        introduces: true,
        score: 84,
        share: 6,
        class: Classification::ToolText(Code),
        examples: &[
            "    error: 1 error occurred:",
            "    error: Running program '/src/infra/index.ts' failed with an unhandled exception:",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "cloudformation",
        needs: &["create_failed", "update_failed", "delete_failed"],
        start: r"\b(?:CREATE|UPDATE|DELETE)_FAILED\s",
        unless: r"(?i)Resource (?:creation|update|deletion) cancelled|ROLLBACK_",
        score: 76,
        share: 2,
        class: Classification::ToolText(Code),
        examples: &[
            "9:30:03 AM | CREATE_FAILED        | AWS::S3::Bucket    | Assets (Assets0A1B2C3D) assets already exists",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "cdk",
        needs: &["\u{274c} "],
        start: r"^\s*(?u:❌) +\S+ failed: ",
        score: 70,
        share: 2,
        class: Classification::ToolText(Code),
        examples: &[
            " \u{274c}  ShopStack failed: Error: The stack named ShopStack failed creation",
        ],
        ..Rule::TOOL
    },
    // kubeconform, kubeval, conftest, kube-linter.
    Rule {
        kind: "manifest",
        needs: &[
            " is invalid: ",
            " failed validation: ",
            "contains an invalid ",
            "^fail - ",
            "(check: ",
        ],
        start: r"^\S+ - \w+ \S+ (?:is invalid|failed validation): |\.(?:ya?ml|json)\b:? contains an invalid \w|^FAIL - \S+ - |^\S+: \(object: .*\(check: [\w-]+",
        score: 76,
        share: 2,
        class: Classification::Fixed(Code),
        examples: &[
            "k8s/b.yaml - Deployment app is invalid: problem validating schema. Check JSON formatting",
            "FAIL - k8s/web.yaml - main - Containers must not run as root",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "checkov",
        needs: &["failed for resource: "],
        start: r"^\s+FAILED for resource: ",
        lead: r"^Check: ",
        before: 1,
        body: Body::While(r"^\s+\S", 1),
        score: 76,
        share: 8,
        of_source: true,
        examples: &["\tFAILED for resource: aws_s3_bucket.assets"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "flux",
        needs: &["\u{2717} "],
        start: r"^(?u:✗) \S+.*\b(?:fail(?:ed|ure)|error|timed out|not (?:found|ready))\b",
        score: 70,
        share: 2,
        class: Classification::ToolText(Code),
        examples: &[
            "\u{2717} Kustomization reconciliation failed: Deployment/shop/web dry-run failed (Invalid)",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "argocd",
        needs: &["^phase:", "operation has completed with phase"],
        start: r"^Phase:\s+(?:Failed|Error)\b|Operation has completed with phase: (?:Failed|Error)",
        body: Body::While(r"^(?:Start|Finished|Duration|Message):", 0),
        key: r"^Message:",
        introduces: true,
        score: 70,
        share: 2,
        class: Classification::ToolText(Code),
        examples: &["Phase:              Failed"],
        ..Rule::TOOL
    },
    Rule {
        kind: "shellcheck",
        needs: &[" line "],
        start: r"^In \S+ line \d+:$",
        body: Body::Until(r"^In \S+ line \d+:$|^For more information"),
        key: r"\bSC\d+ \(",
        introduces: true,
        score: 76,
        share: 6,
        of_source: true,
        examples: &["In scripts/release.sh line 12:"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "actionlint",
        needs: &[".yml:", ".yaml:"],
        start: r"^\S+\.ya?ml:\d+:\d+: .* \[[\w-]+\]$",
        body: Body::While(r"^\s*\d* *\|", 0),
        score: 76,
        share: 4,
        of_source: true,
        examples: &[
            ".github/workflows/ci.yml:21:15: property \"versoin\" is not defined in object type {version: string} [expression]",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "markdownlint",
        needs: &[" md0"],
        start: r"^\S+:\d+(?::\d+)? (?:error )?MD\d+/",
        score: 76,
        share: 1,
        of_source: true,
        examples: &["README.md:12:81 MD013/line-length Line length [Expected: 80; Actual: 92]"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "tflint",
        needs: &["warning: ", "notice: "],
        start: r"^(?:Warning|Notice): .* \([a-z0-9]+(?:_[a-z0-9]+)+\)$",
        body: Body::While(r"^\s+on \S+ line |^\s+\d+: |^Reference: ", 1),
        score: 62,
        share: 4,
        of_source: true,
        examples: &[
            "Warning: [Fixable] variable \"nodes\" is declared but not used (terraform_unused_declarations)",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "hadolint",
        needs: &["dockerfile", "containerfile"],
        start: r"^\S+:\d+ (?:DL|SC)\d+ (?:error|warning|info|style): ",
        score: 76,
        share: 2,
        of_source: true,
        examples: &[
            "Dockerfile:3 DL3008 warning: Pin versions in apt get install.",
            "Dockerfile:9 DL3000 error: Use absolute WORKDIR",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "semgrep",
        needs: &["\u{2771} "],
        start: r"^\s+(?u:❯*❱) \S",
        header: r"^\s+(?u:❯*)\s*\S+\.\w+\s*$",
        body: Body::While(r"^\s{6,}\S", 1),
        key: r"^\s+\d+(?u:┆)",
        score: 76,
        of_source: true,
        share: 10,
        examples: &[
            "   \u{276f}\u{276f}\u{2771} python.lang.security.audit.formatted-sql-query.formatted-sql-query",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "trivy",
        needs: &["total: ", "failures: "],
        start: r"^(?:Total|Failures): [1-9]\d* \((?:UNKNOWN|LOW|MEDIUM|HIGH|CRITICAL): ",
        body: Body::While(
            r"^\s*(?u:[│┌├└])|^[A-Z-]+\d* \((?:LOW|MEDIUM|HIGH|CRITICAL)\): |^[A-Z]+: |^ *\S+:\d+|^(?u:[─═])|^[A-Z].*\.$|^See https",
            1,
        ),
        key: r"CVE-\d|GHSA-|^(?:[A-Z-]+\d* \()?(?:CRITICAL|HIGH|MEDIUM|LOW)\)?: ",
        score: 70,
        share: 10,
        class: Classification::Fixed(Code),
        examples: &["Total: 2 (HIGH: 1, CRITICAL: 1)", "Failures: 1 (HIGH: 1, CRITICAL: 0)"],
        ..Rule::TOOL
    },
    Rule {
        kind: "sonar",
        needs: &["quality gate status: failed"],
        start: r"^(?:\[?ERROR\]?:? )?(?:.*)QUALITY GATE STATUS: FAILED",
        score: 72,
        share: 1,
        class: Classification::Fixed(Code),
        examples: &[
            "ERROR: QUALITY GATE STATUS: FAILED - View details on https://sonar.example.com/dashboard?id=shop",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "terraform",
        needs: &["error: "],
        start: r"^(?u:[│╷]) ?Error: |^(?u:│) Error: ",
        body: Body::While(r"^(?u:│)", 0),
        key: r"on \S+ line \d+",
        score: 80,
        share: 14,
        class: Classification::ToolText(Code),
        examples: &["│ Error: Unsupported argument"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "configuration",
        needs: &[
            "environment variable",
            "env var",
            "missing required",
            "is not set",
            "config file",
            "configuration file",
            "missing config",
            "is required but",
        ],
        start: r"(?i)(?:missing|required|undefined|no such|unset)\b.{0,40}\b(?:environment variable|env(?:ironment)? var|config(?:uration)?(?: file| key| value)?\b)|(?:environment variable|env var)\b.{0,60}\b(?:not set|missing|required|not found|must be set|is empty|undefined)|config(?:uration)? file\b.{0,80}\b(?:not found|does not exist|missing|cannot be|could not)|(?:could(?:n't| not)|cannot|unable to|failed to) (?:find|open|read|load|locate) .{0,40}config(?:uration)?\b|^[A-Z][A-Z0-9_]{3,} (?:is not set|is required|must be set)",
        unless: r"(?i)^\s*(?:warn|info|debug|note|hint|\[warn|\[info|#|//|at )",
        score: 69,
        share: 3,
        class: Classification::Fixed(Config),
        examples: &[
            "Missing required environment variable DATABASE_URL",
            "Oops! ESLint couldn't find a configuration file.",
            "DATABASE_URL is not set",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "compose",
        needs: &["dependency failed to start", "is unhealthy"],
        start: r"dependency failed to start: |^container \S+ is unhealthy",
        lead: r"^\s*Container \S+ +(?:Error|Unhealthy)",
        before: 2,
        score: 70,
        share: 3,
        examples: &["dependency failed to start: container shop-db-1 is unhealthy"],
        ..Rule::TOOL
    },
    Rule {
        kind: "ansible",
        needs: &["failed! =>", "unreachable! =>"],
        start: r"^(?:fatal|failed): \[.*\]: (?:FAILED|UNREACHABLE)! =>|^failed: \[.*\] \(item=",
        unless: r"\.\.\.ignoring",
        header: r"^TASK \[",
        score: 80,
        share: 2,
        class: Classification::ToolText(Code),
        examples: &[
            "fatal: [web-1]: FAILED! => {\"changed\": false, \"msg\": \"'shop_port' is undefined\"}",
        ],
        ..Rule::TOOL
    },
    Rule {
        kind: "curl",
        needs: &["curl: (", "wget: "],
        start: r"^curl: \(\d+\) |^wget: ",
        score: 66,
        share: 2,
        examples: &["curl: (6) Could not resolve host: example.com"],
        ..Rule::TOOL
    },
];
