//! Releases that converge slowly and must not count as failures; and similar ones that do fail.

use std::time::Duration;

use greenloop_model::{EventSink, FailureClass, Notice, RunEvent, RunId};
use greenloop_ports::Target as _;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{RolloutFailure, fails};
use crate::objects::{self, container, deployment, first, job, pod_spec, service, stateful_set};
use crate::program;
use crate::server::resource::by_kind;
use crate::world::{World, scenarios};

const DEPENDS_ON: &str = "greenloop.dev/depends-on";

fn named(mut object: Value, name: &str) -> Value {
    object["metadata"]["name"] = json!(name);
    for place in ["/spec/selector/matchLabels/app", "/spec/template/metadata/labels/app"] {
        if let Some(label) = object.pointer_mut(place) {
            *label = json!(name);
        }
    }
    object
}

fn annotated(mut object: Value, key: &str, text: &str) -> Value {
    object["metadata"]["annotations"][key] = json!(text);
    object
}

/// A volume that survives restarts, for programs that count their starts on a real cluster.
fn with_state(mut object: Value) -> Value {
    pod_spec(&mut object)["volumes"] = json!([{"name": "state", "emptyDir": {}}]);
    first(&mut object)["volumeMounts"] = json!([{"name": "state", "mountPath": "/state"}]);
    object
}

/// The database `db` as a Deployment, with its Service.
fn database(world: &World) -> [Value; 2] {
    let mut service = service();
    service["metadata"]["name"] = json!("db");
    service["spec"] = json!({"selector": {"app": "db"}, "ports": [{"port": 8080}]});
    [service, named(deployment(world, &program::DATABASE), "db")]
}

fn unprobed(mut object: Value) -> Value {
    first(&mut object).as_object_mut().unwrap().remove("readinessProbe");
    object
}

/// The order in which the first pod of each was created, by position in the server's history.
fn made(world: &World, starts: &[&str]) -> Vec<Option<usize>> {
    let api = world.wire().server.api();
    let first = |start: &&str| {
        api.store.history.iter().position(|change| {
            change.resource.kind == "Pod"
                && change.object["metadata"]["name"]
                    .as_str()
                    .is_some_and(|name| name.starts_with(*start))
        })
    };
    starts.iter().map(first).collect()
}

async fn a_migration_runs_first(world: &mut World) {
    let web = with_state(deployment(world, &program::NEEDS_THE_TABLE));
    world.manifests(&[web, job(world, &program::MIGRATES_SLOWLY)]);
    world.release().await;
}

/// The order of kinds prevents crashes of the application.
async fn what_comes_first_is_awaited(world: &mut World) {
    let web = with_state(deployment(world, &program::NEEDS_THE_TABLE));
    let db = stateful_set(world, &program::HEALTHY);
    world.manifests(&[web, job(world, &program::MIGRATES_SLOWLY), db]);
    world.release().await;
    let made = made(world, &["db-1", "migrate-", "web-"]);
    assert!(made.iter().all(Option::is_some) && made.is_sorted(), "{made:?}");
    let api = world.wire().server.api();
    let crashed = api.store.history.iter().any(|change| {
        change.object["status"]["containerStatuses"][0]["restartCount"].as_i64() > Some(0)
    });
    assert!(!crashed, "nothing had to crash");
}

async fn a_database_takes_its_time(world: &mut World) {
    let [service, db] = database(world);
    world.manifests(&[service, db, with_state(deployment(world, &program::NEEDS_THE_DATABASE))]);
    world.release().await;
}

/// It counts as ready as soon as it runs.
async fn a_database_without_a_probe_takes_its_time(world: &mut World) {
    let [service, db] = database(world);
    world.manifests(&[
        service,
        unprobed(db),
        with_state(deployment(world, &program::NEEDS_THE_DATABASE)),
    ]);
    world.release().await;
}

