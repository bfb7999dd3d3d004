"""The service client of Pollux: twins of devices, from Python.

```python
from pollux import Client

with Client() as pollux:  # a node of this machine; Client("https://node.example:4434", token="…") for others
    pollux.devices.register("pump-7", tags={"site": "Oslo"}, desired={"interval_s": 30})
    for row in pollux.twins.rows('tags.site == "Oslo"', select=["desired.interval_s"]):
        print(row.device, row.values)
    with pollux.twins.watch(prefix="pump-", picture=True) as events:
        for event in events:
            print(event)
```

`pollux.aio` has the same for asyncio.

Contents of sections are plain dicts; integers of 64 bits stay exact, and what no twin can hold, such as NaN, is refused
with its place before anything is sent. Calls carry an idempotency key and are repeated, at another node if there are
several, where that cannot do their work twice. Watches and consumers of subscriptions go on by themselves. Refusals
are exceptions, a class for each reason: see `pollux.errors`.
"""

from . import errors, types
from .access import Access
from .access_calls import (
    AuditEntry,
    Decision,
    IssuedToken,
    Policy,
    Principal,
    PrincipalToken,
    Subject,
)
from .artifact_calls import Artifact, ArtifactKey
from .artifacts import Artifacts
from .client import Client, Cluster, Commands, Devices, Subscriptions, Twins
from .consumer import Consumer, Delivery
from .enrolment_calls import Enrolment, EnrolmentPut, Provisioned, device_key
from .enrolments import Enrolments
from .errors import (
    DeviceOffline,
    Failed,
    Forbidden,
    InvalidArgument,
    InvalidValue,
    KeyReused,
    NotFound,
    OutcomeUnknown,
    Overloaded,
    PolluxError,
    Rejected,
    TakenOver,
    Unauthenticated,
    Unreachable,
    VersionMismatch,
)
from .events import (
    Changed,
    Patched,
    PictureComplete,
    Pictured,
    PositionLost,
    Sharing,
    TelemetryHeard,
)
from .fleet import Groups, Types
from .fleet_calls import DeviceGroup, DeviceType, MemberRefusal, MembersChanged
from .job_calls import Job, JobDevice
from .jobs import Jobs
from .tenant_calls import Tenant, TenantLimits, TenantUse
from .tenants import Tenants
from .types import (
    DeletedDevice,
    NewDevice,
    Twin,
)
from .watching import Watching

__all__ = [
    "Access",
    "Artifact",
    "ArtifactKey",
    "Artifacts",
    "AuditEntry",
    "Changed",
    "Client",
    "Cluster",
    "Commands",
    "Consumer",
    "Decision",
    "DeletedDevice",
    "Delivery",
    "DeviceGroup",
    "DeviceOffline",
    "DeviceType",
    "Devices",
    "Enrolment",
    "EnrolmentPut",
    "Enrolments",
    "Failed",
    "Forbidden",
    "Groups",
    "InvalidArgument",
    "InvalidValue",
    "IssuedToken",
    "Job",
    "JobDevice",
    "Jobs",
    "KeyReused",
    "MemberRefusal",
    "MembersChanged",
    "NewDevice",
    "NotFound",
    "OutcomeUnknown",
    "Overloaded",
    "Patched",
    "PictureComplete",
    "Pictured",
    "Policy",
    "PolluxError",
    "PositionLost",
    "Principal",
    "PrincipalToken",
    "Provisioned",
    "Rejected",
    "Sharing",
    "Subject",
    "Subscriptions",
    "TakenOver",
    "TelemetryHeard",
    "Tenant",
    "TenantLimits",
    "TenantUse",
    "Tenants",
    "Twin",
    "Twins",
    "Types",
    "Unauthenticated",
    "Unreachable",
    "VersionMismatch",
    "Watching",
    "device_key",
    "errors",
    "types",
]
