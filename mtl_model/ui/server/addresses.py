"""The address a request comes from, and what a proxy may say about it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.types import Scope

from mtl_model.ui.server.environment import LOOPBACK

LOCAL = "mtl.local"
"""Key in the scope: whether the request was made on this machine, without a proxy in between."""
FORWARDED = ("x-forwarded-", "forwarded", "x-real-ip", "via", "x-gradio-server")
"""Beginnings of the headers by which proxies, and Gradio's own one, say for whom they ask."""
OF_THE_PAGE = ("x-forwarded-host", "x-forwarded-proto")
"""Where the page is opened, as opposed to who opens it."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Proxies:
    """Decide which forwarded headers count, once per request and before anything else reads them."""

    def __init__(self, named: Iterable[str], expected: bool) -> None:
        """Prepare the rules.

        Args:
            named: addresses or networks of the proxies that may say who asks.
            expected: whether some proxy stands before the page, so that any peer may say where the page is opened; the
                name that it says is checked against the known ones.
        """
        self._named: tuple[Network, ...] = tuple(ipaddress.ip_network(text, strict=False) for text in named)
        self._expected = expected

    def resolve(self, scope: Scope) -> Scope:
        """Return a copy of the scope with the visitor as client, without headers that nobody may send, and with LOCAL.

        A scope that has been resolved is returned as it is."""
        if LOCAL in scope:
            return scope
        headers = Headers(scope=scope)
        peer = str((scope.get("client") or ("",))[0])
        named = self._is_proxy(peer)
        forwarded = {name for name in headers if name.startswith(FORWARDED)}
        trusted = forwarded if named else {*OF_THE_PAGE} if self._expected else set()
        resolved = {
            **scope,
            "headers": [
                pair for pair in scope["headers"] if pair[0].decode("latin-1").lower() not in forwarded - trusted
            ],
            LOCAL: not (forwarded or self._expected) and _is_loopback(peer) and _host_name(headers) in LOOPBACK,
        }
        if named:
            resolved["client"] = (self._visitor(peer, ",".join(headers.getlist("x-forwarded-for"))), 0)
        scheme = headers.get("x-forwarded-proto", "").split(",")[0].strip().lower()
        if "x-forwarded-proto" in trusted and scheme in ("http", "https"):
            resolved["scheme"] = scheme.replace("http", "ws") if scope["type"] == "websocket" else scheme
        return resolved

    def _is_proxy(self, address: str) -> bool:
        parsed = _parse(address)
        return parsed is not None and any(parsed in network for network in self._named)

    def _visitor(self, peer: str, forwarded_for: str) -> str:
        """Return the last address of the chain that no named proxy has; what stands before it anybody can have written."""
        for hop in reversed(forwarded_for.split(",")):
            address = _without_port(hop.strip())
            if _parse(address) is None:
                break
            if not self._is_proxy(address):
                return address
        return peer


def visitor(scope: Scope) -> str:
    """Return what is counted as one address: an IPv4 address, or the /64 network of an IPv6 address."""
    text = str((scope.get("client") or ("",))[0])
    address = _parse(text)
    if isinstance(address, ipaddress.IPv6Address):  # whoever has one of these has 2^64 of them
        return str(ipaddress.ip_network((address, 64), strict=False))
    return text if address is None else str(address)


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _without_port(text: str) -> str:
    """Some proxies write 192.0.2.1:1234 or [2001:db8::1]:1234."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _is_loopback(text: str) -> bool:
    address = _parse(text)
    return address is not None and address.is_loopback


def _host_name(headers: Headers) -> str:
    host = headers.get("host", "")
    return (host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]).lower()