async fn two_replicas_wait_for_a_database(world: &mut World) {
    let [service, db] = database(world);
    let mut web = with_state(deployment(world, &program::NEEDS_THE_DATABASE));
    web["spec"]["replicas"] = json!(2);
    world.manifests(&[service, db, web]);
    world.release().await;
}

async fn a_cache_is_loading(world: &mut World) {
    let [service, db] = database(world);
    world.manifests(&[service, db, deployment(world, &program::NEEDS_THE_CACHE)]);
    world.release().await;
}

async fn replicas_take_turns(world: &mut World) {
    let mut web = deployment(world, &program::TAKES_TURNS);
    web["spec"]["replicas"] = json!(3);
    world.manifests(&[web]);
    world.release().await;
}

async fn a_sidecar_starts_late(world: &mut World) {
    let mut web = deployment(world, &program::NEEDS_ITS_SIDECAR);
    let mut proxy = container(world, &program::DATABASE);
    proxy["name"] = json!("proxy");
    pod_spec(&mut web)["containers"].as_array_mut().unwrap().push(proxy);
    world.manifests(&[web]);
    world.release().await;
}

/// No probe tells when it serves, and the pod is not ready meanwhile.
async fn a_sidecar_without_a_probe_starts_late(world: &mut World) {
    let mut web = deployment(world, &program::NEEDS_ITS_SIDECAR);
    let mut proxy = container(world, &program::DATABASE);
    proxy["name"] = json!("proxy");
    proxy.as_object_mut().unwrap().remove("readinessProbe");
    pod_spec(&mut web)["containers"].as_array_mut().unwrap().push(proxy);
    world.manifests(&[web]);
    world.release().await;
}

