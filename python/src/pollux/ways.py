"""How nodes are reached: addresses, certificates, tokens. Checked once, before anything is dialled."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, Optional, Sequence, Tuple, Union
from urllib.parse import urlsplit

import grpc

from .errors import InvalidValue

#: Where a node of this machine listens, unless said otherwise.
DEFAULT = "http://127.0.0.1:4434"
#: How long a call may take in all, in seconds.
TIMEOUT = 10.0
#: For how long a watch or a consumer looks for a node after its stream broke, in seconds.
RESUME_TIMEOUT = 60.0
#: Bytes of one answer: a page of full twins may be large.
ANSWER_BYTES_MAX = 64 * 1024 * 1024

_CHANNEL = [
    ("grpc.max_receive_message_length", ANSWER_BYTES_MAX),
    # A node that is back is found soon.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # A node that is frozen or cut off is noticed, by streams that wait for events, too.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    # Retries are decided by this package, which knows what may be repeated.
    ("grpc.enable_retries", 0),
]

Pem = Union[str, Path, bytes]
"""A PEM file by its path, or its content as bytes."""
Token = Union[str, Callable[[], str], None]
"""A token, or what gives one for each call, such as a function that reads a file that is renewed."""


@dataclass(frozen=True)
class Target:
    """The address of a node's gRPC endpoint."""

    authority: str
    tls: bool


@dataclass(frozen=True)
class Ways:
    """The nodes that a client may ask, and how."""

    targets: List[Target]
    credentials: Optional[grpc.ChannelCredentials]
    token: Callable[[], Optional[str]]

    @property
    def options(self) -> List[Tuple[str, int]]:
        """Options of a channel."""
        return list(_CHANNEL)

    def metadata(self) -> Tuple[Tuple[str, str], ...]:
        """What a call carries beside its message."""
        token = self.token()
        if token is None:
            return ()
        if not token or not all("!" <= char <= "~" for char in token):
            raise InvalidValue("token: has characters that no token has; use it as it was printed")
        return (("authorization", f"Bearer {token}"),)


def ways(
    addresses: Union[str, Sequence[str], None],
    *,
    ca: Optional[Pem],
    certificate: Optional[Pem],
    key: Optional[Pem],
    token: Token,
    plain: bool,
) -> Ways:
    """Checks how nodes are to be reached. What is not given is taken from `POLLUX_GRPC`, `POLLUX_TOKEN` and
    `POLLUX_TOKEN_FILE`, as the command line does."""
    if addresses is None:
        addresses = os.environ.get("POLLUX_GRPC") or DEFAULT
    texts = [addresses] if isinstance(addresses, str) else list(addresses)
    if not texts:
        raise InvalidValue("addresses: none given; name at least one node, such as https://node.example:4434")
    targets = [_target(text) for text in texts]
    given = _token(token)
    for text, target in zip(texts, targets):
        if given is not None and not target.tls and not plain and not _is_here(target.authority):
            raise InvalidValue(
                f"address {text!r}: the token would travel in the clear; use https://, or say plain=True where "
                "the network is safe"
            )
    if (certificate is None) != (key is None):
        raise InvalidValue("certificate: takes the certificate and its key, both or neither")
    if (ca is not None or certificate is not None) and not all(target.tls for target in targets):
        raise InvalidValue("ca and certificate are for TLS; write every address with https://")
    credentials = None
    if any(target.tls for target in targets):
        credentials = grpc.ssl_channel_credentials(
            _pem("ca", ca), _pem("key", key), _pem("certificate", certificate)
        )
    return Ways(targets, credentials, given or (lambda: None))


def _target(text: str) -> Target:
    wrong = f"address {text!r}: write it as http://127.0.0.1:4434 or https://node.example:4434"
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError:
        raise InvalidValue(wrong) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise InvalidValue(wrong)
    if parts.username is not None or parts.query or parts.fragment:
        raise InvalidValue(wrong)
    tls = parts.scheme == "https"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Target(f"{host}:{port if port is not None else (443 if tls else 80)}", tls)


def _is_here(authority: str) -> bool:
    host = authority.rsplit(":", 1)[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _token(token: Token) -> Optional[Callable[[], Optional[str]]]:
    if callable(token):
        return token
    if token is None:
        token = os.environ.get("POLLUX_TOKEN") or None
        path = os.environ.get("POLLUX_TOKEN_FILE")
        if token is None and path:
            return lambda: Path(path).read_text().strip()
    if token is None:
        return None
    text = token
    return lambda: text


def _pem(field: str, given: Optional[Pem]) -> Optional[bytes]:
    if given is None or isinstance(given, bytes):
        return given
    try:
        return Path(given).read_bytes()
    except OSError as error:
        raise InvalidValue(f"{field}: {given}: {error.strerror}; name a PEM file, or give its content as bytes") from None
