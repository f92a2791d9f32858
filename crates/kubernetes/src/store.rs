//! The records of an environment's releases, in its namespace.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};

use super::cluster::Cluster;
use super::error::{KubernetesError, KubernetesErrorKind};
use super::record::{ENVIRONMENT, Record, TYPE, name};
use greenloop_config::plan::Rollback;
use greenloop_model::{ReleaseId, ReleaseState};

/// Where the records of one environment are.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) namespace: String,
    pub(super) slug: String,
}

/// All records of an environment, newest first.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    pub(super) records: Vec<Record>,
    /// What cannot be read, in words.
    pub(super) unreadable: Vec<String>,
    /// The environment of each record, as its label has it.
    pub(super) environments: BTreeMap<ReleaseId, String>,
}

impl History {
    /// The greatest fencing number that anything was recorded under.
    pub(super) fn fencing(&self) -> i64 {
        self.records.iter().map(|record| record.fencing).max().unwrap_or(0)
    }

    pub(super) fn get(&self, release: ReleaseId) -> Option<&Record> {
        self.records.iter().find(|record| record.id() == release)
    }

    /// What serves: the release that was switched to last, of those that may.
    pub(super) fn serving(&self) -> Option<&Record> {
        self.records.iter().filter(|record| record.serves()).max_by_key(|record| record.since)
    }

    /// The verified release that served last before `record` came.
    pub(super) fn good_before(&self, record: Option<&Record>) -> Option<&Record> {
        let own = record.map(Record::id);
        let named = record.and_then(|record| record.previous).and_then(|id| self.get(id));
        let good = |candidate: &&Record| candidate.is_good() && Some(candidate.id()) != own;
        named.filter(good).or_else(|| {
            let good = self.records.iter().filter(good);
            good.max_by_key(|record| (record.serves(), record.since, record.release.verified_at))
        })
    }

    /// The verified release before `serving`: one that was made earlier, so that going back twice
    /// goes back further and never forth again.
    pub(super) fn earlier_than(&self, serving: Option<&Record>) -> Option<&Record> {
        let own = serving.map(Record::id);
        let good = self.records.iter().filter(|record| record.is_good());
        good.filter(|record| own.is_none_or(|own| record.id() < own)).max_by_key(|r| r.id())
    }

    /// The newest release that was begun after `serving` and has neither come to serve nor given
    /// way: what the cluster runs may be its objects.
    pub(super) fn laid_over(&self, serving: Option<&Record>) -> Option<&Record> {
        let own = serving.map(Record::id);
        self.records.iter().find(|record| {
            let newer = own.is_none_or(|own| record.id() > own);
            let never_verified = record.release.verified_at.is_none();
            newer
                && match record.release.state {
                    ReleaseState::Candidate => true,
                    ReleaseState::Superseded => never_verified,
                    ReleaseState::Live | ReleaseState::Verified | ReleaseState::Failed => false,
                }
        })
    }

    /// What a plain rollback goes to: the release that serves, when another was laid over it and
    /// did not come to serve; the verified one before it otherwise.
    pub(super) fn rolled_back_to(&self) -> Option<&Record> {
        let serving = self.serving();
        match self.laid_over(serving) {
            Some(_) => serving.filter(|record| record.is_good()),
            None => None,
        }
        .or_else(|| self.earlier_than(serving))
    }

    /// The release that closes the way back to `wanted`: one that came later, was not taken back
    /// and must not be.
    pub(super) fn closed_by(&self, wanted: &Record) -> Option<&Record> {
        self.records.iter().find(|record| {
            record.rollback == Rollback::Forbidden
                && record.id() > wanted.id()
                && record.release.state != ReleaseState::Failed
        })
    }

    /// The oldest records beyond `most`: never what serves, nor what it would give way to.
    pub(super) fn surplus(&self, most: usize) -> Vec<ReleaseId> {
        let serving = self.serving();
        let kept = [
            serving.map(Record::id),
            self.good_before(serving).map(Record::id),
            self.earlier_than(serving).map(Record::id),
        ];
        let over = self.records.len().saturating_sub(most);
        let oldest = self.records.iter().rev().map(Record::id);
        oldest.filter(|id| !kept.contains(&Some(*id))).take(over).collect()
    }
}

impl Store {
    fn api(&self, cluster: &Cluster) -> Api<Secret> {
        Api::namespaced(cluster.client().clone(), &self.namespace)
    }

    /// All of them. A namespace that does not exist has none.
    pub(super) async fn load(&self, cluster: &Cluster) -> Result<History, KubernetesError> {
        self.list(cluster, &format!("{ENVIRONMENT}={}", self.slug)).await
    }

