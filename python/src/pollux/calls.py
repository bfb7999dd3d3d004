"""The calls that there are: what each asks, and how its answer is read. Pure; the clients make them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Callable, Generic, Iterable, List, Mapping, Optional, Sequence, Tuple, TypeVar, Union

from google.protobuf.message import Message

from . import reading, types
from .errors import InvalidValue
from .v1 import (
    access_pb2,
    cluster_pb2,
    commands_pb2,
    devices_pb2,
    subscriptions_pb2,
    twins_pb2,
    types_pb2,
)
from .values import object_to_json, to_json

T = TypeVar("T")

#: How long a node keeps a command, unless said otherwise, in seconds.
COMMAND_DEADLINE = 60.0
#: Rows of a page.
PAGE_SIZE = 1000

Order = Union[str, Tuple[str, str]]
"""What rows are sorted by: an expression, or a pair of it and `"desc"` or `"asc"`."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """One call."""

    path: str
    request: Message
    response: Any
    read: Callable[[Any], T]
    changes: bool = False
    key: str = ""
    """The idempotency key, the same in every attempt."""
    always: bool = False
    """Whether it may be repeated without a key, although it changes something."""
    wait: float = 0.0
    """For how long the node may wait for what it answers, beside the usual time."""
    streamed: bool = False
    """Whether `read` takes a list of messages rather than one."""

    @property
    def repeat(self) -> bool:
        """Whether it may be made again although it may have been carried out."""
        return not self.changes or bool(self.key) or self.always


def key_of(device: str, tenant: Optional[str] = None) -> Tuple[str, str]:
    """Tenant and device of `device` or `tenant/device`."""
    first, slash, second = device.partition("/")
    if not slash:
        return tenant or "", device
    if tenant is not None and tenant != first:
        raise InvalidValue(f"device {device!r}: is of tenant {first!r}, not of {tenant!r}")
    return first, second


def idempotency_key(given: Optional[str]) -> str:
    """The key of a call: the caller's, or one that was never used."""
    return secrets.token_hex(16) if given is None else given


# Twins.


def get(device: str) -> Call[types.Twin]:
    tenant, device = key_of(device)
    request = twins_pb2.GetTwinRequest(tenant=tenant, device=device)
    read: Callable[[Any], types.Twin] = lambda answer: reading.twin(answer.twin)
    return Call("/pollux.v1.Twins/Get", request, twins_pb2.GetTwinResponse, read)


def get_stale(device: str, min_position: str, max_age_ms: Optional[int]) -> Call[types.Found]:
    tenant, device = key_of(device)
    request = twins_pb2.GetTwinRequest(
        tenant=tenant, device=device, stale=True, min_position=min_position, max_age_ms=max_age_ms
    )
    return Call("/pollux.v1.Twins/Get", request, twins_pb2.GetTwinResponse, reading.found)


def write(
    device: str,
    section: str,
    content: Mapping[str, Any],
    whole: bool,
    expected_version: Optional[int],
    key: Optional[str],
) -> Call[types.Written]:
    tenant, device = key_of(device)
    if section not in reading.SECTIONS:
        right = "tags or desired" if section != "reported" else "tags or desired; reported is the device's"
        raise InvalidValue(f"section {section!r}: takes {right}")
    text = object_to_json(content, section)
    key = idempotency_key(key)
    request = twins_pb2.PatchTwinRequest(
        tenant=tenant,
        device=device,
        section=reading.SECTIONS[section],
        merge_json=None if whole else text,
        whole_json=text if whole else None,
        expected_version=expected_version,
        idempotency_key=key,
    )
    return Call(
        "/pollux.v1.Twins/Patch", request, twins_pb2.PatchTwinResponse, reading.written, True, key
    )


def delete(device: str, expected_version: Optional[int], key: Optional[str]) -> Call[int]:
    tenant, device = key_of(device)
    key = idempotency_key(key)
    request = twins_pb2.DeleteTwinRequest(
        tenant=tenant, device=device, expected_version=expected_version, idempotency_key=key
    )
    read: Callable[[Any], int] = lambda answer: answer.version
    return Call("/pollux.v1.Twins/Delete", request, twins_pb2.DeleteTwinResponse, read, True, key)


