"""The blocking calls about jobs: one thing done to many devices. What they ask is in `job_calls`."""

from __future__ import annotations

import time
from typing import Any, Iterator, List, Mapping, Optional, Sequence

from . import job_calls
from .job_calls import Job, JobDevice, Pace, What, Whom
from .line import Line

#: How often a job that is waited for is looked at, in seconds.
LOOK_EVERY = 0.5


class Jobs:
    """Calls about jobs."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def create(
        self,
        name: str,
        *,
        prefix: Optional[str] = None,
        filter: str = "",
        devices: Optional[Sequence[str]] = None,
        tags: Optional[Mapping[str, Any]] = None,
        desired: Optional[Mapping[str, Any]] = None,
        command: Optional[str] = None,
        payload: Any = None,
        connected_only: bool = False,
        applied: bool = True,
        rate_per_s: int = 0,
        batch: int = 0,
        canary: int = 0,
        abort_above_percent: Optional[int] = None,
        start_at_ms: int = 0,
        attempt_timeout: float = 0.0,
        retries: int = 0,
        retry_after: float = 0.0,
        keep: float = 0.0,
        tenant: str = "",
    ) -> Job:
        """Makes a job: one of `tags`, `desired` and `command`, to devices that are named or selected.

        With `desired`, a device is done when it acknowledged; without `applied`, once that is written. A command
        waits for devices that are offline, unless `connected_only`. `rate_per_s` devices are begun with in a second
        (0: as many as go), `canary` of them first, alone, and all of a `batch` must be over before the next; it is
        aborted when more than `abort_above_percent` failed. An attempt may take `attempt_timeout` seconds (0: an
        hour), and a device that failed is tried again `retries` times, `retry_after` seconds later (0: ten). It is
        kept for `keep` seconds once it is over (0: a week). Repeating the call changes nothing.
        """
        whom = Whom(prefix, filter, devices)
        what = What(tags, desired, command, payload, connected_only, applied)
        pace = Pace(
            rate_per_s,
            batch,
            canary,
            abort_above_percent,
            start_at_ms,
            attempt_timeout,
            retries,
            retry_after,
            keep,
        )
        return self._line.call(job_calls.create(name, tenant, whom, what, pace))

    def get(self, name: str, *, tenant: str = "") -> Job:
        """Reads a job."""
        return self._line.call(job_calls.get(name, tenant))

    def list(self, *, tenant: str = "") -> List[Job]:
        """The jobs of a tenant that the caller may read, by name: asks page after page."""
        jobs: List[Job] = []
        page_token = ""
        while True:
            page = self._line.call(job_calls.list_jobs(tenant, page_token))
            jobs += page.jobs
            page_token = page.next_page_token
            if not page_token:
                return jobs

    def devices(
        self, name: str, *, state: Optional[str] = None, tenant: str = ""
    ) -> Iterator[JobDevice]:
        """Where its devices stand, by their names, or those in one state: asks page after page."""
        page_token = ""
        while True:
            page = self._line.call(job_calls.devices(name, tenant, state, page_token))
            yield from page.devices
            page_token = page.next_page_token
            if not page_token:
                return

    def pause(self, name: str, *, tenant: str = "") -> Job:
        """No further device is begun with; those under way go on."""
        return self._line.call(job_calls.steer("Pause", name, tenant))

    def resume(self, name: str, *, tenant: str = "") -> Job:
        """A paused job goes on."""
        return self._line.call(job_calls.steer("Resume", name, tenant))

    def cancel(self, name: str, *, tenant: str = "") -> Job:
        """No further device is begun with, for good; commands that wait for their device are withdrawn."""
        return self._line.call(job_calls.steer("Cancel", name, tenant))

    def delete(self, name: str, *, tenant: str = "") -> None:
        """Forgets a job that is over."""
        self._line.call(job_calls.delete(name, tenant))

    def wait(self, name: str, *, tenant: str = "") -> Job:
        """Waits until a job is over, for as long as that takes."""
        while True:
            job = self.get(name, tenant=tenant)
            if job.is_over:
                return job
            time.sleep(LOOK_EVERY)
