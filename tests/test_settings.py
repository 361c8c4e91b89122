"""Settings come from the environment, once, and a wrong one is named."""
from __future__ import annotations

import pytest
from pydantic import ValidationError

from recsys_api.errors import SettingsError
from recsys_api.settings import PREFIX, Settings

from .conftest import ROOT


def example() -> dict[str, tuple[str, str]]:
    """Each name in the example file with its value and the comment above it."""
    found, comment = {}, ""
    for line in (ROOT / "config" / "recsys.env.example").read_text().splitlines():
        if line.startswith("#"):
            comment = line.removeprefix("# ")
        elif line:
            name, _, value = line.partition("=")
            found[name] = (value, comment)
    return found


def written(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in example():
        monkeypatch.delenv(name, raising=False)


def test_the_example_lists_every_setting_with_its_default_and_its_sentence() -> None:
    in_code = {
        PREFIX + name.upper(): (written(field.default), field.description)
        for name, field in Settings.model_fields.items()
    }
    in_file = example()
    assert in_file.pop("WEB_CONCURRENCY")[0] == "2"
    assert in_file == in_code


def test_the_defaults_of_the_contract() -> None:
    settings = Settings.from_environment()
    assert (settings.host, settings.port, settings.threads) == ("127.0.0.1", 8000, 4)
    assert str(settings.model_dir) == "models/current"


def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_PORT", "9000")
    monkeypatch.setenv("RECSYS_CORS_ORIGINS", "https://a.example, https://b.example")
    settings = Settings.from_environment()
    assert settings.port == 9000
    assert settings.cors_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RECSYS_PORT", "http"), ("RECSYS_PORT", "70000"), ("RECSYS_THREADS", "0"), ("RECSYS_LOG_FORMAT", "xml"),
        ("RECSYS_CACHE_SIZE", "-1"), ("RECSYS_HOST", ""), ("RECSYS_CORS_ORIGINS", "example.org"),
        ("RECSYS_CORS_ORIGINS", "https://example.org/"), ("RECSYS_CORS_ORIGINS", "https://*.example.org"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_what_it_may_be(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as caught:
        Settings.from_environment()
    assert repr(value) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_misspelt_setting_is_an_error_that_suggests_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_THREDS", "8")
    with pytest.raises(SettingsError, match=r"RECSYS_THREDS is not a setting.*RECSYS_THREADS"):
        Settings.from_environment()


def test_settings_do_not_change_once_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings.from_environment().port = 1
