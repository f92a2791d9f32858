//! The examples in the guides are valid.

use std::path::Path;

use serde_json::{Value, json};

use super::schema::check;
use super::template::{expand, read};
use super::{files, groups};
use crate::repository::Repository;

/// The YAML in a guide.
fn blocks(guide: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(guide);
    let text = std::fs::read_to_string(path).unwrap();
    let blocks = text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.map(|block| read(block).unwrap()).collect()
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

#[test]
fn configurations_in_the_guides_are_valid() {
    let mut checked = 0;
    for guide in ["azure-devops.md", "docker.md", "kubernetes.md"] {
        for block in blocks(guide).iter().filter(|block| {
            // Pipelines, and annotations of cluster objects.
            block.get("steps").is_none() && block.get("metadata").is_none()
        }) {
            let mut config = json!({
                "environments": {"staging": {"namespace": "n", "url": "https://s.example.org"}},
                "build": {"registry": "r.example.org", "image_name": "i"},
                "deploy": {"method": "kubernetes", "manifest_path": "k8s"},
            });
            merge(&mut config, block);
            let repository = Repository::new(&[("config.yaml", &config.to_string())]);
            let outcome = repository.run(&["config", "check"]);
            assert_eq!(outcome.code, Some(0), "{guide}: {}", outcome.all());
            checked += 1;
        }
    }
    assert!(checked >= 4, "{checked}");
}

#[test]
fn the_pipeline_in_the_guide_uses_the_template_as_it_is() {
    let mut pipeline = blocks("azure-devops.md")
        .into_iter()
        .find(|block| block.get("steps").is_some())
        .expect("an example");
    let step = &mut pipeline["steps"][0];
    let template = step["template"].as_str().unwrap().strip_suffix("@greenloop").unwrap();
    step["template"] = template.strip_prefix("pipelines/").unwrap().into();
    let mut files = files();
    files.insert("example.yml".into(), pipeline.to_string());
    let mut expanded = expand(&files, "example.yml", &Value::Null).unwrap();
    expanded["variables"] = json!([{"group": "fleet-secrets-prod"}]);
    let none: Vec<String> = Vec::new();
    assert_eq!(check(&expanded, &groups()), none);
}
