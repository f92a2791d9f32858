//! The way from a work tree to an image in its registry.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bollard::auth::DockerCredentials;
use tokio_util::sync::CancellationToken;

use super::base;
use super::build::{self, BuildError, BuildRequest};
use super::context::{BuildContext, OwnFiles, ScanOptions, ScannedFiles};
use super::digest_cache::DigestCache;
use super::dockerfile::{Base, Dockerfile};
use super::error::{self, BuildFailure};
use super::key::{ContentKey, Ingredients};
use super::push::{self, PUSH, PushError, PushRequest};
use super::reference::{self, Reference};
use super::secrets::Secrets;
use super::watch::{BUILD, Watch};
use crate::engine::{Engine, EngineError, EngineInfo};
use crate::registry::{Credentials, Registry, RegistryAction};
use greenloop_config::plan::{BuildPlan, Builder};
use greenloop_evidence::Redactor;
use greenloop_model::{EventSink, ImageRef, Notice, RunEvent, Stage, counted};
use greenloop_ports::{Image, ImageError, ImageRequest, ImageSource};

/// The pipeline's own name for a build, in Azure Pipelines.
const BUILD_ID: &str = "BUILD_BUILDID";
/// `0` keeps Docker's own command line from BuildKit, and so Greenloop.
const DOCKER_BUILDKIT: &str = "DOCKER_BUILDKIT";
const DOCKER_HOST: &str = "DOCKER_HOST";
/// The part of the stage that looks for the content, and the one that tags, in events.
const CONTEXT: &str = "context";
const TAGS: &str = "tags";
/// How often a context is read whose files change while they are sent.
const READS: u32 = 4;
/// How long a digest just pushed may take to show in a geo-replicated registry.
const APPEARANCE_TIMEOUT: Duration = Duration::from_secs(60);
/// Remembers what files held, so that only changed ones are read again.
const STAT_CACHE: &str = "context.cache";
/// Labels of Greenloop's own.
const RUN_LABEL: &str = "dev.greenloop.run";
const KEY_LABEL: &str = "dev.greenloop.content-key";

/// Builds on a Docker Engine and pushes to one repository.
#[derive(Debug)]
pub struct ImagePipeline {
    plan: BuildPlan,
    state: PathBuf,
    credentials: Credentials,
    secrets: Secrets,
    docker_host: Option<String>,
    build_id: Option<String>,
    buildkit_declined: bool,
    own: OwnFiles,
}

/// Why a build gave no image.
enum AttemptError {
    /// A file of the context changed while it was sent.
    Changed(PathBuf),
    Failed(ImageError),
}

/// The context with what was found out about it.
struct Scanned {
    context: BuildContext,
    dockerfile: Dockerfile,
    bases: Vec<Base>,
    key: Option<ContentKey>,
}

impl ImagePipeline {
    /// For `plan`. `state` is a folder that outlives runs: what it holds only saves time. Nothing
    /// is asked of the engine or the registry yet.
    pub fn new(
        plan: &BuildPlan,
        state: PathBuf,
        credentials: Credentials,
        redactor: Redactor,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let given = |name: &str| env(name).filter(|value| !value.trim().is_empty());
        Self {
            plan: plan.clone(),
            state,
            credentials,
            secrets: Secrets::new(redactor, &plan.args),
            docker_host: given(DOCKER_HOST),
            build_id: given(BUILD_ID),
            buildkit_declined: given(DOCKER_BUILDKIT).as_deref() == Some("0"),
            own: OwnFiles::default(),
        }
    }

    /// Keeps Greenloop's own files out of every context.
    #[must_use]
    pub fn leave_out(mut self, own: OwnFiles) -> Self {
        self.own = own;
        self
    }

