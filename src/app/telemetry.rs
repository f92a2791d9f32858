//! OpenTelemetry, when the plan wants it.

use super::Environment;
use greenloop_config::plan::TelemetryPlan;
use greenloop_report::Boxed;

/// The reporter that sends a run to the plan's receiver.
pub(super) fn reporter(plan: &TelemetryPlan, env: &Environment) -> Boxed {
    let variable = plan.headers_env.as_deref().unwrap_or("OTEL_EXPORTER_OTLP_HEADERS");
    greenloop_report::otlp(plan, headers(&env(variable).unwrap_or_default()))
}

/// `key=value,key=value`, values percent-encoded, as the OpenTelemetry specification writes the
/// variable. What has no `=` is left out.
fn headers(text: &str) -> Vec<(String, String)> {
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| {
            // A form's decoding, but for its own signs, which stand for themselves here.
            let value = value.trim().replace('+', "%2B").replace('=', "%3D").replace('&', "%26");
            let decoded = url::form_urlencoded::parse(value.as_bytes())
                .next()
                .map(|(text, _)| text.into_owned());
            (key.trim().to_owned(), decoded.unwrap_or_default())
        })
        .filter(|(key, _)| !key.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_the_specification_writes_them() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        for (text, expect) in [
            ("", vec![]),
            ("a=1, b = two%20words ", vec![pair("a", "1"), pair("b", "two words")]),
            ("authorization=Basic a+b/c%3D", vec![pair("authorization", "Basic a+b/c=")]),
            ("key=YWI=&c", vec![pair("key", "YWI=&c")]),
            ("none,=x", vec![]),
        ] {
            assert_eq!(headers(text), expect, "{text}");
        }
    }
}