    /// Those of the other environments in the namespace.
    pub(super) async fn load_others(&self, cluster: &Cluster) -> Result<History, KubernetesError> {
        self.list(cluster, &format!("{ENVIRONMENT},{ENVIRONMENT}!={}", self.slug)).await
    }

    async fn list(&self, cluster: &Cluster, labels: &str) -> Result<History, KubernetesError> {
        let api = self.api(cluster);
        let asked = ListParams::default().labels(labels);
        let listed = match cluster.ask(|| api.list(&asked)).await {
            Ok(listed) => listed,
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(History::default()),
            Err(error) => {
                let what = format!("list the records of releases in {}", self.namespace);
                return Err(KubernetesError::of(&what, error));
            }
        };
        let mut history = History::default();
        for secret in listed.items.iter().filter(|s| s.type_.as_deref() == Some(TYPE)) {
            let environment = secret.metadata.labels.as_ref().and_then(|all| all.get(ENVIRONMENT));
            match Record::decode(secret) {
                Ok(record) => {
                    history
                        .environments
                        .extend(environment.map(|name| (record.id(), name.clone())));
                    history.records.push(record);
                }
                Err(error) => history.unreadable.push(error.message),
            }
        }
        history.records.sort_by_key(|record| std::cmp::Reverse(record.id()));
        Ok(history)
    }

