//! The impure half: watches in, the view kept, the judge asked, logs and ports fetched.
//!
//! One task owns the view. Whatever the cluster says comes through one stream of [`Input`]s;
//! timers only wake the judge when a sign ripens, the soak ends or the deadline comes. Nothing is
//! polled.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::time::Duration;

use futures::stream::{BoxStream, FuturesUnordered, SelectAll, StreamExt};
use k8s_openapi::api::apps::v1::{
    ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet,
};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::core::Selector;
use kube::{Api, Client};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::crash::CrashLog;
use super::evidence::{ReadLog, evidence, known_log, telling_pods};
use super::judge::{Goal, Judgement, RolloutVerdict, judge};
use super::logs::{self, ContainerRef, Refused};
use super::object::Object;
use super::ports;
use super::progress::{ReportedProgress, shown};
use super::signal::Signal;
use super::signals::{self, WantedPorts};
use super::tail;
use super::view::{Change, LogTail, PortLook, View, statuses};
use super::watch::{WatchError, WatchEvent, watch};
use super::{
    Outcome, RolloutFailure, TrackError, TrackErrorKind, TrackSettings, Workload, WorkloadKind,
};
use crate::{admission_error, secrets};
use greenloop_evidence::Redactor;
use greenloop_model::EventSink;

/// Outages are added to the deadline up to this, all together.
const MOST_OUTAGE: Duration = Duration::from_secs(300);
/// Refusals in a row until a right is taken to be missing: rights that were just granted reach
/// the API server with a delay.
const MOST_REFUSALS: u32 = 4;
/// The API server must answer within this before a deadline is said to have passed.
const PING: Duration = Duration::from_secs(5);
/// All logs for the evidence together may take this long.
const EVIDENCE: Duration = Duration::from_secs(8);
/// Containers whose logs are read for the evidence.
const EVIDENCE_LOGS: usize = 8;

/// Which watch something came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Object(usize),
    Pods(usize),
    Sets(usize),
    Revisions(usize),
    Events(String),
}

/// What reaches the driver.
enum Input {
    Object(usize, Change<Object>),
    Pods(usize, Change<Pod>),
    Sets(usize, Change<ReplicaSet>),
    Revisions(usize, Change<ControllerRevision>),
    Events(String, Change<Event>),
    WatchError(Source, WatchError),
}

/// What was fetched on the judge's behalf.
enum Fetched {
    Log {
        pod_uid: String,
        container: String,
        crash: String,
        log: CrashLog,
        refused: Option<Refused>,
    },
    Ports {
        pod_uid: String,
        container: String,
        look: Option<PortLook>,
    },
    Tail {
        pod_uid: String,
        container: String,
        waits: Option<String>,
    },
}

type Fetch = Pin<Box<dyn Future<Output = Fetched> + Send>>;

/// Follows the workloads to the end.
pub(super) async fn run(
    client: &Client,
    workloads: &[Workload],
    settings: &TrackSettings,
    redactor: &Redactor,
    events: &EventSink,
    cancel: &CancellationToken,
) -> Result<Outcome, TrackError> {
    let mut tracker = Tracker::new(client, settings, BTreeSet::new(), redactor, events);
    tracker.add(workloads);
    tracker.prove(cancel).await
}

/// How the wait for some workloads ended.
#[derive(Debug)]
pub enum WaveOutcome {
    /// They are there.
    Ready,
    /// They wait for something themselves, in words; what comes later may be it.
    Deferred(String),
    /// The rollout ended meanwhile.
    Ended(Outcome),
}

/// Follows a release that is written step by step: its workloads are added as they are written.
///
/// The settings' deadline is counted from the making of the tracker.
pub struct Tracker<'a>(Driver<'a>);

