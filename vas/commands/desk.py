"""The operations' HTTP, as the commands call it."""

from __future__ import annotations

import json
import os
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import typer

from vas.errors import VasError

if TYPE_CHECKING:
    from vas.config_sections import Admin

KEY_VARIABLE = "VAS_ADMIN_KEY"
TIMEOUT_S = 60.0
"""Longer than an account takes to unbind."""

_PLACES = ("path", "query", "body")
_NAMES = {"msisdn": "the number", "reason": "--reason", "name": "the name", "id": "the id"}
"""What the commands call that which the listener names otherwise."""

Url = Annotated[str, typer.Option("--url", help="The operations' listener; else that of the settings.")]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", help=f"File with the key; else ${KEY_VARIABLE}, else first_key_file of the settings."),
]
Config = Annotated[Path, typer.Option("--config", "-c", envvar="VAS_CONFIG", help="The settings.")]
Why = Annotated[str, typer.Option("--reason", "-r", help="Why: kept in the audit.")]


class Desk:
    """Requests with a key; every problem is a VasError in plain words."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url.rstrip("/")
        self._key = key

    def get(self, path: str) -> Any:
        """The JSON of an answer."""
        return self._ask(path, None)

    def post(self, path: str, body: dict[str, object]) -> Any:
        """The JSON of an answer."""
        return self._ask(path, json.dumps(body).encode())

    def _ask(self, path: str, body: bytes | None) -> Any:
        if not self._url.startswith(("http://", "https://")):
            raise VasError(
                f"{self._url!r} is no address; try --url http://{self._url.partition('://')[2] or self._url}"
            )
        request = Request(self._url + path, body, {"Content-Type": "application/json"})  # noqa: S310 - checked above
        request.add_header("Authorization", f"Bearer {self._key}")
        try:
            with urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 - checked above
                return json.load(response)
        except HTTPError as error:
            raise VasError(_said(error)) from None
        except (URLError, OSError) as error:
            reason = error.reason if isinstance(error, URLError) else error
            raise VasError(
                f"no platform answers at {self._url} ({reason}): start `vas run`, or name another with --url"
            ) from None
        except ValueError:
            raise VasError(f"what answers at {self._url} is no platform; name another with --url") from None


def _said(error: HTTPError) -> str:
    """The problem in an answer, RFC 9457, one line for each flaw."""
    if error.code == HTTPStatus.UNAUTHORIZED:
        return f"the key is not valid; name another with --key-file or {KEY_VARIABLE}"
    try:
        problem = json.load(error)
        lines = [_flaw(flaw) for flaw in problem.get("errors", ())]
        if problem.get("detail") or not lines:
            lines.insert(0, problem.get("detail") or problem["title"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"the platform answers {error.code} {error.reason}"
    return "\n".join(lines)


def _flaw(flaw: dict[str, Any]) -> str:
    """With the name of what is wrong, where the request has one for it."""
    place, _, name = flaw["where"].partition(".")
    return f"{_NAMES.get(name, name)} {flaw['message']}" if place in _PLACES and name else str(flaw["message"])


def desk(url: str, key_file: Path | None, config: Path) -> Desk:
    """Whom to ask and with which key: what was said first, then the environment, then the settings.

    The settings are read only for what nobody said, so that a laptop without them can ask, too.
    """
    url = url or f"http://{_admin(config).listen}"
    if key_file is None and KEY_VARIABLE in os.environ:
        return Desk(url, os.environ[KEY_VARIABLE].strip())
    file = key_file or _admin(config).first_key_file
    try:
        return Desk(url, file.read_text("ascii").strip())
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it holds none"
        raise VasError(f"{file}: no key ({why}); name its file with --key-file, or set {KEY_VARIABLE}") from None


def _admin(config: Path) -> Admin:
    from vas.config import load

    return load(config, os.environ).admin
