"""The same client for asyncio.

```python
from pollux import aio

async with aio.Client() as pollux:
    await pollux.twins.patch("pump-7", "desired", {"interval_s": 10})
    async with pollux.twins.watch("pump-7", picture=True) as events:
        async for event in events:
            print(event)
```

Calls, values and exceptions are those of `pollux`.
"""

from .client import Client, Cluster, Commands, Devices, Subscriptions, Twins
from .access import Access
from .artifacts import Artifacts
from .consumer import Consumer, Delivery
from .enrolments import Enrolments
from .fleet import Groups, Types
from .jobs import Jobs
from .tenants import Tenants
from .watching import Watching

__all__ = [
    "Access",
    "Artifacts",
    "Client",
    "Cluster",
    "Commands",
    "Consumer",
    "Delivery",
    "Devices",
    "Enrolments",
    "Groups",
    "Jobs",
    "Subscriptions",
    "Tenants",
    "Twins",
    "Types",
    "Watching",
]
