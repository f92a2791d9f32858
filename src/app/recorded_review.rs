//! The review that a bundle holds.

use greenloop_bundle::Manifest;
use greenloop_model::{ReviewVerdict, Usage};
use greenloop_ports::{Model, ModelError, ModelReply, ModelRequest, Served};

/// Answers with the review of an earlier run, whatever it is asked: all of its patches were
/// approved, or it rejects.
pub(super) struct RecordedReview {
    pub(super) label: String,
    answer: String,
}

impl RecordedReview {
    pub(super) fn of(manifest: &Manifest) -> Self {
        let reviews = || manifest.repairs.iter().map(|repair| &repair.review);
        let approved = reviews().all(|review| review.verdict == ReviewVerdict::Approve)
            && !manifest.repairs.is_empty();
        let risk = reviews().map(|review| review.risk).max();
        let reasons: Vec<&str> = reviews().map(|review| review.reason.trim()).collect();
        let answer = serde_json::json!({
            "verdict": if approved { "approve" } else { "reject" },
            "risk": risk.map_or("high", |risk| risk.name()),
            "reason": reasons.join("\n"),
            "facts": [],
            "suggestion": null,
        });
        let who = reviews().next_back().map_or("nobody", |review| review.reviewer.as_str());
        Self {
            label: format!("{who} (bundle of run {})", manifest.run.short()),
            answer: answer.to_string(),
        }
    }
}

#[async_trait::async_trait]
impl Model for RecordedReview {
    fn label(&self) -> String {
        self.label.clone()
    }

    async fn complete(&self, _request: &ModelRequest) -> Result<ModelReply, ModelError> {
        Ok(ModelReply {
            text: self.answer.clone(),
            tool_calls: Vec::new(),
            usage: Usage::default(),
            served: Served::default(),
        })
    }
}
