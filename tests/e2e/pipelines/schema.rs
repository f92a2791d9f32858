//! The schema of a pipeline with expanded templates: keys, types, tasks and their inputs, names,
//! dependencies, conditions, variables.
//!
//! Source: "YAML schema reference" in the documentation of Azure Pipelines, and the reference of
//! each task. Only what the pipelines here may use is in the tables: what is not in them is a
//! complaint, and reason to look it up.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::expression::{Expression, arity, parse, text_of};

/// The type of a key's value.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Bool,
    Number,
    Mapping,
    List,
    TextOrList,
    TextOrMapping,
    /// Checked elsewhere.
    Any,
}

type Keys = &'static [(&'static str, Kind)];

use Kind::{Any, Bool, List, Mapping, Number, Text, TextOrList, TextOrMapping};

const PIPELINE: Keys = &[
    ("name", Text),
    ("appendCommitMessageToRunName", Bool),
    ("trigger", Any),
    ("pr", Any),
    ("schedules", List),
    ("resources", Mapping),
    ("variables", Any),
    ("pool", TextOrMapping),
    ("lockBehavior", Text),
    ("stages", List),
    ("steps", List),
];
const TRIGGER: Keys =
    &[("batch", Bool), ("branches", Mapping), ("paths", Mapping), ("tags", Mapping)];
const PR: Keys =
    &[("autoCancel", Bool), ("drafts", Bool), ("branches", Mapping), ("paths", Mapping)];
const FILTER: Keys = &[("include", List), ("exclude", List)];
const STAGE: Keys = &[
    ("stage", Text),
    ("displayName", Text),
    ("pool", TextOrMapping),
    ("dependsOn", TextOrList),
    ("condition", Text),
    ("variables", Any),
    ("jobs", List),
    ("lockBehavior", Text),
    ("trigger", Text),
    ("isSkippable", Bool),
];
const JOB: Keys = &[
    ("job", Text),
    ("displayName", Text),
    ("dependsOn", TextOrList),
    ("condition", Text),
    ("continueOnError", Bool),
    ("timeoutInMinutes", Number),
    ("cancelTimeoutInMinutes", Number),
    ("variables", Any),
    ("pool", TextOrMapping),
    ("container", Any),
    ("services", Mapping),
    ("workspace", Mapping),
    ("steps", List),
];
const DEPLOYMENT: Keys = &[
    ("deployment", Text),
    ("displayName", Text),
    ("dependsOn", TextOrList),
    ("condition", Text),
    ("continueOnError", Bool),
    ("timeoutInMinutes", Number),
    ("cancelTimeoutInMinutes", Number),
    ("variables", Any),
    ("pool", TextOrMapping),
    ("environment", TextOrMapping),
    ("strategy", Mapping),
    ("workspace", Mapping),
];
const POOL: Keys = &[("name", Text), ("vmImage", Text), ("demands", TextOrList)];
/// Keys that every step may have.
const STEP: Keys = &[
    ("name", Text),
    ("displayName", Text),
    ("condition", Text),
    ("continueOnError", Bool),
    ("enabled", Bool),
    ("env", Mapping),
    ("timeoutInMinutes", Number),
    ("retryCountOnTaskFailure", Number),
];
/// Each kind of step by its first key.
const STEPS: &[(&str, Keys)] = &[
    ("bash", &[("bash", Text), ("workingDirectory", Text), ("failOnStderr", Bool)]),
    ("task", &[("task", Text), ("inputs", Mapping)]),
    (
        "checkout",
        &[
            ("checkout", Text),
            ("clean", Bool),
            ("fetchDepth", Number),
            ("fetchTags", Bool),
            ("lfs", Bool),
            ("persistCredentials", Bool),
            ("submodules", Any),
            ("path", Text),
        ],
    ),
    ("download", &[("download", Text), ("artifact", Text), ("patterns", Text)]),
    ("publish", &[("publish", Text), ("artifact", Text)]),
];

