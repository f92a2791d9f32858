//! Whether something else in the release still gets on: what a container that dies may be waiting
//! for. A pure function of the view and the time.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};

use super::WorkloadKind;
use super::probe;
use super::rule::{Source, When};
use super::signal::Signal;
use super::view::{SeenContainer, View, is_sidecar, is_terminating, statuses};

/// How long the readiness of a container without a probe says nothing: it is ready as soon as it
/// runs.
const UNPROVEN: Duration = Duration::from_secs(60);
/// What has just become ready reaches others through endpoints and name servers this much later.
const SPREADS: Duration = Duration::from_secs(2);

/// How the rest of a release moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Movement {
    /// Something moves now.
    pub(super) now: bool,
    /// When something last got somewhere, and others could know.
    pub(super) last: Option<Duration>,
}

/// The container that asks: the others are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) scope: usize,
    pub(super) pod_uid: &'a str,
    pub(super) container: &'a str,
    /// Whether a container that was never probed may be what it waits for.
    pub(super) waits: bool,
}

/// What moves beside the one that asks. `troubles` are the signs that the view shows.
pub(super) fn beside(
    view: &View,
    troubles: &[Signal],
    asking: &Asking<'_>,
    now: Duration,
) -> Movement {
    let mut movement = Movement::default();
    for (scope, followed) in view.followed.iter().enumerate() {
        let standing = view.workload_status(scope);
        let of_scope = || troubles.iter().filter(move |signal| signal.scope == scope);
        let pods = view.new_pods(scope).count();
        let blocked = of_scope().any(is_trouble);
        // Its controller is about to make pods.
        movement.now |= scope != asking.scope
            && !standing.done
            && !blocked
            && i32::try_from(pods).unwrap_or(i32::MAX) < standing.wanted.max(1);
        for (uid, seen) in view.new_pods(scope) {
            // One that waits for a node which is being added, or has only just been made.
            let placed = seen.pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
            movement.now |= !placed
                && uid != asking.pod_uid
                && !of_scope().any(|signal| is_of(signal, uid) && is_trouble(signal));
            for (status, init) in statuses(&seen.pod) {
                let Some(kept) = seen.containers.get(&status.name) else { continue };
                if uid == asking.pod_uid && status.name == asking.container {
                    continue;
                }
                let part = Part {
                    view,
                    kind: followed.workload.kind,
                    uid,
                    pod: &seen.pod,
                    status,
                    ends: init && !is_sidecar(&seen.pod, &status.name),
                    kept,
                    waits: asking.waits,
                };
                let trouble = of_scope().any(|signal| {
                    is_of(signal, uid)
                        && signal.container.as_ref().is_none_or(|of| *of == status.name)
                        && signal.rule.source != Source::Crash
                        && is_trouble(signal)
                });
                movement.now |= !trouble && part.moves(now);
                movement.last = movement.last.max(part.last());
            }
        }
    }
    movement
}

/// Where a container reads what others that run beside it in its pod may have yet to write.
pub(super) fn shared_folders<'a>(pod: &'a Pod, name: &str) -> Vec<&'a str> {
    let Some(spec) = pod.spec.as_ref() else { return Vec::new() };
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| is_sidecar(pod, &container.name));
    let beside: Vec<&Container> =
        spec.containers.iter().chain(sidecars).filter(|other| other.name != name).collect();
    // Those of the cluster's own objects are written by nobody in the pod.
    let is_writable = |name: &str| {
        let mut volumes = spec.volumes.iter().flatten().filter(|volume| volume.name == name);
        volumes.any(|volume| {
            volume.config_map.is_none()
                && volume.secret.is_none()
                && volume.projected.is_none()
                && volume.downward_api.is_none()
        })
    };
    let writes = |other: &Container, volume: &str| {
        let mut mounts = other.volume_mounts.iter().flatten();
        mounts.any(|mount| mount.name == volume && mount.read_only != Some(true))
    };
    let own = probe::container(pod, name).and_then(|own| own.volume_mounts.as_ref());
    own.into_iter()
        .flatten()
        .filter(|mount| {
            is_writable(&mount.name) && beside.iter().any(|other| writes(other, &mount.name))
        })
        .map(|mount| mount.mount_path.trim_end_matches('/'))
        .filter(|folder| !folder.is_empty())
        .collect()
}

