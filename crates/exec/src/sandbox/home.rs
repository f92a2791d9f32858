//! What of a user's home folder, and of the system, builds need, and what nobody may see.

/// Something below the home folder that builds read: tools, and what package managers have
/// fetched.
pub(super) struct Shown {
    /// Relative to the home folder.
    pub(super) path: &'static str,
    /// The variable that says where it lies instead.
    pub(super) variable: Option<&'static str>,
}

const fn shown(path: &'static str) -> Shown {
    Shown { path, variable: None }
}

const fn placed(path: &'static str, variable: &'static str) -> Shown {
    Shown { path, variable: Some(variable) }
}

/// Read-only in the sandbox, at its own place and, where the path is relative to the home folder,
/// linked from the command's private home folder.
pub(super) const SHOWN: &[Shown] = &[
    // Rust
    placed(".cargo", "CARGO_HOME"),
    placed(".rustup", "RUSTUP_HOME"),
    // Python
    placed(".pyenv", "PYENV_ROOT"),
    placed(".virtualenvs", "WORKON_HOME"),
    placed(".local/share/virtualenvs", "VIRTUAL_ENV"),
    shown(".local/share/uv"),
    shown(".local/share/pipx"),
    shown(".local/share/pypoetry"),
    shown(".local/share/hatch"),
    placed(".conda", "CONDA_PREFIX"),
    shown("miniconda3"),
    shown("anaconda3"),
    shown("miniforge3"),
    shown("mambaforge"),
    // JavaScript
    placed(".nvm", "NVM_DIR"),
    placed(".volta", "VOLTA_HOME"),
    placed(".fnm", "FNM_DIR"),
    shown(".local/share/fnm"),
    shown(".nodenv"),
    placed(".local/share/pnpm", "PNPM_HOME"),
    placed(".bun", "BUN_INSTALL"),
    placed(".deno", "DENO_INSTALL"),
    shown(".npm/_cacache"),
    shown(".yarn/berry"),
    shown(".cache/yarn"),
    shown(".cache/node"),
    shown(".cache/node-gyp"),
    shown(".cache/ms-playwright"),
    shown(".cache/puppeteer"),
    shown(".cache/Cypress"),
    shown(".cache/electron"),
    // Java and its family
    placed(".sdkman", "SDKMAN_DIR"),
    shown(".jenv"),
    shown(".jdks"),
    shown(".m2/repository"),
    shown(".m2/wrapper"),
    shown(".gradle/caches"),
    shown(".gradle/wrapper"),
    shown(".gradle/jdks"),
    shown(".ivy2/cache"),
    shown(".ivy2/local"),
    shown(".sbt/boot"),
    shown(".cache/coursier"),
    shown(".konan"),
    // Go
    placed("go", "GOPATH"),
    shown("sdk"),
    // .NET
    placed(".dotnet", "DOTNET_ROOT"),
    placed(".nuget/packages", "NUGET_PACKAGES"),
    // Ruby, PHP, Elixir, Haskell, OCaml, Dart, Swift, Julia
    placed(".rbenv", "RBENV_ROOT"),
    shown(".rvm"),
    placed(".gem", "GEM_HOME"),
    shown(".bundle/cache"),
    shown(".composer/cache"),
    shown(".cache/composer"),
    shown(".config/composer/vendor"),
    shown(".mix"),
    shown(".hex/packages"),
    shown(".ghcup"),
    shown(".cabal"),
    shown(".stack"),
    placed(".opam", "OPAMROOT"),
    shown(".pub-cache"),
    shown(".juliaup"),
    shown(".julia"),
    shown(".swiftpm"),
    // Several languages
    placed(".asdf", "ASDF_DATA_DIR"),
    shown(".local/share/mise"),
    shown(".local/share/rtx"),
    shown(".local/bin"),
    shown(".local/lib"),
    shown(".nix-profile"),
    shown(".linuxbrew"),
    shown(".cache/bazelisk"),
    shown(".cache/pre-commit"),
    shown(".cache/torch"),
];

/// Folders and files below the home folder that hold credentials, or that other programs act on.
/// Hidden also where what they lie in is shown, and where the home folder itself cannot be hidden
/// because it holds, or is, the work tree.
pub(super) const PRIVATE: &[&str] = &[
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".config/gh",
    ".config/hub",
    ".config/gcloud",
    ".config/helm",
    ".config/containers",
    ".config/op",
    ".config/sops",
    ".config/git",
    ".config/pip",
    ".config/rclone",
    ".config/google-chrome",
    ".config/chromium",
    ".mozilla",
    ".local/share/keyrings",
    ".password-store",
    ".netrc",
    ".git-credentials",
    ".gitconfig",
    ".npmrc",
    ".yarnrc.yml",
    ".pypirc",
    ".pgpass",
    ".my.cnf",
    ".vault-token",
    ".terraform.d",
    ".terraformrc",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".m2/settings.xml",
    ".m2/settings-security.xml",
    ".gradle/gradle.properties",
    ".gem/credentials",
    ".nuget/NuGet",
    ".config/NuGet",
    ".composer/auth.json",
    ".config/composer/auth.json",
    ".pub-cache/credentials.json",
    ".hex/hex.config",
    ".cabal/config",
    ".bash_history",
    ".zsh_history",
    ".python_history",
    ".claude",
    ".codex",
    ".config/greenloop",
];

