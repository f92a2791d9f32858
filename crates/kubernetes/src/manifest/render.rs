//! Manifests as templates: `{{ image }}` and its like become what this release has.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};

use super::source::Source;
use crate::error::{KubernetesError, KubernetesErrorKind};
use greenloop_model::{CommitId, ImageRef, ReleaseId, RunId};

/// What templates can ask for. What has no value is undefined, and asking for it a mistake.
#[derive(Debug, Clone)]
pub(crate) struct Variables<'a> {
    pub(crate) image: Option<&'a ImageRef>,
    pub(crate) environment: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) run: RunId,
    pub(crate) release: ReleaseId,
    pub(crate) commit: Option<&'a CommitId>,
    pub(crate) vars: &'a BTreeMap<String, String>,
}

impl Variables<'_> {
    fn values(&self) -> BTreeMap<&'static str, Value> {
        let mut values = BTreeMap::from([
            ("environment", Value::from(self.environment)),
            ("namespace", Value::from(self.namespace)),
            ("run", Value::from(self.run.to_string())),
            ("release", Value::from(self.release.to_string())),
            (
                "vars",
                Value::from_pairs(
                    self.vars.iter().map(|(name, text)| (name.clone(), text.clone())),
                ),
            ),
        ]);
        if let Some(image) = self.image {
            values.insert("image", Value::from(image.to_string()));
            values.insert("repository", Value::from(image.repository()));
            values.insert("digest", Value::from(image.digest()));
        }
        if let Some(commit) = self.commit {
            values.insert("commit", Value::from(commit.as_str()));
        }
        values
    }
}

/// What happens when a template asks for what is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It is a mistake.
    Refused,
    /// It is left empty: for looks at the names of objects alone.
    Empty,
}

/// Renders `source`; text without `{{` and `{%` is left as it is.
pub(crate) fn render(
    source: &mut Source,
    variables: &Variables<'_>,
    missing: Missing,
) -> Result<(), KubernetesError> {
    if !source.text.contains("{{") && !source.text.contains("{%") {
        return Ok(());
    }
    let mut jinja = Environment::new();
    jinja.set_undefined_behavior(match missing {
        Missing::Refused => UndefinedBehavior::Strict,
        Missing::Empty => UndefinedBehavior::Chainable,
    });
    // A value is put in as it is: whether it is quoted is the manifest's business.
    jinja.set_auto_escape_callback(|_| AutoEscape::None);
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        jinja.set_syntax(syntax);
    }
    let rendered = jinja
        .template_from_named_str(&source.name, &source.text)
        .and_then(|template| template.render(variables.values()));
    match rendered {
        Ok(text) => {
            source.text = text;
            Ok(())
        }
        Err(error) => Err(problem(source, variables, &error)),
    }
}

fn problem(
    source: &Source,
    variables: &Variables<'_>,
    error: &minijinja::Error,
) -> KubernetesError {
    let range = error.range();
    let (line, column) = match &range {
        Some(range) => place(&source.text, range.start),
        None => (error.line().unwrap_or(1), 1),
    };
    let expression = range.and_then(|range| source.text.get(range)).unwrap_or_default();
    let what = match error.kind() {
        ErrorKind::UndefinedError => {
            let known = variables.values();
            let vars = variables.vars.keys().map(|name| format!("vars.{name}"));
            let names: Vec<String> = known
                .keys()
                .filter(|k| **k != "vars")
                .map(|k| (*k).to_owned())
                .chain(vars)
                .collect();
            let near = names
                .iter()
                .max_by(|a, b| closeness(a, expression).total_cmp(&closeness(b, expression)))
                .filter(|name| closeness(name, expression) > 0.75);
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("defined: {}", names.join(", ")),
            };
            format!("`{}` is not defined; {hint}", expression.trim())
        }
        _ => {
            let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
            format!(
                "could not render the template: {detail} (put braces that are meant for another \
                 program between `{{% raw %}}` and `{{% endraw %}}`)"
            )
        }
    };
    let message = format!("{}:{line}:{column}: {what}", source.name);
    KubernetesError::new(KubernetesErrorKind::Manifest, message)
}

fn closeness(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(a, b.trim())
}

/// Line and column, both 1-based, of a byte.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before.get(start..).unwrap_or_default().chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::super::source::Form;
    use super::*;

    fn check(text: &str, missing: Missing) -> Result<String, String> {
        let image = ImageRef::new("acr.io/fleet", &format!("sha256:{}", "ab".repeat(32))).unwrap();
        let vars = BTreeMap::from([("replicas".to_owned(), "3".to_owned())]);
        let variables = Variables {
            image: Some(&image),
            environment: "staging",
            namespace: "shop",
            run: RunId::generate(),
            release: ReleaseId::generate(),
            commit: None,
            vars: &vars,
        };
        let mut source =
            Source { name: "k8s/web.yaml".to_owned(), text: text.to_owned(), form: Form::Yaml };
        match render(&mut source, &variables, missing) {
            Ok(()) => Ok(source.text),
            Err(error) => Err(error.message),
        }
    }

    #[test]
    fn variables_are_put_in_as_they_are() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        for (text, expect) in [
            ("image: {{ image }}\n", format!("image: acr.io/fleet@{digest}\n")),
            (
                "image: \"{{ repository }}@{{ digest }}\"",
                format!("image: \"acr.io/fleet@{digest}\""),
            ),
            ("replicas: {{ vars.replicas }}", "replicas: 3".to_owned()),
            (
                "{{ vars.size | default('small') }} in {{ environment }}",
                "small in staging".to_owned(),
            ),
            ("{% if environment == 'staging' %}a{% endif %}", "a".to_owned()),
            ("{% raw %}{{ $labels.pod }}{% endraw %}", "{{ $labels.pod }}".to_owned()),
        ] {
            assert_eq!(check(text, Missing::Refused), Ok(expect), "{text}");
        }
        let untouched = "args: ['{# not ours #}', '$(A)']\r\n";
        assert_eq!(check(untouched, Missing::Refused), Ok(untouched.to_owned()));
    }

    #[test]
    fn mistakes_name_file_line_column_and_the_nearest_name() {
        for (text, expect) in [
            (
                "a: 1\nimage: {{ imagee }}\n",
                "k8s/web.yaml:2:11: `imagee` is not defined; did you mean `image`?",
            ),
            (
                "a: {{ vars.replica }}\n",
                "k8s/web.yaml:1:7: `vars.replica` is not defined; did you mean `vars.replicas`?",
            ),
            ("\n  a: {{ $labels }}\n", "k8s/web.yaml:2:9: could not render the template: "),
        ] {
            let message = check(text, Missing::Refused).unwrap_err();
            assert!(message.starts_with(expect), "{message}");
        }
        let message = check("{{ commit }}", Missing::Refused).unwrap_err();
        assert!(message.contains("defined: digest, environment, image, namespace"), "{message}");
    }

    #[test]
    fn names_can_be_looked_at_without_values() {
        assert_eq!(
            check("a: {{ commit }}{{ vars.none.at_all }}", Missing::Empty),
            Ok("a: ".into())
        );
    }
}
