//! Which repository a remote's address means, in all the forms git takes.

use url::Url;

use greenloop_config::plan::{PullRequestPlan, PullRequestProvider};
use greenloop_ports::{PullRequestError, PullRequestErrorKind};

/// A remote's address in pieces, without its user and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    /// `https` or `http` with host and port, for an address of that kind.
    web: Option<Url>,
    /// The host of any address that has one, in lower case.
    host: Option<String>,
    /// The path's segments, percent-encoded where the address was.
    path: Vec<String>,
    /// As it was given, but for a user and a password in it.
    pub(super) address: String,
}

/// A repository at a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Repository {
    AzureDevops(AzurePlace),
    Github(GithubPlace),
    Gitlab(GitlabPlace),
}

/// A repository at Azure Repos.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AzurePlace {
    /// The organisation's or collection's URL, without a trailing slash.
    pub(super) collection: String,
    /// Name or id, ready for a URL.
    pub(super) project: String,
    /// Name or id, ready for a URL.
    pub(super) repository: String,
}

/// A repository at GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GithubPlace {
    /// Base URL of the API, without a trailing slash.
    pub(super) api: String,
    /// `acme`
    pub(super) owner: String,
    /// `fleet`
    pub(super) name: String,
}

/// A project at GitLab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GitlabPlace {
    /// Base URL of the API, without a trailing slash.
    pub(super) api: String,
    /// Its id, or its path ready for a URL: `acme%2Ffleet`.
    pub(super) project: String,
}

impl GitlabPlace {
    /// A resource of the project.
    pub(super) fn url(&self, tail: &str) -> Result<Url, PullRequestError> {
        let text = format!("{}/projects/{}/{tail}", self.api, self.project);
        Url::parse(&text).map_err(|source| PullRequestError {
            kind: PullRequestErrorKind::UnknownRepository,
            message: format!("{} is not the URL of GitLab's API", self.api),
            source: Some(source.into()),
        })
    }
}

impl Repository {
    pub(super) fn provider(&self) -> PullRequestProvider {
        match self {
            Self::AzureDevops(_) => PullRequestProvider::AzureDevops,
            Self::Github(_) => PullRequestProvider::Github,
            Self::Gitlab(_) => PullRequestProvider::Gitlab,
        }
    }
}

impl Remote {
    pub(super) fn parse(address: &str) -> Self {
        let address = address.trim();
        if let Ok(mut url) = Url::parse(address)
            && url.has_host()
        {
            // `https://PAT@dev.azure.com/…`: what stands there is no business of anybody's, and
            // a user name would make git ask for a password.
            let web = matches!(url.scheme(), "http" | "https");
            let _cannot_be_a_base = url.set_password(None);
            if web {
                let _cannot_be_a_base = url.set_username("");
            }
            let path = url.path().split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect();
            let host = url.host_str().map(str::to_ascii_lowercase);
            let address = url.to_string();
            return Self { web: web.then_some(url), host, path, address };
        }
        // `user@host:path`, as git and scp write it; a path with a colon after a slash is none.
        let scp = address.split_once(':').filter(|(host, _)| {
            !host.is_empty() && !host.contains('/') && !address.contains("://")
        });
        let (host, path) = match scp {
            Some((host, path)) => {
                let host = host.rsplit('@').next().unwrap_or(host).trim_matches(['[', ']']);
                (Some(host.to_ascii_lowercase()), path)
            }
            None => (None, address),
        };
        let path = path.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect();
        Self { web: None, host, path, address: address.to_owned() }
    }

    /// Where git pushes with a token: the address itself, or for the two public services the
    /// one that means the same over https. `None` for what no token opens.
    pub(super) fn push_url(&self) -> Option<Url> {
        if let Some(web) = &self.web {
            return Some(web.clone());
        }
        let text = match (self.service()?, self.path.as_slice()) {
            (Service::Azure, [v3, organization, project, name]) if v3 == "v3" => {
                format!("https://dev.azure.com/{organization}/{project}/_git/{name}")
            }
            (Service::Github, [owner, name]) => format!("https://github.com/{owner}/{name}"),
            (Service::Gitlab, [_, _, ..]) => {
                format!("https://gitlab.com/{}", self.path.join("/"))
            }
            (Service::Azure | Service::Github | Service::Gitlab, _) => return None,
        };
        Url::parse(&text).ok()
    }