/// A sidecar with its own place in the start (an init container that is restarted always) and with
/// a startup probe: the application is not started before it serves, and never crashes.
async fn a_native_sidecar_starts_first(world: &mut World) {
    let mut proxy = container(world, &program::DATABASE);
    proxy["name"] = json!("proxy");
    proxy["restartPolicy"] = json!("Always");
    proxy["startupProbe"] =
        json!({"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 60});
    let mut web = deployment(world, &program::NEEDS_ITS_SIDECAR);
    pod_spec(&mut web)["initContainers"] = json!([proxy]);
    world.manifests(&[web]);
    world.release().await;
    let api = world.wire().server.api();
    let crashed = api.store.history.iter().any(|change| {
        change.object["status"]["containerStatuses"][0]["restartCount"].as_i64() > Some(0)
    });
    assert!(!crashed, "the application had to wait for its sidecar");
}

/// The Job is complete when its own container has ended, and its sidecar ends after that.
async fn a_job_ends_beside_its_sidecar(world: &mut World) {
    let mut proxy = container(world, &program::HEALTHY);
    proxy["name"] = json!("proxy");
    proxy["restartPolicy"] = json!("Always");
    let mut migrate = job(world, &program::MIGRATES_SLOWLY);
    pod_spec(&mut migrate)["initContainers"] = json!([proxy]);
    world.manifests(&[migrate]);
    world.release().await;
}

/// A native sidecar that panics keeps the application from starting.
async fn a_native_sidecar_that_panics(world: &mut World) {
    let mut proxy = container(world, &program::PANICS);
    proxy["name"] = json!("proxy");
    proxy["restartPolicy"] = json!("Always");
    let mut web = deployment(world, &program::HEALTHY);
    pod_spec(&mut web)["initContainers"] = json!([proxy]);
    let failure = RolloutFailure {
        class: FailureClass::Code,
        message: &["container proxy crashes at each start"],
        evidence: &["missing DATABASE_URL"],
        within: (1, 60),
    };
    fails(world, &[web], &failure).await;
}

/// The application reads a file that the other container has yet to write.
async fn a_sidecar_writes_a_file_late(world: &mut World) {
    let mounts = json!([{"name": "shared", "mountPath": "/shared"}]);
    let mut web = deployment(world, &program::NEEDS_A_SHARED_FILE);
    first(&mut web)["volumeMounts"] = mounts.clone();
    let mut proxy = container(world, &program::DATABASE);
    proxy["name"] = json!("proxy");
    proxy["volumeMounts"] = mounts;
    proxy.as_object_mut().unwrap().remove("readinessProbe");
    pod_spec(&mut web)["containers"].as_array_mut().unwrap().push(proxy);
    pod_spec(&mut web)["volumes"] = json!([{"name": "shared", "emptyDir": {}}]);
    world.manifests(&[web]);
    world.release().await;
}

/// The same crash without a folder that both mount: nothing in the pod can change it.
async fn a_file_that_nobody_writes(world: &mut World) {
    let mut web = deployment(world, &program::NEEDS_A_SHARED_FILE);
    let mut proxy = container(world, &program::IDLE);
    proxy["name"] = json!("proxy");
    pod_spec(&mut web)["containers"].as_array_mut().unwrap().push(proxy);
    let failure = RolloutFailure {
        class: FailureClass::Config,
        message: &["/shared/config.json"],
        evidence: &["FileNotFoundError"],
        within: (5, 40),
    };
    fails(world, &[web], &failure).await;
}

/// Two attempts fail in the same words, which tell nothing of why: the Job's own limit decides.
async fn a_job_succeeds_at_its_third_attempt(world: &mut World) {
    let mut seed = job(world, &program::THIRD_TIME_LUCKY);
    seed["spec"]["backoffLimit"] = json!(6);
    world.manifests(&[seed]);
    world.release().await;
}

/// What is awaited panics: the objects of the next wave are not touched.
async fn what_panics_is_not_followed_by_the_next_wave(world: &mut World) {
    let web = deployment(world, &program::HEALTHY);
    let unprobed = stateful_set(world, &program::OUT_OF_RANGE);
    let mut probed = unprobed.clone();
    first(&mut probed)["readinessProbe"] = objects::probe("/");
    let failure = RolloutFailure {
        class: FailureClass::Code,
        message: &["index out of range"],
        evidence: &["panic: runtime error"],
        within: (5, 40),
    };
    // Without a probe it is ready for as long as it runs.
    for db in [probed, unprobed] {
        fails(world, &[db, web.clone()], &failure).await.target.release_claim().await;
        let web: Option<k8s_openapi::api::apps::v1::Deployment> =
            world.api().get_opt("web").await.unwrap();
        assert!(web.is_none(), "the next wave was applied");
    }
}

/// What is missing is made by no later object: the next wave is not applied.
async fn what_lacks_a_secret_is_not_followed_by_the_next_wave(world: &mut World) {
    let mut db = stateful_set(world, &program::HEALTHY);
    first(&mut db)["envFrom"] = json!([{"secretRef": {"name": "db-password"}}]);
    let failure = RolloutFailure {
        class: FailureClass::Config,
        message: &["db-password"],
        evidence: &["db-password"],
        within: (5, 40),
    };
    let web = deployment(world, &program::HEALTHY);
    fails(world, &[db, web], &failure).await;
    let web: Option<k8s_openapi::api::apps::v1::Deployment> =
        world.api().get_opt("web").await.unwrap();
    assert!(web.is_none(), "the next wave was applied");
}

async fn an_image_is_pulled_slowly(world: &mut World) {
    let [service, mut db] = database(world);
    first(&mut db)["image"] = json!(format!("{}/slow:1", world.registry));
    world.manifests(&[service, db, with_state(deployment(world, &program::NEEDS_THE_DATABASE))]);
    world.release().await;
}

/// The Secret appears some time after the object that requests it, and only the request announces
/// it.
async fn a_certificate_arrives_late(world: &mut World) {
    let mut web = deployment(world, &program::HEALTHY);
    pod_spec(&mut web)["volumes"] = json!([{"name": "tls", "secret": {"secretName": "web-tls"}}]);
    let request = json!({
        "apiVersion": "greenloop.test/v1", "kind": "Widget", "metadata": {"name": "web"},
        "spec": {"secretName": "web-tls"},
    });
    world.manifests(&[web, request]);
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "web-tls"}});
    let later = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        world.create(&secret).await;
    };
    tokio::join!(world.release(), later);
}

