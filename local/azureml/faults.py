"""Faults on order: what the scoring or the management plane does wrong when a test says so; nobody else uses it.

`PUT /faults` with an ARM token takes `{"rules": [...]}` in the place of the rules before; `GET /faults` tells how often
each was followed, `DELETE /faults` forgets them. A rule is a `Rule` as JSON. The first rule that is due is followed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from aiohttp import web

from .errors import ArmError, user_error

Kind = Literal[
    "status",  # answers `status` itself, with Retry-After where `retry_after` is given
    "wrapped",  # answers 424 around `status`, as if the container had said it
    "reset_before",  # ends the connection instead of answering
    "reset_within",  # ends the connection in the middle of the answer's body
    "truncated",  # leaves out the end of the answer, and says that it is whole
    "between_messages",  # cuts an Arrow answer where one message ends and the next begins
    "malformed",  # answers bytes that mean nothing
    "too_few",  # answers half of the rows, in a well-formed stream
    "slow",  # answers after `seconds`
    "swap",  # gives all traffic to deployment `to`, then answers
    # of the management plane
    "arm_status",  # refuses with `status`, `code` and `message`, with Retry-After where `retry_after` is given
    "arm_lost",  # does what was asked for, and answers `status` instead of saying so
    "arm_vanish",  # forgets the resource, and answers 404 from then on
    "never_ready",  # a deployment that stays "Creating" or "Updating" until it is deleted
]
_WHOLE = ("status", "wrapped", "reset_before")
_MANAGEMENT = ("arm_status", "arm_lost", "arm_vanish", "never_ready")
_ABOUT_THE_ANSWER = ("reset_within", "truncated", "between_messages", "malformed", "too_few")
_END_OF_STREAM = 8
_REASON = "injected fault"


@dataclass
class Rule:
    """One fault and the requests that it befalls."""

    kind: Kind
    times: int | None = None
    """So many requests; None for every one until told otherwise."""
    every: int = 1
    """Each k-th of those that match."""
    after: int = 0
    """So many that match are let through first."""
    endpoint: str = ""
    deployment: str = ""
    holds: str = ""
    """Only requests whose body has these bytes in it, as hexadecimal digits."""
    status: int = 503
    retry_after: int | None = None
    seconds: float = 0.0
    to: str = ""
    method: str = ""
    """Of the management plane: the HTTP method, in capitals."""
    path: str = ""
    """Of the management plane: what the path below the workspace begins with, e.g. ``jobs/gas-``."""
    code: str = "InjectedFault"
    message: str = "injected fault"
    matched: int = 0
    injected: int = 0

    def due(self, endpoint: str, deployment: str, body: bytes) -> bool:
        """Whether this request is one; it is counted."""
        if self.kind in _MANAGEMENT or self.endpoint not in ("", endpoint) or self.deployment not in ("", deployment):
            return False
        return bytes.fromhex(self.holds) in body and self._counted()

    def due_there(self, method: str, path: str) -> bool:
        """Whether this call of the management plane is one; it is counted."""
        if self.kind not in _MANAGEMENT or self.method not in ("", method):
            return False
        return path.lower().startswith(self.path.lower()) and self._counted()

    def _counted(self) -> bool:
        self.matched += 1
        turn = self.matched - self.after
        if turn <= 0 or turn % self.every or (self.times is not None and self.injected >= self.times):
            return False
        self.injected += 1
        return True


class Faults:
    """The rules in force; none at the start."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def order(self, body: Mapping[str, Any]) -> None:
        """Puts these rules in the place of those before."""
        known = {each.name for each in fields(Rule)} - {"matched", "injected"}
        asked = body.get("rules", [])
        for rule in asked:
            if rule.get("kind") not in get_args(Kind) or not set(rule) <= known:
                raise user_error(f"This is no fault: {rule}")
        self._rules = [Rule(**rule) for rule in asked]

    def told(self) -> dict[str, Any]:
        """The rules and how often each was followed."""
        return {"rules": [asdict(rule) for rule in self._rules]}

    async def due(self, endpoint: str, deployment: str, request: web.Request) -> Rule | None:
        """The rule that befalls this request, if any does; its body is read when a rule asks for it."""
        body = await request.read() if any(rule.holds for rule in self._rules) else b""
        return next((rule for rule in self._rules if rule.due(endpoint, deployment, body)), None)

    def due_there(self, method: str, path: str) -> Rule | None:
        """The rule that befalls this call of the management plane, if any does."""
        return next((rule for rule in self._rules if rule.due_there(method, path)), None)


def refusal(rule: Rule) -> ArmError:
    """What the management plane answers by the rule."""
    headers = {} if rule.retry_after is None else {"Retry-After": str(rule.retry_after)}
    return ArmError(rule.status, rule.code, rule.message, headers=headers)


def replaces_the_answer(rule: Rule) -> bool:
    """Whether no container is asked at all."""
    return rule.kind in _WHOLE


def spoils_the_answer(rule: Rule) -> bool:
    """Whether the container's answer is tampered with."""
    return rule.kind in _ABOUT_THE_ANSWER


async def instead(rule: Rule, request: web.Request, own: Mapping[str, str]) -> web.StreamResponse:
    """What is answered in the place of a container's answer."""
    if rule.kind == "reset_before":
        return _reset(request)
    headers = dict(own)
    if rule.retry_after is not None:
        headers["Retry-After"] = str(rule.retry_after)
    if rule.kind == "wrapped":
        headers |= {"ms-azureml-model-error-statuscode": str(rule.status), "ms-azureml-model-error-reason": _REASON}
        return web.json_response({"error": _REASON}, status=424, headers=headers)
    body = {"error": {"code": "InjectedFault", "message": _REASON}}
    return web.json_response(body, status=rule.status, headers=headers)


async def spoilt(rule: Rule, request: web.Request, response: web.StreamResponse, body: bytes) -> web.StreamResponse:
    """The container's answer, tampered with; `response` has its status and headers."""
    if rule.kind == "reset_within":
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        await asyncio.sleep(0.01)  # the half is on its way before the connection ends
        return _reset(request)
    sent = {
        "truncated": lambda: body[:-20],
        "between_messages": lambda: _half(body)[:-_END_OF_STREAM],
        "malformed": lambda: os.urandom(len(body)),
        "too_few": lambda: _half(body),
    }[rule.kind]()
    response.content_length = len(sent)
    await response.prepare(request)
    await response.write(sent)
    await response.write_eof()
    return response


def _reset(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)  # nobody is left to read it


def _half(body: bytes) -> bytes:
    """The first half of an Arrow stream's rows, as a stream."""
    import pyarrow as pa  # what the emulator itself serves is opaque to it

    table = pa.ipc.open_stream(body).read_all()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.slice(0, table.num_rows // 2))
    return bytes(sink.getvalue().to_pybytes())