def list_page(
    tenant: str, prefix: str, full: bool, page_token: str
) -> Call[Tuple[List[types_pb2.Twin], str]]:
    view = twins_pb2.LIST_VIEW_FULL if full else twins_pb2.LIST_VIEW_SUMMARY
    request = twins_pb2.ListTwinsRequest(tenant=tenant, prefix=prefix, view=view, page_token=page_token)
    read: Callable[[Any], Tuple[List[types_pb2.Twin], str]] = lambda answer: (
        list(answer.twins),
        answer.next_page_token,
    )
    return Call("/pollux.v1.Twins/List", request, twins_pb2.ListTwinsResponse, read)


def _query(request: twins_pb2.QueryRequest, read: Callable[[Any], T]) -> Call[T]:
    return Call("/pollux.v1.Twins/Query", request, twins_pb2.QueryResponse, read, streamed=True)


def query(
    filter: str,
    select: Sequence[str],
    order_by: Sequence[Order],
    limit: int,
    cursor: Optional[str],
    tenant: str,
    explain: bool,
) -> Call[types.Answer]:
    expressions = _expressions("select", select)
    request = twins_pb2.QueryRequest(
        tenant=tenant,
        filter=filter,
        select=expressions,
        order_by=[_order(one) for one in _list("order_by", order_by)],
        limit=limit,
        cursor=cursor or "",
        explain=explain,
    )
    return _query(request, lambda parts: reading.answer(expressions, parts))


def count(filter: str, tenant: str) -> Call[int]:
    return _query(twins_pb2.QueryRequest(tenant=tenant, filter=filter, count=True), reading.count)


def groups(by: Sequence[str], filter: str, tenant: str) -> Call[List[types.Group]]:
    expressions = _expressions("by", by)
    request = twins_pb2.QueryRequest(tenant=tenant, filter=filter, group_by=expressions)
    return _query(request, lambda parts: reading.groups(expressions, parts))


def _order(one: Order) -> twins_pb2.QueryOrder:
    if isinstance(one, str):
        return twins_pb2.QueryOrder(by=one)
    by, way = one
    if way not in ("asc", "desc"):
        raise InvalidValue(f'order_by: {way!r} is no direction; give "asc" or "desc"')
    return twins_pb2.QueryOrder(by=by, descending=way == "desc")


def _expressions(field: str, given: Sequence[str]) -> List[str]:
    return [str(one) for one in _list(field, given)]


def _list(field: str, given: Sequence[Any]) -> List[Any]:
    if isinstance(given, str):
        raise InvalidValue(f"{field}: is one text; give a list of them")
    return list(given)


def _whose(
    what: str, device: Optional[str], prefix: str, tenant: Optional[str]
) -> Tuple[str, Optional[str], Optional[str]]:
    """The tenant, and one device of it or those whose names begin so."""
    if device is None:
        return tenant or "", None, prefix
    if prefix:
        raise InvalidValue(f"{what}: takes either a device or a prefix")
    tenant, device = key_of(device, tenant)
    return tenant, device, None


def watch_request(
    device: Optional[str], prefix: str, tenant: Optional[str], filter: str, telemetry: bool
) -> twins_pb2.WatchRequest:
    """A watch; where it begins is added with each opening."""
    tenant, device, prefix_of = _whose("watch", device, prefix, tenant)
    return twins_pb2.WatchRequest(
        tenant=tenant,
        device=device,
        prefix=prefix_of,
        filter=filter,
        telemetry=telemetry,
        tell_start=True,
        batch=True,
    )


# Commands.


def send(
    device: str,
    name: str,
    payload: Any,
    deadline: float,
    queue: bool,
    wait: bool,
    key: Optional[str],
) -> Call[types.Command]:
    tenant, device = key_of(device)
    key = idempotency_key(key)
    request = commands_pb2.SendCommandRequest(
        tenant=tenant,
        device=device,
        name=name,
        payload_json=to_json(payload, "payload"),
        deadline_ms=max(round(deadline * 1000), 1),
        queue=queue,
        wait=wait,
        idempotency_key=key,
    )
    read: Callable[[Any], types.Command] = lambda answer: reading.command(answer.command)
    return Call(
        "/pollux.v1.Commands/Send",
        request,
        commands_pb2.SendCommandResponse,
        read,
        True,
        key,
        wait=deadline if wait else 0.0,
    )


