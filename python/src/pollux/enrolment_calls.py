"""The calls about enrolments, and the proofs of devices that come by them. Pure; `enrolments` makes the calls."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from .calls import Call
from .errors import InvalidValue
from .v1 import fleet_pb2
from .values import object_from_json, object_to_json


@dataclass(frozen=True)
class Enrolment:
    """By what devices that nobody registered come."""

    tenant: str
    name: str
    prefix: str
    """For devices whose names begin so."""
    type: str
    groups: List[str]
    tags: Dict[str, Any]
    expires_at_ms: Optional[int]
    most: Optional[int]
    """How many devices it may bring; `None`: as many as come."""
    days: Optional[int]
    """How many days what they get is good for."""
    disabled: bool
    note: str
    claim_ca: str
    """The CA, in PEM, of the certificate that its devices share; empty where they come by keys."""
    claim_sha256: str
    """The same of one certificate."""
    enrolled: int
    """How many devices it brought."""
    at_ms: int
    by: str


@dataclass(frozen=True)
class EnrolmentPut:
    """An enrolment as it is now."""

    enrolment: Enrolment
    key: Optional[str] = field(repr=False)
    """Its key, where one was made: it is not shown again, and belongs where devices are made."""


@dataclass(frozen=True)
class Provisioned:
    """What a device has from now on."""

    tenant: str
    device: str
    token: Optional[str] = field(repr=False)
    certificate: Optional[str]
    """In PEM, over the key of the request."""
    expires_at_ms: Optional[int]
    server_ca: str
    """By what the device knows nodes; empty where their certificates are of another CA."""


def device_key(enrolment_key: str, device: str, *, tenant: str = "default") -> str:
    """The key of a device, from that of its enrolment: 64 hexadecimal digits, to be put into the device.

    Whoever takes the device apart can be no other with it; the enrolment's key stays where devices are made.
    """
    text = f"pollux enrolment key 1\n{tenant}/{device}"
    return _hmac(_key(enrolment_key), text)


def proof(
    own_key: str, enrolment: str, device: str, at_ms: int, csr: str = "", *, tenant: str = "default"
) -> str:
    """What a device proves with its own key: 64 hexadecimal digits, good once."""
    text = f"pollux enrolment 1\n{tenant}\n{enrolment}\n{device}\n{at_ms}\n{csr}"
    return _hmac(_key(own_key), text)


def _key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise InvalidValue("key: takes 64 hexadecimal digits")
    return key


def _hmac(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def put(
    name: str,
    tenant: str,
    prefix: str,
    type: str,
    groups: Sequence[str],
    tags: Optional[Mapping[str, Any]],
    expires_at_ms: Optional[int],
    most: Optional[int],
    days: Optional[int],
    disabled: bool,
    note: str,
    claim_ca: str,
    claim_sha256: str,
    new_key: bool,
) -> Call[EnrolmentPut]:
    if isinstance(groups, str):
        raise InvalidValue("groups: is one text; give a list of them")
    asked = fleet_pb2.Enrolment(
        tenant=tenant,
        name=name,
        prefix=prefix,
        type=type,
        groups=groups,
        tags_json="" if tags is None else object_to_json(tags, "tags"),
        expires_at_ms=expires_at_ms or 0,
        most=most or 0,
        days=days or 0,
        disabled=disabled,
        note=note,
        claim_ca_pem=claim_ca,
        claim_sha256=claim_sha256,
    )
    request = fleet_pb2.PutEnrolmentRequest(enrolment=asked, new_key=new_key)
    answer: Callable[[Any], EnrolmentPut] = lambda put: EnrolmentPut(read(put.enrolment), put.key or None)
    # Repeated, the key that was lost with the first answer would not come again.
    return Call("/pollux.v1.Enrolments/Put", request, fleet_pb2.PutEnrolmentResponse, answer, True)


def get(name: str, tenant: str) -> Call[Enrolment]:
    request = fleet_pb2.GetEnrolmentRequest(tenant=tenant, name=name)
    return Call("/pollux.v1.Enrolments/Get", request, fleet_pb2.Enrolment, read)


def list_all(tenant: str) -> Call[List[Enrolment]]:
    each: Callable[[Any], List[Enrolment]] = lambda answer: [read(one) for one in answer.enrolments]
    request = fleet_pb2.ListEnrolmentsRequest(tenant=tenant)
    return Call("/pollux.v1.Enrolments/List", request, fleet_pb2.ListEnrolmentsResponse, each)


def delete(name: str, tenant: str) -> Call[None]:
    request = fleet_pb2.RemoveEnrolmentRequest(tenant=tenant, name=name)
    response = fleet_pb2.RemoveEnrolmentResponse
    return Call("/pollux.v1.Enrolments/Remove", request, response, lambda _: None, True)


def provision(
    name: str, device: str, own_key: Optional[str], at_ms: int, csr: str, tenant: str
) -> Call[Provisioned]:
    claim = ""
    if own_key is not None:
        claim = proof(own_key, name, device, at_ms, csr, tenant=tenant or "default")
    request = fleet_pb2.ProvisionRequest(
        tenant=tenant, enrolment=name, device=device, at_ms=at_ms, csr_pem=csr, hmac_sha256=claim
    )
    answer: Callable[[Any], Provisioned] = lambda got: Provisioned(
        tenant=got.tenant,
        device=got.device,
        token=got.token or None,
        certificate=got.certificate_pem or None,
        expires_at_ms=got.expires_at_ms or None,
        server_ca=got.server_ca_pem,
    )
    # A proof counts once: what was not answered is asked again with another.
    return Call("/pollux.v1.Enrolments/Provision", request, fleet_pb2.ProvisionResponse, answer, True)


def read(of: fleet_pb2.Enrolment) -> Enrolment:
    """An enrolment."""
    return Enrolment(
        tenant=of.tenant,
        name=of.name,
        prefix=of.prefix,
        type=of.type,
        groups=list(of.groups),
        tags=object_from_json(of.tags_json) if of.tags_json else {},
        expires_at_ms=of.expires_at_ms or None,
        most=of.most or None,
        days=of.days or None,
        disabled=of.disabled,
        note=of.note,
        claim_ca=of.claim_ca_pem,
        claim_sha256=of.claim_sha256,
        enrolled=of.enrolled,
        at_ms=of.at_ms,
        by=of.by,
    )
