//! Which variables a command gets.

use std::ffi::{OsStr, OsString};

/// Variables that a command inherits: those that configure shells, compilers, package managers and
/// test runners. A name that ends in `*` matches every name with that prefix.
const INHERITED: &[&str] = &[
    // The system and the terminal
    "PATH",
    "SHELL",
    "USER",
    "LOGNAME",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "FORCE_COLOR",
    "COLUMNS",
    "LINES",
    "DEBIAN_FRONTEND",
    "SOURCE_DATE_EPOCH",
    "LD_LIBRARY_PATH",
    "NIX_*",
    "LOCALE_ARCHIVE",
    // Where one is
    "CI",
    "TF_BUILD",
    "BUILD_BUILDID",
    "BUILD_BUILDNUMBER",
    "BUILD_SOURCEBRANCH",
    "BUILD_SOURCEBRANCHNAME",
    "BUILD_SOURCEVERSION",
    "BUILD_REASON",
    "BUILD_REPOSITORY_NAME",
    "GITHUB_ACTIONS",
    "GITHUB_REF",
    "GITHUB_REF_NAME",
    "GITHUB_SHA",
    "GITHUB_REPOSITORY",
    "GITHUB_RUN_ID",
    "GITHUB_RUN_NUMBER",
    "GITHUB_HEAD_REF",
    "GITHUB_BASE_REF",
    "GITLAB_CI",
    "CI_COMMIT_SHA",
    "CI_COMMIT_REF_NAME",
    // Certificates and proxies
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    // C and C++
    "CC",
    "CXX",
    "AR",
    "LD",
    "NM",
    "RANLIB",
    "CFLAGS",
    "CXXFLAGS",
    "CPPFLAGS",
    "LDFLAGS",
    "CPATH",
    "C_INCLUDE_PATH",
    "CPLUS_INCLUDE_PATH",
    "LIBRARY_PATH",
    "PKG_CONFIG*",
    "MAKEFLAGS",
    "CMAKE_*",
    "CTEST_*",
    "VCPKG_ROOT",
    "LIBZ_SYS_STATIC",
    "OPENSSL_DIR",
    "OPENSSL_LIB_DIR",
    "OPENSSL_INCLUDE_DIR",
    "PROTOC",
    "LIBCLANG_PATH",
    // Rust
    "RUST*",
    "CARGO*",
    "NEXTEST_*",
    "INSTA_*",
    // JavaScript
    "NODE_ENV",
    "NODE_OPTIONS",
    "NODE_PATH",
    "NVM_*",
    "VOLTA_HOME",
    "FNM_*",
    "PNPM_HOME",
    "BUN_INSTALL",
    "DENO_DIR",
    "DENO_INSTALL",
    "npm_config_cache",
    "npm_config_registry",
    "npm_config_offline",
    "YARN_CACHE_FOLDER",
    "COREPACK_*",
    "PLAYWRIGHT_*",
    "PUPPETEER_*",
    "CHROME_BIN",
    "TS_NODE_*",
    // Python
    "PYTHON*",
    "PYENV*",
    "VIRTUAL_ENV",
    "CONDA_*",
    "PIP_*",
    "UV_*",
    "POETRY_*",
    "TOX_*",
    "NOX_*",
    "PYTEST_*",
    "WORKON_HOME",
    // Java and its family
    "JAVA_HOME",
    "JAVA_OPTS",
    "JAVA_TOOL_OPTIONS",
    "JDK_*",
    "MAVEN_*",
    "M2_HOME",
    "GRADLE_*",
    "ANT_*",
    "SBT_OPTS",
    "KOTLIN_*",
    "SDKMAN_*",
    "ANDROID_HOME",
    "ANDROID_SDK_ROOT",
    "COURSIER_*",
    // Go
    "GO*",
    "CGO_*",
    // .NET
    "DOTNET_*",
    "NUGET_PACKAGES",
    "MSBUILD*",
    // Others
    "GEM_*",
    "RBENV_*",
    "RUBY*",
    "BUNDLE_*",
    "COMPOSER_*",
    "MIX_*",
    "HEX_*",
    "OPAM*",
    "ASDF_*",
    "MISE_*",
    "ELIXIR_*",
    "ERL_*",
    "JULIA_*",
    "PERL*",
    "PUB_CACHE",
    "FLUTTER_ROOT",
    "TEST_*",
];

