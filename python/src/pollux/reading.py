"""Messages of `pollux.v1` as values of `types`. Pure."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Optional

from . import events, types
from .v1 import access_pb2, cluster_pb2, commands_pb2, devices_pb2, subscriptions_pb2, twins_pb2, types_pb2
from .values import from_json, object_from_json

SECTIONS = {"tags": types_pb2.SECTION_TAGS, "desired": types_pb2.SECTION_DESIRED}

_SECTION_NAMES: Dict[int, str] = {
    types_pb2.SECTION_TAGS: "tags",
    types_pb2.SECTION_DESIRED: "desired",
    types_pb2.SECTION_REPORTED: "reported",
}


def section_name(section: int) -> str:
    """The word for a section."""
    return _SECTION_NAMES.get(section, "unspecified")


def state_name(state: int) -> str:
    """The word for a command's state."""
    name: str = types_pb2.CommandState.Name(state)
    return name.replace("COMMAND_STATE_", "").lower()


def twin(of: types_pb2.Twin) -> types.Twin:
    """A whole twin."""
    sections = {"tags": of.tags, "desired": of.desired, "reported": of.reported}
    contents = {name: object_from_json(section.json) for name, section in sections.items()}
    return types.Twin(
        tenant=of.tenant,
        device=of.device,
        version=of.version,
        tags=contents["tags"],
        desired=contents["desired"],
        reported=contents["reported"],
        delta=object_from_json(of.delta_json),
        versions=types.Versions(of.tags.version, of.desired.version, of.reported.version),
        meta={name: _meta(section) for name, section in sections.items() if section.version > 0},
        presence=_presence(of.presence),
        telemetry=_telemetry(of.telemetry),
        commands=[command(one) for one in of.commands],
        desired_ack=_desired_ack(of.desired_ack) if of.HasField("desired_ack") else None,
        quarantined=of.quarantined,
    )


def summary(of: types_pb2.Twin) -> types.Summary:
    """A twin in a list."""
    return types.Summary(of.tenant, of.device, of.version, _presence(of.presence), of.quarantined)


def found(of: twins_pb2.GetTwinResponse) -> types.Found:
    """A twin of a stale read."""
    return types.Found(twin(of.twin), of.position, of.age_ms)


def written(of: twins_pb2.PatchTwinResponse) -> types.Written:
    """A section after a write."""
    return types.Written(section_name(of.section), of.version)


def _meta(of: types_pb2.SectionContent) -> types.Meta:
    leaves = {leaf.path: types.Leaf(leaf.at_ms, _observed(leaf)) for leaf in of.leaf_times}
    return types.Meta(of.changed_at_ms, of.changed_by, leaves)


def _presence(of: types_pb2.Presence) -> types.Presence:
    return types.Presence(of.connected, of.unknown, of.since_ms, of.last_seen_ms, of.node, of.session)


def _telemetry(all_of: Iterable[types_pb2.Telemetry]) -> Dict[str, types.Telemetry]:
    return {
        of.name: types.Telemetry(from_json(of.json), of.at_ms, _observed(of), of.volatile, of.session)
        for of in all_of
    }


def _desired_ack(of: types_pb2.DesiredAck) -> types.DesiredAck:
    return types.DesiredAck(of.version, of.refused if of.HasField("refused") else None, of.at_ms)


def _observed(of: Any) -> Optional[int]:
    return int(of.observed_at_ms) if of.HasField("observed_at_ms") else None


def command(of: types_pb2.Command) -> types.Command:
    """A command."""
    return types.Command(
        id=of.id,
        name=of.name,
        payload=from_json(of.payload_json) if of.payload_json else None,
        deadline_at_ms=of.deadline_at_ms,
        at_ms=of.at_ms,
        by=of.by,
        state=state_name(of.state),
        answer=from_json(of.answer_json) if of.HasField("answer_json") else None,
        reason=of.reason if of.HasField("reason") else None,
    )


def commands(of: commands_pb2.ListCommandsResponse) -> List[types.Command]:
    """All commands of a twin."""
    return [command(one) for one in of.commands]


def device(of: devices_pb2.Device) -> types.Device:
    """An entry of the registry."""
    name = devices_pb2.Standing.Name(of.standing).replace("STANDING_", "").lower()
    standing = "unregistered" if name == "unspecified" else name
    credentials = [_credential(one) for one in of.credentials]
    return types.Device(of.tenant, of.device, standing, of.at_ms, of.by, of.reason, credentials)


def deleted(page: devices_pb2.ListDeletedResponse) -> types.DeletedDevices:
    """Devices that can be brought back."""
    devices = [
        types.DeletedDevice(
            tenant=of.tenant,
            device=of.device,
            restorable_until_ms=of.restorable_until_ms,
            deleted_at_ms=None if of.is_back else of.deleted_at_ms,
            deleted_by=of.deleted_by,
            is_back=of.is_back,
        )
        for of in page.devices
    ]
    return types.DeletedDevices(devices, page.next_page_token)


def _credential(of: devices_pb2.Credential) -> types.Credential:
    certificate = of.WhichOneof("proof") == "certificate_sha256"
    return types.Credential(
        name=of.name,
        kind="certificate" if certificate else "token",
        sha256=of.certificate_sha256 if certificate else None,
        expires_at_ms=of.expires_at_ms or None,
        at_ms=of.at_ms,
        by=of.by,
    )