def get_command(device: str, id: int) -> Call[types.Command]:
    tenant, device = key_of(device)
    request = commands_pb2.GetCommandRequest(tenant=tenant, device=device, id=id)
    read: Callable[[Any], types.Command] = lambda answer: reading.command(answer.command)
    return Call("/pollux.v1.Commands/Get", request, commands_pb2.GetCommandResponse, read)


def cancel_command(device: str, id: int, key: Optional[str]) -> Call[types.Command]:
    tenant, device = key_of(device)
    key = idempotency_key(key)
    request = commands_pb2.CancelCommandRequest(
        tenant=tenant, device=device, id=id, idempotency_key=key
    )
    read: Callable[[Any], types.Command] = lambda answer: reading.command(answer.command)
    return Call(
        "/pollux.v1.Commands/Cancel", request, commands_pb2.CancelCommandResponse, read, True, key
    )


def list_commands(device: str) -> Call[List[types.Command]]:
    tenant, device = key_of(device)
    request = commands_pb2.ListCommandsRequest(tenant=tenant, device=device)
    return Call(
        "/pollux.v1.Commands/List", request, commands_pb2.ListCommandsResponse, reading.commands
    )


# Devices.


def _device(verb: str, request: Message, key: str) -> Call[types.Device]:
    path = f"/pollux.v1.Devices/{verb}"
    return Call(path, request, devices_pb2.Device, reading.device, verb != "Get", key)


def register_request(new: types.NewDevice, key: str) -> devices_pb2.RegisterDeviceRequest:
    """A device to register, alone or in an import."""
    tenant, device = key_of(new.device)
    credentials = [
        devices_pb2.NewCredential(name=name, token_sha256=digest) for name, digest in new.tokens.items()
    ]
    credentials += [
        devices_pb2.NewCredential(name=name, certificate_sha256=digest)
        for name, digest in new.certificates.items()
    ]
    return devices_pb2.RegisterDeviceRequest(
        tenant=tenant,
        device=device,
        tags_json="" if new.tags is None else object_to_json(new.tags, "tags"),
        desired_json="" if new.desired is None else object_to_json(new.desired, "desired"),
        credentials=credentials,
        idempotency_key=key,
    )


def register(new: types.NewDevice, key: Optional[str]) -> Call[types.Device]:
    key = idempotency_key(key)
    return _device("Register", register_request(new, key), key)


def get_device(device: str) -> Call[types.Device]:
    tenant, device = key_of(device)
    return _device("Get", devices_pb2.GetDeviceRequest(tenant=tenant, device=device), "")


def disable(device: str, reason: str, key: Optional[str]) -> Call[types.Device]:
    tenant, device = key_of(device)
    key = idempotency_key(key)
    request = devices_pb2.DisableDeviceRequest(
        tenant=tenant, device=device, reason=reason, idempotency_key=key
    )
    return _device("Disable", request, key)


def enable(device: str, key: Optional[str]) -> Call[types.Device]:
    tenant, device = key_of(device)
    key = idempotency_key(key)
    request = devices_pb2.EnableDeviceRequest(tenant=tenant, device=device, idempotency_key=key)
    return _device("Enable", request, key)


def deleted(prefix: str, tenant: str, page_token: str) -> Call[types.DeletedDevices]:
    request = devices_pb2.ListDeletedRequest(
        tenant=tenant, prefix=prefix, page_size=PAGE_SIZE, page_token=page_token
    )
    response = devices_pb2.ListDeletedResponse
    return Call("/pollux.v1.Devices/ListDeleted", request, response, reading.deleted)


def restore(device: str, key: Optional[str]) -> Call[types.Device]:
    tenant, device = key_of(device)
    key = idempotency_key(key)
    request = devices_pb2.RestoreDeviceRequest(tenant=tenant, device=device, idempotency_key=key)
    return _device("Restore", request, key)


def give_credential(
    device: str,
    name: str,
    token_sha256: Optional[str],
    certificate_sha256: Optional[str],
    expires_at_ms: Optional[int],
    key: Optional[str],
) -> Call[types.Device]:
    if (token_sha256 is None) == (certificate_sha256 is None):
        raise InvalidValue("credential: takes either token_sha256 or certificate_sha256")
    tenant, device = key_of(device)
    key = idempotency_key(key)
    credential = devices_pb2.NewCredential(
        name=name,
        token_sha256=token_sha256,
        certificate_sha256=certificate_sha256,
        expires_at_ms=expires_at_ms or 0,
    )
    request = devices_pb2.GiveCredentialRequest(
        tenant=tenant, device=device, credential=credential, idempotency_key=key
    )
    return _device("GiveCredential", request, key)


