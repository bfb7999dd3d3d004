"""The pure parts: when a call is made again, what of a resumed watch is news, what an acknowledgement says."""

from __future__ import annotations

import json
from typing import List, Tuple

from pollux import Failed, OutcomeUnknown, Overloaded, TakenOver, Unreachable, VersionMismatch
from pollux.attempts import Again, Attempts, NoAnswer, Refused, failure
from pollux.outstanding import Outstanding
from pollux.resume import Resume, each
from pollux.v1 import twins_pb2, types_pb2


def refusal(reason: str, **fields: object) -> str:
    return json.dumps({"reason": reason, **fields})


def write(nodes: int = 1, key: str = "k") -> Attempts:
    return Attempts(10.0, nodes, repeat=bool(key), changes=True, key=key)


def test_what_is_refused_for_good_is_not_tried_again() -> None:
    mismatch = failure("ABORTED", "no", refusal("version_mismatch", section="tags", expected=1, actual=2))
    after = write().next(mismatch, 0.0, 0.0)
    assert isinstance(after, VersionMismatch)
    assert (after.section, after.expected, after.actual) == ("tags", 1, 2)
    assert isinstance(write().next(failure("ABORTED", "gone", None), 0.0, 0.0), TakenOver)
    failed = write().next(failure("INTERNAL", "oh", None), 0.0, 0.0)
    assert isinstance(failed, Failed) and failed.code == "INTERNAL"


def test_what_passes_is_tried_again_after_the_pause_that_was_asked_for() -> None:
    busy = failure("RESOURCE_EXHAUSTED", "busy", refusal("overloaded", retry_after_ms=300))
    assert write().next(busy, 0.0, 0.0) == Again(0.3, elsewhere=False)
    # Without a key, too: nothing was done.
    assert write(key="").next(busy, 0.0, 0.0) == Again(0.3, elsewhere=False)
    late = write().next(busy, 9.8, 0.0)
    assert isinstance(late, Overloaded) and late.retry_after == 0.3
    # A long pause is the caller's.
    long = failure("RESOURCE_EXHAUSTED", "busy", refusal("overloaded", retry_after_ms=60_000))
    assert isinstance(write().next(long, 0.0, 0.0), Overloaded)


def test_what_is_not_answered_is_tried_elsewhere_if_it_may_be() -> None:
    gone = failure("UNAVAILABLE", "gone", None)
    several = write(nodes=3)
    pauses = [several.next(gone, 0.0, 1.0) for _ in range(6)]
    assert pauses == [Again(0.0, True), Again(0.0, True), Again(0.05, True)] + [
        Again(0.0, True),
        Again(0.0, True),
        Again(0.1, True),
    ]
    once = write(key="").next(gone, 0.0, 0.0)
    assert isinstance(once, OutcomeUnknown) and once.idempotency_key is None
    late = write().next(gone, 9.99, 1.0)
    assert isinstance(late, OutcomeUnknown) and late.idempotency_key == "k"
    read = Attempts(10.0, 1, repeat=True, changes=False, key="")
    assert isinstance(read.next(gone, 9.99, 1.0), Unreachable)


def test_a_stream_that_breaks_under_a_write_is_not_answered() -> None:
    assert isinstance(failure("INTERNAL", "Internal error from Core", None), NoAnswer)
    assert isinstance(failure("INTERNAL", "a fault", None), Refused)


def test_a_write_that_may_have_been_done_is_not_said_to_be_refused() -> None:
    attempts = write()
    assert isinstance(attempts.next(NoAnswer("gone"), 0.0, 1.0), Again)
    busy = failure("RESOURCE_EXHAUSTED", "busy", refusal("overloaded", retry_after_ms=60_000))
    assert isinstance(attempts.next(busy, 1.0, 1.0), OutcomeUnknown)


def test_an_attempt_leaves_time_for_another_node() -> None:
    assert write(nodes=2).patience(0.0) == 5.0
    assert write(nodes=1).patience(4.0) == 6.0


def test_reasons_of_newer_nodes_are_rejections() -> None:
    news = failure("FAILED_PRECONDITION", "no", refusal("in_orbit", planet="mars"))
    assert isinstance(news, Refused)
    assert getattr(news.error, "reason", None) == "in_orbit"


def change(device: str, version: int, position: str = "") -> twins_pb2.WatchResponse:
    patched = twins_pb2.SectionPatched(section=types_pb2.SECTION_TAGS, version=version, merge_json="{}")
    changed = twins_pb2.Changed(device=device, version=version, patched=patched)
    return twins_pb2.WatchResponse(position=position, changed=changed)


