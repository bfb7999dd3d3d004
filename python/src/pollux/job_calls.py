"""The calls about jobs, and jobs as values. Pure; `jobs` makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, List, Mapping, Optional, Sequence

from google.protobuf.message import Message

from .calls import PAGE_SIZE, Call
from .errors import InvalidValue
from .v1 import jobs_pb2
from .values import object_to_json, to_json

#: Jobs of a page: each may name very many devices.
JOBS_OF_PAGE = 100

_OVER = frozenset(
    (jobs_pb2.JOB_STATE_FINISHED, jobs_pb2.JOB_STATE_ABORTED, jobs_pb2.JOB_STATE_CANCELLED)
)


@dataclass(frozen=True)
class Totals:
    """How many devices stand where; they add up to `devices`."""

    devices: int
    waiting: int
    under_way: int
    done: int
    failed: int
    unknown: int
    """They may have done it or not, and are not asked again."""
    cancelled: int


@dataclass(frozen=True)
class Job:
    """One thing done to many devices."""

    tenant: str
    name: str
    state: str
    """`scheduled`, `selecting`, `running`, `paused`, `aborting`, `cancelling`; in the end `finished`, `aborted` or
    `cancelled`."""
    is_over: bool
    reason: str
    """Why it is in that state, where there is more to say."""
    totals: Totals
    created_by: str
    created_at_ms: int
    started_at_ms: int
    """0 until then."""
    ended_at_ms: int


@dataclass(frozen=True)
class JobDevice:
    """Where a device of a job stands."""

    device: str
    state: str
    """`waiting`, `under_way`, `done`, `failed`, `unknown` or `cancelled`."""
    attempts: int
    at_ms: int
    number: int
    """The version that was written, or the id of the command; 0 while there is none."""
    reason: str


@dataclass(frozen=True)
class JobPage:
    """A page of jobs, by name."""

    jobs: List[Job]
    next_page_token: str


@dataclass(frozen=True)
class JobDevices:
    """A page of the devices of a job, by their names."""

    devices: List[JobDevice]
    next_page_token: str


def create(
    name: str,
    tenant: str,
    whom: "Whom",
    what: "What",
    pace: "Pace",
) -> Call[Job]:
    spec = jobs_pb2.JobSpec(
        rate_per_s=pace.rate_per_s,
        batch=pace.batch,
        canary=pace.canary,
        abort_above_percent=pace.abort_above_percent,
        start_at_ms=pace.start_at_ms,
        timeout_ms=_ms(pace.attempt_timeout),
        retries=pace.retries,
        retry_after_ms=_ms(pace.retry_after),
        keep_ms=_ms(pace.keep),
    )
    whom.put(spec)
    what.put(spec)
    request = jobs_pb2.CreateJobRequest(tenant=tenant, name=name, spec=spec)
    return _job("Create", request, changes=True)


@dataclass(frozen=True)
class Whom:
    """Which devices a job is about."""

    prefix: Optional[str]
    filter: str
    devices: Optional[Sequence[str]]

    def put(self, spec: jobs_pb2.JobSpec) -> None:
        if self.devices is not None:
            if self.prefix is not None or self.filter:
                raise InvalidValue("job: takes either devices, or a prefix and a filter")
            spec.devices.devices.extend(self.devices)
            return
        if self.prefix is None and not self.filter:
            raise InvalidValue('job: say whom: devices, a prefix or a filter; prefix="" is all of the tenant')
        spec.fleet.prefix, spec.fleet.filter = self.prefix or "", self.filter


@dataclass(frozen=True)
class What:
    """What a job does to each of them."""

    tags: Optional[Mapping[str, Any]]
    desired: Optional[Mapping[str, Any]]
    command: Optional[str]
    payload: Any
    connected_only: bool
    applied: bool

    def put(self, spec: jobs_pb2.JobSpec) -> None:
        said = [one for one in (self.tags, self.desired, self.command) if one is not None]
        if len(said) != 1:
            raise InvalidValue("job: takes one of tags, desired and command")
        if self.tags is not None:
            spec.tags_json = object_to_json(self.tags, "tags")
        elif self.desired is not None:
            spec.desired_json = object_to_json(self.desired, "desired")
            setattr(spec, "await", jobs_pb2.JOB_AWAIT_APPLIED if self.applied else jobs_pb2.JOB_AWAIT_WRITTEN)
        else:
            spec.command.name = self.command or ""
            spec.command.payload_json = "" if self.payload is None else to_json(self.payload, "payload")
            spec.command.connected_only = self.connected_only


@dataclass(frozen=True)
class Pace:
    """How fast a job goes, and when it stops."""

    rate_per_s: int
    batch: int
    canary: int
    abort_above_percent: Optional[int]
    start_at_ms: int
    attempt_timeout: float
    retries: int
    retry_after: float
    keep: float


def get(name: str, tenant: str) -> Call[Job]:
    return _job("Get", _named(name, tenant), changes=False)


def steer(verb: str, name: str, tenant: str) -> Call[Job]:
    """`Pause`, `Resume` or `Cancel`: done twice it is as done once."""
    return _job(verb, _named(name, tenant), changes=True)


def list_jobs(tenant: str, page_token: str) -> Call[JobPage]:
    request = jobs_pb2.ListJobsRequest(tenant=tenant, page_size=JOBS_OF_PAGE, page_token=page_token)
    read: Callable[[Any], JobPage] = lambda answer: JobPage(
        [job(one) for one in answer.jobs], answer.next_page_token
    )
    return Call("/pollux.v1.Jobs/List", request, jobs_pb2.ListJobsResponse, read)


def devices(name: str, tenant: str, state: Optional[str], page_token: str) -> Call[JobDevices]:
    request = jobs_pb2.ListJobDevicesRequest(
        tenant=tenant, name=name, state=_device_state(state), page_size=PAGE_SIZE, page_token=page_token
    )
    read: Callable[[Any], JobDevices] = lambda answer: JobDevices(
        [_device(one) for one in answer.devices], answer.next_page_token
    )
    return Call("/pollux.v1.Jobs/Devices", request, jobs_pb2.ListJobDevicesResponse, read)


def delete(name: str, tenant: str) -> Call[None]:
    # One of the same name could be made in between, and would be deleted by a repetition.
    response = jobs_pb2.DeleteJobResponse
    return Call("/pollux.v1.Jobs/Delete", _named(name, tenant), response, lambda _: None, True)


def job(of: jobs_pb2.Job) -> Job:
    """A job."""
    totals = of.totals
    return Job(
        tenant=of.tenant,
        name=of.name,
        state=jobs_pb2.JobState.Name(of.state).replace("JOB_STATE_", "").lower(),
        is_over=of.state in _OVER,
        reason=of.reason,
        totals=Totals(
            totals.devices,
            totals.waiting,
            totals.under_way,
            totals.done,
            totals.failed,
            totals.unknown,
            totals.cancelled,
        ),
        created_by=of.created_by,
        created_at_ms=of.created_at_ms,
        started_at_ms=of.started_at_ms,
        ended_at_ms=of.ended_at_ms,
    )


def _device(of: jobs_pb2.JobDevice) -> JobDevice:
    state = jobs_pb2.JobDeviceState.Name(of.state).replace("JOB_DEVICE_STATE_", "").lower()
    return JobDevice(of.device, state, of.attempts, of.at_ms, of.number, of.reason)


def _device_state(name: Optional[str]) -> str:
    if name is None:
        return "JOB_DEVICE_STATE_UNSPECIFIED"
    full = f"JOB_DEVICE_STATE_{name.upper()}"
    if full not in jobs_pb2.JobDeviceState.keys():
        right = "waiting, under_way, done, failed, unknown or cancelled"
        raise InvalidValue(f"state {name!r}: takes {right}")
    return full


def _job(verb: str, request: Message, changes: bool) -> Call[Job]:
    # Making one that is there changes nothing.
    return Call(f"/pollux.v1.Jobs/{verb}", request, jobs_pb2.Job, job, changes, always=True)


def _named(name: str, tenant: str) -> jobs_pb2.GetJobRequest:
    return jobs_pb2.GetJobRequest(tenant=tenant, name=name)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
