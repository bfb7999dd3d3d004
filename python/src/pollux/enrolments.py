"""The blocking calls about enrolments: how devices come that nobody registered. What they ask is in `enrolment_calls`."""

from __future__ import annotations

import time
from typing import Any, List, Mapping, Optional, Sequence

from . import enrolment_calls
from .enrolment_calls import Enrolment, EnrolmentPut, Provisioned
from .line import Line


class Enrolments:
    """Calls about enrolments."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def put(
        self,
        name: str,
        *,
        prefix: str = "",
        type: str = "",
        groups: Sequence[str] = (),
        tags: Optional[Mapping[str, Any]] = None,
        expires_at_ms: Optional[int] = None,
        most: Optional[int] = None,
        days: Optional[int] = None,
        disabled: bool = False,
        note: str = "",
        claim_ca: str = "",
        claim_sha256: str = "",
        new_key: bool = False,
        tenant: str = "",
    ) -> EnrolmentPut:
        """Adds an enrolment, or changes it: what is left out is nothing.

        The answer to the first, and to one with `new_key`, has the key, which is never shown again. With `claim_ca` or
        `claim_sha256` devices come by a certificate that they share, and by no key.
        """
        call = enrolment_calls.put(
            name,
            tenant,
            prefix,
            type,
            groups,
            tags,
            expires_at_ms,
            most,
            days,
            disabled,
            note,
            claim_ca,
            claim_sha256,
            new_key,
        )
        return self._line.call(call)

    def get(self, name: str, *, tenant: str = "") -> Enrolment:
        """Reads an enrolment."""
        return self._line.call(enrolment_calls.get(name, tenant))

    def list(self, *, tenant: str = "") -> List[Enrolment]:
        """The enrolments of a tenant, by name."""
        return self._line.call(enrolment_calls.list_all(tenant))

    def delete(self, name: str, *, tenant: str = "") -> None:
        """Takes an enrolment away; devices keep what they got by it."""
        self._line.call(enrolment_calls.delete(name, tenant))

    def provision(
        self,
        name: str,
        device: str,
        *,
        device_key: Optional[str] = None,
        csr: str = "",
        at_ms: Optional[int] = None,
        tenant: str = "",
    ) -> Provisioned:
        """A device gets a credential: a token, or with a signing request in PEM as `csr` a certificate.

        It proves itself by its own `device_key` (`enrolment_calls.device_key` derives it), or by the certificate that
        the client shows in TLS. `at_ms` is the time of now, newer than in any proof before. Where the answer is lost,
        ask again: what is given then replaces what was given before.
        """
        at_ms = int(time.time() * 1000) if at_ms is None else at_ms
        call = enrolment_calls.provision(name, device, device_key, at_ms, csr, tenant)
        return self._line.call(call)
