//! Jobs: pods until enough have succeeded or too many have failed.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::pods;
use super::replica_set::drop_zeros;
use super::{clock, condition, recorder};
use crate::server::api::Api;
use crate::server::resource::by_kind;
use crate::server::store;

/// When each job (by uid) may start its next pod.
pub(crate) type Pauses = BTreeMap<String, Instant>;

pub(crate) fn sync(api: &mut Api, pauses: &mut Pauses) {
    let all: Vec<Value> = api.store.list(by_kind("Job"), None).cloned().collect();
    for job in all.iter().filter(|job| !pods::leaving(job)) {
        one(api, job, pauses);
    }
}

fn restarts(pod: &Value) -> i64 {
    ["containerStatuses", "initContainerStatuses"]
        .iter()
        .flat_map(|list| pod["status"][*list].as_array().into_iter().flatten())
        .filter_map(|status| status["restartCount"].as_i64())
        .sum()
}

fn one(api: &mut Api, job: &Value, pauses: &mut Pauses) {
    if condition::holds(job, "Complete") || condition::holds(job, "Failed") {
        return;
    }
    let uid = job["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let all = pods::owned(api, "Pod", job);
    let phase = |pod: &Value| pod["status"]["phase"].as_str().unwrap_or_default().to_owned();
    let succeeded = all.iter().filter(|pod| phase(pod) == "Succeeded").count();
    let failed = all.iter().filter(|pod| phase(pod) == "Failed").count();
    let mut active: Vec<&Value> = all.iter().filter(|pod| pods::active(pod)).collect();
    let completions =
        usize::try_from(job["spec"]["completions"].as_i64().unwrap_or(1)).unwrap_or(1);
    let limit = job["spec"]["backoffLimit"].as_i64().unwrap_or(6);
    let mut status = job["status"].clone();
    if status["startTime"].is_null() && job["spec"]["suspend"] != true {
        status["startTime"] = json!(store::now());
    }
    let on_failure = job["spec"]["template"]["spec"]["restartPolicy"] == "OnFailure";
    let tries = if on_failure {
        active.iter().map(|pod| restarts(pod)).sum::<i64>()
    } else {
        i64::try_from(failed).unwrap_or(i64::MAX)
    };
    let exhausted = if on_failure { tries > 0 && tries >= limit.max(1) } else { tries > limit };
    if exhausted {
        for pod in &active {
            pods::delete(api, pod);
        }
        let told = "Job has reached the specified backoff limit";
        condition::set(&mut status, "FailureTarget", true, "BackoffLimitExceeded", told, false);
        condition::set(&mut status, "Failed", true, "BackoffLimitExceeded", told, false);
        recorder::record(api, job, "job-controller", true, "BackoffLimitExceeded", told, None);
        active.clear();
        status["failed"] = json!(if on_failure { 1 } else { failed });
    } else if succeeded >= completions {
        let told = "Reached expected number of succeeded pods";
        condition::set(&mut status, "SuccessCriteriaMet", true, "CompletionsReached", told, false);
        condition::set(&mut status, "Complete", true, "CompletionsReached", told, false);
        status["completionTime"] = json!(store::now());
        recorder::record(api, job, "job-controller", false, "Completed", "Job completed", None);
        status["failed"] = json!(failed);
    } else {
        status["failed"] = json!(failed);
        let was = job["status"]["failed"].as_u64().unwrap_or(0);
        if u64::try_from(failed).unwrap_or(0) > was {
            let doubled = 1 << (failed - 1).min(5);
            pauses.insert(uid.clone(), Instant::now() + clock::seconds(10 * doubled));
        }
        let rested = pauses.get(&uid).is_none_or(|until| *until <= Instant::now());
        if active.is_empty() && rested && job["spec"]["suspend"] != true {
            let name = job["metadata"]["name"].as_str().unwrap_or_default();
            let named = json!({"generateName": format!("{name}-")});
            let made = pods::create(api, job, named, &job["spec"]["template"], &[]);
            if let Err(refusal) = made {
                let told = format!("Error creating: {}", refusal.message());
                recorder::record(api, job, "job-controller", true, "FailedCreate", &told, None);
                pauses.insert(uid.clone(), Instant::now() + clock::seconds(5));
            }
        }
    }
    status["active"] = json!(active.len());
    status["ready"] = json!(active.iter().filter(|pod| pods::ready(pod)).count());
    status["terminating"] = json!(0);
    status["succeeded"] = json!(succeeded);
    status["uncountedTerminatedPods"] = json!({});
    drop_zeros(&mut status, &["active", "failed", "succeeded"]);
    pods::write_status(api, "Job", job, status, "kube-controller-manager");
}
