"""The asyncio calls about who may do what. What they ask is in `access_calls`."""

from __future__ import annotations

from typing import AsyncIterator, List, Optional, Sequence

from .. import access_calls
from .line import Line
from ..access_calls import AuditEntry, Decision, IssuedToken, Policy, Principal, Subject


class Access:
    """Calls about who may do what. Who the caller is says `Client.who_am_i`."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def put_principal(
        self, name: str, *, note: str = "", subjects: Sequence[Subject] = ()
    ) -> None:
        """Adds a principal, or changes it: what is left out is nothing. It may do nothing until a policy says so."""
        await self._line.call(access_calls.put_principal(name, note, subjects))

    async def list_principals(self) -> List[Principal]:
        """All principals by name, with what is known of their tokens; never a secret."""
        return await self._line.call(access_calls.list_principals())

    async def delete_principal(self, name: str) -> None:
        """Takes a principal away, with its tokens; policies go on naming it."""
        await self._line.call(access_calls.delete_principal(name))

    async def issue_token(
        self, principal: str, *, good_for: Optional[float] = None, note: str = ""
    ) -> IssuedToken:
        """Makes a further token of a principal, of at most eight; the answer has it, and it is never shown again.

        It is good for so many seconds, a second to two years; 90 days unless said otherwise.
        """
        return await self._line.call(access_calls.issue_token(principal, good_for, note))

    async def revoke_token(self, id: str) -> None:
        """Makes a token worth nothing, by its id."""
        await self._line.call(access_calls.revoke_token(id))

    async def put_policy(
        self,
        name: str,
        *,
        principals: Sequence[str],
        actions: Sequence[str],
        on: Sequence[str],
        deny: bool = False,
        sections: Sequence[str] = (),
        filter: str = "",
    ) -> None:
        """Adds a policy, or puts it in the place of the one of that name. What they hold is said at `Policy`."""
        call = access_calls.put_policy(name, principals, actions, on, deny, sections, filter)
        await self._line.call(call)

    async def list_policies(self) -> List[Policy]:
        """All policies, by name."""
        return await self._line.call(access_calls.list_policies())

    async def delete_policy(self, name: str) -> None:
        """Takes a policy away."""
        await self._line.call(access_calls.delete_policy(name))

    async def check(
        self, principal: str, action: str, on: str = "", *, section: str = "", filter: str = ""
    ) -> Decision:
        """Whether a principal may do something, and why; nothing is done.

        `on` is `tenant/device`, `tenant/prefix*` for a list, a query or a watch, or empty for the cluster itself;
        `section` what is written of a twin, `filter` that of a query, a watch or a job.
        """
        return await self._line.call(access_calls.check(principal, action, on, section, filter))

    async def audit(self, *, before: int = 0) -> AsyncIterator[AuditEntry]:
        """What was changed, by whom, and what came of it, the newest first: asks page after page.

        With `before`, only entries before that number. The newest thousand are kept.
        """
        while page := await self._line.call(access_calls.audit(before)):
            for entry in page:
                yield entry
            before = page[-1].number