    fn service(&self) -> Option<Service> {
        let host = self.host.as_deref()?;
        if matches!(host, "dev.azure.com" | "ssh.dev.azure.com" | "vs-ssh.visualstudio.com")
            || host.ends_with(".visualstudio.com")
        {
            return Some(Service::Azure);
        }
        match host {
            "github.com" | "www.github.com" | "ssh.github.com" => Some(Service::Github),
            "gitlab.com" | "www.gitlab.com" | "altssh.gitlab.com" => Some(Service::Gitlab),
            _ => None,
        }
    }

    /// Who keeps the repository: what the configuration says, else what the address does.
    pub(super) fn provider(&self, plan: &PullRequestPlan) -> Option<PullRequestProvider> {
        if plan.provider.is_some() {
            return plan.provider;
        }
        match self.service() {
            Some(Service::Azure) => return Some(PullRequestProvider::AzureDevops),
            Some(Service::Github) => return Some(PullRequestProvider::Github),
            Some(Service::Gitlab) => return Some(PullRequestProvider::Gitlab),
            None => {}
        }
        let host = self.host.as_deref()?;
        if self.path.iter().any(|segment| segment == "_git") {
            return Some(PullRequestProvider::AzureDevops);
        }
        if host.starts_with("gitlab.") {
            return Some(PullRequestProvider::Gitlab);
        }
        (host.starts_with("github.") || host.ends_with(".ghe.com"))
            .then_some(PullRequestProvider::Github)
    }

