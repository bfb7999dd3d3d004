"""The calls about tenants, and tenants as values. Pure; `tenants` makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, List, Optional

from .calls import Call
from .v1 import tenants_pb2


@dataclass(frozen=True)
class TenantLimits:
    """What a tenant may have; `None`: as much as it likes."""

    devices: Optional[int] = None
    messages_per_s: Optional[int] = None
    """Reports and telemetry of its devices a second."""
    writes_per_s: Optional[int] = None
    """Writes of services to its twins a second."""
    bytes: Optional[int] = None


@dataclass(frozen=True)
class TenantUse:
    """What a tenant uses."""

    devices: int
    messages_per_s: int
    """What was asked for, also where it was refused; 0 where there are no limits."""
    writes_per_s: int
    bytes: int


@dataclass(frozen=True)
class Tenant:
    """What a tenant may have, and what it uses."""

    tenant: str
    limits: TenantLimits
    note: str
    use: TenantUse
    silent_nodes: List[int]
    """Nodes that did not say what it uses there."""
    at_ms: int
    by: str


def get(tenant: str) -> Call[Tenant]:
    request = tenants_pb2.GetTenantRequest(tenant=tenant)
    return Call("/pollux.v1.Tenants/Get", request, tenants_pb2.Tenant, read)


def list_all() -> Call[List[Tenant]]:
    each: Callable[[Any], List[Tenant]] = lambda answer: [read(one) for one in answer.tenants]
    request = tenants_pb2.ListTenantsRequest()
    return Call("/pollux.v1.Tenants/List", request, tenants_pb2.ListTenantsResponse, each)


def limit(tenant: str, limits: TenantLimits, note: str) -> Call[Tenant]:
    said = tenants_pb2.TenantLimits(
        devices=limits.devices,
        messages_per_s=limits.messages_per_s,
        writes_per_s=limits.writes_per_s,
        bytes=limits.bytes,
    )
    request = tenants_pb2.LimitTenantRequest(tenant=tenant, limits=said, note=note)
    # Said twice it is as said once.
    return Call("/pollux.v1.Tenants/Limit", request, tenants_pb2.Tenant, read, True, always=True)


def read(of: tenants_pb2.Tenant) -> Tenant:
    """A tenant."""
    use = of.use
    return Tenant(
        tenant=of.tenant,
        limits=TenantLimits(*(_said(of.limits, name) for name in _LIMITS)),
        note=of.note,
        use=TenantUse(use.devices, use.messages_per_s, use.writes_per_s, use.bytes),
        silent_nodes=list(of.silent_nodes),
        at_ms=of.at_ms,
        by=of.by,
    )


_LIMITS = ("devices", "messages_per_s", "writes_per_s", "bytes")


def _said(limits: Any, name: str) -> Optional[int]:
    return int(getattr(limits, name)) if limits.HasField(name) else None