def progress(position: str) -> twins_pb2.WatchResponse:
    return twins_pb2.WatchResponse(position=position, progress=twins_pb2.Progress())


def test_a_batch_is_told_one_by_one_and_resumed_after_the_last() -> None:
    changes = twins_pb2.Changes(changes=[change("a", 1).changed, change("b", 2).changed])
    batch = twins_pb2.WatchResponse(position="p3", changes=changes)
    assert each(batch) == [change("a", 1), change("b", 2, "p3")]
    assert each(progress("p4")) == [progress("p4")]


Of = Tuple[str, int]


def news(resume: Resume, events: List[twins_pb2.WatchResponse]) -> List[Of]:
    return [
        (event.changed.device, event.changed.version)
        for event in events
        if resume.take(event) and event.HasField("changed")
    ]


def reopen(resume: Resume) -> str:
    opening = resume.opening()
    assert resume.opened() == []
    return opening.position


def test_what_comes_again_after_a_break_is_told_once() -> None:
    resume = Resume("", False)
    assert reopen(resume) == ""
    first = [progress("p1"), change("a", 1), change("b", 1), change("a", 2)]
    assert news(resume, first) == [("a", 1), ("b", 1), ("a", 2)]
    assert reopen(resume) == "p1"
    # Another order across devices, and a break in the middle.
    assert news(resume, [change("b", 1), change("a", 1, "p2")]) == []
    assert resume.position == "p2"
    assert reopen(resume) == "p2"
    assert news(resume, [change("a", 2), change("b", 2), change("a", 3)]) == [("b", 2), ("a", 3)]
    assert news(resume, [change("a", 3)]) == [("a", 3)], "twice in one stream is the node's word"


def test_breaks_one_after_the_other_forget_nothing() -> None:
    resume = Resume("p0", False)
    reopen(resume)
    assert news(resume, [change("a", 1), change("a", 2), change("a", 3)]) == [("a", 1), ("a", 2), ("a", 3)]
    reopen(resume)
    assert news(resume, [change("a", 1)]) == []
    reopen(resume)
    reopen(resume)
    assert news(resume, [change("a", 1), change("a", 2), change("a", 3), change("a", 4)]) == [("a", 4)]


def test_another_order_of_one_device_is_told_rather_twice_than_not() -> None:
    resume = Resume("p0", False)
    reopen(resume)
    assert len(news(resume, [change("a", 1), change("a", 2)])) == 2
    reopen(resume)
    assert news(resume, [change("a", 2), change("a", 3)]) == [("a", 2), ("a", 3)]


def test_half_a_picture_begins_anew_and_says_so() -> None:
    resume = Resume("", True)
    assert resume.opening().picture and resume.opened() == []
    part = twins_pb2.WatchResponse(twin=types_pb2.Twin(device="a"))
    assert resume.take(part)
    opening = resume.opening()
    assert (opening.position, opening.picture) == ("", True)
    assert [event.WhichOneof("event") for event in resume.opened()] == ["position_lost"]
    done = twins_pb2.WatchResponse(position="p1", picture_complete=twins_pb2.PictureComplete())
    assert resume.take(part) and resume.take(done)
    assert reopen(resume) == "p1"


def test_a_watch_without_a_place_to_go_on_from_shows_everything() -> None:
    resume = Resume("", False)
    assert reopen(resume) == ""
    assert resume.opening().picture
    assert [event.WhichOneof("event") for event in resume.opened()] == ["position_lost"]


def test_a_first_opening_that_fails_is_none() -> None:
    resume = Resume("", False)
    assert resume.opening() == resume.opening()
    assert not resume.opening().picture


def test_a_lost_position_forgets_what_was_told() -> None:
    resume = Resume("p0", False)
    reopen(resume)
    assert len(news(resume, [change("a", 1)])) == 1
    reopen(resume)
    lost = twins_pb2.WatchResponse(position_lost=twins_pb2.PositionLost())
    assert news(resume, [lost, change("a", 1)]) == [("a", 1)]
    assert resume.opening().picture


def test_an_acknowledgement_names_the_last_position_that_it_covers() -> None:
    out = Outstanding()
    numbers = [out.came(position) for position in ("p1", "", "p3", "")]
    assert numbers == [1, 2, 3, 4]
    assert out.passed("q") is None, "events are out"
    assert out.acknowledge(2) == "p1"
    assert out.acknowledge(1) is None, "that was said"
    assert out.acknowledge(4) == "p3"
    assert out.passed("q") == "q"
