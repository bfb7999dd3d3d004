"""The blocking calls about types and groups of devices. What they ask is in `fleet_calls`."""

from __future__ import annotations

from typing import Any, Iterator, List, Mapping, Optional, Sequence

from . import fleet_calls
from .fleet_calls import DeviceGroup, DeviceType, MembersChanged
from .line import Line


class Types:
    """Calls about types of devices."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def put(
        self,
        name: str,
        *,
        schemas: Optional[Mapping[str, Any]] = None,
        note: str = "",
        tenant: str = "",
    ) -> DeviceType:
        """Adds a type, or changes it: `schemas` has JSON Schemas for `desired`, `reported`, `telemetry`, `commands`."""
        return self._line.call(fleet_calls.put_type(name, tenant, schemas, note))

    def get(self, name: str, *, tenant: str = "") -> DeviceType:
        """Reads a type."""
        return self._line.call(fleet_calls.get_type(name, tenant))

    def list(self, *, tenant: str = "") -> List[DeviceType]:
        """The types of a tenant, by name."""
        return self._line.call(fleet_calls.list_types(tenant))

    def delete(self, name: str, *, tenant: str = "") -> None:
        """Takes a type away: its devices keep its name, and nothing is checked any more."""
        self._line.call(fleet_calls.delete_type(name, tenant))


class Groups:
    """Calls about groups of devices."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def put(self, name: str, *, filter: str = "", note: str = "", tenant: str = "") -> DeviceGroup:
        """Adds a group, or changes it; without a filter, devices are put in it."""
        return self._line.call(fleet_calls.put_group(name, tenant, filter, note))

    def get(self, name: str, *, tenant: str = "") -> DeviceGroup:
        """Reads a group."""
        return self._line.call(fleet_calls.get_group(name, tenant))

    def list(self, *, tenant: str = "") -> List[DeviceGroup]:
        """The groups of a tenant, by name."""
        return self._line.call(fleet_calls.list_groups(tenant))

    def delete(self, name: str, *, tenant: str = "") -> None:
        """Takes a group away that no device is in."""
        self._line.call(fleet_calls.delete_group(name, tenant))

    def add(self, name: str, devices: Sequence[str], *, tenant: str = "") -> MembersChanged:
        """Puts devices in a group that has no filter, 1,000 at most."""
        return self._line.call(fleet_calls.change_members("Add", name, tenant, devices))

    def take_out(self, name: str, devices: Sequence[str], *, tenant: str = "") -> MembersChanged:
        """Takes devices out of a group that has no filter, 1,000 at most."""
        return self._line.call(fleet_calls.change_members("TakeOut", name, tenant, devices))

    def members(self, name: str, *, tenant: str = "") -> Iterator[str]:
        """The devices of a group, by their names: asks page after page."""
        cursor = ""
        while True:
            page = self._line.call(fleet_calls.members(name, tenant, cursor))
            yield from page.devices
            cursor = page.cursor
            if not cursor:
                return