/// A task: its name, the inputs it takes, those it needs, and whether it runs without an agent.
struct Task {
    name: &'static str,
    inputs: Keys,
    needs: &'static [&'static str],
    agentless: bool,
}

const TASKS: &[Task] = &[
    Task {
        name: "AzureCLI@2",
        inputs: &[
            ("azureSubscription", Text),
            ("scriptType", Text),
            ("scriptLocation", Text),
            ("scriptPath", Text),
            ("inlineScript", Text),
            ("arguments", Text),
            ("addSpnToEnvironment", Bool),
            ("useGlobalConfig", Bool),
            ("workingDirectory", Text),
            ("failOnStandardError", Bool),
        ],
        needs: &["azureSubscription", "scriptType", "scriptLocation"],
        agentless: false,
    },
    Task {
        name: "Cache@2",
        inputs: &[("key", Text), ("path", Text), ("restoreKeys", Text), ("cacheHitVar", Text)],
        needs: &["key", "path"],
        agentless: false,
    },
    Task {
        name: "PublishTestResults@2",
        inputs: &[
            ("testResultsFormat", Text),
            ("testResultsFiles", Text),
            ("searchFolder", Text),
            ("mergeTestResults", Bool),
            ("failTaskOnFailedTests", Bool),
            ("failTaskOnFailureToPublishResults", Bool),
            ("failTaskOnMissingResultsFile", Bool),
            ("testRunTitle", Text),
            ("buildPlatform", Text),
            ("buildConfiguration", Text),
            ("publishRunAttachments", Bool),
        ],
        needs: &["testResultsFormat", "testResultsFiles"],
        agentless: false,
    },
    Task {
        name: "PublishPipelineArtifact@1",
        inputs: &[("targetPath", Text), ("artifact", Text), ("publishLocation", Text)],
        needs: &["targetPath"],
        agentless: false,
    },
    Task {
        name: "ManualValidation@0",
        inputs: &[
            ("notifyUsers", Text),
            ("approvers", Text),
            ("allowApproversToApproveTheirOwnRuns", Bool),
            ("instructions", Text),
            ("onTimeout", Text),
        ],
        needs: &["notifyUsers"],
        agentless: true,
    },
];

/// Variables that the service or the agent sets.
const PREDEFINED: &[&str] = &[
    "Agent.OS",
    "Build.ArtifactStagingDirectory",
    "Build.Reason",
    "Build.SourceBranch",
    "Build.SourcesDirectory",
    "Pipeline.Workspace",
    "System.AccessToken",
    "System.JobAttempt",
    "System.StageAttempt",
];

/// The variables of a variable group, by its name.
pub(crate) type Groups = BTreeMap<&'static str, &'static [&'static str]>;

struct Checker<'a> {
    groups: &'a Groups,
    complaints: Vec<String>,
    /// Variables in scope: the pipeline's, and those that earlier steps have set.
    variables: BTreeSet<String>,
    /// Output variables of the stages before: `Stage/Job.step.name`.
    outputs: BTreeSet<String>,
}

/// All errors of a pipeline. `groups` has the content of its variable groups.
pub(crate) fn check(pipeline: &Value, groups: &Groups) -> Vec<String> {
    let mut checker = Checker {
        groups,
        complaints: Vec::new(),
        variables: PREDEFINED.iter().map(|name| (*name).to_owned()).collect(),
        outputs: BTreeSet::new(),
    };
    checker.pipeline(pipeline);
    checker.complaints
}

fn items<'a>(node: &'a Value, key: &str) -> &'a [Value] {
    node.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn text(node: &Value, key: &str) -> String {
    node.get(key).map(text_of).unwrap_or_default()
}

/// A text or a list of texts.
fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        None => Vec::new(),
        Some(Value::Array(list)) => list.iter().map(text_of).collect(),
        Some(one) => vec![text_of(one)],
    }
}