    /// The repository it is.
    pub(super) fn repository(
        &self,
        plan: &PullRequestPlan,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Repository, PullRequestError> {
        let unknown = |what: &str| PullRequestError {
            kind: PullRequestErrorKind::UnknownRepository,
            message: format!("the remote {} at {} {what}", plan.remote, self.address),
            source: None,
        };
        match self.provider(plan) {
            Some(PullRequestProvider::AzureDevops) => self
                .azure(plan, env)
                .map(Repository::AzureDevops)
                .ok_or_else(|| unknown("does not contain organisation, project and repository")),
            Some(PullRequestProvider::Github) => self
                .github(plan)
                .map(Repository::Github)
                .ok_or_else(|| unknown("does not contain owner and repository")),
            Some(PullRequestProvider::Gitlab) => self
                .gitlab(plan, env)
                .map(Repository::Gitlab)
                .ok_or_else(|| unknown("does not contain group and project")),
            None => Err(unknown("does not identify its host: set pull_request.provider")),
        }
    }

    fn azure(
        &self,
        plan: &PullRequestPlan,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Option<AzurePlace> {
        let mut place = self.azure_by_address().or_else(|| azure_by_pipeline(env))?;
        if let Some(api) = &plan.api_url {
            place.collection = api.trim_end_matches('/').to_owned();
        }
        Some(place)
    }

    fn azure_by_address(&self) -> Option<AzurePlace> {
        let place = |collection: String, project: &str, repository: &str| {
            Some(AzurePlace {
                collection,
                project: project.to_owned(),
                repository: repository.strip_suffix(".git").unwrap_or(repository).to_owned(),
            })
        };
        let host = self.host.as_deref()?;
        // ssh://git@ssh.dev.azure.com/v3/ORG/PROJECT/REPO and git@ssh.dev.azure.com:v3/…
        if let [v3, organization, project, name] = self.path.as_slice()
            && v3 == "v3"
            && self.web.is_none()
        {
            return place(format!("https://dev.azure.com/{organization}"), project, name);
        }
        // …/PROJECT/_git/REPO, and …/_git/REPO for the repository named like its project;
        // `_optimized` and `_full` may stand before its name.
        let at = self.path.iter().position(|segment| segment == "_git")?;
        let rest: Vec<&String> = self.path[at + 1..]
            .iter()
            .filter(|segment| !matches!(segment.as_str(), "_optimized" | "_full"))
            .collect();
        let [name] = rest.as_slice() else { return None };
        // How many segments before the project belong to the collection's URL.
        let (kept, scheme) = match &self.web {
            Some(web) if host == "dev.azure.com" => (1, web.scheme()),
            Some(web) if host.ends_with(".visualstudio.com") => {
                let collection = self.path.first().is_some_and(|s| s == "DefaultCollection");
                (usize::from(collection), web.scheme())
            }
            Some(web) => (at.saturating_sub(1).max(1), web.scheme()),
            None => (at.saturating_sub(1).max(1), "https"),
        };
        if kept > at {
            return None;
        }
        let project = self.path[kept..at].last().unwrap_or(name);
        let port = self.web.as_ref().and_then(Url::port).map_or(String::new(), |p| format!(":{p}"));
        let mut collection = format!("{scheme}://{host}{port}");
        for segment in &self.path[..kept] {
            collection.push('/');
            collection.push_str(segment);
        }
        place(collection, project, name)
    }

    /// A job knows its server better than an address: an instance may live below a path.
    fn gitlab(
        &self,
        plan: &PullRequestPlan,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Option<GitlabPlace> {
        if let Some(place) = gitlab_by_pipeline(env).filter(|_| plan.api_url.is_none()) {
            return Some(place);
        }
        let [_, .., name] = self.path.as_slice() else { return None };
        let mut path = self.path.clone();
        *path.last_mut()? = name.strip_suffix(".git").unwrap_or(name).to_owned();
        let api = match (&plan.api_url, &self.web, self.host.as_deref()) {
            (Some(api), _, _) => api.trim_end_matches('/').to_owned(),
            (None, Some(web), Some(host)) => {
                let port = web.port().map_or(String::new(), |port| format!(":{port}"));
                format!("{}://{host}{port}/api/v4", web.scheme())
            }
            (None, None, Some("altssh.gitlab.com")) => "https://gitlab.com/api/v4".to_owned(),
            (None, None, Some(host)) => format!("https://{host}/api/v4"),
            (None, _, None) => return None,
        };
        Some(GitlabPlace { api, project: path.join("%2F") })
    }

    fn github(&self, plan: &PullRequestPlan) -> Option<GithubPlace> {
        let [.., owner, name] = self.path.as_slice() else { return None };
        let name = name.strip_suffix(".git").unwrap_or(name).to_owned();
        let api = match (&plan.api_url, self.service(), self.host.as_deref()) {
            (Some(api), _, _) => api.trim_end_matches('/').to_owned(),
            (None, Some(_), _) => "https://api.github.com".to_owned(),
            (None, None, Some(host)) if host.ends_with(".ghe.com") => format!("https://api.{host}"),
            (None, None, Some(host)) => {
                let scheme = self.web.as_ref().map_or("https", |web| web.scheme());
                let port = self.web.as_ref().and_then(Url::port);
                let port = port.map_or(String::new(), |port| format!(":{port}"));
                format!("{scheme}://{host}{port}/api/v3")
            }
            (None, None, None) => return None,
        };
        Some(GithubPlace { api, owner: owner.clone(), name })
    }
}

/// What the pipeline says of the repository it has checked out.
fn gitlab_by_pipeline(env: &dyn Fn(&str) -> Option<String>) -> Option<GitlabPlace> {
    let api = env("CI_API_V4_URL")?.trim_end_matches('/').to_owned();
    Some(GitlabPlace { api, project: env("CI_PROJECT_ID")? })
}

/// What the pipeline says of the repository it has checked out.
fn azure_by_pipeline(env: &dyn Fn(&str) -> Option<String>) -> Option<AzurePlace> {
    if env("BUILD_REPOSITORY_PROVIDER").is_some_and(|provider| provider != "TfsGit") {
        return None;
    }
    Some(AzurePlace {
        collection: env("SYSTEM_COLLECTIONURI")?.trim_end_matches('/').to_owned(),
        project: env("SYSTEM_TEAMPROJECT")?,
        repository: env("BUILD_REPOSITORY_ID").or_else(|| env("BUILD_REPOSITORY_NAME"))?,
    })
}

/// A public service that the address alone tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    Azure,
    Github,
    Gitlab,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> PullRequestPlan {
        PullRequestPlan::default()
    }

    #[test]
    fn gitlab_in_all_its_addresses() {
        for (address, api, project) in [
            ("https://gitlab.com/acme/fleet.git", "https://gitlab.com/api/v4", "acme%2Ffleet"),
            (
                "git@gitlab.com:acme/sub/fleet.git",
                "https://gitlab.com/api/v4",
                "acme%2Fsub%2Ffleet",
            ),
            (
                "http://gitlab.corp:8080/acme/fleet",
                "http://gitlab.corp:8080/api/v4",
                "acme%2Ffleet",
            ),
        ] {
            let found = Remote::parse(address).repository(&plan(), &|_| None).unwrap();
            let expect = GitlabPlace { api: api.into(), project: project.into() };
            assert_eq!(found, Repository::Gitlab(expect), "{address}");
        }
        // Below a path, only a job knows.
        let job = |name: &str| match name {
            "CI_API_V4_URL" => Some("https://corp/gitlab/api/v4".to_owned()),
            "CI_PROJECT_ID" => Some("17".to_owned()),
            _ => None,
        };
        let plan = PullRequestPlan { provider: Some(PullRequestProvider::Gitlab), ..plan() };
        let found = Remote::parse("https://corp/gitlab/acme/fleet").repository(&plan, &job);
        let expect = GitlabPlace { api: "https://corp/gitlab/api/v4".into(), project: "17".into() };
        assert_eq!(found.unwrap(), Repository::Gitlab(expect));
    }

    #[test]
    fn azure_in_all_its_addresses() {
        for (address, expect) in [
            (
                "https://dev.azure.com/fleet/Fleet%20App/_git/web",
                ("https://dev.azure.com/fleet", "Fleet%20App", "web"),
            ),
            (
                "https://fleet@dev.azure.com/fleet/Fleet/_git/web",
                ("https://dev.azure.com/fleet", "Fleet", "web"),
            ),
            ("https://dev.azure.com/fleet/_git/web", ("https://dev.azure.com/fleet", "web", "web")),
            (
                "git@ssh.dev.azure.com:v3/fleet/Fleet/web",
                ("https://dev.azure.com/fleet", "Fleet", "web"),
            ),
            (
                "ssh://git@ssh.dev.azure.com:22/v3/fleet/Fleet/web",
                ("https://dev.azure.com/fleet", "Fleet", "web"),
            ),
            (
                "fleet@vs-ssh.visualstudio.com:v3/fleet/Fleet/web",
                ("https://dev.azure.com/fleet", "Fleet", "web"),
            ),
            (
                "https://fleet.visualstudio.com/Fleet/_git/web",
                ("https://fleet.visualstudio.com", "Fleet", "web"),
            ),
            (
                "https://fleet.visualstudio.com/DefaultCollection/Fleet/_git/_optimized/web",
                ("https://fleet.visualstudio.com/DefaultCollection", "Fleet", "web"),
            ),
            (
                "https://fleet.visualstudio.com/_git/web",
                ("https://fleet.visualstudio.com", "web", "web"),
            ),
            (
                "http://tfs.corp:8080/tfs/Main/Fleet/_git/web.git",
                ("http://tfs.corp:8080/tfs/Main", "Fleet", "web"),
            ),
            (
                "ssh://tfs.corp:22/tfs/Main/Fleet/_git/web",
                ("https://tfs.corp/tfs/Main", "Fleet", "web"),
            ),
        ] {
            let found = Remote::parse(address).repository(&plan(), &|_| None).unwrap();
            let (collection, project, repository) = expect;
            let expect = Repository::AzureDevops(AzurePlace {
                collection: collection.into(),
                project: project.into(),
                repository: repository.into(),
            });
            assert_eq!(found, expect, "{address}");
        }
    }

    #[test]
    fn github_in_all_its_addresses() {
        for (address, api) in [
            ("https://github.com/acme/fleet.git", "https://api.github.com"),
            ("https://x-access-token:ghp_abc@github.com/acme/fleet", "https://api.github.com"),
            ("git@github.com:acme/fleet.git", "https://api.github.com"),
            ("ssh://git@ssh.github.com:443/acme/fleet.git", "https://api.github.com"),
            ("https://github.corp.example/acme/fleet", "https://github.corp.example/api/v3"),
            ("git@acme.ghe.com:acme/fleet", "https://api.acme.ghe.com"),
        ] {
            let remote = Remote::parse(address);
            assert!(!remote.address.contains("ghp_abc"), "{}", remote.address);
            let expect = Repository::Github(GithubPlace {
                api: api.into(),
                owner: "acme".into(),
                name: "fleet".into(),
            });
            assert_eq!(remote.repository(&plan(), &|_| None).unwrap(), expect, "{address}");
        }
    }

    #[test]
    fn the_configuration_and_the_pipeline_know_better() {
        let pipeline = |name: &str| {
            Some(
                match name {
                    "SYSTEM_COLLECTIONURI" => "https://dev.azure.com/fleet/",
                    "SYSTEM_TEAMPROJECT" => "Fleet App",
                    "BUILD_REPOSITORY_ID" => "3411ebc1-d5aa-464f-9615-0b527bc66719",
                    "BUILD_REPOSITORY_PROVIDER" => "TfsGit",
                    _ => return None,
                }
                .to_owned(),
            )
        };
        let azure = PullRequestPlan {
            provider: Some(PullRequestProvider::AzureDevops),
            api_url: Some("http://127.0.0.1:1/tfs/".into()),
            ..plan()
        };
        let found = Remote::parse("/srv/git/web").repository(&azure, &pipeline).unwrap();
        assert_eq!(
            found,
            Repository::AzureDevops(AzurePlace {
                collection: "http://127.0.0.1:1/tfs".into(),
                project: "Fleet App".into(),
                repository: "3411ebc1-d5aa-464f-9615-0b527bc66719".into(),
            })
        );
        for (address, plan) in [
            ("/srv/git/web", plan()),
            ("https://git.corp.example/acme/fleet", plan()),
            ("https://github.com/acme", plan()),
            ("https://dev.azure.com/fleet/Fleet/_git/a/b", plan()),
        ] {
            let error = Remote::parse(address).repository(&plan, &|_| None).unwrap_err();
            assert_eq!(error.kind, PullRequestErrorKind::UnknownRepository, "{address}");
        }
    }

    #[test]
    fn where_a_token_pushes_to() {
        for (address, expect) in [
            (
                "https://fleet:secret@dev.azure.com/fleet/Fleet/_git/web",
                Some("https://dev.azure.com/fleet/Fleet/_git/web"),
            ),
            (
                "git@ssh.dev.azure.com:v3/fleet/Fleet/web",
                Some("https://dev.azure.com/fleet/Fleet/_git/web"),
            ),
            ("git@github.com:acme/fleet.git", Some("https://github.com/acme/fleet.git")),
            ("ssh://git@tfs.corp/tfs/Main/Fleet/_git/web", None),
            ("/srv/git/web", None),
            ("file:///srv/git/web", None),
        ] {
            let url = Remote::parse(address).push_url();
            assert_eq!(url.as_ref().map(Url::as_str), expect, "{address}");
        }
    }
}
