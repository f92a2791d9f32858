//! A notification as its receiver understands it.

use serde_json::{Map, Value as Json, json};

use super::Notification;
use greenloop_model::{NotificationForm, NotificationKind};

/// Characters of a title, and of a text: what Slack takes of a header and of a section.
const TITLE: usize = 150;
const TEXT: usize = 2_900;
/// Names and values: what Slack takes in a section.
const FACTS: usize = 10;
/// Characters of a value.
const VALUE: usize = 900;

/// The body of a delivery.
pub fn body(notification: &Notification, form: NotificationForm) -> Json {
    match form {
        NotificationForm::Generic => generic(notification),
        NotificationForm::Slack => slack(notification),
        NotificationForm::Teams => teams(notification),
    }
}

/// For programs: everything, as it is.
fn generic(notification: &Notification) -> Json {
    let Notification { id, kind, at, title, text, link, facts } = notification;
    let facts: Map<String, Json> =
        facts.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    json!({
        "id": id, "event": kind.name(), "at": at, "title": title, "text": text, "link": link,
        "facts": facts,
    })
}

/// Slack's incoming webhooks: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>
fn slack(notification: &Notification) -> Json {
    let Notification { id: _, kind, at: _, title, text, link, facts } = notification;
    let title = cut(&format!("{} {title}", mark(*kind)), TITLE);
    let mut blocks = vec![json!({
        "type": "header", "text": {"type": "plain_text", "text": title, "emoji": false},
    })];
    if !text.is_empty() {
        let text = escaped(&cut(text, TEXT));
        blocks.push(json!({"type": "section", "text": {"type": "mrkdwn", "text": text}}));
    }
    if !facts.is_empty() {
        let fields: Vec<Json> = facts
            .iter()
            .take(FACTS)
            .map(|(name, value)| {
                let text = format!("*{}*\n{}", escaped(name), escaped(&cut(value, VALUE)));
                json!({"type": "mrkdwn", "text": text})
            })
            .collect();
        blocks.push(json!({"type": "section", "fields": fields}));
    }
    if let Some(link) = link {
        let text = format!("<{}|Open>", link.replace('|', "%7C").replace('>', "%3E"));
        blocks.push(json!({"type": "section", "text": {"type": "mrkdwn", "text": text}}));
    }
    json!({"text": title, "blocks": blocks})
}

/// Slack's three control characters.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A workflow of Microsoft Teams that posts an Adaptive Card:
/// <https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook>
fn teams(notification: &Notification) -> Json {
    let Notification { id: _, kind, at: _, title, text, link, facts } = notification;
    let colour = match tone(*kind) {
        Tone::Good => "Good",
        Tone::Bad => "Attention",
        Tone::Asks => "Warning",
        Tone::Plain => "Default",
    };
    let mut body = vec![json!({
        "type": "TextBlock", "text": markdown(&cut(title, TITLE)), "weight": "Bolder",
        "size": "Medium", "wrap": true, "color": colour,
    })];
    if !text.is_empty() {
        body.push(json!({"type": "TextBlock", "text": markdown(&cut(text, TEXT)), "wrap": true}));
    }
    if !facts.is_empty() {
        let facts: Vec<Json> = facts
            .iter()
            .map(|(name, value)| json!({"title": name, "value": markdown(&cut(value, VALUE))}))
            .collect();
        body.push(json!({"type": "FactSet", "facts": facts}));
    }
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard", "version": "1.4", "body": body,
    });
    if let Some(link) = link {
        card["actions"] = json!([{"type": "Action.OpenUrl", "title": "Open", "url": link}]);
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null,
            "content": card,
        }],
    })
}

/// Text blocks are Markdown: what looks like it is text all the same.
fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '*' | '_' | '[' | ']' | '`' | '#') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tone {
    Good,
    Bad,
    /// A person is wanted.
    Asks,
    /// Neither good nor bad.
    Plain,
}

const fn tone(kind: NotificationKind) -> Tone {
    use NotificationKind as Kind;
    match kind {
        Kind::RunVerified | Kind::RunHealed | Kind::GraphDone => Tone::Good,
        Kind::ApprovalDecided => Tone::Plain,
        Kind::RunStopped
        | Kind::RunRolledBack
        | Kind::GraphFailed
        | Kind::WorkerLost
        | Kind::MainBroken => Tone::Bad,
        Kind::ApprovalWanted | Kind::Conflict => Tone::Asks,
    }
}

const fn mark(kind: NotificationKind) -> &'static str {
    match tone(kind) {
        Tone::Good => "✔",
        Tone::Bad => "✘",
        Tone::Asks => "?",
        Tone::Plain => "•",
    }
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification() -> Notification {
        Notification {
            id: "n-1".to_owned(),
            kind: NotificationKind::RunStopped,
            at: 1_700_000_000,
            title: "staging: stopped".to_owned(),
            text: "gate `test` failed: a <b> & c".to_owned(),
            link: Some("https://hub.example/#/runs/1".to_owned()),
            facts: vec![("Commit".to_owned(), "abc_def".to_owned())],
        }
    }

    #[test]
    fn programs_get_everything_as_it_is() {
        assert_eq!(
            body(&notification(), NotificationForm::Generic),
            json!({
                "id": "n-1", "event": "run_stopped", "at": 1_700_000_000,
                "title": "staging: stopped", "text": "gate `test` failed: a <b> & c",
                "link": "https://hub.example/#/runs/1", "facts": {"Commit": "abc_def"},
            })
        );
    }

    #[test]
    fn slack_gets_blocks_in_which_text_stays_text() {
        let body = body(&notification(), NotificationForm::Slack);
        assert_eq!(body["blocks"][0]["text"]["text"], "✘ staging: stopped");
        assert_eq!(body["blocks"][1]["text"]["text"], "gate `test` failed: a &lt;b&gt; &amp; c");
        assert_eq!(body["blocks"][2]["fields"][0]["text"], "*Commit*\nabc_def");
        assert_eq!(body["blocks"][3]["text"]["text"], "<https://hub.example/#/runs/1|Open>");
    }

    #[test]
    fn teams_gets_an_adaptive_card() {
        let body = body(&notification(), NotificationForm::Teams);
        let attachment = &body["attachments"][0];
        assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
        let card = &attachment["content"];
        assert_eq!((&card["type"], &card["version"]), (&json!("AdaptiveCard"), &json!("1.4")));
        assert_eq!(card["body"][0]["color"], "Attention");
        assert_eq!(card["body"][1]["text"], "gate \\`test\\` failed: a <b> & c");
        assert_eq!(card["body"][2]["facts"][0]["value"], "abc\\_def");
        assert_eq!(card["actions"][0]["url"], "https://hub.example/#/runs/1");
    }

    #[test]
    fn long_texts_are_cut() {
        let long = Notification { text: "ä".repeat(5_000), ..notification() };
        let body = body(&long, NotificationForm::Slack);
        let text = body["blocks"][1]["text"]["text"].as_str().unwrap();
        assert_eq!(text.chars().count(), TEXT);
        assert!(text.ends_with('…'));
    }
}