impl Checker<'_> {
    fn complain(&mut self, at: &str, what: impl AsRef<str>) {
        self.complaints.push(format!("{at}: {}", what.as_ref()));
    }

    fn keys(&mut self, at: &str, node: &Value, tables: &[Keys]) {
        let Some(fields) = node.as_object() else { return self.complain(at, "no mapping") };
        for (key, value) in fields {
            let known = tables.iter().flat_map(|table| table.iter()).find(|(name, _)| name == key);
            let Some((_, kind)) = known else {
                self.complain(at, format!("unknown key {key}"));
                continue;
            };
            // A macro may replace any scalar value.
            let is_macro = value.as_str().is_some_and(|text| text.starts_with("$("));
            let fits = is_macro
                || match kind {
                    Text => value.is_string() || value.is_number(),
                    Bool => value.is_boolean(),
                    Number => value.is_number(),
                    Mapping => value.is_object(),
                    List => value.is_array(),
                    TextOrList => value.is_string() || value.is_array(),
                    TextOrMapping => value.is_string() || value.is_object(),
                    Any => true,
                };
            if !fits {
                self.complain(at, format!("{key} is to be {kind:?}, not {value}"));
            }
        }
    }

    fn name(&mut self, at: &str, name: &str) {
        let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !first || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            self.complain(at, format!("{name:?} is no identifier"));
        }
    }

    fn pipeline(&mut self, pipeline: &Value) {
        self.keys("pipeline", pipeline, &[PIPELINE]);
        for (key, table) in [("trigger", TRIGGER), ("pr", PR)] {
            let Some(trigger) = pipeline.get(key).filter(|trigger| trigger.is_object()) else {
                continue;
            };
            self.keys(key, trigger, &[table]);
            for filter in trigger.as_object().into_iter().flat_map(Map::values) {
                if filter.is_object() {
                    self.keys(key, filter, &[FILTER]);
                }
            }
        }
        for variable in items(pipeline, "variables") {
            if let Some(group) = variable.get("group") {
                self.keys("variables", variable, &[&[("group", Text)]]);
                let group = text_of(group);
                match self.groups.get(group.as_str()) {
                    Some(names) => self.variables.extend(names.iter().map(|n| (*n).to_owned())),
                    None => self.complain("variables", format!("unknown group {group}")),
                }
            } else {
                let table: Keys = &[("name", Text), ("value", Text), ("readonly", Bool)];
                self.keys("variables", variable, &[table]);
                self.variables.insert(text(variable, "name"));
            }
        }
        self.macros("pipeline", pipeline.get("variables"));
        let mut before: Vec<String> = Vec::new();
        for stage in items(pipeline, "stages") {
            self.stage(stage, &before);
            before.push(text(stage, "stage"));
        }
        if pipeline.get("stages").is_none() {
            self.steps("steps", "", items(pipeline, "steps"), false);
        }
    }

    fn stage(&mut self, stage: &Value, before: &[String]) {
        let name = text(stage, "stage");
        let at = format!("stage {name}");
        self.keys(&at, stage, &[STAGE]);
        self.name(&at, &name);
        if before.contains(&name) {
            self.complain(&at, "the name is taken");
        }
        let lock = text(stage, "lockBehavior");
        if !["", "sequential", "runLatest"].contains(&lock.as_str()) {
            self.complain(&at, format!("unknown lockBehavior {lock}"));
        }
        let needs = match stage.get("dependsOn") {
            None => before.last().cloned().into_iter().collect(),
            given => texts(given),
        };
        for need in &needs {
            if !before.contains(need) {
                self.complain(&at, format!("depends on {need}, which is no stage before it"));
            }
        }
        self.condition(&at, stage, &needs);
        let mut jobs: Vec<String> = Vec::new();
        for job in items(stage, "jobs") {
            self.job(&name, job, &jobs);
            jobs.push(text(job, if job.get("job").is_some() { "job" } else { "deployment" }));
        }
        if jobs.is_empty() {
            self.complain(&at, "no jobs");
        }
    }

    fn job(&mut self, stage: &str, job: &Value, before: &[String]) {
        let deployment = job.get("deployment").is_some();
        let name = text(job, if deployment { "deployment" } else { "job" });
        let at = format!("job {stage}/{name}");
        self.keys(&at, job, &[if deployment { DEPLOYMENT } else { JOB }]);
        self.name(&at, &name);
        if before.contains(&name) {
            self.complain(&at, "the name is taken");
        }
        for need in texts(job.get("dependsOn")) {
            if !before.contains(&need) {
                self.complain(&at, format!("depends on {need}, which is no job before it"));
            }
        }
        self.condition(&at, job, &texts(job.get("dependsOn")));
        let pool = job.get("pool");
        match pool {
            Some(pool) if pool.is_object() => self.keys(&at, pool, &[POOL]),
            Some(Value::String(_)) => {}
            _ => self.complain(&at, "no pool"),
        }
        let agentless = pool.and_then(Value::as_str) == Some("server");
        let path = format!("{stage}/{name}");
        // Variables that a job sets are local to it.
        let kept = self.variables.clone();
        if deployment {
            if job.get("environment").is_none() {
                self.complain(&at, "no environment");
            }
            let strategy = job.get("strategy").and_then(Value::as_object);
            let hooks: &[&str] = &["preDeploy", "deploy", "routeTraffic", "postRouteTraffic", "on"];
            for (kind, lifecycle) in strategy.into_iter().flatten() {
                if kind != "runOnce" {
                    self.complain(&at, format!("unknown strategy {kind}"));
                }
                for (hook, body) in lifecycle.as_object().into_iter().flatten() {
                    if !hooks.contains(&hook.as_str()) {
                        self.complain(&at, format!("unknown hook {hook}"));
                    }
                    // Outputs of a deployment job contain its name twice.
                    self.steps(&at, &format!("{path}.{name}"), items(body, "steps"), agentless);
                }
            }
        } else {
            self.steps(&at, &path, items(job, "steps"), agentless);
        }
        self.variables = kept;
    }

    fn steps(&mut self, at: &str, path: &str, steps: &[Value], agentless: bool) {
        let mut names = BTreeSet::new();
        if steps.is_empty() {
            self.complain(at, "no steps");
        }
        for (n, step) in steps.iter().enumerate() {
            let at = format!("{at}, step {} {:?}", n + 1, text(step, "displayName"));
            let kind = STEPS.iter().find(|(key, _)| step.get(key).is_some());
            let Some((kind, keys)) = kind else {
                let first = step.as_object().and_then(|fields| fields.keys().next());
                self.complain(&at, format!("unknown kind of step {first:?}"));
                continue;
            };
            self.keys(&at, step, &[keys, STEP]);
            let first = step.as_object().and_then(|fields| fields.keys().next());
            if first.map(String::as_str) != Some(kind) {
                self.complain(&at, format!("{kind} is not its first key"));
            }
            let name = text(step, "name");
            if !name.is_empty() {
                self.name(&at, &name);
                if !names.insert(name.clone()) {
                    self.complain(&at, format!("the name {name} is taken"));
                }
            }
            self.condition(&at, step, &[]);
            if *kind == "task" {
                self.task(&at, step, agentless);
            } else if agentless {
                self.complain(&at, "it needs an agent");
            }
            self.macros(&at, Some(step));
            for script in scripts(step) {
                self.sets(&script, path, &name);
            }
        }
    }

    fn task(&mut self, at: &str, step: &Value, agentless: bool) {
        let name = text(step, "task");
        let Some(task) = TASKS.iter().find(|task| task.name == name) else {
            return self.complain(at, format!("unknown task {name}"));
        };
        let nothing = Value::Object(Map::new());
        let inputs = step.get("inputs").unwrap_or(&nothing);
        self.keys(at, inputs, &[task.inputs]);
        for need in task.needs {
            if text(inputs, need).is_empty() {
                self.complain(at, format!("{name} needs {need}"));
            }
        }
        if task.agentless != agentless {
            self.complain(at, format!("{name} does not run in this pool"));
        }
    }

    /// Variables that a script sets for later steps.
    fn sets(&mut self, script: &str, path: &str, step: &str) {
        for command in script.split("##vso[task.setvariable ").skip(1) {
            let properties = command.split(']').next().unwrap_or_default();
            let property = |key: &str| {
                properties.split(';').find_map(|p| p.strip_prefix(key)?.strip_prefix('='))
            };
            let Some(variable) = property("variable") else { continue };
            self.variables.insert(variable.to_owned());
            if property("isOutput") == Some("true") && !step.is_empty() {
                self.outputs.insert(format!("{path}.{step}.{variable}"));
                // As later steps of the same job see it.
                self.variables.insert(format!("{step}.{variable}"));
            }
        }
    }

    fn condition(&mut self, at: &str, node: &Value, needs: &[String]) {
        let Some(condition) = node.get("condition") else { return };
        match parse(&text_of(condition)) {
            Ok(expression) => self.expression(at, &expression, needs),
            Err(error) => self.complain(at, error),
        }
    }

    fn expression(&mut self, at: &str, expression: &Expression, needs: &[String]) {
        let words = match expression {
            Expression::Literal(_) => return,
            Expression::Reference(words) => words,
            Expression::Call(name, arguments) => {
                match arity(name) {
                    Some((fewest, most)) if (fewest..=most).contains(&arguments.len()) => {}
                    Some(_) => self.complain(at, format!("{name} takes other arguments")),
                    None => self.complain(at, format!("there is no function {name}")),
                }
                for argument in arguments {
                    self.expression(at, argument, needs);
                }
                return;
            }
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["variables", name] if self.variables.contains(*name) => {}
            ["dependencies", stage, "result"] if needs.iter().any(|need| need == stage) => {}
            ["dependencies", stage, "outputs", output]
                if needs.iter().any(|need| need == stage)
                    && self.outputs.contains(&format!("{stage}/{output}")) => {}
            // Of a job in the same stage.
            ["dependencies", job, "outputs", output]
                if needs.iter().any(|need| need == job)
                    && self.outputs.iter().any(|it| it.ends_with(&format!("/{job}.{output}"))) => {}
            other => self.complain(at, format!("{} is nothing it can see", other.join("."))),
        }
    }

    /// Every `$(Name)` is a variable that is set; `$(command)` in a script is the shell's.
    fn macros(&mut self, at: &str, node: Option<&Value>) {
        match node {
            None => {}
            Some(Value::Array(items)) => {
                for item in items {
                    self.macros(at, Some(item));
                }
            }
            Some(Value::Object(fields)) => {
                for (key, value) in fields {
                    let shell = matches!(key.as_str(), "bash" | "inlineScript");
                    if !shell {
                        self.macros(at, Some(value));
                    } else if macros_in(&text_of(value)).any(|name| self.variables.contains(name)) {
                        self.complain(at, "a variable stands in a script: map it by env");
                    }
                }
            }
            Some(Value::String(text)) => {
                let unknown: Vec<&str> =
                    macros_in(text).filter(|name| !self.variables.contains(*name)).collect();
                if !unknown.is_empty() {
                    self.complain(at, format!("unknown variables {unknown:?}"));
                }
            }
            Some(_) => {}
        }
    }
}

/// The names in `$(Name)`.
fn macros_in(text: &str) -> impl Iterator<Item = &str> {
    text.split("$(")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(name, _)| name)
        .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_'))
}

/// The shell scripts of a step.
pub(crate) fn scripts(step: &Value) -> Vec<String> {
    let inline = step.get("inputs").and_then(|inputs| inputs.get("inlineScript"));
    [step.get("bash"), inline].into_iter().flatten().map(text_of).collect()
}
