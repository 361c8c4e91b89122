"""The rooms of the house and the doors between them, as the imports of the source show."""
from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import ROOT

PACKAGE = ROOT / "recsys_api"
ANYWHERE = {"errors", "settings", "metrics", "text", "version"}
MAY_IMPORT = {
    "__init__": {"app", "version"},
    "app": {"api", "cache", "catalog", "logs", "model", "ops", "serving", *ANYWHERE},
    "api": {"catalog", "logs", "model", "serving", *ANYWHERE},
    "ops": {"api", "catalog", "model", "serving", *ANYWHERE},
    "serving": {"cache", "model", *ANYWHERE},
    "model": {"cache", "catalog", "errors", "text"},
    "catalog": {"errors", "text"},
    "logs": ANYWHERE,
    "worker": {"api", *ANYWHERE},
    "cache": set(),
    "metrics": set(),
    "errors": set(),
    "settings": {"errors"},
    "text": set(),
    "version": set(),
}
"""What each room may import of the others; api, ops -> model -> catalog, cache."""

SOURCES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "recsys_api":
                yield from (f"recsys_api.{alias.name}" for alias in node.names)
            else:
                yield node.module


def test_every_room_has_its_place_in_the_table() -> None:
    assert {room(path) for path in SOURCES} == MAY_IMPORT.keys()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    rooms = {name.split(".")[1] for name in imports(path) if name.startswith("recsys_api.")}
    assert rooms - {room(path)} - {"create_app", "__version__"} <= MAY_IMPORT[room(path)]


FORBIDDEN = {
    "pickle": set(), "joblib": set(), "shelve": set(), "marshal": set(),
    "flask": {"app", "api", "ops", "serving", "metrics"},
    "gunicorn": {"worker"},
    "prometheus_client": {"metrics"},
    "prometheus_flask_exporter": {"metrics"},
}  # fmt: skip
"""Packages with the only rooms that may use them."""


@pytest.mark.parametrize("package", FORBIDDEN)
def test_a_package_is_used_only_where_it_may_be(package: str) -> None:
    users = {room(path) for path in SOURCES if any(name.split(".")[0] == package for name in imports(path))}
    assert users <= FORBIDDEN[package]


def test_only_settings_read_the_environment() -> None:
    readers = {room(path) for path in SOURCES if "environ" in path.read_text() and "os.environ" in path.read_text()}
    assert readers == {"settings"}


def test_views_hold_no_try_and_no_numpy() -> None:
    views = ("ops.py", "api/movies.py", "api/recommendations.py", "api/search.py")
    for path in (PACKAGE / name for name in views):
        tree = ast.parse(path.read_text())
        assert not any(isinstance(node, ast.Try) for node in ast.walk(tree)), path
        assert "numpy" not in set(imports(path)), path


def test_nothing_in_the_model_knows_an_http_status() -> None:
    for path in (PACKAGE / "model").rglob("*.py"):
        numbers = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        assert not {200, 404, 422, 503} & {number for number in numbers if isinstance(number, int)}, path


def test_arrays_are_never_loaded_with_pickle() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"np.load", "np.save"}:
                allowed = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert allowed.get("allow_pickle") == "False", path
