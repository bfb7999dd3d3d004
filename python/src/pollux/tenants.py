"""The blocking calls about tenants: what they may have, and what they use. What they ask is in `tenant_calls`."""

from __future__ import annotations

from typing import List, Optional

from . import tenant_calls
from .line import Line
from .tenant_calls import Tenant, TenantLimits


class Tenants:
    """Calls about tenants."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def get(self, tenant: str = "") -> Tenant:
        """Reads a tenant, whether it has limits or not."""
        return self._line.call(tenant_calls.get(tenant))

    def list(self) -> List[Tenant]:
        """The tenants that have limits."""
        return self._line.call(tenant_calls.list_all())

    def limit(
        self,
        tenant: str = "",
        *,
        devices: Optional[int] = None,
        messages_per_s: Optional[int] = None,
        writes_per_s: Optional[int] = None,
        bytes: Optional[int] = None,
        note: str = "",
    ) -> Tenant:
        """Says what a tenant may have: all of it each time, as what is left out is not limited."""
        limits = TenantLimits(devices, messages_per_s, writes_per_s, bytes)
        return self._line.call(tenant_calls.limit(tenant, limits, note))
