"""What the optional files config/<service>_<env>.conf and config/db_<env>.conf may say."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from guarded_rollout.adapters.configuration.environment_section import replicas
from guarded_rollout.adapters.configuration.located import Place, Value, given, quoted, suggestion
from guarded_rollout.core.spec import DatabaseAddress

POSTGRESQL_PORT = 5432
_NOT_ENFORCED = ("IMAGE_TAG", "MEMORY_LIMIT", "CPU_LIMIT")
_GIVEN_TO_SERVICE = ("SERVICE_NAME", *_NOT_ENFORCED)
_DB_KEYS = ("DB_HOST", "DB_PORT", "DB_NAME", "DB_USER")
_SECRET = re.compile(r"(?:PASS|PASSWORD|PASSWD|PWD|SECRET|TOKEN|URL|URI|DSN)$", re.IGNORECASE)
_SHAPES = {
    "SERVICE_NAME": (r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", "letters, digits, dots and hyphens"),
    "IMAGE_TAG": (r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", "a version such as v1.2.3"),
    "MEMORY_LIMIT": (r"[1-9][0-9]*(?:Ki|Mi|Gi|Ti|K|M|G|T)?", "an amount such as 512Mi or 2Gi"),
    "CPU_LIMIT": (r"[1-9][0-9]*m|[0-9]*[1-9][0-9]*|[0-9]+\.[0-9]+", "an amount such as 500m or 2"),
    "HOST": (r"/[^\s@]*|[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+", "a host name, an address or a folder"),
    "NAME": (r"[^\s/\\@:?#]{1,63}", "a database's name without spaces"),
    "USER": (r"[^\s/\\@:?#]{1,63}", "a user's name without spaces"),
}


@dataclass(frozen=True, slots=True)
class ServiceConf:
    """What config/<service>_<env>.conf adds. `replicas` None: rollout.toml's number stays."""

    replicas: int | None = None
    env: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()


def service_conf(found: Mapping[str, Value], service: str) -> ServiceConf:
    """Keys begin with the service's name: DHASH_REPLICAS. BadInput names file, line and key."""
    prefix = service.upper().replace("-", "_") + "_"
    known = tuple(f"{prefix}{key}" for key in ("REPLICAS", *_GIVEN_TO_SERVICE))
    _only(found, known)
    env = tuple(
        (f"{prefix}{key}", shaped(found[f"{prefix}{key}"], key))
        for key in _GIVEN_TO_SERVICE
        if f"{prefix}{key}" in found
    )
    idle = [f"{prefix}{key}" for key in _NOT_ENFORCED if f"{prefix}{key}" in found]
    warnings = []
    if idle:
        where = found[idle[0]].place
        warnings.append(
            f"{where.file}:{where.line}: {', '.join(idle)}: given to the service as environment "
            "variables, not enforced on one machine"
        )
    return ServiceConf(
        given(found.get(f"{prefix}REPLICAS"), lambda at: replicas(_number(at)), None),
        env,
        tuple(warnings),
    )


def database_conf(found: Mapping[str, Value], shown: str) -> DatabaseAddress:
    """The PostgreSQL server. A password in the file is refused, whatever its key is called."""
    for key, value in found.items():
        if key not in _DB_KEYS and _SECRET.search(key):
            raise value.problem(
                "passwords are not read from conf files: these are shared and backed up",
                "take the line out, change that password, and put it into PGPASSWORD in the "
                "environment or into ~/.pgpass",
            )
    _only(found, _DB_KEYS)
    for key in ("DB_HOST", "DB_NAME", "DB_USER"):
        if key not in found:
            last = max((value.place.line for value in found.values()), default=1)
            raise Place(shown, last, key).problem("is missing", f"add a line {key}=...")
    port = found.get("DB_PORT")
    return DatabaseAddress(
        kind="postgresql",
        host=shaped(found["DB_HOST"], "HOST"),
        port=given(port, lambda at: _number(at).whole(1, 65535, "(a port)"), POSTGRESQL_PORT),
        name=shaped(found["DB_NAME"], "NAME"),
        user=shaped(found["DB_USER"], "USER"),
    )


def _only(found: Mapping[str, Value], known: tuple[str, ...]) -> None:
    for key, value in found.items():
        if key not in known:
            raise value.problem("this key is not known", suggestion(key, known))


def _number(value: Value) -> Value:
    """In a conf file everything is text; a number without quotes is meant as one."""
    text = value.text()
    if re.fullmatch(r"-?[0-9]{1,9}", text) is None:
        raise value.problem(f"must be a whole number, is {quoted(text)}", "write digits only")
    return Value(value.place, int(text))


def shaped(value: Value, key: str) -> str:
    """Text that has the shape of a key: HOST, NAME, USER, ..."""
    text = value.text()
    pattern, words = _SHAPES[key]
    if re.fullmatch(pattern, text) is None:
        raise value.problem(f"{quoted(text)} is not understood", f"write {words}")
    return text
