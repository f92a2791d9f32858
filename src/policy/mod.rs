//! x
mod canon;
mod destructive;
mod lines;
mod shell;
mod words;
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("a")]
    EmptyWord,
    #[error("b")]
    Words {
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
