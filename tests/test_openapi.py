"""The description of the API and the API are one: every route is described, every example works."""
from __future__ import annotations

import re
from typing import Any
from urllib.parse import urljoin

import jsonschema
import pytest
import requests
from openapi_spec_validator import validate

from recsys_api.app import create_app
from recsys_api.errors import HTTP_PROBLEMS, PROBLEMS
from recsys_api.model.recommender import Recommender
from recsys_api.settings import Settings

from .conftest import ROOT, Service

METHODS = {"get", "post", "put", "patch", "delete"}
CONTRACT = {
    ("get", "/"), ("get", "/movies/{movie_id}"), ("get", "/movies/popular"), ("get", "/movies/random"),
    ("get", "/recommendations/{movie_id}"), ("get", "/recommendations"), ("post", "/recommendations"),
    ("post", "/recommendations/batch"),
    ("get", "/search"), ("post", "/search"), ("get", "/health"), ("get", "/health/live"), ("get", "/health/ready"),
    ("get", "/metrics"), ("get", "/monitoring/summary"), ("get", "/model/stats"), ("get", "/model/card"),
    ("delete", "/cache"),
    ("get", "/openapi.json"), ("get", "/docs"),
}  # fmt: skip


@pytest.fixture(scope="module")
def document(service: Service) -> dict[str, Any]:
    return dict(service.get("/openapi.json").json())


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def test_it_is_valid_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_it_describes_the_whole_contract(document: dict[str, Any]) -> None:
    assert operations(document).keys() == CONTRACT


def test_each_route_is_described_and_each_description_has_a_route(
    document: dict[str, Any], six: Recommender, tmp_path_factory: pytest.TempPathFactory
) -> None:
    app = create_app(Settings(metrics_dir=tmp_path_factory.mktemp("metrics")), recommender=six)
    served = {
        (method.lower(), re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
        if method.lower() in METHODS and not rule.endpoint.endswith("static")
    }
    assert operations(document).keys() == served


def send(service: Service, document: dict[str, Any], method: str, path: str) -> requests.Response:
    """The call with the examples of its description."""
    operation = operations(document)[method, path]
    query = {}
    for parameter in operation["parameters"]:
        if parameter["in"] == "path":
            path = path.replace("{" + parameter["name"] + "}", str(parameter["example"]))
        elif "example" in parameter:
            query[parameter["name"]] = parameter["example"]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
    query = {name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items()}
    return requests.request(method, service.url + path, params=query, json=body, timeout=10)


@pytest.mark.parametrize(("method", "path"), sorted(CONTRACT))
def test_every_example_works_and_the_answer_is_as_described(
    service: Service, document: dict[str, Any], method: str, path: str
) -> None:
    response = send(service, document, method, path)
    assert response.status_code == 200, response.text
    described = operations(document)[method, path]["responses"]["200"]["content"]
    media_type = response.headers["Content-Type"].partition(";")[0]
    assert media_type in described
    assert response.content
    if media_type == "application/json":
        schema = {**described[media_type]["schema"], "components": document["components"]}
        jsonschema.validate(response.json(), schema)


def test_each_described_form_of_the_model_card_can_be_asked_for(service: Service, document: dict[str, Any]) -> None:
    described = operations(document)["get", "/model/card"]["responses"]["200"]["content"]
    assert list(described) == ["application/json", "text/plain"]
    for media_type in described:
        response = service.get("/model/card", headers={"Accept": media_type})
        assert response.headers["Content-Type"].partition(";")[0] == media_type


def test_every_parameter_has_a_sentence_and_a_type(document: dict[str, Any]) -> None:
    for call, operation in operations(document).items():
        assert operation["summary"], call
        for parameter in operation["parameters"]:
            assert parameter["in"] == "path" or parameter["description"], (call, parameter["name"])
            assert parameter["schema"], (call, parameter["name"])


def test_an_error_is_as_described(service: Service, document: dict[str, Any]) -> None:
    schema = {"$ref": "#/components/schemas/ProblemAnswer", "components": document["components"]}
    for path in ("/movies/999", "/nothing", "/search?query="):
        jsonschema.validate(service.get(path).json(), schema)


def test_the_page_loads_nothing_from_another_host(service: Service) -> None:
    page = service.get("/docs")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    loaded = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    assert any(path.endswith(".js") for path in loaded)
    assert any(path.endswith(".css") for path in loaded)
    for path in loaded:
        url = urljoin(service.url + "/docs", path)
        assert url.startswith(service.url + "/"), url
        assert requests.get(url, timeout=10).status_code == 200, url


def test_the_type_of_every_problem_leads_to_its_explanation(service: Service) -> None:
    page = service.get("/docs").text
    for problem in [*PROBLEMS.values(), *(problem for problem, _ in HTTP_PROBLEMS.values())]:
        assert f'id="problem-{problem.slug}"' in page
    assert service.get("/movies/999").json()["type"] == "/docs#problem-movie-not-found"


def test_the_version_is_that_of_the_change_log(document: dict[str, Any]) -> None:
    assert f"## {document['info']['version']}" in (ROOT / "CHANGELOG.md").read_text()
