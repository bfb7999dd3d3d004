//! What the OpenAPI document says of subscriptions.

use serde_json::{Value, json};

use super::super::subscriptions::Call;
use super::{About, Answer, JSON, reference};

/// A call about a subscription.
pub(super) fn about(call: Call) -> About {
    let (summary, takes, body): (_, &[&str], _) = match call {
        Call::List => ("List subscriptions", &[], ""),
        Call::Put => ("Make a subscription that stands at this moment", JSON, "NewSubscription"),
        Call::Get => ("Read a subscription", &[], ""),
        Call::Delete => ("Forget a subscription", &[], ""),
        Call::Consume => ("Take a subscription over, or share it, and its events", &[], ""),
        Call::Acknowledge => ("Remember what is done", JSON, "Acknowledged"),
    };
    let answer = match call {
        Call::List => Answer::Json("SubscriptionList"),
        Call::Delete => Answer::Json("Object"),
        Call::Consume => Answer::Text("text/event-stream"),
        Call::Put | Call::Get | Call::Acknowledge => Answer::Json("Subscription"),
    };
    let query: &[_] = if call == Call::Consume { &["consumer"] } else { &[] };
    About { summary, query, headers: &[], takes, body, answer }
}

/// The schemas of their bodies.
pub(super) fn schemas() -> [(&'static str, Value); 5] {
    let (text, flag) = (json!({"type": "string"}), json!({"type": "boolean"}));
    let count = json!({"type": "integer", "format": "int64", "minimum": 0});
    let kept = json!({
        "type": "object",
        "required": [
            "tenant", "name", "filter", "picture", "position", "turn", "telemetry", "shared",
            "consumers",
        ],
        "properties": {
            "tenant": text, "name": text, "device": text, "prefix": text, "filter": text,
            "picture": flag, "position": text, "turn": count, "telemetry": flag, "shared": flag,
            "consumers": {"type": "array", "items": reference("SubscriptionConsumer")},
            "behind": count,
        },
    });
    let consumer = json!({
        "type": "object", "required": ["name", "shards"],
        "properties": {"name": text, "shards": count, "behind": count},
    });
    let new = json!({
        "type": "object", "additionalProperties": false,
        "properties": {
            "device": text, "prefix": text, "filter": text, "picture": flag,
            "telemetry": flag, "shared": flag,
        },
    });
    let list = json!({
        "type": "object", "required": ["subscriptions"],
        "properties": {"subscriptions": {"type": "array", "items": reference("Subscription")}},
    });
    let acknowledged = json!({
        "type": "object", "required": ["position"], "additionalProperties": false,
        "properties": {"position": text, "consumer": text},
    });
    [
        ("Subscription", kept),
        ("SubscriptionConsumer", consumer),
        ("NewSubscription", new),
        ("SubscriptionList", list),
        ("Acknowledged", acknowledged),
    ]
}