impl<'a> Tracker<'a> {
    /// A tracker that follows nothing yet. `promised` are Secrets and ConfigMaps that other objects
    /// of the release are there to make, as the kubelet calls them (`secret "web-tls"`): one that
    /// is missing is waited for.
    pub fn new(
        client: &'a Client,
        settings: &'a TrackSettings,
        promised: BTreeSet<String>,
        redactor: &'a Redactor,
        events: &'a EventSink,
    ) -> Self {
        let mut view = View::new(&[]);
        view.promised = promised;
        Self(Driver {
            client,
            settings,
            redactor,
            start: Instant::now(),
            view,
            watches: SelectAll::new(),
            watched: BTreeSet::new(),
            listed: BTreeSet::new(),
            lost: BTreeMap::new(),
            outage: None,
            outages: Duration::ZERO,
            refusals: 0,
            refused: BTreeSet::new(),
            fetches: FuturesUnordered::new(),
            fetching: BTreeSet::new(),
            told: ReportedProgress::new(events, redactor),
        })
    }

    /// Follows these workloads too.
    pub fn add(&mut self, workloads: &[Workload]) {
        for workload in workloads {
            self.0.view.add(workload);
        }
        self.0.watch_objects();
    }

    /// An object, `configmap "settings"`, is still to be made by the release itself.
    pub fn promise(&mut self, object: String) {
        self.0.view.promised.insert(object);
    }

    /// How much of the time that the rollout has is left.
    pub fn left(&self) -> Duration {
        self.0.deadline().saturating_sub(self.0.start.elapsed())
    }

    /// Waits for workloads that are followed, each with whether it must be there. Those that need
    /// not are awaited for half of the rollout's time at most. `makers_to_come` says whether a later
    /// wave brings something that makes other objects: what they lack is waited for.
    ///
    /// # Errors
    /// When the cluster cannot be read.
    pub async fn stamp(
        &mut self,
        awaited: &[(&Workload, bool)],
        makers_to_come: bool,
        cancel: &CancellationToken,
    ) -> Result<WaveOutcome, TrackError> {
        self.0.view.makers_to_come = makers_to_come;
        let place = |(workload, firm): &(&Workload, bool)| {
            let followed = &self.0.view.followed;
            let scope = followed.iter().position(|followed| followed.workload == **workload)?;
            Some((scope, *firm))
        };
        let awaited: Vec<(usize, bool)> = awaited.iter().filter_map(place).collect();
        if awaited.is_empty() {
            return Ok(WaveOutcome::Ready);
        }
        let until = self.0.settings.deadline / 2;
        self.0.follow(Goal::Settle { awaited: &awaited, until }, cancel).await
    }

