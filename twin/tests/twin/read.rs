//! Reading the whole twin.

use pollux_twin::View;
use pollux_twin::change::Section;
use pollux_twin::input::Request;

use crate::common::{Bench, check};

#[test]
fn a_twin_is_answered_if_there_is_one() {
    let mut bench = Bench::new();
    check(bench.call(None, Request::Get), &["answer NotFound"]);
    check(bench.call(None, Request::GetCommand { id: 1 }), &["answer NotFound"]);
    bench.patch(Section::Tags, "{}");
    check(bench.call(None, Request::Get), &["answer twin version 1 reported {}"]);
    // A key makes no difference to a read.
    check(bench.call(Some("k"), Request::Get), &["answer twin version 1 reported {}"]);
}

#[test]
fn the_view_of_nobody_is_empty() {
    let view = Bench::new().view();
    assert_eq!((view.version, view.presence), (0, View::default().presence));
    assert_eq!(view.delta.to_json() + &view.tags.value.to_json(), "{}{}");
}