def subscription(of: subscriptions_pb2.Subscription) -> types.Subscription:
    """A subscription."""
    device = of.device if of.WhichOneof("whose") == "device" else None
    consumers = [
        types.SubscriptionConsumer(one.name, one.shards, one.behind if one.HasField("behind") else None)
        for one in of.consumers
    ]
    return types.Subscription(
        tenant=of.tenant,
        name=of.name,
        device=device,
        prefix=of.prefix,
        filter=of.filter,
        picture=of.picture,
        position=of.position,
        turn=of.turn,
        telemetry=of.telemetry,
        shared=of.shared,
        consumers=consumers,
        behind=of.behind if of.HasField("behind") else None,
    )


def answer(select: List[str], parts: List[twins_pb2.QueryResponse]) -> types.Answer:
    """The parts of a query's answer."""
    end = _end(parts)
    rows = [
        types.Row(row.tenant, row.device, named(select, row.values_json))
        for part in parts
        for row in part.rows
    ]
    ways = [
        types.Way(way.shard, way.node, way.index or None, way.twins, way.scanned, way.matched)
        for way in end.ways
    ]
    return types.Answer(rows, end.matched, end.scanned, end.next_cursor or None, end.position, ways)


def groups(by: List[str], parts: List[twins_pb2.QueryResponse]) -> List[types.Group]:
    """The groups of a query's answer."""
    _end(parts)
    return [
        types.Group(named(by, group.by_json), group.count) for part in parts for group in part.groups
    ]


def count(parts: List[twins_pb2.QueryResponse]) -> int:
    """How many a query found."""
    return _end(parts).matched


def _end(parts: List[twins_pb2.QueryResponse]) -> twins_pb2.QueryEnd:
    # What ends without it was cut off: no answer is better than half of one.
    if not parts or not parts[-1].HasField("end"):
        raise EOFError("the answer has no end")
    return parts[-1].end


def named(expressions: List[str], values: Iterable[str]) -> Dict[str, Any]:
    """Values by the expressions that they are of; what a twin has not is left out."""
    return {of: from_json(text) for of, text in zip(expressions, values) if text}


def event(of: twins_pb2.WatchResponse) -> events.Event:
    """An event of a watch."""
    kind = of.WhichOneof("event")
    if kind == "twin":
        return events.Pictured(twin(of.twin))
    if kind == "changed":
        return _changed(of.changed)
    if kind == "picture_complete":
        return events.PictureComplete()
    if kind == "position_lost":
        return events.PositionLost()
    if kind == "telemetry":
        heard = of.telemetry
        values = {one.name: from_json(one.json) for one in heard.values}
        return events.TelemetryHeard(heard.tenant, heard.device, heard.at_ms, values, heard.left_out)
    if kind == "sharing":
        sharing = of.sharing
        return events.Sharing(sharing.consumer, list(sharing.shards), sharing.of, sharing.consumers)
    # Of a newer node there may be kinds that this release does not know: their position counts.
    return events.Progress()


def _changed(of: twins_pb2.Changed) -> events.Changed:
    match = twins_pb2.Match.Name(of.match).replace("MATCH_", "").lower()
    return events.Changed(
        tenant=of.tenant,
        device=of.device,
        version=of.version,
        at_ms=of.at_ms,
        what=_what(of),
        match=None if match == "unspecified" else match,
        twin=twin(of.twin) if of.HasField("twin") else None,
    )


def _what(of: twins_pb2.Changed) -> events.What:
    kind = of.WhichOneof("what")
    if kind == "patched":
        return _patched(of.patched)
    if kind == "telemetry":
        return events.TelemetryReceived(_telemetry(of.telemetry.values))
    if kind == "connected":
        return events.Connected(of.connected.session, of.connected.node)
    if kind == "disconnected":
        return events.Disconnected(of.disconnected.session)
    if kind == "desired_ack":
        return _desired_ack(of.desired_ack)
    if kind == "command_queued":
        return events.CommandQueued(command(of.command_queued.command))
    if kind == "command_moved":
        moved = of.command_moved
        given = from_json(moved.answer_json) if moved.HasField("answer_json") else None
        reason = moved.reason if moved.HasField("reason") else None
        return events.CommandMoved(moved.id, state_name(moved.state), given, reason)
    if kind == "registered":
        return events.Registered(device(of.registered))
    if kind == "deleted":
        return events.Deleted(of.deleted.by)
    return None


def _patched(of: twins_pb2.SectionPatched) -> events.Patched:
    whole = of.WhichOneof("change") == "whole_json"
    patch = object_from_json(of.whole_json if whole else of.merge_json)
    return events.Patched(section_name(of.section), of.version, patch, whole, of.by, _observed(of))


def cluster_status(of: cluster_pb2.ClusterStatusResponse) -> types.ClusterStatus:
    """How the cluster is."""
    return types.ClusterStatus(
        cluster=of.cluster,
        node=of.node,
        level=of.level,
        settled=of.settled,
        unsettled=of.unsettled,
        notes=list(of.notes),
        nodes=[_node(node) for node in of.nodes],
        shards=[_shard(shard) for shard in of.shards],
    )


def _node(of: cluster_pb2.ClusterNode) -> types.Node:
    return types.Node(
        of.id, of.name, of.zone, of.state, of.answers, of.devices, of.grpc, of.http, of.peers,
        of.owned, of.replicas, of.version,
    )  # fmt: skip


def _shard(of: cluster_pb2.ClusterShard) -> types.Shard:
    voters, learners = list(of.voters), list(of.learners)
    return types.Shard(of.shard, of.owner or None, of.open, voters, learners, of.twins, of.lag)


def caller(of: access_pb2.WhoAmIResponse) -> types.Caller:
    """Who the caller is."""
    return types.Caller(of.principal, of.via, of.enforced, of.until_ms or None)
