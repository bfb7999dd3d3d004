"""The calls about who may do what, and principals, policies and the audit as values. Pure; `access` makes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, List, Optional, Sequence

from .calls import PAGE_SIZE, Call
from .errors import InvalidValue
from .v1 import access_pb2


@dataclass(frozen=True)
class Subject:
    """A name that an issuer of signed tokens knows a principal by."""

    issuer: str
    """As the tokens' `iss`."""
    subject: str
    """As the tokens' `sub`."""


@dataclass(frozen=True)
class PrincipalToken:
    """What is known of a token; no secret."""

    id: str
    """By which it is revoked."""
    issued_ms: int
    expires_ms: int
    note: str


@dataclass(frozen=True)
class Principal:
    """A service or an operator."""

    name: str
    note: str
    subjects: List[Subject]
    added_ms: int
    tokens: List[PrincipalToken]


@dataclass(frozen=True)
class IssuedToken:
    """A token that was made: it is not shown again."""

    token: str = field(repr=False)
    """The secret."""
    id: str
    """By which it is revoked."""
    expires_ms: int


@dataclass(frozen=True)
class Policy:
    """What is allowed to principals, or denied."""

    name: str
    principals: List[str]
    """By their names, or `*`."""
    actions: List[str]
    """Such as `twin:read`, `twin:*` or `*`."""
    on: List[str]
    """`tenant/device`, `tenant/prefix*`, `tenant/*`, or `*`: all twins, and the cluster."""
    deny: bool
    sections: List[str]
    """With `twin:write` alone: the parts that may be written; empty: all."""
    filter: str
    """Of those twins the ones for which it holds; empty: all."""


@dataclass(frozen=True)
class Decision:
    """Whether something would be allowed."""

    allowed: bool
    why: str
    """Which policy says so, for people."""


@dataclass(frozen=True)
class AuditEntry:
    """What was changed."""

    number: int
    """They count from 1 on without a gap."""
    at_ms: int
    node: int
    """The node that was asked."""
    who: str
    via: str
    """How that was proven."""
    address: str
    """Where it came from."""
    what: str
    """What was asked, such as `policy put` or `node drain`."""
    on: str
    result: str
    """`done`, `begun` where nothing more is known, or why it was refused."""


def put_principal(name: str, note: str, subjects: Sequence[Subject]) -> Call[None]:
    principal = access_pb2.Principal(
        name=name,
        note=note,
        subjects=[
            access_pb2.PrincipalSubject(issuer=one.issuer, subject=one.subject) for one in subjects
        ],
    )
    request = access_pb2.PutPrincipalRequest(principal=principal)
    # Said twice it is as said once.
    return _change("PutPrincipal", request, access_pb2.PutPrincipalResponse)


def delete_principal(name: str) -> Call[None]:
    request = access_pb2.RemovePrincipalRequest(name=name)
    # One of the same name could be added in between, and would be removed by a repetition.
    return _change("RemovePrincipal", request, access_pb2.RemovePrincipalResponse)


def list_principals() -> Call[List[Principal]]:
    each: Callable[[Any], List[Principal]] = lambda answer: [
        _principal(one) for one in answer.principals
    ]
    request, response = access_pb2.ListPrincipalsRequest(), access_pb2.ListPrincipalsResponse
    return Call("/pollux.v1.Access/ListPrincipals", request, response, each)


def issue_token(principal: str, good_for: Optional[float], note: str) -> Call[IssuedToken]:
    good_for_ms = 0 if good_for is None else round(good_for * 1000)
    if good_for is not None and good_for_ms < 1000:
        raise InvalidValue(f"good_for: is {good_for} s; a token is good for a second at least")
    request = access_pb2.IssueTokenRequest(principal=principal, good_for_ms=good_for_ms, note=note)
    issued: Callable[[Any], IssuedToken] = lambda of: IssuedToken(of.token, of.id, of.expires_ms)
    # A repetition would make another, and nobody would know the first.
    return Call("/pollux.v1.Access/IssueToken", request, access_pb2.IssueTokenResponse, issued, True)


def revoke_token(id: str) -> Call[None]:
    return _change("RevokeToken", access_pb2.RevokeTokenRequest(id=id), access_pb2.RevokeTokenResponse)


def put_policy(
    name: str,
    principals: Sequence[str],
    actions: Sequence[str],
    on: Sequence[str],
    deny: bool,
    sections: Sequence[str],
    filter: str,
) -> Call[None]:
    lists = {"principals": principals, "actions": actions, "on": on, "sections": sections}
    for field_name, given in lists.items():
        if isinstance(given, str):
            raise InvalidValue(f"{field_name}: is one text; give a list of them")
    policy = access_pb2.Policy(name=name, deny=deny, filter=filter, **lists)
    request = access_pb2.PutPolicyRequest(policy=policy)
    # Said twice it is as said once.
    return _change("PutPolicy", request, access_pb2.PutPolicyResponse)


def delete_policy(name: str) -> Call[None]:
    request = access_pb2.RemovePolicyRequest(name=name)
    # As for principals.
    return _change("RemovePolicy", request, access_pb2.RemovePolicyResponse)


def list_policies() -> Call[List[Policy]]:
    each: Callable[[Any], List[Policy]] = lambda answer: [_policy(one) for one in answer.policies]
    request, response = access_pb2.ListPoliciesRequest(), access_pb2.ListPoliciesResponse
    return Call("/pollux.v1.Access/ListPolicies", request, response, each)


def check(principal: str, action: str, on: str, section: str, filter: str) -> Call[Decision]:
    request = access_pb2.CheckRequest(
        principal=principal, action=action, on=on, section=section, filter=filter
    )
    decided: Callable[[Any], Decision] = lambda answer: Decision(answer.allowed, answer.why)
    return Call("/pollux.v1.Access/Check", request, access_pb2.CheckResponse, decided)


def audit(before: int) -> Call[List[AuditEntry]]:
    """A page of it, the newest first; the next is before the number of its last entry, up to an empty one."""
    each: Callable[[Any], List[AuditEntry]] = lambda answer: [_entry(one) for one in answer.entries]
    request = access_pb2.AuditRequest(before=before, limit=PAGE_SIZE)
    return Call("/pollux.v1.Access/Audit", request, access_pb2.AuditResponse, each)


def _change(verb: str, request: Any, response: Any) -> Call[None]:
    return Call(f"/pollux.v1.Access/{verb}", request, response, lambda _: None, True)


def _principal(of: access_pb2.Principal) -> Principal:
    return Principal(
        name=of.name,
        note=of.note,
        subjects=[Subject(one.issuer, one.subject) for one in of.subjects],
        added_ms=of.added_ms,
        tokens=[
            PrincipalToken(one.id, one.issued_ms, one.expires_ms, one.note) for one in of.tokens
        ],
    )


def _policy(of: access_pb2.Policy) -> Policy:
    return Policy(
        name=of.name,
        principals=list(of.principals),
        actions=list(of.actions),
        on=list(of.on),
        deny=of.deny,
        sections=list(of.sections),
        filter=of.filter,
    )


def _entry(of: access_pb2.AuditEntry) -> AuditEntry:
    return AuditEntry(
        number=of.number,
        at_ms=of.at_ms,
        node=of.node,
        who=of.who,
        via=of.via,
        # A word of Python's own.
        address=getattr(of, "from"),
        what=of.what,
        on=of.on,
        result=of.result,
    )