    /// Writes a record that is not there yet. A record of a later hold means that this run has
    /// lost the environment without having been told.
    pub(super) async fn create(
        &self,
        cluster: &Cluster,
        history: &History,
        record: &Record,
    ) -> Result<(), KubernetesError> {
        if let Some(later) = history.records.iter().find(|other| other.fencing > record.fencing) {
            let message = format!(
                "run {} has held the environment since, and deployed release {}",
                later.release.run,
                later.id()
            );
            return Err(KubernetesError::new(KubernetesErrorKind::Lost, message));
        }
        let api = self.api(cluster);
        let secret = record.encode(&self.namespace, &self.slug, None)?;
        let plain = PostParams::default();
        match cluster.write(|| api.create(&plain, &secret)).await {
            Ok(_) => Ok(()),
            // Ours, written by a try whose answer was lost, or by this run before it died.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                self.change(cluster, record.id(), |kept| *kept = record.clone()).await
            }
            Err(error) => {
                let what = format!("write the record of release {}", record.id());
                Err(KubernetesError::of(&what, error))
            }
        }
    }

    /// Changes a record by compare-and-swap.
    pub(super) async fn change(
        &self,
        cluster: &Cluster,
        release: ReleaseId,
        change: impl Fn(&mut Record),
    ) -> Result<(), KubernetesError> {
        let api = self.api(cluster);
        let name = name(&self.slug, release);
        let what = format!("change the record of release {release}");
        let plain = PostParams::default();
        for _ in 0..5 {
            let found = cluster.ask(|| api.get_opt(&name)).await;
            let found = found.map_err(|error| KubernetesError::of(&what, error))?;
            let Some(secret) = found else {
                let message = format!("there is no record of release {release}");
                return Err(KubernetesError::new(KubernetesErrorKind::Record, message));
            };
            let old = Record::decode(&secret)?;
            let mut new = old.clone();
            change(&mut new);
            if new == old {
                return Ok(());
            }
            let version = secret.metadata.resource_version.clone();
            let secret = new.encode(&self.namespace, &self.slug, version)?;
            match cluster.write(|| api.replace(&name, &plain, &secret)).await {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(KubernetesError::of(&what, error)),
            }
        }
        let message = format!("could not {what}: another client keeps changing it");
        Err(KubernetesError::new(KubernetesErrorKind::Record, message))
    }

    /// Sets a record's state; one that is gone needs none.
    pub(super) async fn set_state(
        &self,
        cluster: &Cluster,
        release: ReleaseId,
        state: ReleaseState,
        reason: Option<String>,
    ) -> Result<(), KubernetesError> {
        self.change(cluster, release, |record| {
            record.release.state = state;
            if reason.is_some() {
                record.reason.clone_from(&reason);
            }
        })
        .await
    }

    pub(super) async fn remove(
        &self,
        cluster: &Cluster,
        release: ReleaseId,
    ) -> Result<(), KubernetesError> {
        let api = self.api(cluster);
        let name = name(&self.slug, release);
        let plain = DeleteParams::default();
        match cluster.write(|| api.delete(&name, &plain)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => {
                Err(KubernetesError::of(&format!("remove the record of release {release}"), error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::origin::Repository;
    use super::super::record::Content;
    use super::*;
    use greenloop_model::{Release, RunId};

    /// Records from the oldest to the newest: state, minute of verification, minute of serving.
    fn history(of: &[(ReleaseState, Option<i64>, Option<i64>)]) -> History {
        let at = |minute: i64| jiff::Timestamp::from_second(minute * 60).unwrap();
        let mut records: Vec<Record> = of
            .iter()
            .map(|(state, verified, since)| Record {
                release: Release {
                    id: ReleaseId::generate(),
                    commit: "0123456789abcdef0123456789abcdef01234567".parse().unwrap(),
                    run: RunId::generate(),
                    image: None,
                    state: *state,
                    created_at: at(0),
                    verified_at: verified.map(at),
                },
                since: since.map(at),
                previous: None,
                rollback: Rollback::Allowed,
                fencing: 1,
                reason: None,
                stopped: None,
                repository: Repository::default(),
                content: Content { wait: Duration::from_secs(1), ..Content::default() },
            })
            .collect();
        records.reverse();
        History { records, ..History::default() }
    }

    /// The place of a record, from the oldest on.
    fn place(history: &History, record: Option<&Record>) -> Option<usize> {
        let id = record?.id();
        history.records.iter().rev().position(|record| record.id() == id)
    }

    #[test]
    fn what_serves_and_what_it_gives_way_to() {
        use ReleaseState::{Candidate, Failed, Live, Superseded, Verified};
        for (of, serving, before, earlier) in [
            (vec![], None, None, None),
            (vec![(Candidate, None, None)], None, None, None),
            (vec![(Verified, Some(1), Some(1))], Some(0), None, None),
            // A release whose smoke tests have not passed yet.
            (vec![(Verified, Some(1), Some(1)), (Live, None, Some(2))], Some(1), Some(0), Some(0)),
            // Failed ones are never restored.
            (
                vec![
                    (Superseded, Some(1), Some(1)),
                    (Failed, Some(2), Some(2)),
                    (Live, None, Some(3)),
                ],
                Some(2),
                Some(0),
                Some(0),
            ),
            // After a rollback from 2 to 1: the next one goes to 0, not back to 2.
            (
                vec![
                    (Superseded, Some(1), Some(1)),
                    (Verified, Some(2), Some(9)),
                    (Superseded, Some(3), Some(3)),
                ],
                Some(1),
                Some(2),
                Some(0),
            ),
        ] {
            let history = history(&of);
            assert_eq!(place(&history, history.serving()), serving, "{of:?}");
            let found = history.good_before(history.serving());
            assert_eq!(place(&history, found), before, "{of:?}");
            let found = history.earlier_than(history.serving());
            assert_eq!(place(&history, found), earlier, "{of:?}");
        }
    }

    #[test]
    fn a_release_that_never_came_to_serve_gives_way_to_the_one_below_it() {
        use ReleaseState::{Candidate, Failed, Superseded, Verified};
        let one = (Superseded, Some(1), Some(1));
        let two = (Verified, Some(2), Some(2));
        for (last, wanted) in [
            ((Candidate, None, None), Some(1)),
            ((Superseded, None, Some(3)), Some(1)),
            ((Failed, None, Some(3)), Some(0)),
        ] {
            let history = history(&[one, two, last]);
            assert_eq!(place(&history, history.rolled_back_to()), wanted, "{last:?}");
        }
        let nothing = history(&[(Candidate, None, None)]);
        assert!(nothing.rolled_back_to().is_none());
    }

    #[test]
    fn no_way_leads_back_past_a_release_that_must_stay() {
        use ReleaseState::{Candidate, Failed, Superseded, Verified};
        for (state, closed) in
            [(Candidate, true), (Verified, true), (Superseded, true), (Failed, false)]
        {
            let mut history = history(&[
                (Superseded, Some(1), Some(1)),
                (state, None, Some(2)),
                (Verified, Some(3), Some(3)),
            ]);
            history.records[1].rollback = Rollback::Forbidden;
            let oldest = history.records.last().unwrap();
            assert_eq!(history.closed_by(oldest).is_some(), closed, "{state:?}");
            assert!(history.closed_by(&history.records[0]).is_none());
        }
    }

    #[test]
    fn old_records_go_but_never_those_that_are_needed() {
        use ReleaseState::{Failed, Superseded, Verified};
        let history = history(&[
            (Superseded, Some(1), Some(1)),
            (Superseded, Some(2), Some(2)),
            (Failed, None, None),
            (Failed, None, None),
            (Verified, Some(5), Some(5)),
        ]);
        let ids: Vec<ReleaseId> = history.records.iter().rev().map(Record::id).collect();
        for (most, expect) in [
            (5, vec![]),
            (4, vec![ids[0]]),
            (3, vec![ids[0], ids[2]]),
            (1, vec![ids[0], ids[2], ids[3]]),
        ] {
            assert_eq!(history.surplus(most), expect, "{most}");
        }
    }
}
