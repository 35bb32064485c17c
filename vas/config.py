"""config.toml and the environment → typed, frozen settings.

A key of the file is overridden by the environment: `VAS_ACCOUNTS__MAIN__PORT=2776` stands for `port` of
`[accounts.main]`; a list is written as JSON. Relative paths start at the file's own folder. A duration is
a whole number and its unit: `"500ms"`, `"30s"`, `"10m"`, `"72h"`, `"90d"`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import PrivateAttr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from vas import config_checks, config_problems
from vas.config_dialects import UssdDialect
from vas.config_problems import NESTED, PREFIX, Origin
from vas.config_sections import Account, Admin, Log, Platform, Route, ServiceSection, Store, Web
from vas.config_values import SQLITE_FILE, Name
from vas.errors import ConfigError

T = TypeVar("T")


class Settings(BaseSettings):
    """All of config.toml, overridden by the environment."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter=NESTED)

    store: Store = Store()
    admin: Admin = Admin()
    web: Web = Web()
    log: Log = Log()
    accounts: dict[Name, Account] = {}
    ussd_dialects: dict[Name, UssdDialect] = {}
    routes: tuple[Route, ...] = ()
    platform: Platform = Platform()
    services: dict[Name, ServiceSection] = {}
    _origin: Origin = PrivateAttr()

    def service_settings(self, name: str, shape: type[T]) -> T:
        """The own keys of `[services.NAME]` as `shape`, a msgspec Struct or a dataclass.

        A timedelta is spelled as everywhere in the file. Raises ConfigError with every problem, one a line.
        """
        section = self.services.get(name)
        own = section.own if section else {}
        return config_problems.fill(shape, own, ("services", name), tuple(ServiceSection.model_fields), self._origin)

    def read_again(self) -> Settings:
        """The settings that the same file and environment give now; raises ConfigError as `load` does."""
        return load(self._origin.file, self._origin.environ)

    def _located(self, origin: Origin) -> Self:
        store, admin, folder = self.store, self.admin, origin.file.absolute().parent
        if file := SQLITE_FILE(store.url):
            store = store.model_copy(update={"url": f"sqlite:///{folder / file['path']}"})
        admin = admin.model_copy(update={"first_key_file": folder / admin.first_key_file})
        accounts = {
            name: account.model_copy(update=_pem_files(account, folder)) for name, account in self.accounts.items()
        }
        located = self.model_copy(update={"store": store, "admin": admin, "accounts": accounts})
        located._origin = origin
        return located


def _pem_files(account: Account, folder: Path) -> dict[str, Path]:
    files = {key: getattr(account, key) for key in ("tls_ca", "tls_certificate", "tls_key")}
    return {key: folder / file for key, file in files.items() if file is not None}


class _Environment(EnvSettingsSource):
    """Variables of a given environment instead of the process's own."""

    def __init__(self, settings: type[BaseSettings], environ: Mapping[str, str]) -> None:
        super().__init__(settings)
        self.env_vars = {name.lower(): value for name, value in environ.items()}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value  # Not JSON: refused with all other problems, by what the setting must be.


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """The settings of a file and an environment; raises ConfigError with every problem, one a line."""

    class Read(Settings):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_: PydanticBaseSettingsSource, **__: PydanticBaseSettingsSource
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return _Environment(settings_cls, environ), TomlConfigSettingsSource(settings_cls, path)

    if not path.exists():
        raise ConfigError(f"{path}: there is no such file; start from the config.toml of the distribution")
    origin = Origin(path, environ)
    problems = config_problems.unknown_variables(Settings, origin)
    try:
        settings = Read()
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except ValidationError as error:
        problems += config_problems.problems(Settings, error, origin)
    if problems:
        raise ConfigError("\n".join(problems))
    located = settings._located(origin)
    problems = [f"{origin.place(key)}: {said}" for key, said in config_checks.mistakes(located)]
    if problems:
        raise ConfigError("\n".join(problems))
    return located


def effective(settings: Settings) -> dict[str, Any]:
    """Every setting that holds, defaults too, as the file spells it; secrets are masked."""
    return config_problems.masked_secrets(settings.model_dump(mode="json"))
