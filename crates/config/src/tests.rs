//! The seeds' own file, and every mistake a file can have.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::plan::*;
use super::*;
use greenloop_model::{Limits, Network, TargetKind};

const FLEET: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/config/fleet.yaml"));

fn bare(_: &str) -> Option<String> {
    None
}

fn plan_of(text: &str, environment: &str) -> RunPlan {
    parse(text, "config.yaml").unwrap().plan(environment, &Overrides::default(), &bare).unwrap()
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// `GET /x` with nothing else said.
fn step(method: &str, path: &str) -> FlowStep {
    FlowStep {
        method: method.to_owned(),
        path: path.to_owned(),
        headers: BTreeMap::new(),
        body: None,
        expect: Expectation::default(),
        timeout: Duration::from_secs(10),
    }
}

#[test]
fn the_file_of_the_seeds_means_what_it_says() {
    let config = parse(FLEET, "fleet.yaml").unwrap();
    let names: Vec<&str> = config.environments().iter().map(|name| name.as_str()).collect();
    assert_eq!(names, ["staging", "prod"]);

    let gate =
        |name: &str, command: &str, required| GatePlan { required, ..GatePlan::new(name, command) };
    let role = |temperature, max_tokens, system_prompt: &str, tool_steps| RolePlan {
        provider: Provider::OpenAi {
            base_url: "https://api.openai.com/v1".to_owned(),
            api_key_env: "OPENAI_API_KEY".to_owned(),
        },
        model: "gpt-4-turbo-preview".to_owned(),
        temperature: Some(temperature),
        max_tokens: Some(max_tokens),
        system_prompt: Some(system_prompt.to_owned()),
        timeout: Duration::from_secs(120),
        max_retries: 3,
        input_price: 10.0,
        cached_input_price: 10.0,
        output_price: 30.0,
        tool_steps,
        explores: false,
        agent: None,
        next: Vec::new(),
    };
    let text = |text: &str| LogPiece::Text(text.to_owned());
    let expect = RunPlan {
        sandbox: Default::default(),
        environment: EnvironmentPlan {
            name: "staging".parse().unwrap(),
            namespace: Some("fleet-management-staging".to_owned()),
            url: "https://staging.fleet.capitaltechalliance.com".to_owned(),
            health_endpoint: "/health".to_owned(),
            require_approval: false,
        },
        gates: vec![
            gate("lint", "npm run lint", false),
            gate("test", "npm run test", true),
            gate("build", "npm run build", true),
        ],
        deploy: DeployPlan {
            target: TargetKind::Kubernetes,
            manifest_path: Some(PathBuf::from("k8s/deployment.yaml")),
            wait_timeout: Duration::from_secs(300),
            rollback: Rollback::Allowed,
            process: None,
            docker: None,
            kubernetes: Some(KubernetesPlan {
                manifests: Manifests::Files(PathBuf::from("k8s/deployment.yaml")),
                namespace: "fleet-management-staging".to_owned(),
                kubeconfig: None,
                context: None,
                aks: None,
                variables: BTreeMap::new(),
                service: None,
                soak: None,
                lease_wait: Duration::ZERO,
                history: 10,
                prune: false,
            }),
        },
        verification: VerificationPlan {
            health: HealthPlan {
                endpoint: "/health".to_owned(),
                timeout: Duration::from_secs(10),
                retries: 3,
                backoff: Duration::from_secs(1),
            },
            script: Some(ScriptPlan {
                script: PathBuf::from("scripts/smoke_test.sh"),
                timeout: Duration::from_secs(60),
                writes: Vec::new(),
            }),
            flows: vec![
                FlowPlan {
                    name: "Authentication".to_owned(),
                    steps: vec![step("GET", "/login"), step("POST", "/api/auth/microsoft/login")],
                },
                FlowPlan {
                    name: "Dashboard Load".to_owned(),
                    steps: vec![step("GET", "/"), step("GET", "/api/v1/vehicles")],
                },
            ],
        },
        author: role(
            0.2,
            4000,
            "You are a senior software engineer debugging build and deployment issues.\n\
             Analyze errors and propose minimal, safe fixes as unified git patches.\n\
             Focus on the root cause. Never make unrelated changes.\n",
            12,
        ),
        reviewer: role(
            0.1,
            2000,
            "You are a code reviewer focused on safety and correctness.\n\
             Review proposed patches and reject anything risky or incorrect.\n\
             Suggest improvements if the patch is on the right track but flawed.\n",
            0,
        ),
        limits: Limits {
            max_iterations: 5,
            no_progress_threshold: 2,
            max_tokens: Some(1_000_000),
            max_cost_usd: None,
            max_duration: None,
        },
        approval_timeout: Duration::from_secs(3600),
        policy: PolicyPlan {
            never_delete: owned(&["*.sql", "migrations/", "k8s/secrets.yaml"]),
            require_confirmation: owned(&[
                "DROP",
                "DELETE FROM",
                "rm -rf",
                "kubectl delete namespace",
            ]),
            max_files: 20,
            max_changed_lines: 500,
            max_file_bytes: 1024 * 1024,
            config_path: None,
            confirm_every_patch: false,
            rules: Vec::new(),
        },
        logging: LoggingPlan {
            level: "info".to_owned(),
            file: "logs/orchestrator_{date}.log".to_owned(),
            format: vec![
                LogPiece::Time,
                text(" - "),
                LogPiece::Name,
                text(" - "),
                LogPiece::Level,
                text(" - "),
                LogPiece::Message,
            ],
        },
        metrics: Some(PathBuf::from("metrics/deployments.json")),
        build: Some(BuildPlan {
            registry: "fleetproductionacr.azurecr.io".to_owned(),
            image_name: "fleet-frontend".to_owned(),
            dockerfile_path: PathBuf::from("Dockerfile"),
            context_path: PathBuf::from("."),
            args: BTreeMap::new(),
            target: None,
            labels: BTreeMap::new(),
            platform: None,
            tags: Vec::new(),
            builder: Builder::Auto,
            docker_host: None,
        }),
        azure: AzurePlan::default(),
        pull_request: None,
        telemetry: None,
        tasks: None,
        notifications: Vec::new(),
    };
    let staging = config.plan("staging", &Overrides::default(), &bare).unwrap();
    assert_eq!(staging, expect);

    let prod = config.plan("prod", &Overrides::default(), &bare).unwrap();
    assert_eq!(
        prod.environment,
        EnvironmentPlan {
            name: "prod".parse().unwrap(),
            namespace: Some("fleet-management".to_owned()),
            url: "https://fleet.capitaltechalliance.com".to_owned(),
            health_endpoint: "/health".to_owned(),
            require_approval: true,
        }
    );
    assert!(prod.policy.confirm_every_patch);
}

/// The least that is a configuration; `more` comes after it.
fn least(more: &str) -> String {
    format!(
        "environments:\n  local:\n    url: http://127.0.0.1:8087/\ndeploy:\n  method: process\n  \
         process:\n    command: ./server --port {{{{ port }}}}\n{more}"
    )
}

#[test]
fn the_least_file_is_filled_with_defaults() {
    let plan = plan_of(&least(""), "local");
    assert_eq!(plan.environment.url, "http://127.0.0.1:8087");
    assert_eq!(plan.environment.health_endpoint, "/health");
    assert_eq!(plan.verification.health.endpoint, "/health");
    assert_eq!(plan.deploy.wait_timeout, Duration::from_secs(60));
    let process = plan.deploy.process.unwrap();
    assert_eq!(process.command, owned(&["./server", "--port", "{{ port }}"]));
    assert_eq!((process.drain_timeout, process.keep_releases), (Duration::from_secs(5), 3));
    assert_eq!(plan.metrics, Some(PathBuf::from("metrics/deployments.json")));
    assert_eq!(plan.build, None);
    let heal = heal_plan(&bare).unwrap();
    assert_eq!((plan.author, plan.reviewer), (heal.author, heal.reviewer));
    let limits = Limits { no_progress_threshold: 3, ..plan.limits };
    assert_eq!((limits, plan.policy), (heal.limits, heal.policy));
}

#[test]
fn every_other_key_is_understood() {
    let text = least(
        r#"
  wait_timeout: 2m
build: { registry: registry.example.org/, image_name: team/app, dockerfile_path: docker/App, context_path: ./app/ }
quality_gates:
  - name: unit tests
    command: docker inspect --format '{{.Name}}'
    timeout: 1h30m
    env: { PORT: 8080, MODE: no, VERSION: 1.50 }
    working_directory: ./examples/service/
    needs: [build]
    reports: ["target/*.xml", ./out/**/junit.xml]
    writes: [Cargo.lock]
  - { name: build, command: true, timeout: 0.5, working_directory: . }
verification:
  health_check: { endpoint: "{{ env.health_endpoint }}?deep={{ env.name }}", timeout: 500ms, retries: 0, backoff: 0 }
  user_flows:
    - name: Vehicles
      steps:
        - request: post /api/v1/vehicles
          body: { plate: "{{ env.name }}-1", wheels: 4, tags: [a, null] }
          headers: { X-Env: "{{ env.name }}" }
          expect: { status: 201, json: { ok: true } , headers: { content-type: application/json } }
          timeout: 3
        - request: PUT /api/v1/vehicles/1
          body: |
            plain text
          expect: { status: [200, 204], body_contains: done }
agents:
  codex:
    provider: azure
    endpoint: https://fleet.openai.azure.com/
    deployment: fleet-author
    api_version: 2024-12-01-preview
    api_key_env: FLEET_KEY
    model: gpt-4o
    timeout: 45
    max_retries: 1
    input_price: 1.25
    output_price: 5
    tool_steps: 0
  jules: { provider: replay, transcript: ./demo/answers.jsonl }
safety: { max_tokens: 5000, max_cost_usd: 1.5, max_duration: 20m, approval_timeout: 15m, max_files: 3, max_changed_lines: 40, max_file_bytes: 2048, no_progress_threshold: 4 }
logging: { level: warning, format: "100%% [%(levelname)s] %(message)s" }
metrics: { enabled: false }
"#,
    );
    let plan = plan_of(&text, "local");
    assert_eq!(plan.deploy.wait_timeout, Duration::from_secs(120));
    assert_eq!(plan.approval_timeout, Duration::from_secs(900));
    let build = plan.build.unwrap();
    assert_eq!(build.registry, "registry.example.org");
    assert_eq!((build.dockerfile_path, build.context_path), ("docker/App".into(), "app".into()));

    let [tests, compile] = plan.gates.as_slice() else { panic!("{:?}", plan.gates) };
    assert_eq!(tests.command, "docker inspect --format '{{.Name}}'");
    assert_eq!(tests.timeout, Some(Duration::from_secs(5400)));
    let env: Vec<_> = tests.env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(env, [("MODE", "no"), ("PORT", "8080"), ("VERSION", "1.50")]);
    let folder = tests.working_directory.as_ref().unwrap();
    assert_eq!(folder.to_string_lossy(), "examples/service");
    assert_eq!(tests.needs, ["build"]);
    assert_eq!(tests.reports, ["target/*.xml", "./out/**/junit.xml"]);
    assert_eq!(tests.writes, ["Cargo.lock"]);
    assert_eq!(compile.command, "true");
    assert_eq!(compile.timeout, Some(Duration::from_millis(500)));
    assert_eq!(compile.working_directory, None);

    let health = plan.verification.health;
    assert_eq!(health.endpoint, "/health?deep=local");
    assert_eq!((health.timeout, health.retries), (Duration::from_millis(500), 0));
    assert_eq!(health.backoff, Duration::ZERO);
    let [post, put] = plan.verification.flows[0].steps.as_slice() else { panic!() };
    assert_eq!((post.method.as_str(), post.timeout), ("POST", Duration::from_secs(3)));
    assert_eq!(
        post.body,
        Some(StepBody::Json(serde_json::json!({
            "plate": "local-1", "wheels": 4, "tags": ["a", null]
        })))
    );
    assert_eq!(post.headers["X-Env"], "local");
    assert_eq!(post.expect.status, [201]);
    assert_eq!(post.expect.json, Some(serde_json::json!({ "ok": true })));
    assert_eq!(post.expect.headers["content-type"], "application/json");
    assert_eq!(put.body, Some(StepBody::Text("plain text\n".to_owned())));
    assert_eq!(put.expect.status, [200, 204]);
    assert_eq!(put.expect.body_contains.as_deref(), Some("done"));

    assert_eq!(
        plan.author.provider,
        Provider::Azure {
            endpoint: "https://fleet.openai.azure.com".to_owned(),
            deployment: "fleet-author".to_owned(),
            api_version: "2024-12-01-preview".to_owned(),
            api_key_env: Some("FLEET_KEY".to_owned()),
        }
    );
    assert_eq!((plan.author.timeout, plan.author.max_retries), (Duration::from_secs(45), 1));
    assert_eq!((plan.author.input_price, plan.author.output_price), (1.25, 5.0));
    assert_eq!(plan.author.tool_steps, 0);
    assert_eq!(
        plan.reviewer.provider,
        Provider::Replay { path: PathBuf::from("demo/answers.jsonl") }
    );
    assert_eq!(
        plan.limits,
        Limits {
            max_iterations: 5,
            no_progress_threshold: 4,
            max_tokens: Some(5000),
            max_cost_usd: Some(1.5),
            max_duration: Some(Duration::from_secs(1200)),
        }
    );
    let policy = plan.policy;
    assert_eq!((policy.max_files, policy.max_changed_lines, policy.max_file_bytes), (3, 40, 2048));
    assert_eq!(plan.logging.level, "warn");
    assert_eq!(plan.logging.format[0], LogPiece::Text("100% [".to_owned()));
    assert_eq!(plan.metrics, None);
}

#[test]
fn an_environment_merges_its_own_deploy_over_the_shared_one() {
    let text = "environments:\n  staging: { url: https://staging.example.org }\n  local:\n    \
                url: http://localhost:9000\n    deploy:\n      method: process\n      process: { command: [./own] }\n\
                deploy:\n  method: kubectl\n  manifest_path: k8s/{{ env.name }}.yaml\n  wait_timeout: 90\n  \
                process: { artifacts: [bin/own], command: [./shared], keep_releases: 2 }\n";
    let staging = plan_of(text, "staging");
    assert_eq!(staging.deploy.target, TargetKind::Kubernetes);
    assert_eq!(staging.deploy.manifest_path, Some(PathBuf::from("k8s/staging.yaml")));
    let local = plan_of(text, "local");
    assert_eq!(local.deploy.target, TargetKind::Process);
    assert_eq!(local.deploy.wait_timeout, Duration::from_secs(90));
    let process = local.deploy.process.unwrap();
    assert_eq!(process.command, ["./own"]);
    assert_eq!((process.artifacts, process.keep_releases), (vec!["bin/own".into()], 2));
}

#[test]
fn the_environments_variables_fill_what_the_file_leaves_out() {
    let env = |name: &str| match name {
        "OPENAI_BASE_URL" => Some("http://localhost:11434/v1/".to_owned()),
        "GREENLOOP_MODEL" => Some("qwen2.5-coder".to_owned()),
        "GREENLOOP_REVIEWER_MODEL" => Some("llama3".to_owned()),
        _ => None,
    };
    let heal = heal_plan(&env).unwrap();
    let server = |plan: &RolePlan| match &plan.provider {
        Provider::OpenAi { base_url, .. } => base_url.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(server(&heal.author), "http://localhost:11434/v1");
    assert_eq!(server(&heal.reviewer), "http://localhost:11434/v1");
    assert_eq!(heal.author.model, "qwen2.5-coder");
    assert_eq!(heal.reviewer.model, "llama3");
    assert_eq!((heal.author.input_price, heal.author.tool_steps), (0.0, 12));

    let text = least("agents:\n  codex: { base_url: https://llm.example.org/v1, model: own }\n");
    let config = parse(&text, "config.yaml").unwrap();
    let plan = config.plan("local", &Overrides::default(), &env).unwrap();
    assert_eq!(server(&plan.author), "https://llm.example.org/v1");
    assert_eq!(plan.author.model, "own");
    assert_eq!(server(&plan.reviewer), "https://llm.example.org/v1");
    assert_eq!(plan.reviewer.model, "llama3");

    let bad = |name: &str| (name == "OPENAI_BASE_URL").then(|| "localhost:11434".to_owned());
    let error = heal_plan(&bad).unwrap_err();
    assert_eq!(error.problems()[0].kind, ProblemKind::Variable);
    let error = parse(&least(""), "config.yaml")
        .unwrap()
        .plan("local", &Overrides::default(), &bad)
        .unwrap_err();
    assert_eq!(error.problems()[0].kind, ProblemKind::Variable);
}

#[test]
fn overrides_win() {
    let config = parse(FLEET, "fleet.yaml").unwrap();
    let path = greenloop_model::RepoPath::new("agent_orch/config.yaml").unwrap();
    let overrides = Overrides { max_iterations: Some(1), config_path: Some(path.clone()) };
    let plan = config.plan("prod", &overrides, &bare).unwrap();
    assert_eq!(plan.limits.max_iterations, 1);
    assert_eq!(plan.policy.config_path, Some(path));
    let none = Overrides { max_iterations: Some(0), config_path: None };
    let error = config.plan("prod", &none, &bare).unwrap_err();
    assert_eq!(error.problems()[0].kind, ProblemKind::OutOfRange);
}

/// A mistake: its kind, what is underlined, and words of the message and of the help.
fn check(text: &str, kind: ProblemKind, under: &str, message: &str, help: &str) {
    let error = parse(text, "config.yaml").expect_err(text);
    let [problem] = error.problems() else { panic!("{error:?}\nin\n{text}") };
    assert_eq!(problem.kind, kind, "{error:?}\nin\n{text}");
    let at = problem.position.as_ref().unwrap();
    assert_eq!(&text[at.span.clone()], under, "{error:?}\nin\n{text}");
    assert!(problem.message.contains(message), "{error:?}");
    assert!(problem.help.clone().unwrap_or_default().contains(help), "{error:?}");
}

#[test]
fn a_mistake_of_form_is_told_with_its_place() {
    use ProblemKind::*;
    for (more, kind, under, message, help) in [
        (
            "quality_gate: []\n",
            UnknownKey,
            "quality_gate",
            "`quality_gate`",
            "did you mean `quality_gates`?",
        ),
        (
            "max_iterations: 3\n",
            UnknownKey,
            "max_iterations",
            "`max_iterations`",
            "belongs under `safety`",
        ),
        ("safety:\n  Max-Files: 3\n", UnknownKey, "Max-Files", "in `safety`", "`max_files`"),
        ("banana: 1\n", UnknownKey, "banana", "`banana`", "`environments`"),
        ("safety: 5\n", WrongType, "5", "must be a mapping, not a number", ""),
        ("safety:\n  max_iterations: many\n", WrongType, "many", "a whole number", ""),
        ("safety:\n  max_iterations: 0\n", OutOfRange, "0", "between 1 and 100", ""),
        ("safety:\n  max_iterations: 2.5\n", WrongType, "2.5", "a whole number", ""),
        (
            "quality_gates:\n  a: b\n",
            WrongType,
            "quality_gates",
            "must be a list, not a mapping",
            "",
        ),
        ("quality_gates:\n  - lint\n", WrongType, "lint", "must be a mapping, not text", ""),
        ("quality_gates:\n  - name: a\n", MissingKey, "name", "`command` is missing", "sh -c"),
        (
            "quality_gates:\n  - name: a\n    command: x\n    required: maybe\n",
            WrongType,
            "maybe",
            "true or false",
            "",
        ),
        (
            "quality_gates:\n  - name: a\n    command:\n",
            WrongType,
            "command",
            "not empty",
            "set a value",
        ),
        ("agents:\n  codex: { temperature: 3.5 }\n", OutOfRange, "3.5", "between 0 and 2", ""),
        (
            "agents:\n  codex: { provider: openia }\n",
            InvalidValue,
            "openia",
            "`openia`",
            "did you mean `openai`?",
        ),
        (
            "verification:\n  user_flows:\n    - { name: a, steps: [] }\n",
            InvalidValue,
            "steps",
            "must not be empty",
            "",
        ),
        (
            "verification:\n  user_flows:\n    - name: a\n      steps:\n        - request: GET /\n          expect: { status: 99 }\n",
            OutOfRange,
            "99",
            "between 100 and 599",
            "",
        ),
        (
            "verification:\n  user_flows:\n    - name: a\n      steps:\n        - { request: GET /, expects: {} }\n",
            UnknownKey,
            "expects",
            "`expects`",
            "`expect`",
        ),
        ("safety: {}\nsafety: {}\n", DuplicateKey, "safety", "`safety`", "remove one"),
        ("logging: {level: [}\n", Syntax, "[}", "not valid YAML", ""),
    ] {
        check(&least(more), kind, under, message, help);
    }
    check("- a\n- b\n", WrongType, "- a", "the file must be a mapping", "");
    check("hello\n", WrongType, "hello", "the file must be a mapping", "");
    check("deploy: {}\n", MissingKey, "deploy", "`environments` is missing", "");
    check("environments: {}\n", InvalidValue, "environments", "empty", "`local`");
}

#[test]
fn a_mistake_of_meaning_is_told_with_its_place() {
    use ProblemKind::*;
    let gates = "quality_gates:\n  - { name: a, command: x }\n";
    for (more, kind, under, message, help) in [
        (format!("{gates}  - {{ name: a, command: y }}\n"), DuplicateName, "a", "`a`", "line 9"),
        (
            "quality_gates:\n  - name: a\n    command: x\n    reports:\n      - out/[*.xml\n"
                .to_owned(),
            InvalidValue,
            "out/[*.xml",
            "is not a valid file pattern",
            "target/surefire-reports/*.xml",
        ),
        (
            "quality_gates:\n  - { name: a, command: x, writes: [../b] }\n".to_owned(),
            InvalidValue,
            "../b",
            "it leads outside the folder",
            "a path with",
        ),
        (
            "quality_gates:\n  - { name: build, command: x, needs: [biuld] }\n".to_owned(),
            UnknownName,
            "biuld",
            "`biuld`",
            "did you mean `build`?",
        ),
        (
            "quality_gates:\n  - { name: a, command: x, needs: [b] }\n  - { name: b, command: x, needs: [c] }\n  - { name: c, command: x, needs: [a] }\n".to_owned(),
            Cycle,
            "a",
            "a → b → c → a",
            "remove one",
        ),
        (
            "quality_gates:\n  - { name: a, command: x, needs: [a] }\n".to_owned(),
            Cycle,
            "a",
            "`a` needs itself",
            "",
        ),
        (
            "quality_gates:\n  - { name: a, command: x, timeout: soon }\n".to_owned(),
            InvalidValue,
            "soon",
            "`soon`",
            "30s",
        ),
        (
            "quality_gates:\n  - { name: a, command: x, timeout: 0 }\n".to_owned(),
            OutOfRange,
            "0",
            "zero",
            "",
        ),
        (
            "quality_gates:\n  - { name: a, command: x, working_directory: ../up }\n".to_owned(),
            InvalidPath,
            "../up",
            "`../up`",
            "repository's root",
        ),
        (
            "verification:\n  smoke_tests: { script: /bin/true }\n".to_owned(),
            InvalidPath,
            "/bin/true",
            "`/bin/true`",
            "",
        ),
        ("metrics:\n  path: ~/x.json\n".to_owned(), InvalidPath, "~/x.json", "`~/x.json`", ""),
        (
            "verification:\n  health_check: { endpoint: '{{ env.helth_endpoint }}' }\n".to_owned(),
            InvalidTemplate,
            "'{{ env.helth_endpoint }}'",
            "env.helth_endpoint",
            "{{ env.health_endpoint }}",
        ),
        (
            "verification:\n  health_check: { endpoint: http://x/health }\n".to_owned(),
            InvalidValue,
            "http://x/health",
            "not a valid request path",
            "only the path",
        ),
        (
            "verification:\n  user_flows:\n    - name: a\n      steps:\n        - GET /\n        - GTE /x\n".to_owned(),
            InvalidValue,
            "GTE /x",
            "`GTE`",
            "`GET`",
        ),
        (
            "verification:\n  user_flows:\n    - { name: a, steps: [/login] }\n".to_owned(),
            InvalidValue,
            "/login",
            "not a valid request",
            "GET /login",
        ),
        (
            "agents:\n  codex: { base_url: localhost:11434 }\n".to_owned(),
            InvalidUrl,
            "localhost:11434",
            "http://",
            "",
        ),
        (
            "agents:\n  codex: { provider: replay }\n".to_owned(),
            MissingKey,
            "replay",
            "`transcript` is missing",
            "",
        ),
        (
            "agents:\n  jules: { provider: azure }\n".to_owned(),
            MissingKey,
            "azure",
            "`endpoint` is missing",
            "openai.azure.com",
        ),
        (
            "agents:\n  codex: { endpoint: https://x.openai.azure.com }\n".to_owned(),
            InvalidValue,
            "https://x.openai.azure.com",
            "for provider `azure`",
            "provider: azure",
        ),
        (
            "agents:\n  jules: { tool_steps: 3 }\n".to_owned(),
            InvalidValue,
            "3",
            "no tools",
            "",
        ),
        (
            "agents:\n  codex: { api_key_env: my key }\n".to_owned(),
            InvalidValue,
            "my key",
            "name of a variable",
            "OPENAI_API_KEY",
        ),
        (
            "agents:\n  codex: { model: a, models: [b] }\n".to_owned(),
            InvalidValue,
            "models",
            "both say who is asked",
            "into `models`",
        ),
        (
            "agents:\n  codex: { models: [a, b, c, d, e, f, g, h, i] }\n".to_owned(),
            InvalidValue,
            "models",
            "9 entries",
            "at most 8",
        ),
        (
            "agents:\n  codex: { command: [codex, exec], model: a }\n".to_owned(),
            InvalidValue,
            "a",
            "`command` is a program",
            "under `agents.jules`",
        ),
        (
            "agents:\n  jules: { command: [codex] }\n".to_owned(),
            InvalidValue,
            "command",
            "the reviewer is a model, and only reads",
            "under `agents.codex`",
        ),
        (
            "agents:\n  codex: { mode: agent, tool_steps: 0 }\n".to_owned(),
            InvalidValue,
            "agent",
            "allows none",
            "raise `tool_steps`",
        ),
        (
            "agents:\n  codex: { pass_env: [A] }\n".to_owned(),
            InvalidValue,
            "pass_env",
            "there is none",
            "remove",
        ),
        (
            "agents:\n  jules: { models: [a] }\n".to_owned(),
            InvalidValue,
            "models",
            "one model",
            "`model`",
        ),
        (
            "agents:\n  codex: { model: brand-new }\nsafety: { max_cost_usd: 1 }\n".to_owned(),
            MissingKey,
            "1",
            "`agents.codex` and `agents.jules`",
            "input_price",
        ),
        ("logging: { level: LOUD }\n".to_owned(), InvalidValue, "LOUD", "`LOUD`", "`INFO`"),
        (
            "logging: { format: '%(asctme)s %(message)s' }\n".to_owned(),
            InvalidTemplate,
            "'%(asctme)s %(message)s'",
            "`asctme`",
            "%(asctime)s",
        ),
        (
            "logging: { file: 'logs/{day}.log' }\n".to_owned(),
            InvalidTemplate,
            "'logs/{day}.log'",
            "`{day}`",
            "{date}",
        ),
        (
            "build: { registry: 'https://x.azurecr.io', image_name: app }\n".to_owned(),
            InvalidValue,
            "'https://x.azurecr.io'",
            "not a registry host",
            "without a scheme",
        ),
        (
            "build: { registry: x.azurecr.io, image_name: 'App:latest' }\n".to_owned(),
            InvalidValue,
            "'App:latest'",
            "not a valid image name",
            "",
        ),
        (
            "safety: { never_delete: ['[a'] }\n".to_owned(),
            InvalidValue,
            "'[a'",
            "not a valid pattern",
            ".gitignore",
        ),
    ] {
        check(&least(&more), kind, under, message, help);
    }
}

#[test]
fn a_target_that_cannot_be_used_is_told() {
    use ProblemKind::*;
    for (text, kind, under, message) in [
        (
            "environments: { a: { url: 'http://x' } }\n",
            MissingKey,
            "environments",
            "`deploy.method`",
        ),
        (
            "environments: { a: { url: 'http://127.0.0.1:1' } }\ndeploy: { method: process }\n",
            MissingKey,
            "process",
            "`deploy.process.command`",
        ),
        (
            "environments: { a: { url: 'http://127.0.0.1:1' } }\ndeploy: { method: process, process: { env: {} } }\n",
            MissingKey,
            "process",
            "missing or empty",
        ),
        (
            "environments: { a: { url: 'http://127.0.0.1:1' } }\ndeploy: { method: process, process: { command: cd x && y } }\n",
            InvalidValue,
            "cd x && y",
            "needs a shell",
        ),
        (
            "environments: { a: { url: 'http://127.0.0.1:1' } }\ndeploy: { method: process, process: { command: x, env: { PORT: 1 } } }\n",
            InvalidValue,
            "1",
            "`PORT` is set",
        ),
        (
            "environments: { a: { url: 'https://example.org' } }\ndeploy: { method: process, process: { command: x } }\n",
            InvalidUrl,
            "'https://example.org'",
            "listens on this machine",
        ),
        (
            "environments: { a: { url: 'http://127.0.0.1:1' } }\ndeploy: { method: process, rollback: forbidden, process: { command: x } }\n",
            InvalidValue,
            "forbidden",
            "always restores",
        ),
        (
            "environments: { a: { url: 'https://example.org' } }\ndeploy: { method: kubectl }\n",
            MissingKey,
            "kubectl",
            "needs `deploy.manifest_path`",
        ),
        (
            "environments: { a: { url: 'http://127.0.0.1:1' } }\ndeploy: { method: docker }\n",
            MissingKey,
            "docker",
            "`build`",
        ),
        (
            "environments: { a: { url: 'https://example.org' } }\ndeploy: { method: helm }\n",
            InvalidValue,
            "helm",
            "`helm`",
        ),
        (
            "environments: { 'a b': { url: 'https://example.org' } }\ndeploy: { method: kubectl, manifest_path: x }\n",
            InvalidValue,
            "'a b'",
            "environment name",
        ),
        (
            "environments: { a: { url: 'ftp://example.org' } }\ndeploy: { method: kubectl, manifest_path: x }\n",
            InvalidUrl,
            "'ftp://example.org'",
            "http://",
        ),
    ] {
        check(text, kind, under, message, "");
    }
}

#[test]
fn a_secret_is_refused_and_never_shown() {
    for (more, variable) in [
        ("agents:\n  codex: { api_key: sk-proj-abcdefghij0123456789 }\n", "OPENAI_API_KEY"),
        ("agents:\n  codex: { api_key_env: sk-abcdefghij0123456789 }\n", "OPENAI_API_KEY"),
        (
            "quality_gates:\n  - { name: a, command: x, env: { DB_PASSWORD: hunter2hunter2 } }\n",
            "DB_PASSWORD",
        ),
        (
            "quality_gates:\n  - { name: a, command: 'curl -H \"Authorization: Bearer abcdefghij0123456789\" x' }\n",
            "environment",
        ),
    ] {
        let error = parse(&least(more), "config.yaml").unwrap_err();
        let [problem] = error.problems() else { panic!("{error:?}") };
        assert_eq!(problem.kind, ProblemKind::Secret, "{error:?}");
        assert!(problem.help.as_ref().unwrap().contains(variable), "{error:?}");
        let shown = format!("{:?} {} {}", miette::Report::new(error), 1, 2);
        assert!(!shown.contains("0123456789") && !shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("****"), "{shown}");
    }
    let broken = "agents: { codex: { api_key: sk-proj-abcdefghij0123456789 }\n";
    let shown = format!("{:?}", miette::Report::new(parse(broken, "c.yaml").unwrap_err()));
    assert!(!shown.contains("0123456789"), "{shown}");
}

#[test]
fn several_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text =
        "enviroments:\n  a: {}\nquality_gates:\n  - nam: x\n    command: y\n    timeout: []\n";
    let error = parse(text, "config.yaml").unwrap_err();
    let lines: Vec<_> = error.problems().iter().filter_map(line_of).collect();
    assert_eq!(lines, [1, 4, 6], "{error:?}");
    assert_eq!(error.to_string(), "3 problems in config.yaml");

    let text = "environments:\n  a: { url: nowhere }\n  b: { url: https://x.org/?q }\n\
                deploy: { method: kubectl, manifest_path: /x }\nlogging: { level: no }\n";
    let error = parse(text, "config.yaml").unwrap_err();
    let kinds: Vec<_> = error.problems().iter().map(|p| p.kind).collect();
    use ProblemKind::*;
    assert_eq!(kinds, [InvalidUrl, InvalidUrl, InvalidPath, InvalidValue], "{error:?}");
}

#[test]
fn an_unknown_environment_is_told_with_those_there_are() {
    let config = parse(FLEET, "fleet.yaml").unwrap();
    let error = config.plan("production", &Overrides::default(), &bare).unwrap_err();
    assert_eq!(error.problems()[0].kind, ProblemKind::UnknownEnvironment);
    assert_eq!(error.line(), Some(4));
    let help = error.problems()[0].help.clone().unwrap();
    assert!(help.contains("`staging` and `prod`"), "{help}");
    let error = config.plan("Stagin", &Overrides::default(), &bare).unwrap_err();
    assert!(error.problems()[0].help.as_ref().unwrap().contains("did you mean `staging`?"));
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("config.yaml");
    let error = load(&missing).unwrap_err();
    assert_eq!(error.problems()[0].kind, ProblemKind::NotFound);
    assert!(error.problems()[0].help.as_ref().unwrap().contains("--config"));
    let error = load(folder.path()).unwrap_err();
    assert_eq!(error.problems()[0].kind, ProblemKind::Unreadable);

    std::fs::write(&missing, b"environments:\n  a: \xff\xfe\n").unwrap();
    let error = load(&missing).unwrap_err();
    assert_eq!(error.problems()[0].kind, ProblemKind::NotUtf8);
    assert_eq!((error.line(), error.column()), (Some(2), Some(6)));

    let crlf = format!("\u{feff}{}", least("safty: {}\n")).replace('\n', "\r\n");
    std::fs::write(&missing, crlf).unwrap();
    let error = load(&missing).unwrap_err();
    assert_eq!((error.line(), error.column()), (Some(8), Some(1)), "{error:?}");
}

#[test]
fn an_alias_and_a_merge_are_understood() {
    let text = "environments:\n  a: &base\n    url: https://a.example.org\n    namespace: fleet\n  b:\n    <<: *base\n    \
                url: https://b.example.org\ndeploy: { method: kubectl, manifest_path: k8s }\n";
    let plan = plan_of(text, "b");
    assert_eq!(plan.environment.url, "https://b.example.org");
    assert_eq!(plan.environment.namespace.as_deref(), Some("fleet"));
}

/// The deepest body that is read needs half of an ordinary thread's stack at most.
#[test]
fn deep_nesting_does_not_exhaust_the_stack() {
    let body = |depth: usize| {
        let (open, close) = ("{ a: [".repeat(depth / 2), "] }".repeat(depth / 2));
        least(&format!(
            "verification:\n  user_flows:\n    - name: a\n      steps:\n        - {{ request: PUT /x, body: {open}1{close} }}\n"
        ))
    };
    let run = move || {
        plan_of(&body(16), "local");
        let error = parse(&body(200), "config.yaml").unwrap_err();
        assert_eq!(error.problems()[0].kind, ProblemKind::TooLarge, "{error:?}");
    };
    std::thread::Builder::new().stack_size(1024 * 1024).spawn(run).unwrap().join().unwrap();
}

/// What a person sees.
#[test]
fn the_report_shows_the_place() {
    let error = parse(&least("quality_gate: []\n"), "config.yaml").unwrap_err();
    assert_eq!(
        error.plain(),
        "config.yaml:8:1: unknown key `quality_gate`\n  help: did you mean `quality_gates`?\n"
    );
    let mut shown = String::new();
    miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor())
        .with_width(90)
        .render_report(&mut shown, &error)
        .unwrap();
    insta::assert_snapshot!(shown, @r"
      × unknown key `quality_gate`
       ╭─[config.yaml:8:1]
     7 │     command: ./server --port {{ port }}
     8 │ quality_gate: []
       · ──────┬─────
       ·       ╰── unknown key
       ╰────
      help: did you mean `quality_gates`?
    ");
}

#[test]
fn the_own_configuration_is_without_mistakes() {
    let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let config = load(&root.join("config.yaml")).unwrap();
    let names: Vec<&str> = config.environments().iter().map(|name| name.as_str()).collect();
    assert_eq!(names, ["local", "staging", "prod"]);
    let plan = config.plan("local", &Overrides::default(), &bare).unwrap();
    assert_eq!(plan.environment.url, "http://127.0.0.1:8087");
    for gate in &plan.gates {
        let folder = gate.working_directory.as_ref().map(|path| path.to_os_path());
        assert!(root.join(folder.unwrap_or_default()).is_dir(), "{gate:?}");
    }
    assert!(root.join(plan.verification.script.unwrap().script).is_file());

    let demo = load(&root.join("demo/config.yaml")).unwrap();
    let demo = demo.plan("local", &Overrides::default(), &bare).unwrap();
    for role in [&demo.author, &demo.reviewer] {
        let Provider::Replay { path } = &role.provider else { panic!("{role:?}") };
        assert!(root.join(path).is_file(), "{path:?}");
    }
}

#[test]
fn the_hub_of_the_tasks_may_be_named_by_a_variable() {
    let text = format!("{FLEET}\ntasks:\n  timeout: 60\n");
    let config = parse(&text, "config.yaml").unwrap();
    let name = config.environments()[0].to_string();
    let refused = config.plan(&name, &Overrides::default(), &bare).unwrap_err();
    assert!(format!("{refused:?}").contains("has no hub"), "{refused:?}");
    let env = |name: &str| (name == "GREENLOOP_HUB_URL").then(|| "https://hub.example".to_owned());
    let plan = config.plan(&name, &Overrides::default(), &env).unwrap();
    assert_eq!(plan.tasks.unwrap().hub, "https://hub.example");
}

#[test]
fn models_are_asked_in_the_order_of_the_list() {
    let codex = "agents:\n  codex: { models: [gpt-4.1-mini, gpt-4.1, own], max_tokens: 900 }\n";
    let plan = plan_of(&least(codex), "local");
    let asked: Vec<_> = std::iter::once(&plan.author)
        .chain(&plan.author.next)
        .map(|plan| {
            let prices = (plan.input_price, plan.cached_input_price, plan.output_price);
            (plan.model.as_str(), prices, plan.max_tokens)
        })
        .collect();
    let expect = [
        ("gpt-4.1-mini", (0.4, 0.1, 1.6), Some(900)),
        ("gpt-4.1", (2.0, 0.5, 8.0), Some(900)),
        ("own", (0.0, 0.0, 0.0), Some(900)),
    ];
    assert_eq!(asked, expect);
    assert!(plan.author.next.iter().all(|plan| plan.next.is_empty()));
    assert_eq!(plan.reviewer.model, "gpt-4.1-mini");

    let azure = "agents:\n  codex: { provider: azure, endpoint: 'https://x.openai.azure.com', models: [small, large] }\n";
    let plan = plan_of(&least(azure), "local");
    let Provider::Azure { deployment, .. } = &plan.author.next[0].provider else { panic!() };
    assert_eq!(deployment, "large");
}

#[test]
fn a_program_of_the_users_own_may_be_the_author() {
    let codex = "agents:\n  codex: { command: [codex, exec, --full-auto], pass_env: [OPENAI_API_KEY], \
        network: true, read: [/opt/agent] }\n\
        safety: { max_cost_usd: 1 }\n";
    let plan = plan_of(&least(codex), "local");
    let agent = plan.author.agent.unwrap();
    assert_eq!(agent.command, ["codex", "exec", "--full-auto"]);
    assert_eq!(agent.pass_env, ["OPENAI_API_KEY"]);
    assert!(agent.network == Network::All && agent.cache.is_empty());
    assert_eq!(agent.read, [std::path::PathBuf::from("/opt/agent")]);
    assert_eq!(plan.author.timeout, Duration::from_secs(1_800));
    assert_eq!(plan.reviewer.agent, None);
    assert_eq!(plan.reviewer.timeout, Duration::from_secs(120));
    let plan = plan_of(&least("agents:\n  codex: { mode: agent }\n"), "local");
    assert!(plan.author.explores && !plan.reviewer.explores);
}

#[test]
fn rules_for_patches_are_read_with_their_places() {
    const HEAD: &str = "environments: { local: { url: 'http://127.0.0.1:1' } }\n\
                        deploy: { method: process, process: { command: ./x } }\n";
    let text = format!(
        "{HEAD}safety:\n  rules:\n    - id: billing\n      decision: forbid\n      reason: finance\n      \
         paths: [billing/]\n      change: [edited, deleted]\n      examples:\n        - {{path: \
         billing/a.py, before: 'a', after: 'b'}}\n"
    );
    let plan = plan_of(&text, "local");
    let [rule] = plan.policy.rules.as_slice() else { panic!("{:?}", plan.policy.rules) };
    assert_eq!((rule.id.as_str(), rule.paths.as_slice()), ("billing", &owned(&["billing/"])[..]));
    assert_eq!(rule.changes, [RuleChange::Edited, RuleChange::Deleted]);
    assert_eq!((rule.position.line, rule.examples[0].position.line), (5, 11));

    for (rule, line, expect) in [
        ("{id: A b, decision: forbid, reason: r, paths: [a]}", 5, "not a valid id"),
        ("{id: a, decision: forbid, reason: '', paths: [a]}", 5, "is empty"),
        ("{id: a, decision: forbid, reason: r, adds: '('}", 5, "not a valid regular expression"),
        ("{id: a, decision: forbid, reason: r, paths: ['a/[']}", 5, "not a valid pattern"),
        ("{id: a, decision: forbid, reason: r}", 5, "matches every change"),
    ] {
        let text = format!("{HEAD}safety:\n  rules:\n    - {rule}\n");
        let error = parse(&text, "config.yaml").unwrap_err();
        let problem = &error.problems()[0];
        assert!(problem.message.contains(expect), "{}", problem.message);
        assert_eq!(problem.position.as_ref().map(|at| at.line), Some(line), "{rule}");
    }
}