/// The same without the request is an error, and reported at once.
async fn a_certificate_that_nobody_makes(world: &mut World) {
    let mut web = deployment(world, &program::HEALTHY);
    pod_spec(&mut web)["volumes"] = json!([{"name": "tls", "secret": {"secretName": "web-tls"}}]);
    let failure = RolloutFailure {
        class: FailureClass::Config,
        message: &["web-tls"],
        evidence: &["FailedMount"],
        within: (5, 40),
    };
    fails(world, &[web], &failure).await;
}

async fn a_configuration_is_reloaded(world: &mut World) {
    world.manifests(&[deployment(world, &program::RELOADS)]);
    world.release().await;
}

/// Two Jobs share a quota of one pod: the second waits for the first.
async fn a_quota_is_freed(world: &mut World) {
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tight"},
        "spec": {"hard": {"pods": "1"}},
    });
    world.manifests(&[
        quota,
        job(world, &program::LONG_WORK),
        named(job(world, &program::MIGRATION_WORKS), "report"),
    ]);
    world.release().await;
}

fn policy(world: &World) -> [Value; 3] {
    let mut service = service();
    service["metadata"]["name"] = json!("policy");
    service["spec"]["selector"] = json!({"app": "policy"});
    let webhook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "policy"},
        "webhooks": [{
            "name": "validate.policy.example", "failurePolicy": "Fail", "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
                "resources": ["configmaps", "widgets"]}],
            "clientConfig": {"service": {"name": "policy", "namespace": world.namespace}},
        }],
    });
    [service, named(deployment(world, &program::DATABASE), "policy"), webhook]
}

/// The release contains the webhook that admits its own objects.
async fn a_webhook_is_not_ready_yet(world: &mut World) {
    let request = json!({
        "apiVersion": "greenloop.test/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {},
    });
    let [service, backend, webhook] = policy(world);
    // It was registered by an earlier attempt, and is not served yet.
    world.create(&webhook).await;
    let map = objects::config_map("settings", json!({"A": "1"}));
    let mut web = deployment(world, &program::HEALTHY);
    first(&mut web)["envFrom"] = json!([{"configMapRef": {"name": "settings"}}]);
    world.manifests(&[service, backend, webhook, request, map, web]);
    world.release().await;
}

/// A webhook outside this release that becomes available again.
async fn a_foreign_webhook_comes_back(world: &mut World) {
    let [mut service, mut backend, webhook] = policy(world);
    for object in [&mut service, &mut backend] {
        object["metadata"]["namespace"] = json!(world.namespace);
    }
    world.create(&webhook).await;
    let map = objects::config_map("settings", json!({"A": "1"}));
    world.manifests(&[map, deployment(world, &program::HEALTHY)]);
    let later = async {
        world.create(&service).await;
        world.create(&backend).await;
    };
    tokio::join!(world.release(), later);
}

async fn it_starts_slowly(world: &mut World) {
    world.wait = Duration::from_secs(120);
    let mut web = deployment(world, &program::SLOW);
    web["spec"]["progressDeadlineSeconds"] = json!(3600);
    world.manifests(&[web]);
    world.release().await;
}

/// A Job that needs a later object of the same release: the order of kinds is cut short.
async fn a_job_needs_what_comes_after_it(world: &mut World) {
    let mut check = job(world, &program::CHECKS_THE_SERVICE);
    check["spec"]["backoffLimit"] = json!(6);
    world.manifests(&[check, deployment(world, &program::DATABASE)]);
    world.release().await;
}

