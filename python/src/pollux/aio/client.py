"""The asyncio client. What calls there are is in `calls`, when they are made again in `attempts`."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, AsyncIterator, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Union

import grpc
import grpc.aio

from .. import calls, reading, types
from ..attempts import given_up
from ..calls import COMMAND_DEADLINE, PAGE_SIZE, Order
from .access import Access
from .artifacts import Artifacts
from .consumer import Consumer
from .enrolments import Enrolments
from .fleet import Groups, Types
from .jobs import Jobs
from .line import Line, failure_of
from .tenants import Tenants
from ..v1 import devices_pb2
from .watching import Watching
from ..ways import RESUME_TIMEOUT, TIMEOUT, Pem, Token, ways


class Client:
    """A connection to a cluster, for one event loop; nodes are dialled when they are needed.

    `addresses` is one node or several, such as `https://node.example:4434`; of several, another is asked when one
    does not answer. Without it, `POLLUX_GRPC` says where, or it is the node of this machine.

    `ca` is the CA of the nodes' certificates, if it is of your own making; `certificate` and `key` are the caller's,
    where the way to the nodes asks for one; `token` says who calls. `timeout` is how long a call may take in all, with
    its repetitions, `resume_timeout` for how long watches and consumers look for a node after their stream broke.

    A token goes over an unencrypted connection only to this machine, unless `plain` says that others are safe, too.
    """

    def __init__(
        self,
        addresses: Union[str, Sequence[str], None] = None,
        *,
        ca: Optional[Pem] = None,
        certificate: Optional[Pem] = None,
        key: Optional[Pem] = None,
        token: Token = None,
        plain: bool = False,
        timeout: float = TIMEOUT,
        resume_timeout: float = RESUME_TIMEOUT,
    ) -> None:
        found = ways(addresses, ca=ca, certificate=certificate, key=key, token=token, plain=plain)
        line = Line(found, timeout, resume_timeout)
        self._line = line
        self.twins = Twins(line)
        """Reading, writing, finding and watching twins."""
        self.commands = Commands(line)
        """One-time requests to devices."""
        self.devices = Devices(line)
        """The registry: which devices may come, and by what they prove themselves."""
        self.subscriptions = Subscriptions(line)
        """Watches that the cluster remembers."""
        self.jobs = Jobs(line)
        """One thing done to many devices."""
        self.artifacts = Artifacts(line)
        """Firmware and other software for devices."""
        self.types = Types(line)
        """What devices of a kind may report, and be asked."""
        self.groups = Groups(line)
        """Devices under a name."""
        self.enrolments = Enrolments(line)
        """How devices come that nobody registered."""
        self.tenants = Tenants(line)
        """What tenants may have, and what they use."""
        self.access = Access(line)
        """Who may do what."""
        self.cluster = Cluster(line)
        """How the cluster is."""

    async def who_am_i(self) -> types.Caller:
        """Who the caller is, as the node sees it."""
        return await self._line.call(calls.who_am_i())

    async def close(self) -> None:
        """Ends all connections, and with them all watches and consumers."""
        await self._line.close()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Twins:
    """Calls about twins. A device is named `device`, or `tenant/device`."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def get(self, device: str) -> types.Twin:
        """Reads a twin: everything is in it that was acknowledged before the call."""
        return await self._line.call(calls.get(device))

    async def get_stale(
        self, device: str, *, min_position: str = "", max_age_ms: Optional[int] = None
    ) -> types.Found:
        """Reads a twin from any replica, whose answer may be old: not older than was asked."""
        return await self._line.call(calls.get_stale(device, min_position, max_age_ms))

    async def patch(
        self,
        device: str,
        section: str,
        patch: Mapping[str, Any],
        *,
        expected_version: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> types.Written:
        """Merges into `tags` or `desired` (RFC 7396: dicts merge, `None` removes, all else replaces).

        `expected_version` is the version that the section must have, 0 if it must never have been written. A key is
        made for each call, so that it can be repeated; a twin remembers 512 of them for five minutes, so give `""`
        where one twin is written more often: then a call that is not answered is not made again.
        """
        call = calls.write(device, section, patch, False, expected_version, idempotency_key)
        return await self._line.call(call)

    async def replace(
        self,
        device: str,
        section: str,
        content: Mapping[str, Any],
        *,
        expected_version: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> types.Written:
        """Replaces `tags` or `desired` as a whole. See `patch`."""
        call = calls.write(device, section, content, True, expected_version, idempotency_key)
        return await self._line.call(call)

    async def delete(
        self,
        device: str,
        *,
        expected_version: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> int:
        """Deletes a twin; the version of what is left. A device that comes back continues its versions."""
        return await self._line.call(calls.delete(device, expected_version, idempotency_key))

    async def list(self, *, prefix: str = "", tenant: str = "") -> AsyncIterator[types.Summary]:
        """All twins whose name begins so, in order of their names, read page by page."""
        async for one in self._pages(tenant, prefix, full=False):
            yield reading.summary(one)

    async def list_full(
        self, *, prefix: str = "", tenant: str = ""
    ) -> AsyncIterator[types.Twin]:
        """The same with all that is in them."""
        async for one in self._pages(tenant, prefix, full=True):
            yield reading.twin(one)

    async def _pages(self, tenant: str, prefix: str, full: bool) -> AsyncIterator[Any]:
        token = ""
        while True:
            twins, token = await self._line.call(calls.list_page(tenant, prefix, full, token))
            for one in twins:
                yield one
            if not token:
                return

    async def query(
        self,
        filter: str = "",
        *,
        select: Sequence[str] = (),
        order_by: Sequence[Order] = (),
        limit: int = 100,
        cursor: Optional[str] = None,
        tenant: str = "",
        explain: bool = False,
    ) -> types.Answer:
        """Finds twins by what is in them: one page, with everything that was acknowledged before the call.

        Expressions are of CEL's grammar, such as `reported.temperature > 40.0 && tags.site == "Oslo"`.
        """
        call = calls.query(filter, select, order_by, limit, cursor, tenant, explain)
        return await self._line.call(call)

    async def rows(
        self,
        filter: str = "",
        *,
        select: Sequence[str] = (),
        order_by: Sequence[Order] = (),
        tenant: str = "",
        page_size: int = PAGE_SIZE,
    ) -> AsyncIterator[types.Row]:
        """All twins for which a filter holds, page by page. Each page is of its own moment."""
        cursor: Optional[str] = None
        while True:
            page = await self.query(
                filter, select=select, order_by=order_by, limit=page_size, cursor=cursor, tenant=tenant
            )
            for row in page.rows:
                yield row
            cursor = page.next_cursor
            if cursor is None:
                return

    async def count(self, filter: str = "", *, tenant: str = "") -> int:
        """For how many twins a filter holds."""
        return await self._line.call(calls.count(filter, tenant))

    async def groups(self, by: Sequence[str], *, filter: str = "", tenant: str = "") -> List[types.Group]:
        """Counts apart those that differ in these expressions, the largest group first."""
        return await self._line.call(calls.groups(by, filter, tenant))

    def watch(
        self,
        device: Optional[str] = None,
        *,
        prefix: str = "",
        tenant: Optional[str] = None,
        filter: str = "",
        picture: bool = False,
        telemetry: bool = False,
        position: str = "",
    ) -> Watching:
        """Follows the changes of one twin, of those whose name begins so, or of a whole tenant.

        It begins now, after `position`, or with `picture` with the twins as they are. `async with` opens it:
        what is written from then on is told. With `telemetry` what devices send as datagrams is told, too, while it
        comes, as `TelemetryHeard`.
        """
        request = calls.watch_request(device, prefix, tenant, filter, telemetry)
        return Watching(self._line, request, position, picture)


class Commands:
    """Calls about commands."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def send(
        self,
        device: str,
        name: str,
        payload: Any = None,
        *,
        deadline: float = COMMAND_DEADLINE,
        queue: bool = False,
        wait: bool = False,
        idempotency_key: Optional[str] = None,
    ) -> types.Command:
        """Sends a command, which the device carries out at most once.

        It is worth doing for `deadline` seconds. With `queue` it is kept for a device that is not connected; with
        `wait` the answer comes when it is over: look at its `state`.
        """
        call = calls.send(device, name, payload, deadline, queue, wait, idempotency_key)
        return await self._line.call(call)

    async def get(self, device: str, id: int) -> types.Command:
        """Reads a command as it stands."""
        return await self._line.call(calls.get_command(device, id))

    async def cancel(
        self, device: str, id: int, *, idempotency_key: Optional[str] = None
    ) -> types.Command:
        """Withdraws a command that still waits for its device."""
        return await self._line.call(calls.cancel_command(device, id, idempotency_key))

    async def list(self, device: str) -> List[types.Command]:
        """The commands of a device that are kept, oldest first."""
        return await self._line.call(calls.list_commands(device))


class Devices:
    """Calls to the registry."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def register(
        self,
        device: str,
        *,
        tags: Optional[Dict[str, Any]] = None,
        desired: Optional[Dict[str, Any]] = None,
        tokens: Optional[Dict[str, str]] = None,
        certificates: Optional[Dict[str, str]] = None,
        idempotency_key: Optional[str] = None,
    ) -> types.Device:
        """Registers a device, or gives one that is registered what the call names.

        `tokens` and `certificates` are credentials by name, each as SHA-256 in hexadecimal digits; `give_token` makes
        a token.
        """
        new = types.NewDevice(device, tags, desired, tokens or {}, certificates or {})
        return await self._line.call(calls.register(new, idempotency_key))

    async def get(self, device: str) -> types.Device:
        """Reads an entry."""
        return await self._line.call(calls.get_device(device))

    async def disable(
        self, device: str, reason: str = "", *, idempotency_key: Optional[str] = None
    ) -> types.Device:
        """The device may not come; if it is there, its session ends."""
        return await self._line.call(calls.disable(device, reason, idempotency_key))

    async def enable(self, device: str, *, idempotency_key: Optional[str] = None) -> types.Device:
        """The device may come again."""
        return await self._line.call(calls.enable(device, idempotency_key))

    async def restore(self, device: str, *, idempotency_key: Optional[str] = None) -> types.Device:
        """Brings back what the device's twin held when it was deleted; what was written since stays.

        Raises:
            NotFound: Nothing was deleted, or too long ago.
        """
        return await self._line.call(calls.restore(device, idempotency_key))

    async def deleted(self, *, prefix: str = "", tenant: str = "") -> AsyncIterator[types.DeletedDevice]:
        """Devices whose twins were deleted and can be brought back, by their names: asks page after page."""
        page_token = ""
        while True:
            page = await self._line.call(calls.deleted(prefix, tenant, page_token))
            for device in page.devices:
                yield device
            page_token = page.next_page_token
            if not page_token:
                return

    async def give_credential(
        self,
        device: str,
        name: str,
        *,
        token_sha256: Optional[str] = None,
        certificate_sha256: Optional[str] = None,
        expires_at_ms: Optional[int] = None,
        idempotency_key: Optional[str] = None,
    ) -> types.Device:
        """Gives a device a credential, in place of one of the same name."""
        call = calls.give_credential(
            device, name, token_sha256, certificate_sha256, expires_at_ms, idempotency_key
        )
        return await self._line.call(call)

    async def give_token(self, device: str, name: str, *, expires_at_ms: Optional[int] = None) -> str:
        """Makes a token for a device and gives it; the cluster has its hash only, so this is the one time it is
        seen."""
        token = secrets.token_hex(32)
        digest = hashlib.sha256(token.encode()).hexdigest()
        await self.give_credential(device, name, token_sha256=digest, expires_at_ms=expires_at_ms)
        return token

    async def revoke_credential(
        self, device: str, name: str, *, idempotency_key: Optional[str] = None
    ) -> types.Device:
        """Takes a credential away. A session that was opened with it ends."""
        return await self._line.call(calls.revoke_credential(device, name, idempotency_key))

    async def import_all(self, devices: Iterable[types.NewDevice]) -> types.Imported:
        """Registers very many; those that were refused are told by their place. Safe to repeat.

        Nothing bounds how long it takes, and it is not repeated by itself, as `devices` may be read only once.
        """
        stub: Any = self._line.channel().stream_stream(
            "/pollux.v1.Devices/Import",
            request_serializer=devices_pb2.ImportDevicesRequest.SerializeToString,
            response_deserializer=devices_pb2.ImportDevicesResponse.FromString,
        )
        wrong: List[BaseException] = []

        def requests() -> Iterator[devices_pb2.ImportDevicesRequest]:
            # What the caller's own iterator raises would otherwise be told as a broken stream.
            try:
                yield from calls.import_requests(devices)
            except BaseException as error:
                wrong.append(error)
                raise

        registered, refused = 0, []
        try:
            async for answer in stub(requests(), metadata=self._line.ways.metadata()):
                registered = answer.registered
                refused += [types.Refusal(one.line, one.reason, one.message) for one in answer.refused]
        except grpc.aio.AioRpcError as error:
            if wrong:
                raise wrong[0] from None
            raise given_up(failure_of(error), changes=True) from None
        return types.Imported(registered, sorted(refused, key=lambda one: one.number))


class Subscriptions:
    """Calls about subscriptions."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def create(
        self,
        name: str,
        *,
        device: Optional[str] = None,
        prefix: str = "",
        filter: str = "",
        picture: bool = False,
        telemetry: bool = False,
        shared: bool = False,
        tenant: Optional[str] = None,
    ) -> types.Subscription:
        """Makes a subscription, which stands at this moment. Repeating it changes nothing.

        A shared one is for several consumers at once, at most 64, each of which holds some of its shards.
        """
        call = calls.subscribe(name, device, prefix, filter, picture, telemetry, shared, tenant)
        return await self._line.call(call)

    async def get(self, name: str, *, tenant: str = "") -> types.Subscription:
        """Reads a subscription."""
        return await self._line.call(calls.get_subscription(name, tenant))

    async def list(self, *, tenant: str = "") -> List[types.Subscription]:
        """All subscriptions of a tenant to what the caller may watch."""
        return await self._line.call(calls.list_subscriptions(tenant))

    async def delete(self, name: str, *, tenant: str = "") -> None:
        """Forgets a subscription."""
        await self._line.call(calls.unsubscribe(name, tenant))

    def consume(
        self, name: str, *, consumer: str = "", tenant: str = "", unacknowledged_max: int = 0
    ) -> Consumer:
        """Takes a subscription over, or shares it, and its events: each comes until it is acknowledged.

        Once `unacknowledged_max` events are out (0: 1,000), nothing more comes until some are acknowledged. Of a
        shared subscription, `consumer` is who consumes: a newer one of that name takes over what it holds. Without,
        it gets a name.
        """
        return Consumer(self._line, name, consumer, tenant, unacknowledged_max)


class Cluster:
    """Calls about the cluster."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def status(self, *, this_node_only: bool = False) -> types.ClusterStatus:
        """Nodes and shards as the asked node finds them now."""
        return await self._line.call(calls.cluster_status(this_node_only))