/// Variables that name a folder of tools which the command reads.
pub(super) const TOOL_FOLDERS: &[&str] = &[
    "GOROOT",
    "GOMODCACHE",
    "GRADLE_HOME",
    "JAVA_HOME",
    "JDK_HOME",
    "M2_HOME",
    "MAVEN_HOME",
    "ANT_HOME",
    "ANDROID_HOME",
    "ANDROID_SDK_ROOT",
    "FLUTTER_ROOT",
    "NODE_PATH",
    "PLAYWRIGHT_BROWSERS_PATH",
    "PYTHONHOME",
    "PYTHONPATH",
    "VCPKG_ROOT",
    "PIP_FIND_LINKS",
    "npm_config_cache",
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
];

/// Variables that name a folder that a build writes to.
pub(super) const OUTPUT_FOLDERS: &[&str] = &["CARGO_TARGET_DIR", "CARGO_BUILD_BUILD_DIR"];

/// What of the system is hidden, beside all home folders, temporary folders and sockets.
pub(super) const SYSTEM_PRIVATE: &[&str] = &[
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/ssl/private",
    "/etc/kubernetes",
    "/etc/rancher",
    "/etc/docker",
    "/etc/krb5.keytab",
    "/etc/NetworkManager",
    "/etc/wireguard",
    "/etc/openvpn",
    "/var/lib/docker",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/lib/rancher",
    "/var/lib/cloud",
    "/var/lib/waagent",
    "/var/lib/postgresql",
    "/var/lib/mysql",
    "/var/lib/redis",
    "/var/spool",
    "/var/backups",
    "/var/mail",
    "/boot",
];

/// Where private files of the system lie of which only some names are.
pub(super) const SYSTEM_PRIVATE_NAMES: &[(&str, &str)] = &[("/etc/ssh", "ssh_host_")];

/// Folders whose content belongs to programs that run: sockets, tokens, temporary files.
pub(super) const RUNTIME: &[&str] = &["/run", "/var/run", "/tmp", "/var/tmp", "/var/lock"];

/// What of those is needed to resolve names, and by systems that keep their programs there.
pub(super) const RUNTIME_SHOWN: &[&str] = &[
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/current-system",
    "/run/booted-system",
    "/run/opengl-driver",
];

/// Homes of other users.
pub(super) const HOMES: &[&str] = &["/root", "/home", "/var/home", "/Users"];

/// Sockets of engines and buses that do not lie in [`RUNTIME`] are named by these variables.
pub(super) const SOCKET_VARIABLES: &[&str] = &[
    "DOCKER_HOST",
    "CONTAINER_HOST",
    "CONTAINERD_ADDRESS",
    "BUILDKIT_HOST",
    "DBUS_SESSION_BUS_ADDRESS",
    "SSH_AUTH_SOCK",
    "GPG_AGENT_INFO",
    "XDG_RUNTIME_DIR",
];

/// Where a package manager keeps what it fetches.
pub(super) struct Fetched {
    /// The variable that tells it.
    pub(super) variable: &'static str,
    /// The folder below the run's own one: the shared one is read-only.
    pub(super) folder: &'static str,
    /// Where it lies by default, below the home folder.
    pub(super) shared: &'static str,
    /// What of the shared one it needs all the same.
    pub(super) kept: &'static [&'static str],
}

/// Set for commands that may use the network.
pub(super) const FETCHED: &[Fetched] = &[
    Fetched {
        variable: "CARGO_HOME",
        folder: "cargo",
        shared: ".cargo",
        kept: &["config.toml", "config", "bin", "env"],
    },
    fetched("GOMODCACHE", "gomod", "go/pkg/mod"),
    fetched("npm_config_cache", "npm", ".npm"),
    fetched("YARN_CACHE_FOLDER", "yarn", ".cache/yarn"),
    fetched("YARN_GLOBAL_FOLDER", "yarn-berry", ".yarn/berry"),
    fetched("NUGET_PACKAGES", "nuget", ".nuget/packages"),
    fetched("BUNDLE_USER_HOME", "bundle", ".bundle"),
    fetched("COMPOSER_HOME", "composer", ".composer"),
    fetched("PUB_CACHE", "pub", ".pub-cache"),
    fetched("COURSIER_CACHE", "coursier", ".cache/coursier"),
];

const fn fetched(variable: &'static str, folder: &'static str, shared: &'static str) -> Fetched {
    Fetched { variable, folder, shared, kept: &[] }
}