fn is_of(signal: &Signal, pod_uid: &str) -> bool {
    signal.pod.as_ref().is_some_and(|(of, _)| of == pod_uid)
}

/// Whether the sign is of something that stands still: not of a program that is not ready yet, nor
/// of a node that is being added.
fn is_trouble(signal: &Signal) -> bool {
    signal.rule.source != Source::Probe && signal.rule.id != "scale-up"
}

/// Whether a Job of the release, other than `asking`, has yet to do what it is for. One whose pods
/// all stand still makes nothing.
pub(super) fn job_is_at_work(view: &View, troubles: &[Signal], asking: usize) -> bool {
    let stands_still = |scope: usize, uid: &str| {
        troubles.iter().any(|signal| {
            let lasts = !matches!(signal.rule.when, When::Never);
            let of_pod = signal.scope == scope && is_of(signal, uid);
            of_pod && lasts && signal.rule.source != Source::Crash && is_trouble(signal)
        })
    };
    view.followed.iter().enumerate().any(|(scope, followed)| {
        let mut alive = view.new_pods(scope).filter(|(_, seen)| {
            let phase = seen.pod.status.as_ref().and_then(|status| status.phase.as_deref());
            !matches!(phase, Some("Succeeded" | "Failed"))
        });
        let first = alive.next();
        let all_stand_still = first.is_some_and(|first| {
            [first].into_iter().chain(alive).all(|(uid, _)| stands_still(scope, uid))
        });
        scope != asking
            && followed.workload.kind == WorkloadKind::Job
            && !view.workload_status(scope).done
            && !all_stand_still
            && !troubles.iter().any(|signal| {
                signal.scope == scope && matches!(signal.rule.source, Source::Workload)
            })
    })
}

/// One container of the release.
struct Part<'a> {
    view: &'a View,
    kind: WorkloadKind,
    uid: &'a str,
    pod: &'a Pod,
    status: &'a ContainerStatus,
    /// Whether it is an init container, which is at work until it ends.
    ends: bool,
    kept: &'a SeenContainer,
    waits: bool,
}

impl Part<'_> {
    /// Whether it is on its way.
    fn moves(&self, now: Duration) -> bool {
        if is_terminating(self.pod) {
            return false;
        }
        let state = self.status.state.as_ref();
        let waiting = state.and_then(|state| state.waiting.as_ref());
        if let Some(waiting) = waiting {
            // One behind an init container moves when that one does.
            let placed = self.pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
            return placed
                && self.status.restart_count == self.kept.old_restarts
                && waiting.reason.as_deref() == Some("ContainerCreating");
        }
        let Some((_, since)) = self.kept.run else { return false };
        if self.has_died() {
            // One that now lasts longer than it ever did has got past what it died of.
            let age = now.saturating_sub(since);
            let outlasts = age > self.kept.longest * 3 / 2 + Duration::from_secs(2);
            return outlasts && !self.is_well();
        }
        if !self.is_well() {
            return true;
        }
        self.waits && self.is_unproven() && now < since + UNPROVEN
    }

    /// When it last got somewhere.
    fn last(&self) -> Option<Duration> {
        let unproven = self.waits && self.is_unproven() && !self.has_died();
        let proven = self.kept.run.filter(|_| unproven).map(|(_, since)| since + UNPROVEN);
        proven.max(self.kept.gained.map(|at| at + SPREADS))
    }

    fn has_died(&self) -> bool {
        self.status.restart_count > self.kept.old_restarts
            || !self.view.crashes_of(self.uid, &self.status.name).is_empty()
    }

    fn is_well(&self) -> bool {
        self.status.ready && self.kind != WorkloadKind::Job && !self.ends
    }

    fn is_unproven(&self) -> bool {
        let probed = probe::is_probed(self.pod, &self.status.name);
        // Not the pod's readiness: a sidecar may be what another container of its pod dies for.
        !probed && !self.kept.old && self.kind != WorkloadKind::Job && self.status.ready
    }
}
