//! Images that cannot be pulled.

use super::super::rule::{ROW, Rule, Source, When, s};
use greenloop_model::FailureClass;

/// The reasons with which a kubelet says that an image could not be had.
const PULL: &[&str] =
    &["ErrImagePull", "ImagePullBackOff", "PullImageError", "RegistryUnavailable"];

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "image-name",
        source: Source::Waiting,
        reasons: &["InvalidImageName"],
        when: When::Now,
        class: FailureClass::Config,
        line: "{pod}: {image} is not an image reference: {message}",
        about: "The image's name cannot be parsed.",
        examples: &[(
            "InvalidImageName",
            "Failed to apply default image tag \"Nginx::bad\": couldn't parse image name \
             \"Nginx::bad\": invalid reference format: repository name must be lowercase",
        )],
        ..ROW
    },
    Rule {
        id: "image-never-pulled",
        source: Source::Waiting,
        reasons: &["ErrImageNeverPull"],
        when: When::Now,
        class: FailureClass::Config,
        line: "{pod}: {image} is not on the node, and its pull policy is Never",
        about: "`imagePullPolicy: Never` without the image on the node.",
        examples: &[(
            "ErrImageNeverPull",
            "Container image \"web:1\" is not present with pull policy of Never",
        )],
        ..ROW
    },
    Rule {
        id: "image-platform",
        source: Source::Waiting,
        reasons: PULL,
        says: &["no match for platform", "no matching manifest for"],
        when: When::Now,
        class: FailureClass::Config,
        line: "{pod}: {image} was not built for the node's platform: {message}",
        about: "The registry has the image, but not for this platform.",
        examples: &[(
            "ErrImagePull",
            "rpc error: code = NotFound desc = failed to pull and unpack image \
             \"registry.example/web:1\": no match for platform in manifest: not found",
        )],
        ..ROW
    },
    Rule {
        id: "pull-unauthorised",
        source: Source::Waiting,
        reasons: PULL,
        says: &[
            "unauthorized",
            "authorization failed",
            "authentication required",
            "no basic auth credentials",
            "403 forbidden",
            "access denied",
            "failed to authorize",
            "denied: ",
        ],
        but_not: &["dial tcp", "i/o timeout", "toomanyrequests", "TLS handshake timeout"],
        when: When::Now,
        class: FailureClass::Auth,
        line: "{pod}: the cluster is not permitted to pull {image}: {message}",
        about: "The registry rejects the node's credentials (or, on Docker Hub, the repository \
            does not exist). Needs a person: no patch can repair it.",
        examples: &[
            (
                "ErrImagePull",
                "failed to pull and unpack image \"registry.example/web:1\": failed to resolve \
                 reference \"registry.example/web:1\": failed to authorize: failed to fetch \
                 anonymous token: unexpected status from GET request to \
                 https://registry.example/oauth2/token: 401 Unauthorized",
            ),
            (
                "ImagePullBackOff",
                "Back-off pulling image \"nope/nope:1\": ErrImagePull: failed to pull and unpack \
                 image \"docker.io/nope/nope:1\": failed to resolve reference \
                 \"docker.io/nope/nope:1\": pull access denied, repository does not exist or may \
                 require authorization: server message: insufficient_scope: authorization failed",
            ),
        ],
        ..ROW
    },
    Rule {
        id: "digest-not-found",
        source: Source::Waiting,
        reasons: PULL,
        says: &["not found", "manifest unknown", "name unknown", "does not exist"],
        also: &["@sha256:"],
        but_not: &["dial tcp", "no such host"],
        when: When::TimesOrAfter(2, s(5)),
        class: FailureClass::Config,
        line: "{pod}: {image} is not in its registry: {message}",
        about: "The registry does not have this digest. A new digest may arrive late in a \
            replicated registry, hence the second attempt.",
        examples: &[(
            "ErrImagePull",
            "rpc error: code = NotFound desc = failed to pull and unpack image \
             \"registry.example/web@sha256:0c6\": failed to resolve reference \
             \"registry.example/web@sha256:0c6\": registry.example/web@sha256:0c6: not found",
        )],
        ..ROW
    },
    Rule {
        id: "image-not-found",
        source: Source::Waiting,
        reasons: PULL,
        says: &["not found", "manifest unknown", "name unknown", "does not exist", "404 Not Found"],
        but_not: &["dial tcp", "no such host"],
        when: When::Now,
        class: FailureClass::Config,
        line: "{pod}: {image} is not in its registry: {message}",
        about: "The registry does not have this tag or repository.",
        examples: &[
            (
                "ErrImagePull",
                "rpc error: code = NotFound desc = failed to pull and unpack image \
                 \"registry.example/web:nope\": failed to resolve reference \
                 \"registry.example/web:nope\": registry.example/web:nope: not found",
            ),
            ("ErrImagePull", "manifest for web:nope not found: manifest unknown: manifest unknown"),
        ],
        ..ROW
    },
    Rule {
        id: "pull-limited",
        source: Source::Waiting,
        reasons: PULL,
        says: &["toomanyrequests", "429 Too Many Requests", "rate limit"],
        when: When::Never,
        class: FailureClass::Quota,
        line: "{pod}: the registry limits pulls: {message}",
        about: "The registry limits the rate of pulls for some time.",
        examples: &[(
            "ErrImagePull",
            "failed to copy: httpReadSeeker: failed open: unexpected status code 429 Too Many \
             Requests - Server message: toomanyrequests: You have reached your pull rate limit",
        )],
        ..ROW
    },
    Rule {
        id: "registry-away",
        source: Source::Waiting,
        reasons: PULL,
        when: When::Never,
        class: FailureClass::Infrastructure,
        line: "{pod}: {image} cannot be pulled now: {message}",
        about: "The node cannot reach the registry, or the registry fails; the kubelet retries.",
        examples: &[
            (
                "ErrImagePull",
                "failed to pull and unpack image \"registry.example/web:1\": failed to do request: \
                 Head \"https://registry.example/v2/web/manifests/1\": dial tcp: lookup \
                 registry.example on 10.96.0.10:53: no such host",
            ),
            (
                "ImagePullBackOff",
                "Back-off pulling image \"registry.example/web@sha256:0c6\": ErrImagePull: failed \
                 to do request: Head \"https://registry.example/v2/\": dial tcp 10.0.0.9:443: i/o \
                 timeout",
            ),
            ("ImagePullBackOff", "Back-off pulling image \"registry.example/web:1\""),
        ],
        ..ROW
    },
];