/// The same without a telling exit: its log contains the reason.
async fn a_job_waits_in_its_own_process(world: &mut World) {
    let check = job(world, &program::WAITS_FOR_THE_SERVICE);
    world.manifests(&[check, deployment(world, &program::HEALTHY)]);
    let target = world.target();
    let run = RunId::generate();
    let cancel = CancellationToken::new();
    let (sender, said) = std::sync::mpsc::channel();
    let events = EventSink::new(sender);
    target.claim(run, &events, &cancel).await.unwrap();
    target.roll_out(&world.request(run), &events, &cancel).await.unwrap();
    let why = said.try_iter().find_map(|event| match event {
        RunEvent::Notice(Notice::Info(text)) if text.contains("job/migrate may be waiting") => {
            Some(text)
        }
        _ => None,
    });
    assert!(why.as_ref().is_some_and(|why| why.contains("Connection refused")), "{why:?}");
}

/// Annotations take precedence: the Job has only one attempt, and starts after the service is
/// ready.
async fn a_job_says_what_it_needs(world: &mut World) {
    let check = job(world, &program::CHECKS_THE_SERVICE);
    let check = annotated(check, DEPENDS_ON, "deployment/web");
    world.manifests(&[check, deployment(world, &program::DATABASE)]);
    world.release().await;
    let made = made(world, &["web-", "migrate-"]);
    assert!(made.is_sorted(), "{made:?}");
}

async fn hooks_stand_around_the_rest(world: &mut World) {
    let before = annotated(
        named(job(world, &program::MIGRATES_SLOWLY), "before"),
        "helm.sh/hook",
        "pre-install,pre-upgrade",
    );
    let check = named(job(world, &program::CHECKS_THE_SERVICE), "after");
    let after = annotated(check, "greenloop.dev/hook", "post-deploy");
    let test = annotated(named(job(world, &program::PANICS), "test"), "helm.sh/hook", "test");
    world.manifests(&[after, test, deployment(world, &program::HEALTHY), before]);
    world.release().await;
    let made = made(world, &["before-", "web-", "after-"]);
    assert!(made.iter().all(Option::is_some) && made.is_sorted(), "{made:?}");
    let jobs = world.wire().server.api();
    assert!(jobs.store.get(by_kind("Job"), &world.namespace, "test").is_none());
}

/// A failed migration ends the release before the application is touched.
async fn a_migration_fails_before_the_rest(world: &mut World) {
    world.manifests(&[deployment(world, &program::HEALTHY)]);
    world.release().await;
    let failure = RolloutFailure {
        class: FailureClass::Code,
        message: &["migrate"],
        evidence: &["migration 0042 failed"],
        within: (6, 60),
    };
    let web = deployment(world, &program::HEALTHY_TOO);
    fails(world, &[job(world, &program::MIGRATION_FAILS), web], &failure).await;
    let live: k8s_openapi::api::apps::v1::Deployment = world.api().get("web").await.unwrap();
    let command = format!("{:?}", live.spec.unwrap().template.spec.unwrap().containers[0].command);
    assert!(command.contains("echo ok >"), "{command}");
}

/// A crash that waits for nothing is reported at once, even while other objects make progress.
async fn a_missing_setting_beside_a_slow_database(world: &mut World) {
    let failure = RolloutFailure {
        class: FailureClass::Code,
        message: &["missing DATABASE_URL"],
        evidence: &["src/main.rs:14:5"],
        within: (5, 40),
    };
    let [service, db] = database(world);
    fails(world, &[service, db, deployment(world, &program::PANICS)], &failure).await;
}

/// A database that has become available does not excuse further crashes.
async fn it_never_finds_its_database(world: &mut World) {
    let failure = RolloutFailure {
        class: FailureClass::Infrastructure,
        message: &["waiting for something", "connection refused"],
        evidence: &["dial tcp"],
        within: (8, 90),
    };
    fails(world, &[with_state(deployment(world, &program::NEEDS_THE_DATABASE))], &failure).await;
}

