"""Every setting of the service, and the only reader of the environment."""
from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from recsys_api.errors import SettingsError

PREFIX = "RECSYS_"
_ORIGIN = re.compile(r"\*|https?://[A-Za-z0-9.-]+(:\d+)?|https?://\[[0-9a-f:]+\](:\d+)?")
_FOR_TESTS = "RECSYS_TEST_"


class Settings(BaseSettings):
    """How the service runs. Each field is read from `RECSYS_<NAME>`; frozen once read."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 for all of the machine's.")
    port: int = Field(8000, ge=1, le=65535, description="TCP port to listen on.")
    threads: int = Field(4, ge=1, le=128, description="Threads in each worker: requests it can answer at once.")
    timeout: int = Field(
        30, ge=1, le=3600,
        description="Seconds without a sign of life after which a worker is replaced; a slow request alone is none.",
    )  # fmt: skip
    max_requests: int = Field(0, ge=0, description="Requests after which a worker is recycled; 0 for never.")
    model_dir: Path = Field(
        Path("models/current"), description="Folder of the model, as scripts/build_model.py leaves it."
    )
    cache_size: int = Field(
        10_000, ge=1, le=10_000_000, description="Similarity look-ups that each worker remembers; about 1 KB each."
    )
    http_max_age: int = Field(
        60, ge=0, le=31_536_000, description="Seconds for which clients may reuse an answer without asking again."
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins whose pages may call the service, separated by commas; * for all."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged.")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="json for collectors, console for people; auto asks whether stdout is a terminal."
    )
    metrics_dir: Path = Field(
        Path("run/metrics"),
        description="Folder where the workers count together; one for each service, emptied at its start.",
    )

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _check(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is not an origin, such as https://example.org, without a path; or *")
        return origins

    @classmethod
    def from_environment(cls) -> Settings:
        """The settings as the environment has them.

        Raises SettingsError naming the variable, its value and what it may be; a `RECSYS_` variable that no setting
        has is an error too, since a misspelt setting would silently do nothing.
        """
        _refuse_unknown_names()
        try:
            return cls()
        except ValidationError as error:
            raise SettingsError("; ".join(_sentence(problem) for problem in error.errors())) from error


def _refuse_unknown_names() -> None:
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    for name in os.environ:
        if name.upper().startswith(PREFIX) and not name.startswith(_FOR_TESTS) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"did you mean {near[0]}?" if near else "the settings are listed in config/recsys.env.example."
            raise SettingsError(f"{name} is not a setting of this service; {hint}")


def _sentence(problem: ErrorDetails) -> str:
    name = PREFIX + str(problem["loc"][0]).upper()
    message = problem["msg"].removeprefix("Value error, ")
    given = ",".join(problem["input"]) if isinstance(problem["input"], tuple) else str(problem["input"])
    return f"{name}={given!r} cannot be used: {message[:1].lower()}{message[1:]}."