    /// The tags that people look for: the commit, the pipeline's build, the configured ones.
    fn tags(&self, request: &ImageRequest) -> Vec<String> {
        let mut tags = vec![request.commit.as_str().to_owned()];
        // Free text in other systems than Azure's, so only what can be a tag.
        tags.extend(self.build_id.clone().filter(|id| is_tag(id)));
        for tag in &self.plan.tags {
            if !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        tags
    }

    fn labels(&self, request: &ImageRequest, key: Option<&ContentKey>) -> HashMap<String, String> {
        let mut labels = HashMap::from([
            ("org.opencontainers.image.revision".to_owned(), request.commit.to_string()),
            ("org.opencontainers.image.created".to_owned(), request.committed_at.to_string()),
        ]);
        if let Some(source) = &request.source {
            labels.insert("org.opencontainers.image.source".to_owned(), source.clone());
        }
        labels.extend(self.plan.labels.iter().map(|(k, v)| (k.clone(), v.clone())));
        labels.insert(RUN_LABEL.to_owned(), request.run.to_string());
        if let Some(key) = key {
            labels.insert(KEY_LABEL.to_owned(), key.as_str().to_owned());
        }
        labels
    }

    async fn engine(&self) -> Result<(Engine, EngineInfo), EngineError> {
        let env = |name: &str| if name == DOCKER_HOST { self.docker_host.clone() } else { None };
        let engine = Engine::at(self.plan.docker_host.as_deref(), &env)?;
        let info = engine.info().await?;
        Ok((engine, info))
    }

    async fn scan(&self, engine: Option<&(Engine, EngineInfo)>, context: BuildContext) -> Scanned {
        let text = String::from_utf8_lossy(context.dockerfile_text()).into_owned();
        let dockerfile = Dockerfile::parse(&text);
        let own = engine.map(|(_, info)| info.platform());
        let platform = self.plan.platform.clone().or(own);
        let needed = platform.as_deref().and_then(|platform| {
            dockerfile.bases(&self.plan.args, self.plan.target.as_deref(), platform)
        });
        let key = match (&needed, &platform) {
            (Some(bases), Some(platform)) => {
                base::digests(bases, engine.map(|(engine, _)| engine), &self.credentials).await.map(
                    |digests| {
                        ContentKey::of(&Ingredients {
                            context: context.digest(),
                            dockerfile: &text,
                            plan: &self.plan,
                            platform,
                            bases: &digests,
                        })
                    },
                )
            }
            (_, _) => None,
        };
        Scanned { context, dockerfile, bases: needed.unwrap_or_default(), key }
    }

    /// The image of that content, when the registry still has it. The file beside the repository
    /// is only a hint, the tag in the registry is what any machine finds.
    async fn find(
        &self,
        key: &ContentKey,
        registry: &Registry,
        name: &str,
        repository: &str,
    ) -> Result<Option<ImageRef>, ImageError> {
        let known = DigestCache::in_folder(&self.state).get(key.as_str(), repository);
        if let Some(image) = known {
            let there = registry.head(name, image.digest()).await.map_err(error::registry)?;
            if there.is_some() {
                return Ok(Some(image));
            }
        }
        let tagged = registry.head(name, &key.tag()).await.map_err(error::registry)?;
        Ok(tagged.and_then(|manifest| ImageRef::new(repository, &manifest.digest)))
    }

    /// Logins for the registries of the base images, by the names the builders ask for.
    async fn logins(&self, bases: &[Base]) -> HashMap<String, DockerCredentials> {
        let mut logins = HashMap::new();
        for base in bases {
            let Some(reference) = Reference::parse(&base.name) else { continue };
            let host = reference.registry();
            if logins.contains_key(host) {
                continue;
            }
            // Without a login the engine asks as anybody, which public images allow.
            let registry = Registry::new(host, self.credentials.clone()).without_retries();
            let login =
                registry.engine_credentials(&reference.repository, RegistryAction::Pull).await;
            if let Ok(Some(credentials)) = login {
                if host == reference::HUB_HOST {
                    logins.insert(reference::HUB_CONFIG.to_owned(), credentials.clone());
                }
                logins.insert(host.to_owned(), credentials);
            }
        }
        logins
    }

    /// Whether BuildKit builds, and in which words that is said.
    fn builder(&self, info: &EngineInfo) -> (bool, String) {
        let buildkit = match self.plan.builder {
            Builder::Buildkit => true,
            Builder::Classic => false,
            Builder::Auto => info.buildkit && !self.buildkit_declined,
        };
        let name = if buildkit { "BuildKit" } else { "the classic builder" };
        let why = match (self.plan.builder, buildkit) {
            (Builder::Auto, true) => "",
            (Builder::Auto, false) if info.buildkit => ", because DOCKER_BUILDKIT is 0",
            (Builder::Auto, false) => ", because the engine has no BuildKit",
            (Builder::Buildkit | Builder::Classic, _) => ", as configured",
        };
        (buildkit, format!("{name} of Docker {} ({}){why}", info.version, info.platform()))
    }

    /// `docker build …`, as a person would type it, without the arguments' values.
    fn command(&self, by: &str) -> String {
        let mut command = format!("docker build -f {}", self.plan.dockerfile_path.display());
        for name in self.plan.args.keys() {
            command.push_str(&format!(" --build-arg {name}"));
        }
        if let Some(target) = &self.plan.target {
            command.push_str(&format!(" --target {target}"));
        }
        if let Some(platform) = &self.plan.platform {
            command.push_str(&format!(" --platform {platform}"));
        }
        let context = &self.plan.context_path;
        let context = if context.as_os_str().is_empty() { ".".as_ref() } else { context.as_path() };
        self.secrets.redact(&format!("{command} {}  # {by}", context.display()))
    }

    /// Reads the context; `earlier` is what was read before a file of it changed.
    async fn read(
        &self,
        work_tree: &Path,
        earlier: Option<ScannedFiles>,
        events: &EventSink,
    ) -> Result<BuildContext, ImageError> {
        part(events, CONTEXT, &format!("read {}", self.plan.context_path.display()));
        let again = earlier.is_some();
        let folder = work_tree.join(&self.plan.context_path);
        let file = work_tree.join(&self.plan.dockerfile_path);
        let cache = self.state.join(STAT_CACHE);
        let (own, args, tree) = (self.own.clone(), self.plan.args.clone(), work_tree.to_owned());
        let read = tokio::task::spawn_blocking(move || {
            let options = ScanOptions {
                cache: Some(&cache),
                own: Some(&own),
                work_tree: Some(&tree),
                args: Some(&args),
                earlier: earlier.as_ref(),
            };
            BuildContext::scan_with(&folder, &file, options)
        });
        let context = read.await.map_err(error::task)?.map_err(error::context)?;
        if let Some(git) = context.git_excluded().filter(|_| !again) {
            events.send(RunEvent::Notice(Notice::Info(error::git_note(git))));
        }
        Ok(context)
    }

    async fn made(
        &self,
        request: &ImageRequest,
        events: &EventSink,
        cancel: &CancellationToken,
    ) -> Result<Image, ImageError> {
        let (host, name) = self.plan.place();
        let repository = format!("{host}/{name}");
        let registry = Registry::new(host, self.credentials.clone());
        let tags = self.tags(request);

        let mut earlier = None;
        let mut reads = 1;
        let (engine, key, id, mut watch) = loop {
            let began = Instant::now();
            let (engine, context) =
                tokio::join!(self.engine(), self.read(&request.work_tree, earlier.take(), events));
            let scanned = self.scan(engine.as_ref().ok(), context?).await;
            let (files, bytes) = (scanned.context.files(), scanned.context.bytes());
            let files = counted(files, "file", "files");
            finished(events, CONTEXT, true, format!("{files}, {bytes} bytes"), began);
            if cancel.is_cancelled() {
                return Err(error::cancelled());
            }

            if let Some(key) = &scanned.key
                && let Some(image) = self.find(key, &registry, &name, &repository).await?
            {
                finished(
                    events,
                    BUILD,
                    true,
                    format!("nothing to build: {} has this content", image.short()),
                    began,
                );
                self.remember(key, &image, events);
                self.put_tags(&registry, &name, &image, &tags, events, cancel).await?;
                return Ok(Image { image, tags, reused: true });
            }
            let (engine, info) = engine.map_err(error::engine)?;
            if scanned.key.is_none() {
                // With a key this was asked above: a registry that is down or refuses is known
                // before minutes are spent on a build.
                registry.head(&name, request.commit.as_str()).await.map_err(error::registry)?;
            }

            let mut watch = Watch::new(&request.log, &self.secrets, events);
            let key = scanned.key.clone();
            let files = scanned.context.scanned_files();
            let by = (&engine, &info);
            match self.build(request, scanned, by, &mut watch, events, cancel).await {
                Ok(id) => break (engine, key, id, watch),
                Err(AttemptError::Changed(path)) if reads < READS => {
                    let path = path.strip_prefix(&request.work_tree).unwrap_or(&path);
                    let text = format!(
                        "`{}` changed while it was sent to the engine: reading the build context \
                         again",
                        path.display()
                    );
                    events.send(RunEvent::Notice(Notice::Info(text)));
                    earlier = Some(files);
                    reads += 1;
                }
                Err(AttemptError::Changed(path)) => return Err(error::changed(path)),
                Err(AttemptError::Failed(error)) => return Err(error),
            }
        };

        let began = Instant::now();
        // Without a key there is no name for the content; the commit is the next best.
        let tag = key.as_ref().map_or_else(|| request.commit.to_string(), ContentKey::tag);
        part(events, PUSH, &format!("docker push {repository}:{tag}"));
        let push_request = PushRequest {
            engine: &engine,
            registry: &registry,
            host,
            name: &name,
            id: &id,
            tag: &tag,
            events,
        };
        let pushed = push::push(&push_request, &mut watch, cancel).await;
        self.close(&mut watch, events);
        let pushed = match pushed {
            Ok(digest) => {
                let wait = registry.appears(&name, &digest, APPEARANCE_TIMEOUT);
                tokio::select! {
                    biased;
                    () = cancel.cancelled() => Err(PushError::Cancelled),
                    there = wait => there.map(|_| digest).map_err(PushError::Registry),
                }
            }
            Err(error) => Err(error),
        };
        let digest = pushed.map_err(|error| {
            finished(events, PUSH, false, "failed".to_owned(), began);
            error::push(error, &self.secrets, &engine)
        })?;
        let image = ImageRef::new(&repository, &digest).ok_or_else(|| {
            error::name(format!("the registry gave `{digest}`, which is not a digest"))
        })?;
        finished(events, PUSH, true, image.to_string(), began);
        if let Some(key) = &key {
            self.remember(key, &image, events);
        }
        self.put_tags(&registry, &name, &image, &tags, events, cancel).await?;
        Ok(Image { image, tags, reused: false })
    }

    async fn build(
        &self,
        request: &ImageRequest,
        scanned: Scanned,
        (engine, info): (&Engine, &EngineInfo),
        watch: &mut Watch<'_>,
        events: &EventSink,
        cancel: &CancellationToken,
    ) -> Result<String, AttemptError> {
        let began = Instant::now();
        let (buildkit, by) = self.builder(info);
        part(events, BUILD, &self.command(&by));
        watch.note(&format!("building with {by}"));
        let Scanned { context, dockerfile, bases, key } = scanned;
        let git_excluded = context.git_excluded().map(str::to_owned);
        let order = BuildRequest {
            engine,
            plan: &self.plan,
            context,
            labels: self.labels(request, key.as_ref()),
            logins: self.logins(&bases).await,
            buildkit,
            events,
        };
        match build::build(order, watch, cancel).await {
            Ok(id) => {
                finished(events, BUILD, true, id.clone(), began);
                Ok(id)
            }
            Err(BuildError::Changed(path)) => {
                self.close(watch, events);
                finished(events, BUILD, true, "restarted".to_owned(), began);
                Err(AttemptError::Changed(path))
            }
            Err(error) => {
                let failed = watch.failed_step();
                self.close(watch, events);
                finished(events, BUILD, false, "failed".to_owned(), began);
                let path = self.plan.dockerfile_path.to_string_lossy();
                let failure = BuildFailure {
                    secrets: &self.secrets,
                    engine,
                    dockerfile: &dockerfile,
                    path: &path,
                    bases: &bases,
                    work_tree: &request.work_tree,
                    git_excluded: git_excluded.as_deref(),
                };
                Err(AttemptError::Failed(error::build(error, failed, &failure)))
            }
        }
    }

    /// Puts the tags that people look for on a manifest that is in the registry. Begun, it is
    /// finished: it takes a request a tag.
    async fn put_tags(
        &self,
        registry: &Registry,
        name: &str,
        image: &ImageRef,
        tags: &[String],
        events: &EventSink,
        cancel: &CancellationToken,
    ) -> Result<(), ImageError> {
        if cancel.is_cancelled() {
            return Err(error::cancelled());
        }
        let began = Instant::now();
        for tag in tags {
            registry.tag(name, image.digest(), tag).await.map_err(error::registry)?;
        }
        finished(events, TAGS, true, tags.join(", "), began);
        Ok(())
    }

    fn remember(&self, key: &ContentKey, image: &ImageRef, events: &EventSink) {
        if let Err(error) = DigestCache::in_folder(&self.state).put(key.as_str(), image) {
            let text = format!("could not cache the image's content key on this machine: {error}");
            events.send(RunEvent::Notice(Notice::Warning(text)));
        }
    }

    fn close(&self, watch: &mut Watch<'_>, events: &EventSink) {
        if let Some(error) = watch.close() {
            let text = format!("the log of the image stage is incomplete: {error}");
            events.send(RunEvent::Notice(Notice::Warning(text)));
        }
    }
}

#[async_trait]
impl ImageSource for ImagePipeline {
    async fn image(
        &self,
        request: &ImageRequest,
        events: &EventSink,
        cancel: &CancellationToken,
    ) -> Result<Image, ImageError> {
        self.made(request, events, cancel).await
    }
}

fn part(events: &EventSink, name: &str, command: &str) {
    events.send(RunEvent::PartStarted {
        stage: Stage::Image,
        name: name.to_owned(),
        command: command.to_owned(),
    });
}

fn finished(events: &EventSink, name: &str, ok: bool, detail: String, began: Instant) {
    events.send(RunEvent::StepFinished {
        stage: Stage::Image,
        name: name.to_owned(),
        ok,
        detail,
        elapsed: began.elapsed(),
    });
}

/// The grammar of the distribution specification.
fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&text.len())
        && text.bytes().take(1).all(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}
