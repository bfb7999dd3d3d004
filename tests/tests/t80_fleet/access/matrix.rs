//! Who may do what in these tests, and the policies that say so.

use serde_json::{Value, json};

/// Principal, and what it may: the deeds by name.
pub(crate) const MAY: &[(&str, &[&str])] = &[
    (
        "all",
        &[
            "read",
            "write-a",
            "write-b",
            "delete",
            "list",
            "query",
            "watch",
            "command",
            "job",
            "artifacts",
            "release",
            "status",
            "pause",
            "policies",
        ],
    ),
    ("reader", &["read", "list", "query", "watch"]),
    ("writer", &["read", "write-a", "write-b", "list", "command"]),
    ("part", &["write-a"]),
    ("other-tenant", &[]),
    ("nothing", &[]),
    ("works", &["artifacts", "release"]),
    ("ops", &["status", "pause"]),
    ("auditor", &["status", "policies"]),
    ("careless", &["read", "write-a", "list"]),
    ("some", &["read", "write-a", "write-b", "delete", "command"]),
    ("north", &[]),
    ("tagged", &[]),
    ("others", &[]),
];

/// What lets them do that, by name.
pub(crate) fn policies() -> Vec<(&'static str, Value)> {
    let allow = |to: &str, actions: &[&str], on: &str| json!({"principals": [to], "actions": actions, "on": [on]});
    let mut part = allow("part", &["twin:write"], "acme/*");
    part["sections"] = json!(["desired.a"]);
    let mut deny = allow("careless", &["twin:write"], "acme/*");
    deny["sections"] = json!(["desired.b"]);
    deny["deny"] = json!(true);
    let filtered = |policy: &Value, filter: &str| {
        let mut policy = policy.clone();
        policy["filter"] = json!(filter);
        policy
    };
    // The twins of these tests are named so, have no tags, and are in no group.
    let (some, named) = (&["twin:*", "command:*"], "id.startsWith(\"pump-\")");
    let others = allow("others", &["twin:*"], "acme/*");
    let mut others_not = filtered(&others, named);
    others_not["deny"] = json!(true);
    vec![
        ("all", allow("all", &["*"], "*")),
        ("reader", allow("reader", &["twin:read", "twin:query", "twin:watch"], "acme/*")),
        ("writer", allow("writer", &["twin:read", "twin:write", "command:*"], "acme/*")),
        ("part", part),
        ("other-tenant", allow("other-tenant", &["*"], "beta/*")),
        ("works", allow("works", &["artifact:*"], "acme/*")),
        ("ops", allow("ops", &["cluster:*"], "*")),
        ("auditor", allow("auditor", &["cluster:read", "access:read"], "*")),
        ("careless", allow("careless", &["twin:read", "twin:write"], "acme/*")),
        ("careless-not", deny),
        ("some", filtered(&allow("some", some, "acme/*"), named)),
        ("north", filtered(&allow("north", some, "acme/*"), "\"north\" in groups")),
        ("tagged", filtered(&allow("tagged", some, "acme/*"), "tags.site == \"berlin\"")),
        ("others", others),
        ("others-not", others_not),
    ]
}