    /// Goes on following for a while, when something can be done only then.
    ///
    /// # Errors
    /// When the cluster cannot be read.
    pub async fn pass(
        &mut self,
        time: Duration,
        cancel: &CancellationToken,
    ) -> Result<Option<Outcome>, TrackError> {
        if self.0.view.followed.is_empty() {
            tokio::select! {
                () = tokio::time::sleep(time) => return Ok(None),
                () = cancel.cancelled() => return Ok(Some(Outcome::Cancelled)),
            }
        }
        // Nothing is awaited here but time: a workload that is not there must not end it.
        let everything: Vec<(usize, bool)> =
            (0..self.0.view.followed.len()).map(|scope| (scope, true)).collect();
        let goal = Goal::Settle { awaited: &everything, until: Duration::MAX };
        let begun = Instant::now();
        match tokio::time::timeout(time, self.0.follow(goal, cancel)).await {
            Ok(Ok(WaveOutcome::Ended(outcome))) => Ok(Some(outcome)),
            Ok(Ok(WaveOutcome::Ready | WaveOutcome::Deferred(_))) => {
                tokio::time::sleep(time.saturating_sub(begun.elapsed())).await;
                Ok(None)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Whether something of what is followed has yet to get where it should.
    pub fn is_moving(&self) -> bool {
        self.0.view.standings().iter().any(|standing| !standing.done)
    }

    /// Follows everything to the end.
    ///
    /// # Errors
    /// When the cluster cannot be read.
    pub async fn prove(&mut self, cancel: &CancellationToken) -> Result<Outcome, TrackError> {
        if self.0.view.followed.is_empty() {
            return Ok(Outcome::Ready { soaked: Duration::ZERO });
        }
        self.0.view.makers_to_come = false;
        match self.0.follow(Goal::Prove, cancel).await? {
            WaveOutcome::Ended(outcome) => Ok(outcome),
            // What is to prove itself is never only settled.
            WaveOutcome::Ready | WaveOutcome::Deferred(_) => {
                Ok(Outcome::Ready { soaked: Duration::ZERO })
            }
        }
    }
}

struct Driver<'a> {
    client: &'a Client,
    settings: &'a TrackSettings,
    redactor: &'a Redactor,
    start: Instant,
    view: View,
    watches: SelectAll<BoxStream<'static, Input>>,
    watched: BTreeSet<Source>,
    /// Watches that have listed once.
    listed: BTreeSet<Source>,
    /// Watches that are cut off, and why.
    lost: BTreeMap<Source, String>,
    /// Since when any of them is.
    outage: Option<Instant>,
    /// Outages that are over.
    outages: Duration,
    refusals: u32,
    /// Rights to read logs that are missing.
    refused: BTreeSet<Refused>,
    fetches: FuturesUnordered<Fetch>,
    /// Crashes whose logs, and containers whose ports, are being fetched.
    fetching: BTreeSet<(String, String, String)>,
    told: ReportedProgress<'a>,
}

impl Driver<'_> {
    async fn follow(
        &mut self,
        goal: Goal<'_>,
        cancel: &CancellationToken,
    ) -> Result<WaveOutcome, TrackError> {
        loop {
            let now = self.start.elapsed();
            let signals = self.view.stamp(now);
            let deadline = self.deadline();
            let verdict = judge(&self.view, &signals, self.settings, deadline, now, goal);
            // What is known during an outage is from before it, and has been told.
            if self.outage.is_none() {
                self.told.tell(&self.view, &signals, &verdict, now);
            }
            let mut wake = deadline;
            match verdict {
                // What is known is from before the outage: wait for news, or for its end.
                _ if self.outage.is_some() => {
                    if now >= deadline {
                        return Err(self.unreachable());
                    }
                }
                RolloutVerdict::WaveReady => return Ok(WaveOutcome::Ready),
                RolloutVerdict::Yields { why } => {
                    return Ok(WaveOutcome::Deferred(self.redacted(&why)));
                }
                RolloutVerdict::Ready { soaked } => {
                    return Ok(WaveOutcome::Ended(Outcome::Ready { soaked }));
                }
                RolloutVerdict::Superseded { message } => {
                    let message = self.redacted(&message);
                    return Ok(WaveOutcome::Ended(Outcome::Superseded { message }));
                }
                RolloutVerdict::Failed(judgement) => {
                    let failure = self.failure(*judgement).await;
                    return Ok(WaveOutcome::Ended(Outcome::Failed(Box::new(failure))));
                }
                RolloutVerdict::Late(judgement) => {
                    // A connection that is dead without a word shows the past.
                    if answers(self.client).await {
                        let failure = self.failure(*judgement).await;
                        return Ok(WaveOutcome::Ended(Outcome::Failed(Box::new(failure))));
                    }
                    self.rewatch();
                }
                RolloutVerdict::Soaking { until } => wake = until,
                RolloutVerdict::Progressing { look_again } => wake = look_again.unwrap_or(deadline),
            }
            let look = self.fetch(&signals, now);
            let tail = self.look_at_logs(goal, now);
            let wake = look.into_iter().chain(tail).fold(wake, Duration::min);
            tokio::select! {
                () = cancel.cancelled() => return Ok(WaveOutcome::Ended(Outcome::Cancelled)),
                Some(input) = self.watches.next() => self.take(input)?,
                Some(fetched) = self.fetches.next() => self.learn(fetched),
                () = tokio::time::sleep_until(self.start + wake) => {}
            }
        }
    }

    /// The deadline, moved by the outages so far.
    fn deadline(&self) -> Duration {
        let lasting = self.outage.map_or(Duration::ZERO, |since| since.elapsed());
        self.settings.deadline + (self.outages + lasting).min(MOST_OUTAGE)
    }

    fn take(&mut self, input: Input) -> Result<(), TrackError> {
        let now = self.start.elapsed();
        match input {
            Input::Object(scope, change) => {
                let listed = matches!(change, Change::Listed(_));
                self.view.see_object(scope, change);
                self.back(Source::Object(scope), listed);
                self.watch_pods(scope);
            }
            Input::Pods(scope, change) => {
                let source = Source::Pods(scope);
                let listed = matches!(change, Change::Listed(_));
                let old = !self.listed.contains(&source);
                self.view.see_pods(scope, change, now, old);
                self.back(source, listed);
            }
            Input::Sets(scope, change) => {
                let listed = matches!(change, Change::Listed(_));
                self.view.see_replica_sets(change);
                self.back(Source::Sets(scope), listed);
            }
            Input::Revisions(scope, change) => {
                let listed = matches!(change, Change::Listed(_));
                self.view.see_revisions(change);
                self.back(Source::Revisions(scope), listed);
            }
            Input::Events(namespace, change) => {
                let source = Source::Events(namespace);
                let listed = matches!(change, Change::Listed(_));
                let old = !self.listed.contains(&source);
                self.view.see_events(change, old);
                self.back(source, listed);
            }
            Input::WatchError(source, lost) => self.lose(source, lost)?,
        }
        Ok(())
    }

    /// A watch brought something: it is there.
    fn back(&mut self, source: Source, listed: bool) {
        if !listed {
            return;
        }
        self.lost.remove(&source);
        if !matches!(source, Source::Events(_)) {
            self.refusals = 0;
        }
        self.listed.insert(source);
        if self.lost.is_empty()
            && let Some(since) = self.outage.take()
        {
            self.outages += since.elapsed();
            self.told.back(&self.view, since.elapsed());
        }
    }

    fn lose(&mut self, source: Source, lost: WatchError) -> Result<(), TrackError> {
        match lost {
            WatchError::Expired => return Ok(()),
            // Without events it is judged by what is left; the account need not see them.
            WatchError::Refused(_) if matches!(source, Source::Events(_)) => return Ok(()),
            WatchError::Refused(error) => {
                self.refusals += 1;
                if self.refusals >= MOST_REFUSALS {
                    let what = what(&source);
                    let mut message =
                        format!("no permission to list and watch {what} in the cluster");
                    if let Some(right) = admission_error::of_error(&error) {
                        message.push_str(&format!(": {right}"));
                    }
                    return Err(TrackError::caused(TrackErrorKind::Refused, message, error));
                }
            }
            WatchError::Away(error) => {
                let why = error.map_or_else(|| "no answer".to_owned(), |error| error.to_string());
                if matches!(source, Source::Events(_)) {
                    return Ok(());
                }
                self.told.away(&self.view, &why);
                self.lost.insert(source, why);
                self.outage.get_or_insert_with(Instant::now);
            }
        }
        Ok(())
    }

    fn unreachable(&self) -> TrackError {
        let why = self.lost.values().next().cloned().unwrap_or_default();
        TrackError::new(
            TrackErrorKind::Unreachable,
            format!(
                "the API server has been unreachable for {} s, so the state of the rollout is \
                 unknown: {}",
                self.outage.map_or(0, |since| since.elapsed().as_secs()),
                self.redacted(&why)
            ),
        )
    }

    /// Makes all watches again, after the connection has turned out to be dead.
    fn rewatch(&mut self) {
        self.watches = SelectAll::new();
        for source in std::mem::take(&mut self.watched) {
            if !matches!(source, Source::Events(_)) {
                self.lost.insert(source, "no answer".to_owned());
            }
        }
        self.outage.get_or_insert_with(Instant::now);
        self.watch_objects();
        for scope in 0..self.view.followed.len() {
            self.watch_pods(scope);
        }
    }

    fn watch_objects(&mut self) {
        for scope in 0..self.view.followed.len() {
            let workload = self.view.followed[scope].workload.clone();
            let source = Source::Object(scope);
            let namespace = workload.namespace.as_str();
            let stream = match workload.kind {
                WorkloadKind::Deployment => {
                    self.objects::<Deployment>(scope, &workload, Object::Deployment)
                }
                WorkloadKind::StatefulSet => {
                    self.objects::<StatefulSet>(scope, &workload, Object::StatefulSet)
                }
                WorkloadKind::DaemonSet => {
                    self.objects::<DaemonSet>(scope, &workload, Object::DaemonSet)
                }
                WorkloadKind::Job => self.objects::<Job>(scope, &workload, Object::Job),
            };
            if self.watched.insert(source) {
                self.watches.push(stream);
            }
            if self.watched.insert(Source::Events(namespace.to_owned())) {
                let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
                let namespace = namespace.to_owned();
                self.watches.push(
                    watch(api, None, None)
                        .map(move |news| match news {
                            WatchEvent::Change(change) => Input::Events(namespace.clone(), change),
                            WatchEvent::WatchError(lost) => {
                                Input::WatchError(Source::Events(namespace.clone()), lost)
                            }
                        })
                        .boxed(),
                );
            }
        }
    }

    fn objects<K>(
        &self,
        scope: usize,
        workload: &Workload,
        wrap: fn(Box<K>) -> Object,
    ) -> BoxStream<'static, Input>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned
            + Send
            + 'static,
        K::DynamicType: Default,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &workload.namespace);
        let object = move |object: K| wrap(Box::new(object));
        watch(api, None, Some(&workload.name))
            .map(move |news| match news {
                WatchEvent::Change(Change::Listed(all)) => {
                    Input::Object(scope, Change::Listed(all.into_iter().map(object).collect()))
                }
                WatchEvent::Change(Change::Applied(one)) => {
                    Input::Object(scope, Change::Applied(object(one)))
                }
                WatchEvent::Change(Change::Gone(one)) => {
                    Input::Object(scope, Change::Gone(object(one)))
                }
                WatchEvent::WatchError(lost) => Input::WatchError(Source::Object(scope), lost),
            })
            .boxed()
    }

    /// The watches of a workload's pods and revisions, as soon as its selector is known.
    fn watch_pods(&mut self, scope: usize) {
        let Some(followed) = self.view.followed.get(scope) else { return };
        let selector = followed.object.as_ref().and_then(Object::selector).cloned();
        let Some(selector) = selector.and_then(|labels| Selector::try_from(labels).ok()) else {
            return;
        };
        if !self.watched.insert(Source::Pods(scope)) {
            return;
        }
        let labels = Some(selector.to_string());
        let namespace = followed.workload.namespace.clone();
        let client = self.client.clone();
        let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        self.watches.push(
            watch(pods, labels.clone(), None)
                .map(move |news| match news {
                    WatchEvent::Change(change) => Input::Pods(scope, change),
                    WatchEvent::WatchError(lost) => Input::WatchError(Source::Pods(scope), lost),
                })
                .boxed(),
        );
        match followed.workload.kind {
            WorkloadKind::Deployment => {
                self.watched.insert(Source::Sets(scope));
                let sets: Api<ReplicaSet> = Api::namespaced(client, &namespace);
                self.watches.push(
                    watch(sets, labels, None)
                        .map(move |news| match news {
                            WatchEvent::Change(change) => Input::Sets(scope, change),
                            WatchEvent::WatchError(lost) => {
                                Input::WatchError(Source::Sets(scope), lost)
                            }
                        })
                        .boxed(),
                );
            }
            WorkloadKind::DaemonSet => {
                self.watched.insert(Source::Revisions(scope));
                let revisions: Api<ControllerRevision> = Api::namespaced(client, &namespace);
                self.watches.push(
                    watch(revisions, labels, None)
                        .map(move |news| match news {
                            WatchEvent::Change(change) => Input::Revisions(scope, change),
                            WatchEvent::WatchError(lost) => {
                                Input::WatchError(Source::Revisions(scope), lost)
                            }
                        })
                        .boxed(),
                );
            }
            WorkloadKind::StatefulSet | WorkloadKind::Job => {}
        }
    }

    /// Starts what the judge wants to know; gives the time of the next look that is due later.
    fn fetch(&mut self, signals: &[Signal], now: Duration) -> Option<Duration> {
        for wanted in signals::wanted_logs(&self.view) {
            let key = (wanted.pod_uid.clone(), wanted.container.clone(), wanted.crash.clone());
            // One that is being asked for is not asked for again, but once as the previous one.
            let key = (key.0, key.1, format!("{} {}", key.2, wanted.previous));
            if !self.fetching.insert(key) {
                continue;
            }
            let (client, redactor) = (self.client.clone(), self.redactor.clone());
            let pod = self.view.pods.get(&wanted.pod_uid).map(|seen| seen.pod.clone());
            self.fetches.push(Box::pin(async move {
                let place = ContainerRef {
                    namespace: &wanted.namespace,
                    pod: &wanted.pod,
                    container: &wanted.container,
                };
                if let Some(pod) = &pod {
                    secrets::of_pod(&client, pod, &redactor).await;
                }
                let read = logs::read_either(&client, place, wanted.previous, &redactor).await;
                let (log, refused) = match read {
                    Ok(Some(said)) => (CrashLog::Read(Box::new(said)), None),
                    Ok(None) => (CrashLog::Unavailable, None),
                    Err(refused) => (CrashLog::Unavailable, Some(refused)),
                };
                let (pod_uid, container) = (wanted.pod_uid, wanted.container);
                Fetched::Log { pod_uid, container, crash: wanted.crash, log, refused }
            }));
        }
        let mut later: Option<Duration> = None;
        for wanted in signals::wanted_ports(&self.view, signals) {
            let key = (wanted.pod_uid.clone(), wanted.container.clone(), "ports".to_owned());
            if wanted.at > now {
                later = Some(later.map_or(wanted.at, |at| at.min(wanted.at)));
            } else if self.fetching.insert(key) {
                self.look(wanted, now);
            }
        }
        later
    }

    /// Starts looks at the logs of what is awaited and need not be; gives the time of the next one
    /// that is due later.
    fn look_at_logs(&mut self, goal: Goal<'_>, now: Duration) -> Option<Duration> {
        let Goal::Settle { awaited, .. } = goal else { return None };
        let soft = awaited.iter().filter(|(_, firm)| !firm).map(|(scope, _)| *scope);
        let mut later: Option<Duration> = None;
        for wanted in tail::wanted(&self.view, soft) {
            let key = (wanted.pod_uid.clone(), wanted.container.clone(), "tail".to_owned());
            if wanted.at > now {
                later = Some(later.map_or(wanted.at, |at| at.min(wanted.at)));
            } else if self.fetching.insert(key) {
                let (client, redactor) = (self.client.clone(), self.redactor.clone());
                let pod = self.view.pods.get(&wanted.pod_uid).map(|seen| seen.pod.clone());
                self.fetches.push(Box::pin(async move {
                    if let Some(pod) = &pod {
                        secrets::of_pod(&client, pod, &redactor).await;
                    }
                    let waits = tail::look(&client, &wanted, &redactor).await;
                    Fetched::Tail { pod_uid: wanted.pod_uid, container: wanted.container, waits }
                }));
            }
        }
        later
    }

    fn look(&self, wanted: WantedPorts, now: Duration) {
        let client = self.client.clone();
        self.fetches.push(Box::pin(async move {
            let look = ports::look(&client, &wanted, now).await;
            Fetched::Ports { pod_uid: wanted.pod_uid, container: wanted.container, look }
        }));
    }

    fn learn(&mut self, fetched: Fetched) {
        match fetched {
            Fetched::Log { pod_uid, container, crash, log, refused } => {
                self.refused.extend(refused);
                self.view.see_log(&pod_uid, &container, &crash, log);
            }
            Fetched::Ports { pod_uid, container, look } => {
                self.fetching.remove(&(pod_uid.clone(), container.clone(), "ports".to_owned()));
                // A look that failed counts as one that showed nothing: it is not repeated for ever.
                let look = look.unwrap_or_else(|| PortLook {
                    at: self.start.elapsed(),
                    open: BTreeSet::new(),
                    refused: BTreeSet::new(),
                });
                self.view.port_looks.entry((pod_uid, container)).or_default().push(look);
            }
            Fetched::Tail { pod_uid, container, waits } => {
                self.fetching.remove(&(pod_uid.clone(), container.clone(), "tail".to_owned()));
                let at = self.start.elapsed();
                self.view.tails.insert((pod_uid, container), LogTail { at, waits });
            }
        }
    }

    /// Freezes the evidence.
    async fn failure(&mut self, judgement: Judgement) -> RolloutFailure {
        let logs = read_logs(self.client, &self.view, self.redactor, &judgement);
        let logs = tokio::time::timeout(EVIDENCE, logs).await;
        let (logs, refused) = logs.unwrap_or_default();
        self.refused.extend(refused);
        let mut evidence =
            evidence(&self.view, &judgement, &logs, &self.settings.diff, self.redactor);
        let refused = self.refused.iter().map(|right| format!("could not read logs: {right}"));
        evidence.notes.extend(refused);
        RolloutFailure {
            rule: judgement.rule,
            message: self.redacted(&judgement.message),
            class: judgement.class,
            evidence: Box::new(evidence),
        }
    }

    fn redacted(&self, text: &str) -> String {
        shown(self.redactor, text)
    }
}

