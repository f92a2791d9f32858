//! Expressions of Azure Pipelines: `and(succeeded(), eq(variables['a'], 'b'))`.
//!
//! Source: "Expressions" in the documentation of Azure Pipelines.

use serde_json::Value;

/// An expression, parsed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    Literal(Value),
    /// `parameters.name`, `dependencies.Stage.outputs['a.b.c']`: the parts in order.
    Reference(Vec<String>),
    Call(String, Vec<Expression>),
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

pub(crate) fn parse(text: &str) -> Result<Expression, String> {
    let mut parser = Parser { text, at: 0 };
    let expression = parser.expression()?;
    parser.space();
    if parser.at < text.len() {
        return Err(format!("{:?} is left over in {text:?}", &text[parser.at..]));
    }
    Ok(expression)
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn take(&mut self, token: &str) -> bool {
        self.space();
        let there = self.rest().starts_with(token);
        self.at += if there { token.len() } else { 0 };
        there
    }

    fn word(&mut self) -> Option<String> {
        self.space();
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let length = self.rest().find(|c| !fits(c)).unwrap_or(self.rest().len());
        let word = self.rest()[..length].to_owned();
        self.at += length;
        (!word.is_empty()).then_some(word)
    }

    fn string(&mut self) -> Result<Option<String>, String> {
        if !self.take("'") {
            return Ok(None);
        }
        let mut text = String::new();
        loop {
            let end =
                self.rest().find('\'').ok_or_else(|| format!("{:?} has no end", self.text))?;
            text.push_str(&self.rest()[..end]);
            self.at += end + 1;
            if !self.rest().starts_with('\'') {
                return Ok(Some(text));
            }
            text.push('\'');
            self.at += 1;
        }
    }

    fn expression(&mut self) -> Result<Expression, String> {
        if let Some(text) = self.string()? {
            return Ok(Expression::Literal(text.into()));
        }
        let word = self.word().ok_or_else(|| format!("nothing to read at {:?}", self.rest()))?;
        if self.take("(") {
            let mut arguments = Vec::new();
            while !self.take(")") {
                if !arguments.is_empty() && !self.take(",") {
                    return Err(format!("no comma at {:?}", self.rest()));
                }
                arguments.push(self.expression()?);
            }
            return Ok(Expression::Call(word, arguments));
        }
        match word.to_ascii_lowercase().as_str() {
            "true" => return Ok(Expression::Literal(true.into())),
            "false" => return Ok(Expression::Literal(false.into())),
            _ => {}
        }
        if let Ok(number) = word.parse::<i64>() {
            return Ok(Expression::Literal(number.into()));
        }
        let mut words = vec![word];
        loop {
            if self.take(".") {
                words.push(self.word().ok_or("a name is missing after a dot")?);
            } else if self.take("[") {
                words.push(self.string()?.ok_or("a quoted name is missing after [")?);
                if !self.take("]") {
                    return Err("a ] is missing".to_owned());
                }
            } else {
                return Ok(Expression::Reference(words));
            }
        }
    }
}

/// Number of arguments a function takes: the fewest and the most.
pub(crate) fn arity(function: &str) -> Option<(usize, usize)> {
    Some(match function {
        "succeeded" | "failed" | "succeededOrFailed" => (0, 99),
        "always" | "canceled" => (0, 0),
        "not" | "lower" | "upper" | "length" | "trim" => (1, 1),
        "eq" | "ne" | "gt" | "ge" | "lt" | "le" | "startsWith" | "endsWith" | "contains" => (2, 2),
        "and" | "or" | "in" | "notIn" | "coalesce" => (2, 99),
        _ => return None,
    })
}

/// The text in a script or a comparison.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The value, if everything that it refers to is known.
pub(crate) fn evaluate(
    expression: &Expression,
    look_up: &dyn Fn(&[String]) -> Result<Value, String>,
) -> Result<Value, String> {
    let (name, arguments) = match expression {
        Expression::Literal(value) => return Ok(value.clone()),
        Expression::Reference(words) => return look_up(words),
        Expression::Call(name, arguments) => (name.as_str(), arguments),
    };
    let values: Vec<Value> =
        arguments.iter().map(|a| evaluate(a, look_up)).collect::<Result<_, _>>()?;
    let truth = |value: &Value| match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::String(text) => !text.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Array(_) | Value::Object(_) => true,
    };
    let equal = || text_of(&values[0]).eq_ignore_ascii_case(&text_of(&values[1]));
    let (fewest, most) = arity(name).ok_or_else(|| format!("there is no function {name}"))?;
    if !(fewest..=most).contains(&values.len()) {
        return Err(format!("{name} takes other arguments than {}", values.len()));
    }
    Ok(Value::Bool(match name {
        "eq" => equal(),
        "ne" => !equal(),
        "and" => values.iter().all(truth),
        "or" => values.iter().any(truth),
        "not" => !truth(&values[0]),
        "startsWith" => {
            let (text, start) = (text_of(&values[0]), text_of(&values[1]));
            text.to_lowercase().starts_with(&start.to_lowercase())
        }
        other => return Err(format!("{other} is not known before the run")),
    }))
}

#[test]
fn expressions_are_read() {
    let read = |text: &str| {
        let value = evaluate(&parse(text)?, &|words| match words {
            [scope, name] if scope == "parameters" && name == "a" => Ok(Value::from("it's")),
            other => Err(format!("unknown {other:?}")),
        })?;
        Ok::<String, String>(text_of(&value))
    };
    for (text, expect) in [
        ("eq(parameters.a, 'it''s')", Ok("True")),
        ("and(true, not(eq(parameters['a'], 'x')))", Ok("True")),
        ("startsWith('refs/heads/greenloop/1', 'refs/heads/greenloop/')", Ok("True")),
        ("eq(1)", Err("eq takes")),
        ("eq(1, 2", Err("no comma")),
        ("shout(1)", Err("no function shout")),
        ("eq(1, 2) 3", Err("left over")),
        ("parameters.b", Err("unknown")),
        ("'open", Err("no end")),
    ] {
        match (read(text), expect) {
            (Ok(found), Ok(expect)) => assert_eq!(found, expect, "{text}"),
            (Err(found), Err(expect)) => assert!(found.contains(expect), "{text}: {found}"),
            (found, expect) => panic!("{text}: {found:?}, not {expect:?}"),
        }
    }
}