def revoke_credential(device: str, name: str, key: Optional[str]) -> Call[types.Device]:
    tenant, device = key_of(device)
    key = idempotency_key(key)
    request = devices_pb2.RevokeCredentialRequest(
        tenant=tenant, device=device, name=name, idempotency_key=key
    )
    return _device("RevokeCredential", request, key)


def import_requests(devices: Iterable[types.NewDevice]) -> Iterable[devices_pb2.ImportDevicesRequest]:
    """An import, device by device."""
    for number, device in enumerate(devices):
        yield devices_pb2.ImportDevicesRequest(line=number, device=register_request(device, ""))


# Subscriptions.


def subscribe(
    name: str,
    device: Optional[str],
    prefix: str,
    filter: str,
    picture: bool,
    telemetry: bool,
    shared: bool,
    tenant: Optional[str],
) -> Call[types.Subscription]:
    tenant, device, prefix_of = _whose("subscription", device, prefix, tenant)
    subscription = subscriptions_pb2.Subscription(
        tenant=tenant,
        name=name,
        device=device,
        prefix=prefix_of,
        filter=filter,
        picture=picture,
        telemetry=telemetry,
        shared=shared,
    )
    request = subscriptions_pb2.CreateSubscriptionRequest(subscription=subscription)
    return _subscription("Create", request, changes=True)


def get_subscription(name: str, tenant: str) -> Call[types.Subscription]:
    request = subscriptions_pb2.GetSubscriptionRequest(tenant=tenant, name=name)
    return _subscription("Get", request, changes=False)


def acknowledge(name: str, tenant: str, consumer: str, position: str) -> Call[types.Subscription]:
    request = subscriptions_pb2.AcknowledgeRequest(
        tenant=tenant, name=name, position=position, consumer=consumer
    )
    return _subscription("Acknowledge", request, changes=True)


def _subscription(verb: str, request: Message, changes: bool) -> Call[types.Subscription]:
    # Making one that is there, and acknowledging what is acknowledged, changes nothing.
    return Call(
        f"/pollux.v1.Subscriptions/{verb}",
        request,
        subscriptions_pb2.Subscription,
        reading.subscription,
        changes,
        always=True,
    )


def list_subscriptions(tenant: str) -> Call[List[types.Subscription]]:
    request = subscriptions_pb2.ListSubscriptionsRequest(tenant=tenant)
    read: Callable[[Any], List[types.Subscription]] = lambda answer: [
        reading.subscription(one) for one in answer.subscriptions
    ]
    response = subscriptions_pb2.ListSubscriptionsResponse
    return Call("/pollux.v1.Subscriptions/List", request, response, read)


def unsubscribe(name: str, tenant: str) -> Call[None]:
    request = subscriptions_pb2.DeleteSubscriptionRequest(tenant=tenant, name=name)
    response = subscriptions_pb2.DeleteSubscriptionResponse
    # One of the same name could be made in between, and would be deleted by a repetition.
    return Call("/pollux.v1.Subscriptions/Delete", request, response, lambda _: None, True)


def consume_request(
    name: str, tenant: str, unacknowledged_max: int, consumer: str
) -> subscriptions_pb2.ConsumeRequest:
    """The first message of a consumer."""
    opening = subscriptions_pb2.OpenSubscription(
        tenant=tenant, name=name, unacknowledged_max=unacknowledged_max, consumer=consumer
    )
    return subscriptions_pb2.ConsumeRequest(open=opening)


# The cluster, and the caller.


def cluster_status(this_node_only: bool) -> Call[types.ClusterStatus]:
    request = cluster_pb2.ClusterStatusRequest(this_node_only=this_node_only)
    response = cluster_pb2.ClusterStatusResponse
    return Call("/pollux.v1.Cluster/Status", request, response, reading.cluster_status)


def who_am_i() -> Call[types.Caller]:
    request, response = access_pb2.WhoAmIRequest(), access_pb2.WhoAmIResponse
    return Call("/pollux.v1.Access/WhoAmI", request, response, reading.caller)
