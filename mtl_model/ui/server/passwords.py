"""The file of --auth: who may log in. A line a person, `name:n$r$p$salt$hash`, or a program, `name:token$hash`; neither password
nor token stands there. A token is 256 random bits, which nobody guesses, so SHA-256 is enough for it.

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
TOKEN, TOKEN_BYTES = "token", 32
HASHED_TOKEN = re.compile(TOKEN + r"[$][0-9a-f]{64}")
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
    """{name: hash} of the people. Raises UsageError with a sentence where the file is missing, empty or not of this kind."""
    return {name: hashed for name, hashed in _read(path) if not HASHED_TOKEN.fullmatch(hashed)}


def read_tokens(path: Path) -> dict[str, str]:
    """{hash of a token: name} of the programs. Raises UsageError as `read_users` does."""
    return {hashed.partition("$")[2]: name for name, hashed in _read(path) if HASHED_TOKEN.fullmatch(hashed)}


def token_digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def add_token(name: str, path: Path) -> str:
    """Write a new token into the file, in place of an older one of that name, and return it: it can be read nowhere else.

    Raises UsageError."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    _add(name, path, f"{TOKEN}${token_digest(token)}")
    return token


def _read(path: Path) -> list[tuple[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"'{path}' cannot be read ({why}). Expected a file made by {HOW}; make one.") from None
    known = []
    for number, line in enumerate(lines, start=1):
        name, _, hashed = line.strip().partition(":")
        if not line.strip():
            continue
        try:
            if not HASHED_TOKEN.fullmatch(hashed):
                _parts(hashed)
        except ValueError:
            hashed = ""
        if not (NAME.fullmatch(name) and hashed):
            raise UsageError(
                f"Line {number} of '{path}' is no name with a hash. Expected lines written by {HOW}; delete that line, "
                "and add the person again."
            )
        known.append((name, hashed))
    if not known:
        raise UsageError(f"'{path}' names nobody. Expected a line a person; add one with {HOW}.")
    return known


def _add(name: str, path: Path, hashed: str) -> None:
    """Write a line; a person's takes the place of a person's of that name, a program's that of a program's. Raises UsageError."""
    _check(name)
    known = _read(path) if path.exists() and path.read_bytes().strip() else []
    is_token = bool(HASHED_TOKEN.fullmatch(hashed))
    others = [line for line in known if line[0] != name or bool(HASHED_TOKEN.fullmatch(line[1])) != is_token]
    _write(path, "".join(f"{other}:{of_other}\n" for other, of_other in [*others, (name, hashed)]))


def add_user(name: str, path: Path, password: str | None = None) -> None:
    """Write a person into the file, with a new password if the name is there already. Raises UsageError.

    password: asked for twice at a terminal, else the first line of stdin.
    """
    _check(name)
    password = _ask(name) if password is None else password
    if not SHORTEST <= len(password) <= LONGEST:
        raise UsageError(
            f"The password has {len(password)} characters. Expected {SHORTEST} to {LONGEST}; take a longer one, such as "
            "four words that do not belong together."
        )
    _add(name, path, hash_password(password))


def _check(name: str) -> None:
    if not NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' cannot be a name here. Expected 1 to 64 letters, digits, dots, dashes, underscores or @; choose another."
        )


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
