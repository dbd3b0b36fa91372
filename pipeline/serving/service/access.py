"""Who may ask: the token, the names this service is called by, and no other site's scripts."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.errors import UserError
from pipeline.serving.service.refusal import Refused
from pipeline.serving.service.settings import is_loopback

TOKEN, TOKEN_FILE = "SEMANIR_SERVE_TOKEN", "SEMANIR_SERVE_TOKEN_FILE"
LEAST_CHARACTERS = 16  # what tokens are made with, `openssl rand -hex 16`, has 32
OPEN_PATH = "/healthz"


def token_digest(file: str | None, environ: Mapping[str, str] = os.environ) -> str | None:
    """SHA-256 of the token in ``file``, else of what the environment names; None where there is none.

    Raises UserError for a file that cannot be read, and a token that could be guessed.
    """
    place = file or environ.get(TOKEN_FILE, "")
    text = environ.get(TOKEN, "")
    where = TOKEN
    if place:
        where = place
        try:
            text = Path(place).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"token file {place}: {getattr(error, 'strerror', None) or error}") from None
    token = text.strip()
    if not token and not place:
        return None
    if len(token) < LEAST_CHARACTERS or not token.isascii() or not token.isprintable():
        raise UserError(
            f"the token of {where} has {len(token)} characters; wanted at least {LEAST_CHARACTERS} that a header can "
            "hold, for example from `openssl rand -hex 32`"
        )
    return hashlib.sha256(token.encode()).hexdigest()


def refusal(method: str, path: str, headers: Mapping[str, str], host: str, token_sha256: str | None) -> Refused | None:
    """Why a request is not let in; None where it is.

    headers: names in lower case. host: what the service listens on. The health check is open to all.
    """
    if path == OPEN_PATH:
        return None
    called = headers.get("host", "")
    if is_loopback(host) and not is_loopback(_hostname(called)):
        # A page of another site whose name was pointed at this machine's loopback.
        return Refused(403, f"this service is called 127.0.0.1 or localhost, not {called[:80]!r}")
    if method not in ("GET", "HEAD") and _from_another_site(headers, called):
        return Refused(403, "another site's page may not use this service")
    if token_sha256 is not None and not _knows(headers.get("authorization", ""), token_sha256):
        return Refused(
            401,
            "a token is needed: send `Authorization: Bearer TOKEN`; a browser asks for it as a password, with any name",
            {"WWW-Authenticate": 'Basic realm="SemanIR", charset="UTF-8"'},
        )
    return None


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _from_another_site(headers: Mapping[str, str], called: str) -> bool:
    origin = headers.get("origin")
    if origin is not None:
        try:
            return urlsplit(origin).netloc.lower() != called.lower()
        except ValueError:
            return True
    return headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")


def _knows(authorization: str, token_sha256: str) -> bool:
    scheme, _, given = authorization.partition(" ")
    given = given.strip()
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode("utf-8").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(hashlib.sha256(given.encode("utf-8", "replace")).hexdigest(), token_sha256)
