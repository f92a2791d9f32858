//! What must come back, compared with what did. Pure.

use reqwest::header::HeaderMap;
use serde_json::Value;

use greenloop_config::plan::Expectation;

/// Characters of a value that a complaint shows.
const SHOWN: usize = 120;

/// Without expected statuses anything below 400 will do.
pub(super) fn check_status(status: u16, expect: &Expectation) -> Result<(), String> {
    match expect.status.as_slice() {
        [] if status < 400 => Ok(()),
        [] => Err(format!("expected a status below 400, got {status}")),
        wanted if wanted.contains(&status) => Ok(()),
        wanted => {
            let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
            Err(format!("expected status {}, got {status}", wanted.join(" or ")))
        }
    }
}

pub(super) fn check_headers(headers: &HeaderMap, expect: &Expectation) -> Result<(), String> {
    for (name, wanted) in &expect.headers {
        let values: Vec<String> = headers
            .get_all(name.as_str())
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        if values.is_empty() {
            return Err(format!("expected header {name}: {wanted}, but it is missing"));
        }
        if !values.contains(wanted) {
            return Err(format!("expected header {name}: {wanted}, got {}", values.join(", ")));
        }
    }
    Ok(())
}

pub(super) fn check_body(body: &[u8], expect: &Expectation) -> Result<(), String> {
    if let Some(wanted) = &expect.body_contains
        && memchr::memmem::find(body, wanted.as_bytes()).is_none()
    {
        let got = short(&String::from_utf8_lossy(body));
        return Err(format!("expected a body that contains {wanted:?}, got {got:?}"));
    }
    if let Some(wanted) = &expect.json {
        let got: Value = serde_json::from_slice(body).map_err(|error| {
            // The body itself is in the evidence.
            format!("expected JSON, but the body does not parse: {error}")
        })?;
        contains(&got, wanted, &mut String::from("$"))?;
    }
    Ok(())
}

/// Objects may have more keys than wanted; everything else must be equal. The complaint names
/// the path.
fn contains(got: &Value, wanted: &Value, path: &mut String) -> Result<(), String> {
    match (got, wanted) {
        (Value::Object(got), Value::Object(wanted)) => {
            for (key, wanted) in wanted {
                let length = path.len();
                path.push('.');
                path.push_str(key);
                let Some(value) = got.get(key) else {
                    return Err(format!(
                        "expected {path} = {}, but the key is missing",
                        shown(wanted)
                    ));
                };
                contains(value, wanted, path)?;
                path.truncate(length);
            }
            Ok(())
        }
        (Value::Array(got), Value::Array(wanted)) if got.len() == wanted.len() => {
            for (i, (got, wanted)) in got.iter().zip(wanted).enumerate() {
                let length = path.len();
                path.push_str(&format!("[{i}]"));
                contains(got, wanted, path)?;
                path.truncate(length);
            }
            Ok(())
        }
        (Value::Array(got), Value::Array(wanted)) => {
            Err(format!("expected {path} to have {} items, got {}", wanted.len(), got.len()))
        }
        (Value::Number(got), Value::Number(wanted)) if got.as_f64() == wanted.as_f64() => Ok(()),
        (got, wanted) if got == wanted => Ok(()),
        (got, wanted) => Err(format!("expected {path} = {}, got {}", shown(wanted), shown(got))),
    }
}

fn shown(value: &Value) -> String {
    short(&value.to_string())
}

fn short(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn json_verdict(body: &str, wanted: Value) -> Result<(), String> {
        check_body(body.as_bytes(), &Expectation { json: Some(wanted), ..Expectation::default() })
    }

    #[test]
    fn json_is_compared_as_a_subset_and_the_complaint_names_the_path() {
        let body = r#"{"count": 3, "vehicles": [{"id": "1", "name": "x"}], "more": true}"#;
        for (wanted, expect) in [
            (json!({"count": 3}), Ok(())),
            (json!({"count": 3.0}), Ok(())),
            (json!({"vehicles": [{"name": "x"}]}), Ok(())),
            (json!({"count": 4}), Err("expected $.count = 4, got 3")),
            (json!({"vehicles": [{"id": 1}]}), Err("expected $.vehicles[0].id = 1, got \"1\"")),
            (json!({"vehicles": []}), Err("expected $.vehicles to have 0 items, got 1")),
            (json!({"none": null}), Err("expected $.none = null, but the key is missing")),
        ] {
            assert_eq!(json_verdict(body, wanted), expect.map_err(str::to_owned));
        }
    }

    #[test]
    fn a_cut_body_is_not_json() {
        let complaint = json_verdict(r#"{"count": 3"#, json!({})).unwrap_err();
        assert!(complaint.starts_with("expected JSON, but the body does not parse"), "{complaint}");
    }

    #[test]
    fn statuses_default_to_anything_below_400() {
        let none = Expectation::default();
        assert_eq!(check_status(204, &none), Ok(()));
        assert_eq!(check_status(302, &none), Ok(()));
        assert_eq!(check_status(404, &none), Err("expected a status below 400, got 404".into()));
        let some = Expectation { status: vec![200, 201], ..none };
        assert_eq!(check_status(201, &some), Ok(()));
        let complaint = check_status(204, &some).unwrap_err();
        assert_eq!(complaint, "expected status 200 or 201, got 204");
    }

    #[test]
    fn headers_are_compared_by_value() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "application/json".parse().unwrap());
        let want = |value: &str| Expectation {
            headers: [("Content-Type".to_owned(), value.to_owned())].into(),
            ..Expectation::default()
        };
        assert_eq!(check_headers(&headers, &want("application/json")), Ok(()));
        assert!(check_headers(&headers, &want("text/html")).is_err());
    }
}