/// A cycle of waits, if objects without dependencies waited together with those that need the Job.
async fn a_job_needs_what_comes_with_what_needs_it(world: &mut World) {
    let mut seed = job(world, &program::CHECKS_THE_SERVICE);
    seed["spec"]["backoffLimit"] = json!(6);
    let api = deployment(world, &program::DATABASE);
    let front = named(deployment(world, &program::HEALTHY), "front");
    world.manifests(&[api, seed, annotated(front, DEPENDS_ON, "job/migrate")]);
    world.release().await;
    let made = made(world, &["migrate-", "web-", "front-"]);
    assert!(made.iter().all(Option::is_some) && made.is_sorted(), "{made:?}");
}

/// Helm skips the hooks of upgrades at an install, and those of installs at an upgrade.
async fn hooks_are_for_their_occasion(world: &mut World) {
    let hook = |name: &str, hook: &str| {
        let map = objects::config_map(name, json!({"A": "1"}));
        annotated(map, "helm.sh/hook", hook)
    };
    let first = hook("first", "pre-install");
    let later = hook("later", "post-upgrade");
    let always = hook("always", "pre-install,pre-upgrade");
    let objects = [first, later, always, deployment(world, &program::HEALTHY)];
    world.manifests(&objects);
    let maps = world.api::<k8s_openapi::api::core::v1::ConfigMap>();
    let has = async |name: &str| maps.get_opt(name).await.unwrap().is_some();
    world.plan.prune = true;
    world.release().await;
    assert_eq!((has("first").await, has("later").await, has("always").await), (true, false, true));
    world.release().await;
    // An upgrade does not remove what install hooks created.
    assert_eq!((has("first").await, has("later").await, has("always").await), (true, true, true));
}

async fn an_order_that_cannot_be_is_refused(world: &mut World) {
    for (needs, expect) in
        [("job/migrat", "did you mean `job/migrate`?"), ("deployment/web", "depends on itself")]
    {
        let web = annotated(deployment(world, &program::HEALTHY), DEPENDS_ON, needs);
        world.manifests(&[job(world, &program::MIGRATION_WORKS), web]);
        let attempt = world.roll_out().await;
        let error = attempt.outcome.unwrap_err();
        assert!(
            error.message.contains(expect) && error.message.contains("k8s/app.yaml:"),
            "{error}"
        );
        attempt.target.release_claim().await;
        assert!(world.wire().server.api().store.list(by_kind("Job"), None).next().is_none());
    }
}

scenarios! {
    both:
        a_migration_runs_first,
        a_database_takes_its_time,
        a_database_without_a_probe_takes_its_time,
        two_replicas_wait_for_a_database,
        it_starts_slowly,
        a_migration_fails_before_the_rest,
        a_missing_setting_beside_a_slow_database,
        a_certificate_that_nobody_makes;
    wire:
        what_comes_first_is_awaited,
        a_cache_is_loading,
        replicas_take_turns,
        a_sidecar_starts_late,
        a_sidecar_without_a_probe_starts_late,
        a_sidecar_writes_a_file_late,
        a_native_sidecar_starts_first,
        a_job_ends_beside_its_sidecar,
        a_native_sidecar_that_panics,
        a_file_that_nobody_writes,
        a_job_succeeds_at_its_third_attempt,
        what_panics_is_not_followed_by_the_next_wave,
        what_lacks_a_secret_is_not_followed_by_the_next_wave,
        an_image_is_pulled_slowly,
        a_certificate_arrives_late,
        a_configuration_is_reloaded,
        a_quota_is_freed,
        a_webhook_is_not_ready_yet,
        a_foreign_webhook_comes_back,
        a_job_needs_what_comes_after_it,
        a_job_waits_in_its_own_process,
        a_job_says_what_it_needs,
        hooks_stand_around_the_rest,
        it_never_finds_its_database,
        a_job_needs_what_comes_with_what_needs_it,
        hooks_are_for_their_occasion,
        an_order_that_cannot_be_is_refused
}
