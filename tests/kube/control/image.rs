//! What pulling an image comes to, by its name, in containerd's words.

/// How a pull ends.
pub(crate) enum Pull {
    Done,
    /// The name is none: nothing is tried.
    BadName(String),
    Failed(String),
}

/// The repository's name decides: `…/missing…`, `…/private…`, `…/away…`, or a name with capitals.
pub(crate) fn pull(image: &str) -> Pull {
    let repository = image.split(['@', ':']).next().unwrap_or_default();
    if image.is_empty() || repository.chars().any(|c| c.is_ascii_uppercase()) {
        return Pull::BadName(format!(
            "Failed to apply default image tag {image:?}: couldn't parse image name {image:?}: \
             invalid reference format: repository name (library/{repository}) must be lowercase"
        ));
    }
    let prefix =
        format!("failed to pull and unpack image {image:?}: failed to resolve reference {image:?}");
    if image.contains("missing") {
        Pull::Failed(format!("rpc error: code = NotFound desc = {prefix}: {image}: not found"))
    } else if image.contains("private") {
        Pull::Failed(format!(
            "rpc error: code = Unknown desc = {prefix}: failed to authorize: failed to fetch \
             anonymous token: unexpected status from GET request to \
             https://registry.example.com/oauth2/token?service=registry.example.com: 401 \
             Unauthorized"
        ))
    } else if image.contains("away") {
        Pull::Failed(format!(
            "rpc error: code = Unavailable desc = {prefix}: failed to do request: Head \
             \"https://registry.example.com/v2/\": dial tcp 10.0.0.9:443: connect: connection \
             refused"
        ))
    } else {
        Pull::Done
    }
}
