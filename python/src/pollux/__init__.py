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
from .client import Client, Cluster, Commands, Devices, Subscriptions, Twins
from .consumer import Consumer, Delivery
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
from .job_calls import Job, JobDevice
from .jobs import Jobs
from .types import (
    Changed,
    NewDevice,
    Patched,
    PictureComplete,
    Pictured,
    PositionLost,
    Sharing,
    TelemetryHeard,
    Twin,
)
from .watching import Watching

__all__ = [
    "Changed",
    "Client",
    "Cluster",
    "Commands",
    "Consumer",
    "Delivery",
    "DeviceOffline",
    "Devices",
    "Failed",
    "Forbidden",
    "InvalidArgument",
    "InvalidValue",
    "Job",
    "JobDevice",
    "Jobs",
    "KeyReused",
    "NewDevice",
    "NotFound",
    "OutcomeUnknown",
    "Overloaded",
    "Patched",
    "PictureComplete",
    "Pictured",
    "PolluxError",
    "PositionLost",
    "Rejected",
    "Sharing",
    "Subscriptions",
    "TakenOver",
    "TelemetryHeard",
    "Twin",
    "Twins",
    "Unauthenticated",
    "Unreachable",
    "VersionMismatch",
    "Watching",
    "errors",
    "types",
]