/// The logs of the telling pods: those of the crashes that were judged, then of what runs.
async fn read_logs(
    client: &Client,
    view: &View,
    redactor: &Redactor,
    judgement: &Judgement,
) -> (Vec<ReadLog>, Option<Refused>) {
    let mut wanted = Vec::new();
    let culprit = judgement.signal.as_ref().and_then(|signal| signal.container.as_deref());
    let mut known = Vec::new();
    for (uid, pod) in telling_pods(view, judgement) {
        let mut containers: Vec<_> = statuses(pod).map(|(status, _)| status).collect();
        containers.sort_by_key(|status| Some(status.name.as_str()) != culprit);
        for status in containers {
            let crash = view.crashes_of(uid, &status.name).last();
            match crash.and_then(known_log) {
                Some(log) => known.push(log),
                None => wanted.push((uid, pod, status)),
            }
        }
    }
    let read = wanted.into_iter().take(EVIDENCE_LOGS).map(|(uid, pod, status)| async move {
        let previous = status.last_state.as_ref().is_some_and(|state| state.terminated.is_some());
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let name = pod.metadata.name.clone().unwrap_or_default();
        let place = ContainerRef { namespace, pod: &name, container: &status.name };
        secrets::of_pod(client, pod, redactor).await;
        let said = logs::read_either(client, place, previous, redactor).await?;
        Ok::<_, Refused>(said.map(|said| {
            let (container, previous) = (status.name.clone(), !said.current);
            ReadLog { pod_uid: uid.to_owned(), pod: name, container, previous, said }
        }))
    });
    let mut refused = None;
    for read in futures::future::join_all(read).await {
        match read {
            Ok(log) => known.extend(log),
            Err(right) => refused = Some(right),
        }
    }
    // The container that decided comes first, whoever had read its log.
    let decided = judgement.signal.as_ref().and_then(|signal| signal.pod.clone());
    known.sort_by_key(|log| {
        let pod = decided.as_ref().is_none_or(|(uid, _)| *uid == log.pod_uid);
        (!pod, Some(log.container.as_str()) != culprit)
    });
    (known, refused)
}

/// Whether the API server answers now.
async fn answers(client: &Client) -> bool {
    let version = tokio::time::timeout(PING, client.apiserver_version()).await;
    match version {
        Ok(Ok(_) | Err(kube::Error::Api(_))) => true,
        Ok(Err(_)) | Err(_) => false,
    }
}

/// What a watch is of, for a person.
fn what(source: &Source) -> &'static str {
    match source {
        Source::Object(_) => "the workload",
        Source::Pods(_) => "pods",
        Source::Sets(_) => "replicasets",
        Source::Revisions(_) => "controllerrevisions",
        Source::Events(_) => "events",
    }
}
