"""The calls about types and groups of devices, and these as values. Pure; `fleet` makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from .calls import PAGE_SIZE, Call
from .errors import InvalidValue
from .v1 import fleet_pb2
from .values import object_from_json, object_to_json


@dataclass(frozen=True)
class DeviceType:
    """What devices of a kind may report, and be asked."""

    tenant: str
    name: str
    version: int
    schemas: Dict[str, Any]
    note: str
    at_ms: int
    by: str


@dataclass(frozen=True)
class DeviceGroup:
    """Devices under a name: those that are put in it, or those for which its filter holds."""

    tenant: str
    name: str
    filter: str
    note: str
    at_ms: int
    by: str


@dataclass(frozen=True)
class MemberRefusal:
    """A device that is not as it should be."""

    device: str
    reason: str
    message: str


@dataclass(frozen=True)
class MembersChanged:
    """What came of putting devices in a group, or taking them out."""

    done: int
    refused: List[MemberRefusal]


@dataclass(frozen=True)
class Members:
    """A page of the devices of a group."""

    devices: List[str]
    cursor: str


def put_type(
    name: str, tenant: str, schemas: Optional[Mapping[str, Any]], note: str
) -> Call[DeviceType]:
    text = "" if schemas is None else object_to_json(schemas, "schemas")
    request = fleet_pb2.PutTypeRequest(tenant=tenant, name=name, schemas_json=text, note=note)
    # Said twice it is as said once.
    return Call("/pollux.v1.Types/Put", request, fleet_pb2.DeviceType, read_type, True, always=True)


def get_type(name: str, tenant: str) -> Call[DeviceType]:
    request = fleet_pb2.GetTypeRequest(tenant=tenant, name=name)
    return Call("/pollux.v1.Types/Get", request, fleet_pb2.DeviceType, read_type)


def list_types(tenant: str) -> Call[List[DeviceType]]:
    each: Callable[[Any], List[DeviceType]] = lambda answer: [read_type(one) for one in answer.types]
    request = fleet_pb2.ListTypesRequest(tenant=tenant)
    return Call("/pollux.v1.Types/List", request, fleet_pb2.ListTypesResponse, each)


def delete_type(name: str, tenant: str) -> Call[None]:
    request = fleet_pb2.RemoveTypeRequest(tenant=tenant, name=name)
    response = fleet_pb2.RemoveTypeResponse
    return Call("/pollux.v1.Types/Remove", request, response, lambda _: None, True)


def put_group(name: str, tenant: str, filter: str, note: str) -> Call[DeviceGroup]:
    request = fleet_pb2.PutGroupRequest(tenant=tenant, name=name, filter=filter, note=note)
    return Call("/pollux.v1.Groups/Put", request, fleet_pb2.Group, read_group, True, always=True)


def get_group(name: str, tenant: str) -> Call[DeviceGroup]:
    request = fleet_pb2.GetGroupRequest(tenant=tenant, name=name)
    return Call("/pollux.v1.Groups/Get", request, fleet_pb2.Group, read_group)


def list_groups(tenant: str) -> Call[List[DeviceGroup]]:
    each: Callable[[Any], List[DeviceGroup]] = lambda answer: [read_group(one) for one in answer.groups]
    request = fleet_pb2.ListGroupsRequest(tenant=tenant)
    return Call("/pollux.v1.Groups/List", request, fleet_pb2.ListGroupsResponse, each)


def delete_group(name: str, tenant: str) -> Call[None]:
    request = fleet_pb2.RemoveGroupRequest(tenant=tenant, name=name)
    response = fleet_pb2.RemoveGroupResponse
    return Call("/pollux.v1.Groups/Remove", request, response, lambda _: None, True)


def change_members(
    verb: str, name: str, tenant: str, devices: Sequence[str]
) -> Call[MembersChanged]:
    """`Add` or `TakeOut`: done twice it is as done once."""
    if isinstance(devices, str):
        raise InvalidValue("devices: is one text; give a list of them")
    request = fleet_pb2.ChangeMembersRequest(tenant=tenant, name=name, devices=devices)
    answer: Callable[[Any], MembersChanged] = lambda changed: MembersChanged(
        changed.done,
        [MemberRefusal(one.device, one.reason, one.message) for one in changed.refused],
    )
    response = fleet_pb2.ChangeMembersResponse
    return Call(f"/pollux.v1.Groups/{verb}", request, response, answer, True, always=True)


def members(name: str, tenant: str, cursor: str) -> Call[Members]:
    request = fleet_pb2.MembersRequest(tenant=tenant, name=name, limit=PAGE_SIZE, cursor=cursor)
    answer: Callable[[Any], Members] = lambda page: Members(list(page.devices), page.cursor)
    return Call("/pollux.v1.Groups/Members", request, fleet_pb2.MembersResponse, answer)


def read_type(of: fleet_pb2.DeviceType) -> DeviceType:
    """A type."""
    schemas = object_from_json(of.schemas_json) if of.schemas_json else {}
    return DeviceType(of.tenant, of.name, of.version, schemas, of.note, of.at_ms, of.by)


def read_group(of: fleet_pb2.Group) -> DeviceGroup:
    """A group."""
    return DeviceGroup(of.tenant, of.name, of.filter, of.note, of.at_ms, of.by)