/// Parts of a name that say that it holds a credential, whatever the table says.
const CREDENTIAL: &[&str] = &[
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
    "APIKEY",
    "KEY",
    "AUTH",
    "COOKIE",
    "NETRC",
    "PAT",
];

/// Whether a command inherits the variable without being told of it.
pub(super) fn is_inherited(name: &OsStr, value: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    INHERITED.iter().any(|pattern| matches(pattern, name))
        && !is_credential(name)
        && !holds_credentials(value)
}

/// Variables that every shell sets by itself.
pub(super) const OF_THE_SHELL: [&str; 4] = ["PWD", "OLDPWD", "SHLVL", "_"];

/// Whether `pattern` names the variable: the name, or how it begins, with a `*`.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

/// Whether the name says that the variable holds a credential.
pub(crate) fn is_credential(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let parts: Vec<&str> = upper.split(['_', '-', '.']).collect();
    CREDENTIAL.iter().any(|word| match *word {
        // Short words are part of many others: only a whole part of the name counts.
        "PAT" | "KEY" => parts.contains(word),
        "AUTH" => parts.iter().any(|part| part.ends_with(word)),
        word => upper.contains(word),
    })
}

/// Whether the value is a URL with a name or a password in it.
pub(crate) fn holds_credentials(value: &OsStr) -> bool {
    let text = value.to_string_lossy();
    text.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', '?', '#', ' ', ',']).next().unwrap_or_default();
        authority.contains('@')
    })
}

/// `environment`, and what is set for the command over it; the last of a name counts.
pub(super) fn merged(
    environment: Vec<(OsString, OsString)>,
    over: impl IntoIterator<Item = (OsString, OsString)>,
) -> Vec<(OsString, OsString)> {
    let mut all = environment;
    for (name, value) in over {
        all.retain(|(known, _)| *known != name);
        all.push((name, value));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_get_what_they_need_and_no_credentials() {
        for (name, value, inherited) in [
            ("PATH", "/usr/bin", true),
            ("LC_ALL", "C", true),
            ("RUSTFLAGS", "-D warnings", true),
            ("CARGO_TARGET_DIR", "/t", true),
            ("CARGO_REGISTRY_TOKEN", "x", false),
            ("CARGO_REGISTRIES_OWN_TOKEN", "x", false),
            ("PYTHONPATH", "/p", true),
            ("GOPATH", "/g", true),
            ("GOAUTH", "netrc", false),
            ("PIP_INDEX_URL", "https://u:p@example.org/simple", false),
            ("PIP_INDEX_URL", "https://example.org/simple", true),
            ("HTTPS_PROXY", "http://user@proxy:3128", false),
            ("HTTPS_PROXY", "http://proxy:3128", true),
            ("NODE_AUTH_TOKEN", "x", false),
            ("UV_INDEX_OWN_PASSWORD", "x", false),
            ("OPENAI_API_KEY", "x", false),
            ("TEST_SIGNING_KEY", "x", false),
            ("TEST_KEYBOARD", "x", true),
            ("AZURE_CLIENT_SECRET", "x", false),
            ("AWS_SECRET_ACCESS_KEY", "x", false),
            ("AWS_PROFILE", "x", false),
            ("GITHUB_TOKEN", "x", false),
            ("GITHUB_ENV", "/f", false),
            ("SYSTEM_ACCESSTOKEN", "x", false),
            ("GREENLOOP_HUB_TOKEN", "x", false),
            ("REGISTRY_PASSWORD", "x", false),
            ("DATABASE_URL", "x", false),
            ("SSH_AUTH_SOCK", "/s", false),
            ("DOCKER_HOST", "unix:///s", false),
            ("LD_PRELOAD", "/x.so", false),
            ("GIT_AUTHOR_NAME", "x", false),
        ] {
            assert_eq!(is_inherited(name.as_ref(), value.as_ref()), inherited, "{name}={value}");
        }
    }

    #[test]
    fn words_in_words_are_no_credentials() {
        for name in ["CARGO_PKG_AUTHORS", "TEST_PATH", "PYTHONPATH", "GOPATH", "MY_PATTERN"] {
            assert!(!is_credential(name), "{name}");
        }
        assert!(is_credential("MY_PAT") && is_credential("GOAUTH"));
    }
}
