//! The Model Context Protocol on standard input and output: people's own coding agents call tools.
//!
//! Lives here: the protocol, by `rmcp`. Must not be here: what a tool does; the program gives its
//! tools as a [`Toolbox`].
//!
//! Guarantees: standard output carries only the protocol; an answer is bounded; a message that is no
//! call of a known tool with fitting arguments is an error to the client, never the end of the
//! server.

use std::sync::Arc;

use async_trait::async_trait;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
    JsonObject, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
    ToolAnnotations,
};
use rmcp::service::{RequestContext, RoleServer, ServiceExt as _};
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::io::stdio;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// Bytes of one message, and of a text that a tool is given.
pub const MOST_INPUT: usize = 8 << 20;
/// Bytes of an answer's text; agents pay for each of them.
const MOST_OUTPUT: usize = 256 << 10;

/// A tool, as clients are told of it.
#[derive(Debug, Clone)]
pub struct ToolSpec {
    pub name: &'static str,
    /// What it does and when to use it, for a model.
    pub description: &'static str,
    /// The JSON Schema of its arguments, an object.
    pub arguments: Value,
    /// It changes nothing.
    pub read_only: bool,
}

/// Why a tool did not do what it was asked to, for the client's model.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ToolError(pub String);

/// What may be called.
#[async_trait]
pub trait Toolbox: Send + Sync + 'static {
    fn tools(&self) -> Vec<ToolSpec>;

    /// Calls a tool that [`Toolbox::tools`] names; `cancel` is the client's.
    async fn call(
        &self,
        name: &str,
        arguments: &serde_json::Map<String, Value>,
        cancel: CancellationToken,
    ) -> Result<Value, ToolError>;
}

/// Why the server ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The client's first message was none that begins a session.
    #[error("the client did not begin a session")]
    Initialize(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the server stopped unexpectedly")]
    Stopped(#[source] Box<dyn std::error::Error + Send + Sync>),
}

struct Server {
    toolbox: Box<dyn Toolbox>,
    version: String,
    instructions: String,
}

/// Serves the tools until the client closes standard input.
///
/// # Errors
/// When the client begins no session, or the server is stopped by an error.
pub async fn serve(
    toolbox: impl Toolbox,
    version: &str,
    instructions: &str,
) -> Result<(), ServeError> {
    let server = Server {
        toolbox: Box::new(toolbox),
        version: version.to_owned(),
        instructions: instructions.to_owned(),
    };
    let (read, write) = stdio();
    let transport = AsyncRwTransport::new(read, write).with_max_line_length(MOST_INPUT);
    let running =
        server.serve(transport).await.map_err(|error| ServeError::Initialize(error.into()))?;
    running.waiting().await.map(drop).map_err(|error| ServeError::Stopped(error.into()))
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("greenloop", self.version.clone()))
            .with_instructions(self.instructions.clone())
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, rmcp::ErrorData> {
        let tools = self.toolbox.tools().into_iter().map(|spec| {
            let schema = match spec.arguments {
                Value::Object(schema) => schema,
                _ => JsonObject::new(),
            };
            Tool::new(spec.name, spec.description, Arc::new(schema))
                .annotate(ToolAnnotations::new().read_only(spec.read_only))
        });
        Ok(ListToolsResult::with_all_items(tools.collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, rmcp::ErrorData> {
        let Some(spec) = self.toolbox.tools().into_iter().find(|spec| spec.name == request.name)
        else {
            let known: Vec<&str> = self.toolbox.tools().iter().map(|spec| spec.name).collect();
            let message =
                format!("there is no tool `{}`; there are {}", request.name, known.join(", "));
            return Err(rmcp::ErrorData::invalid_params(message, None));
        };
        let arguments = request.arguments.unwrap_or_default();
        if let Err(problem) = fits(&spec, &arguments) {
            return Err(rmcp::ErrorData::invalid_params(problem, None));
        }
        let called = self.toolbox.call(spec.name, &arguments, context.ct.clone()).await;
        Ok(match called {
            Ok(value) => CallToolResult::success(vec![ContentBlock::text(bounded(&value))]),
            Err(ToolError(why)) => CallToolResult::error(vec![ContentBlock::text(why)]),
        }
        .into())
    }
}

/// The required arguments are there, none is unknown, and each has its type.
fn fits(spec: &ToolSpec, arguments: &JsonObject) -> Result<(), String> {
    let properties = spec.arguments.get("properties").and_then(Value::as_object);
    let required = spec.arguments.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if !arguments.contains_key(name) {
            return Err(format!("`{}` needs the argument `{name}`", spec.name));
        }
    }
    for (name, value) in arguments {
        let Some(property) = properties.and_then(|all| all.get(name)) else {
            return Err(format!("`{}` has no argument `{name}`", spec.name));
        };
        let wanted = property.get("type").and_then(Value::as_str).unwrap_or("string");
        let is = match wanted {
            "integer" => value.is_u64() || value.is_i64(),
            "boolean" => value.is_boolean(),
            "array" => value.is_array(),
            _ => value.is_string(),
        };
        if !is {
            return Err(format!(
                "the argument `{name}` of `{}` must be of type {wanted}",
                spec.name
            ));
        }
    }
    Ok(())
}

/// The answer as text; the middle of one that is too long is left out.
fn bounded(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => format!("{other:#}"),
    };
    if text.len() <= MOST_OUTPUT {
        return text;
    }
    let boundary = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let (head, tail) = (boundary(MOST_OUTPUT / 2), boundary(text.len() - MOST_OUTPUT / 2));
    format!("{}\n… {} bytes left out …\n{}", &text[..head], tail - head, &text[tail..])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_must_fit() {
        let spec = ToolSpec {
            name: "t",
            description: "",
            arguments: json!({"type": "object", "required": ["a"], "properties":
                {"a": {"type": "string"}, "n": {"type": "integer"}}}),
            read_only: true,
        };
        for (arguments, expect) in [
            (json!({"a": "x"}), Ok(())),
            (json!({"a": "x", "n": 3}), Ok(())),
            (json!({}), Err("needs the argument `a`")),
            (json!({"a": 1}), Err("must be of type string")),
            (json!({"a": "x", "n": "3"}), Err("must be of type integer")),
            (json!({"a": "x", "b": 1}), Err("no argument `b`")),
        ] {
            let found = fits(&spec, arguments.as_object().unwrap());
            match expect {
                Ok(()) => assert_eq!(found, Ok(()), "{arguments}"),
                Err(part) => assert!(found.unwrap_err().contains(part), "{arguments}"),
            }
        }
    }

    #[test]
    fn long_answers_are_bounded() {
        let text = bounded(&json!("ä".repeat(MOST_OUTPUT)));
        assert!(text.len() < MOST_OUTPUT + 100 && text.contains("bytes left out"));
    }
}
