//! No expression takes long on a twin, and none breaks the evaluator.

use pollux_query::{Expression, Filter, Subject};
use pollux_twin::{Time, TwinKey};
use proptest::prelude::*;

use crate::common::{NOW, image, pump};

fn costs_too_much(image: &[u8], filter: &str) -> bool {
    let key = TwinKey::parse("a").unwrap();
    let subject = Subject::of(&key, image, NOW, Time::default()).unwrap();
    Filter::parse(filter).unwrap().matches(&subject).is_err()
}

#[test]
fn loops_in_loops_end() {
    let items: Vec<_> = (0..300).map(|n| n.to_string()).collect();
    let image = image(&format!("{{\"n\":[{}]}}", items.join(",")), "{}", "{}");
    assert!(!costs_too_much(&image, "tags.n.all(a, a < 300)"));
    assert!(costs_too_much(&image, "tags.n.all(a, tags.n.all(b, a + b < 600))"));
    assert!(costs_too_much(&image, "tags.n.exists(a, tags.n.exists(b, b < 0)) || true"));
    assert!(costs_too_much(&image, "tags.n.map(a, tags.n).size() > 0"));
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in "[ a-z0-9.()\\[\\]\"'!&|<>=?:+*/,{}-]{0,60}") {
        if let Ok(expression) = Expression::parse(&text) {
            let (key, image) = (TwinKey::parse("a").unwrap(), pump());
            let subject = Subject::of(&key, &image, NOW, Time::default()).unwrap();
            let _whatever = expression.value(&subject);
        }
    }
}
