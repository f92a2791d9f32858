//! Expands `{{ env.health_endpoint }}`: `env` is the environment's own mapping.
//!
//! Only values of `verification` and `deploy.manifest_path` are templates. Gate commands are
//! not, because shells and tools (`docker --format '{{.Names}}'`) use the same braces.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior};

use super::nearest::{list, nearest};
use super::plan::EnvironmentPlan;

/// What `env` has.
const KNOWN: &[&str] = &["name", "namespace", "url", "health_endpoint", "require_approval"];

/// Why a template cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TemplateProblem {
    pub(super) message: String,
    pub(super) help: String,
}

/// `text` with every `{{ … }}` in the place of its value.
pub(super) fn expand(text: &str, environment: &EnvironmentPlan) -> Result<String, TemplateProblem> {
    if !text.contains("{{") && !text.contains("{%") && !text.contains("{#") {
        return Ok(text.to_owned());
    }
    let mut jinja = Environment::empty();
    jinja.set_undefined_behavior(UndefinedBehavior::Strict);
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        jinja.set_syntax(syntax);
    }
    let template = jinja.template_from_str(text).map_err(|error| TemplateProblem {
        message: format!(
            "the template is invalid: {}",
            error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
        ),
        help: "use the form `{{ env.health_endpoint }}`".to_owned(),
    })?;
    let known = || KNOWN.iter().copied();
    let mut unknown: Vec<String> = template
        .undeclared_variables(true)
        .into_iter()
        .filter(|name| name.strip_prefix("env.").is_none_or(|key| !known().any(|k| k == key)))
        .filter(|name| name != "env")
        .collect();
    unknown.sort();
    if let Some(name) = unknown.first() {
        let key = name.strip_prefix("env.").unwrap_or(name);
        return Err(TemplateProblem {
            message: format!("the template uses `{name}`, which does not exist"),
            help: match nearest(key, known()) {
                Some(near) => format!("did you mean `{{{{ env.{near} }}}}`?"),
                None => format!("`env` has {}", list(known())),
            },
        });
    }
    let values = minijinja::context! {
        env => minijinja::context! {
            name => environment.name.as_str(),
            namespace => environment.namespace.as_deref().unwrap_or_default(),
            url => environment.url.as_str(),
            health_endpoint => environment.health_endpoint.as_str(),
            require_approval => environment.require_approval,
        }
    };
    template.render(values).map_err(|error| TemplateProblem {
        message: format!(
            "could not expand the template: {}",
            error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
        ),
        help: format!("`env` has {}", list(known())),
    })
}

/// A template that expands to `text`, whatever it holds.
pub(super) fn literal(text: &str) -> String {
    let mut template = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = ["{{", "{%", "{#"].iter().filter_map(|mark| rest.find(mark)).min() {
        let (before, from) = rest.split_at(at);
        let (mark, after) = from.split_at(2);
        template.push_str(before);
        template.push_str("{{ '");
        template.push_str(mark);
        template.push_str("' }}");
        rest = after;
    }
    template.push_str(rest);
    template
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> EnvironmentPlan {
        EnvironmentPlan {
            name: "staging".parse().unwrap(),
            namespace: None,
            url: "https://example.org".to_owned(),
            health_endpoint: "/health".to_owned(),
            require_approval: false,
        }
    }

    #[test]
    fn expands_what_the_environment_has() {
        for (text, expect) in [
            ("/plain", "/plain"),
            ("{{ env.health_endpoint }}", "/health"),
            ("{{env.health_endpoint}}?deep=1\n", "/health?deep=1\n"),
            ("/x/{{ env.name }}/{{ env.namespace }}", "/x/staging/"),
        ] {
            assert_eq!(expand(text, &environment()).as_deref(), Ok(expect), "{text}");
        }
    }

    #[test]
    fn refuses_what_it_has_not() {
        for (text, message, help) in [
            ("{{ env.helth_endpoint }}", "env.helth_endpoint", "{{ env.health_endpoint }}"),
            ("{{ health_endpoint }}", "health_endpoint", "{{ env.health_endpoint }}"),
            ("{{ env.banana }}", "env.banana", "`name`"),
            ("{{ env.url ", "the template is invalid", "{{ env"),
        ] {
            let problem = expand(text, &environment()).unwrap_err();
            assert!(problem.message.contains(message), "{text}: {problem:?}");
            assert!(problem.help.contains(help), "{text}: {problem:?}");
        }
    }
}
