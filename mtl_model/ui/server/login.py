"""Logging in: the page that asks for a name and a password, the sessions, the wait after wrong ones.

It is our own and not Gradio's, which guards only some of Gradio's routes and none of ours; `Gate` asks here before any
route is reached. Sessions live in memory: a restart logs everybody out, and reads the file of names anew.

Wrong passwords are counted three times: for the name from this address, for the name from everywhere, and for the
address with every name. Each count has some free tries, then the next try waits 1, 2, 4, ... up to 60 seconds, and a
count that rests for an hour begins anew. So guessing one name from a thousand addresses, or a thousand names from one,
comes down to a try a minute. Nobody is locked out for good by it: sessions go on, and where a person has logged in
before, only the count of that name at that address holds, which a stranger elsewhere cannot raise. What is left to a
stranger is to make a person wait who logs in at a new address, for as long as the guessing lasts.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from mtl_model.errors import UsageError
from mtl_model.ui.server import bodies
from mtl_model.ui.server.addresses import visitor
from mtl_model.ui.server.passwords import LONGEST, NOBODY, matches, token_digest

LOGIN, LOGOUT = "/login", "/logout"  # gradio_client logs in at the first one too
SESSION_SECONDS = 7 * 24 * 3600
FREE_TRIES = 3  # wrong passwords in a row, of a name at an address, before the next try has to wait
FREE_IN_ALL = 20  # of a name from everywhere, and of an address with every name
FORGOTTEN_SECONDS = 3600.0
MOST_AT_ONCE = 8  # tries that wait for their turn, and the one that has it: some seconds together
LONGEST_WAIT_SECONDS = 60
REMEMBERED = 10_000  # names and sessions; the oldest goes first
LARGEST_FORM, MOST_FIELDS = 16 * LONGEST, 20
WRONG = "This name and this password do not belong together. Check both, then try again."
FORM = "Expected the fields username and password alone; reload the page, then log in again."
STATIC = Path(__file__).parent.parent / "static"


Who = tuple[str | None, str | None]
"""A name and an address; None stands for all of them."""


class Login:
    def __init__(
        self,
        users: Mapping[str, str],
        cookie: str,
        path: str = "/",
        embedded: bool = False,
        tokens: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """users: {name: hash}. cookie: its name. path: where the page lies. embedded: shown inside another site's page. tokens:
        {hash: name} of programs, which come with `Authorization: Bearer TOKEN` in place of a session."""
        self._tokens = dict(tokens)
        self._users, self._cookie, self._path, self._embedded = dict(users), cookie, path, embedded
        self._sessions: OrderedDict[str, tuple[str, float]] = OrderedDict()  # hash of a token -> name, end
        self._wrong: OrderedDict[Who, tuple[int, float]] = OrderedDict()  # wrong in a row, the time of the last
        self._known: OrderedDict[Who, None] = OrderedDict()  # names with an address at which they have logged in
        self._trying = 0
        self._one_at_a_time = asyncio.Lock()  # scrypt is slow on purpose: many tries must not take all cores

    def user_of(self, connection: HTTPConnection) -> str | None:
        name, end = self._sessions.get(token_digest(connection.cookies.get(self._cookie, "")), (None, 0.0))
        if end > time.time():
            return name
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        return self._tokens.get(token_digest(token.strip())) if scheme.lower() == "bearer" else None

    def routes(self) -> list[Route]:
        return [Route(LOGIN, self._log_in, methods=["POST"]), Route(LOGOUT, self._log_out, methods=["POST"])]

    def answer(self, scope: Scope) -> Response:
        """What a stranger gets: the page that asks at the page's own address, else a sentence."""
        if scope["method"] in ("GET", "HEAD") and route_path(scope) in ("", "/"):
            style = (STATIC / "page/page.css").read_text(encoding="utf-8")
            text = (STATIC / "page/login.html").read_text(encoding="utf-8").replace("__STYLE__", style)
            return HTMLResponse(text, 401, {"cache-control": "no-store"})
        return JSONResponse({"error": "Log in first, then try again."}, 401)

    async def _log_in(self, request: Request) -> Response:
        try:
            form = await _form(request)
        except ClientDisconnect:
            return Response(status_code=bodies.GONE)
        except UsageError as error:
            return JSONResponse({"error": str(error)}, 400)
        name, password = form.get("username", "").strip()[:LONGEST], form.get("password", "")
        if self._trying >= MOST_AT_ONCE:
            return _later("Too many people are logging in at once.", 3)
        who = name, visitor(request.scope)
        self._trying += 1
        try:
            async with self._one_at_a_time:
                wait = max(self._wait(*count) for count in self._counts(*who))
                if wait > 0:
                    return _later("Too many wrong passwords.", int(wait) + 1)
                if not await asyncio.to_thread(matches, password, self._users.get(name, NOBODY)):
                    self._count_wrong(*who)
                    return JSONResponse({"error": WRONG}, 401)
        finally:
            self._trying -= 1
        for count, _ in self._counts(*who):
            self._wrong.pop(count, None)
        self._known[who] = None
        self._known.move_to_end(who)
        _limit(self._known)
        return self._begin(request, name)

    def _counts(self, name: str, address: str) -> list[tuple[Who, int]]:
        """Return the counts that hold for a try, each with its free tries."""
        here: list[tuple[Who, int]] = [((name, address), FREE_TRIES)]
        everywhere: list[tuple[Who, int]] = [((name, None), FREE_IN_ALL), ((None, address), FREE_IN_ALL)]
        return here if (name, address) in self._known else here + everywhere

    def _wait(self, who: Who, free: int) -> float:
        """Return the seconds until the next try, 0 or less if it may be made now."""
        wrong, last = self._wrong.get(who, (0, 0.0))
        pause = min(2.0 ** min(wrong - free, 10), LONGEST_WAIT_SECONDS) if wrong >= free else 0.0
        return last + pause - time.monotonic()

    def _count_wrong(self, name: str, address: str) -> None:
        now = time.monotonic()
        for who, _ in self._counts(name, address):
            wrong, last = self._wrong.pop(who, (0, now))
            self._wrong[who] = (wrong + 1 if now - last < FORGOTTEN_SECONDS else 1, now)
        _limit(self._wrong)

    def _begin(self, request: Request, name: str) -> Response:
        token = secrets.token_urlsafe(32)
        self._sessions[token_digest(token)] = (name, time.time() + SESSION_SECONDS)
        _limit(self._sessions)
        answer = JSONResponse({"success": True})
        answer.set_cookie(
            self._cookie,
            token,
            max_age=SESSION_SECONDS,
            path=self._path,
            httponly=True,
            secure=self._embedded or request.url.scheme == "https",
            samesite="none" if self._embedded else "lax",
        )
        return answer

    async def _log_out(self, request: Request) -> Response:
        self._sessions.pop(token_digest(request.cookies.get(self._cookie, "")), None)
        answer = JSONResponse({"success": True})
        answer.delete_cookie(self._cookie, path=self._path)
        return answer


def route_path(scope: Scope) -> str:
    """The path below the address of the page, whether a proxy cuts its prefix off or leaves it."""
    path, root = str(scope["path"]), str(scope.get("root_path") or "").rstrip("/")
    return path[len(root) :] if root and (path == root or path.startswith(root + "/")) else path


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a form sent as application/x-www-form-urlencoded; of one that is too large, none.

    Raises UsageError for too many fields."""
    try:
        body = await bodies.whole(request, LARGEST_FORM, UsageError("The form is too large."))
    except UsageError:
        return {}
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise UsageError(f"The form has over {MOST_FIELDS} fields. {FORM}") from None
    return {name: values[0] for name, values in fields.items()}


def _later(why: str, seconds: int) -> Response:
    sentence = f"{why} Try again in {seconds} {'second' if seconds == 1 else 'seconds'}."
    return JSONResponse({"error": sentence}, 429, {"retry-after": str(seconds)})


def _limit(kept: OrderedDict) -> None:
    while len(kept) > REMEMBERED:
        kept.popitem(last=False)
