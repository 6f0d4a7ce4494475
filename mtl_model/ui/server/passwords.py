"""The file of --auth: who may log in. A line a person, `name:n$r$p$salt$hash`; the password itself is nowhere.

Source: scrypt, RFC 7914; n = 2^15, r = 8 as OWASP's Password Storage Cheat Sheet gives it: 32 MiB and about a quarter of
a second a try, so a stolen file is slow to guess from.
"""

from __future__ import annotations

import base64
import getpass
import hashlib
import hmac
import os
import re
import secrets
import sys
from pathlib import Path

from mtl_model.errors import UsageError

COST, BLOCK, PARALLEL = 2**15, 8, 3
MOST_MEMORY = 128 * 2**20  # bytes that a line of the file may make scrypt take
SALT_BYTES = 16
SHORTEST, LONGEST = 8, 1024  # characters of a password
NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
NOBODY = f"{COST}${BLOCK}${PARALLEL}$AAAAAAAAAAAAAAAAAAAAAA==$AAAA"  # as slow to compare with as a person's
HOW = "python -m mtl_model ui --add-user NAME FILE"


def hash_password(password: str) -> str:
    salt = secrets.token_bytes(SALT_BYTES)
    digest = _scrypt(password, salt, COST, BLOCK, PARALLEL)
    return "$".join((*map(str, (COST, BLOCK, PARALLEL)), _text(salt), _text(digest)))


def matches(password: str, hashed: str) -> bool:
    """Whether it is the password; takes as long for a wrong one."""
    cost, block, parallel, salt, expected = _parts(hashed)
    return hmac.compare_digest(_scrypt(password[:LONGEST], salt, cost, block, parallel), expected)


def read_users(path: Path) -> dict[str, str]:
    """{name: hash}. Raises UsageError with a sentence where the file is missing, empty or not of this kind."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"'{path}' cannot be read ({why}). Expected a file made by {HOW}; make one.") from None
    users = {}
    for number, line in enumerate(lines, start=1):
        name, _, hashed = line.strip().partition(":")
        if not line.strip():
            continue
        try:
            _parts(hashed)
        except ValueError:
            hashed = ""
        if not (NAME.fullmatch(name) and hashed):
            raise UsageError(
                f"Line {number} of '{path}' is no name with a hash. Expected lines written by {HOW}; delete that line, "
                "and add the person again."
            )
        users[name] = hashed
    if not users:
        raise UsageError(f"'{path}' names nobody. Expected a line a person; add one with {HOW}.")
    return users


def add_user(name: str, path: Path, password: str | None = None) -> None:
    """Write a person into the file, with a new password if the name is there already. Raises UsageError.

    password: asked for twice at a terminal, else the first line of stdin.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' cannot be a name here. Expected 1 to 64 letters, digits, dots, dashes, underscores or @; choose another."
        )
    users = read_users(path) if path.exists() and path.read_bytes().strip() else {}
    password = _ask(name) if password is None else password
    if not SHORTEST <= len(password) <= LONGEST:
        raise UsageError(
            f"The password has {len(password)} characters. Expected {SHORTEST} to {LONGEST}; take a longer one, such as "
            "four words that do not belong together."
        )
    users[name] = hash_password(password)
    _write(path, "".join(f"{user}:{hashed}\n" for user, hashed in users.items()))


def _ask(name: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass(f"Password for {name}: ")
    if getpass.getpass("The same once more: ") != password:
        raise UsageError("The two passwords differ. Expected the same one twice; try again.")
    return password


def _write(path: Path, text: str) -> None:
    """Whole, and never readable by others, not even for a moment."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError as error:
        raise UsageError(
            f"'{path}' cannot be written ({error.strerror}). Expected a place that may be; choose another."
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def _parts(hashed: str) -> tuple[int, int, int, bytes, bytes]:
    """Raises ValueError."""
    cost, block, parallel, salt, expected = hashed.split("$")
    numbers = int(cost), int(block), int(parallel)
    if not (numbers[0] > 1 and numbers[0] & (numbers[0] - 1) == 0 and min(numbers) > 0):
        raise ValueError("scrypt's n is a power of two")
    if 128 * numbers[0] * numbers[1] > MOST_MEMORY or numbers[2] > 16:
        raise ValueError("too much memory or time")
    return *numbers, base64.b64decode(salt, validate=True), base64.b64decode(expected, validate=True)


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"), salt=salt, n=cost, r=block, p=parallel, maxmem=2 * MOST_MEMORY
    )


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
