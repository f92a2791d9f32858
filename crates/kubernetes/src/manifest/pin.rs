//! Images pinned to the digest that was built: a tag can move, a digest cannot.

use serde_json::Value;

use super::Manifest;
use greenloop_model::ImageRef;

/// What pinning found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pins {
    /// `deployment/web: container web`, for each image that was replaced.
    pub(crate) replaced: Vec<String>,
    /// Containers that named the digest already, such as by a template.
    pub(crate) already: usize,
}

/// Pins every container of `image`'s repository, whatever its tag, in all `objects`.
pub(crate) fn pin(objects: &mut [Manifest], image: &ImageRef) -> Pins {
    let mut pins = Pins::default();
    for object in objects {
        if object.kind() == "CustomResourceDefinition" {
            continue;
        }
        let title = object.id().to_string();
        for (_, value) in object.body_mut() {
            walk(value, &title, image, &mut pins);
        }
    }
    pins
}

/// Pods hide in many kinds: wherever a list of containers stands, it is one of containers.
fn walk(value: &mut Value, title: &str, image: &ImageRef, pins: &mut Pins) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let containers =
                    matches!(key.as_str(), "containers" | "initContainers" | "ephemeralContainers");
                match value {
                    Value::Array(list) if containers => {
                        list.iter_mut().for_each(|item| one(item, title, image, pins));
                    }
                    other => walk(other, title, image, pins),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|item| walk(item, title, image, pins)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn one(container: &mut Value, title: &str, image: &ImageRef, pins: &mut Pins) {
    let name = container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(Value::String(written)) = container.get_mut("image") else { return };
    if repository(written) != image.repository() {
        return;
    }
    let pinned = image.to_string();
    if *written == pinned {
        pins.already += 1;
    } else {
        *written = pinned;
        pins.replaced.push(format!("{title}: container {name}"));
    }
}

/// `host:5000/team/fleet:v1@sha256:…` without tag and digest.
fn repository(image: &str) -> &str {
    let image = image.split_once('@').map_or(image, |(image, _)| image);
    let last = image.rfind('/').map_or(0, |at| at + 1);
    match image.get(last..).and_then(|name| name.find(':')) {
        Some(colon) => image.get(..last + colon).unwrap_or(image),
        None => image,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Origin;
    use super::*;

    #[test]
    fn repositories_end_before_tag_and_digest() {
        for (image, expect) in [
            ("fleet", "fleet"),
            ("fleet:v1", "fleet"),
            ("127.0.0.1:5000/fleet", "127.0.0.1:5000/fleet"),
            ("127.0.0.1:5000/team/fleet:v1", "127.0.0.1:5000/team/fleet"),
            ("acr.io/fleet:v1@sha256:00", "acr.io/fleet"),
            ("acr.io/fleet@sha256:00", "acr.io/fleet"),
        ] {
            assert_eq!(repository(image), expect, "{image}");
        }
    }

    #[test]
    fn containers_of_the_repository_are_pinned_wherever_they_are() {
        let image = ImageRef::new("acr.io/fleet", &format!("sha256:{}", "ab".repeat(32))).unwrap();
        let pod = json!({
            "initContainers": [{"name": "migrate", "image": "acr.io/fleet:latest"}],
            "containers": [
                {"name": "web", "image": "acr.io/fleet"},
                {"name": "sidecar", "image": "acr.io/fleet-proxy:1"},
                {"name": "done", "image": image.to_string()},
                {"name": "odd", "image": 3},
            ],
        });
        let value = json!({"apiVersion": "batch/v1", "kind": "CronJob",
            "metadata": {"name": "night"},
            "spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}});
        let origin = Origin { file: "a.yaml".to_owned(), line: None };
        let mut objects = vec![Manifest::new(value, origin).unwrap()];
        let pins = pin(&mut objects, &image);
        assert_eq!(
            pins,
            Pins {
                replaced: vec![
                    "cronjob/night: container migrate".to_owned(),
                    "cronjob/night: container web".to_owned()
                ],
                already: 1
            }
        );
        let pod = &objects[0].template().unwrap()["spec"];
        assert_eq!(pod["containers"][0]["image"], image.to_string());
        assert_eq!(pod["containers"][1]["image"], "acr.io/fleet-proxy:1");
        assert_eq!(pin(&mut objects, &image).replaced, Vec::<String>::new());
    }
}
