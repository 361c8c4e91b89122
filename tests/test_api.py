"""The HTTP contract, on a real gunicorn with two workers and six movies."""
from __future__ import annotations

import http.client
import json
import re
import signal
import socket
from pathlib import Path

import pytest
import requests

from recsys_api.model import store
from recsys_api.model.build import build

from .conftest import SIX, Service, start, stop, wait_until

MOVIE_FIELDS = {
    "movie_id": int, "title": str, "release_date": str, "vote_average": float, "vote_count": int, "genres": list,
    "overview": str, "original_title": str, "original_language": str, "directors": list, "cast": list,
}  # fmt: skip


def ids(movies: list[dict[str, object]]) -> list[object]:
    return [movie["movie_id"] for movie in movies]


def test_the_root_says_where_to_go(service: Service) -> None:
    body = service.get("/").json()
    assert body["message"] == "Movie Recommendation API"
    assert (body["docs"], body["health"], body["status"]) == ("/docs", "/health", "running")
    assert re.fullmatch(r"\d+\.\d+\.\d+", body["version"])


def test_a_movie_has_the_fields_of_the_contract(service: Service) -> None:
    body = service.get("/movies/30").json()
    assert {name: type(body[name]) for name in MOVIE_FIELDS} == MOVIE_FIELDS
    assert (body["title"], body["directors"], body["release_date"]) == ("Star Boy", ["Oskar Ødegård"], "1999")


def test_popular_is_a_bare_list_in_the_order_of_the_catalogue_without_votes(service: Service) -> None:
    assert ids(service.get("/movies/popular").json()) == [10, 20, 30, 40, 50, 60]
    assert ids(service.get("/movies/popular?top_k=2").json()) == [10, 20]


def test_random_is_distinct_and_repeats_for_a_seed(service: Service) -> None:
    assert sorted(ids(service.get("/movies/random").json())) == [10, 20, 30, 40, 50, 60]
    first, second = (service.get("/movies/random?count=4&seed=11").json() for _ in range(2))
    assert first == second
    assert len(set(ids(first))) == 4


def test_recommendations_are_best_first_and_never_the_movie_itself(service: Service) -> None:
    body = service.get("/recommendations/10").json()
    similar = body["recommendations"]
    assert body["movie_id"] == 10
    assert ids(similar)[:2] == [20, 30]
    assert len(similar) == 5
    scores = [movie["similarity"] for movie in similar]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+(\+00:00|Z)", body["request_time"])
    assert body["processing_time_ms"] >= 0
    assert body["model_version"] == service.get("/health").json()["model_version"]


def test_an_answer_stays_the_same_however_often_it_is_given(service: Service) -> None:
    plain = service.get("/recommendations/40").json()["recommendations"]
    explained = service.get("/recommendations/40?explain=true").json()["recommendations"]
    reasons = [movie.pop("explanation") for movie in explained]
    assert all(reasons)
    assert explained == plain
    for _ in range(3):
        assert service.get("/recommendations/40").json()["recommendations"] == plain


def test_min_similarity_and_same_year_filter(service: Service) -> None:
    by_default = service.get("/recommendations/10").json()["recommendations"]
    bar = by_default[1]["similarity"]
    assert ids(service.get(f"/recommendations/10?min_similarity={bar}").json()["recommendations"]) == [20, 30]
    later = service.get("/recommendations/10?exclude_same_year=true").json()["recommendations"]
    assert sorted(ids(later)) == [20, 40, 50]
    assert service.get("/recommendations/60?min_similarity=1").json()["recommendations"] == []


def test_a_mood_says_where_there_are_no_votes_to_follow(service: Service) -> None:
    asked = service.get("/recommendations/10?mood=popular").json()
    assert (asked["mood"], asked["mood_applied"]) == ("popular", False)
    plain = service.get("/recommendations/10").json()
    assert plain["recommendations"] == asked["recommendations"]
    assert "mood" not in plain


def test_post_gives_what_get_gives(service: Service) -> None:
    asked = {"movie_id": 10, "top_k": 3, "exclude_same_year": True}
    posted = service.post("/recommendations", json=asked).json()
    got = service.get("/recommendations/10?top_k=3&exclude_same_year=1").json()
    assert posted["recommendations"] == got["recommendations"]


def test_a_batch_reports_unknown_movies_apart(service: Service) -> None:
    body = service.post("/recommendations/batch", json={"movie_ids": [10, 999, 40], "top_k": 2}).json()
    assert list(body["results"]) == ["10", "40"]
    assert ids(body["results"]["40"])[0] == 50
    assert list(body["errors"]) == ["999"]
    assert "999" in body["errors"]["999"]


@pytest.mark.parametrize(
    "query", ["the iron robot", "Iron Robot", "IRON ROBOT 1999", "the irno robot", "  iron robot "]
)
def test_search_finds_a_title_however_it_is_typed(service: Service, query: str) -> None:
    body = service.get("/search", params={"query": query}).json()
    assert body["query"] == query.strip()
    assert ids(body["results"])[:2] == [10, 20]


@pytest.mark.parametrize(
    ("query", "first"),
    [("stjernegutten", 30), ("odegard", 30), ("heist in milan", 40), ("bride and a cow", 60), ("robot ii", 20)],
)
def test_search_finds_original_titles_people_and_content(service: Service, query: str, first: int) -> None:
    assert ids(service.get("/search", params={"query": query}).json()["results"])[0] == first


def test_search_scores_fall_and_nothing_comes_twice(service: Service) -> None:
    results = service.post("/search", json={"query": "heist", "top_k": 6}).json()["results"]
    scores = [movie["similarity"] for movie in results]
    assert scores == sorted(scores, reverse=True)
    assert 0 < scores[-1] <= scores[0] <= 1
    assert len(set(ids(results))) == len(results)


def test_a_search_that_matches_nothing_is_empty(service: Service) -> None:
    assert service.get("/search?query=zzzzqqqq").json()["results"] == []


BAD_QUERIES = {
    "/movies/popular?top_k=0": "top_k",
    "/movies/popular?top_k=101": "top_k",
    "/movies/popular?top_k=many": "top_k",
    "/movies/popular?topk=5": "topk",
    "/movies/popular?top_k=5&top_k=6": "top_k",
    "/movies/random?count=51": "count",
    "/movies/random?seed=x": "seed",
    "/movies/10?verbose=1": "verbose",
    "/recommendations/10?top_k=51": "top_k",
    "/recommendations/10?min_similarity=1.5": "min_similarity",
    "/recommendations/10?min_similarity=nan": "min_similarity",
    "/recommendations/10?exclude_same_year=yes": "exclude_same_year",
    "/recommendations/10?mood=grumpy": "mood",
    "/search": "query",
    "/search?query=%20%20": "query",
    f"/search?query={'x' * 201}": "query",
    "/health?deep=1": "deep",
}


@pytest.mark.parametrize(("path", "field"), BAD_QUERIES.items())
def test_a_wrong_value_is_a_422_that_names_it(service: Service, path: str, field: str) -> None:
    problem = assert_problem(service.get(path), 422)
    assert field in problem["detail"]
    assert problem["errors"][0]["loc"] == ["query", field]


BAD_BODIES = {
    "/recommendations": [({}, "movie_id"), ({"movie_id": "10"}, "movie_id"), ({"movie_id": 10, "k": 1}, "k")],
    "/recommendations/batch": [({"movie_ids": []}, "movie_ids"), ({"movie_ids": [1] * 21}, "movie_ids")],
    "/search": [({"query": 5}, "query"), ({"query": "x", "top_k": 2.5}, "top_k"), ([], "body")],
}


@pytest.mark.parametrize(
    ("path", "body", "field"), [(path, body, field) for path, bodies in BAD_BODIES.items() for body, field in bodies]
)
def test_a_wrong_body_is_a_422_that_names_the_field(service: Service, path: str, body: object, field: str) -> None:
    problem = assert_problem(service.post(path, json=body), 422)
    assert field in problem["detail"]


def assert_problem(response: requests.Response, status: int) -> dict[str, object]:
    """The problem of an error response, which must have everything that the contract asks for."""
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert {"type", "title", "status", "detail", "request_id"} <= problem.keys()
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["X-Request-ID"]
    return dict(problem)


def test_unreadable_json_is_400(service: Service) -> None:
    headers = {"Content-Type": "application/json"}
    for body in (b"", b"{", b"\xff", b'{"query": NaN}', b"[" * 2000):
        assert_problem(service.post("/search", data=body, headers=headers), 400)


def test_an_unknown_movie_or_path_is_404(service: Service) -> None:
    for path in ("/movies/999", "/recommendations/999", f"/movies/{10**30}", "/nothing", "/movies/-1", "/movies/x"):
        assert_problem(service.get(path), 404)
    assert "999" in str(assert_problem(service.post("/recommendations", json={"movie_id": 999}), 404)["detail"])


def test_another_method_is_405_with_allow(service: Service) -> None:
    response = requests.delete(service.url + "/search", timeout=10)
    assert_problem(response, 405)
    assert {"GET", "POST"} <= set(response.headers["Allow"].split(", "))


def test_a_body_over_64_kib_is_413_with_or_without_a_length(service: Service) -> None:
    body = b'{"query": "' + b"x" * 65536 + b'"}'
    headers = {"Content-Type": "application/json"}
    assert_problem(service.post("/search", data=body, headers=headers), 413)
    assert_problem(service.post("/search", data=iter([body[:40000], body[40000:]]), headers=headers), 413)
    fits = b'{"query": "heist"}'.ljust(65536)
    assert service.post("/search", data=fits, headers=headers).status_code == 200
    assert service.post("/search", data=iter([fits[:40000], fits[40000:]]), headers=headers).status_code == 200


def test_a_connection_outlives_a_body_that_was_too_large(service: Service) -> None:
    connection = http.client.HTTPConnection(*service.url.removeprefix("http://").split(":"), timeout=10)
    for body in (b"x" * 70_000, iter([b"x" * 70_000, b"x" * 70_000])):
        connection.request("POST", "/search", body, {"Content-Type": "application/json"})
        refused = connection.getresponse()
        assert (refused.status, bool(refused.read())) == (413, True)
        connection.request("GET", "/movies/10")
        answer = connection.getresponse()
        assert (answer.status, bool(answer.read())) == (200, True)
    connection.close()


def test_what_does_not_say_that_it_is_json_is_415(service: Service) -> None:
    assert_problem(service.post("/search", data="query=heat"), 415)
    assert_problem(service.post("/search", data=b"{}", headers={"Content-Type": "text/plain"}), 415)


def test_a_request_id_is_repeated_if_it_is_fit_and_made_otherwise(service: Service) -> None:
    assert service.get("/", headers={"X-Request-ID": "order-66.retry_1"}).headers["X-Request-ID"] == "order-66.retry_1"
    for unfit in ("short", "x" * 65, "has space inside", "semi;colon;semi"):
        made = service.get("/", headers={"X-Request-ID": unfit}).headers["X-Request-ID"]
        assert made != unfit
        assert re.fullmatch(r"[A-Za-z0-9._-]{8,64}", made)


CACHEABLE = ["/movies/10", "/movies/popular", "/movies/random?seed=1", "/recommendations/10", "/search?query=heist"]


@pytest.mark.parametrize("path", CACHEABLE)
def test_an_unchanged_answer_is_304(service: Service, path: str) -> None:
    first = service.get(path)
    assert "max-age" in first.headers["Cache-Control"]
    again = service.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert service.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_another_question_has_another_etag(service: Service) -> None:
    tags = {service.get(f"/recommendations/10?top_k={k}").headers["ETag"] for k in (1, 2, 3)}
    assert len(tags) == 3


def test_random_without_a_seed_is_not_stored(service: Service) -> None:
    response = service.get("/movies/random")
    assert response.headers["Cache-Control"] == "no-store"
    assert "ETag" not in response.headers


def test_there_are_no_cors_headers_by_default(service: Service) -> None:
    assert "Access-Control-Allow-Origin" not in service.get("/", headers={"Origin": "https://example.org"}).headers


def test_health_and_probes(service: Service) -> None:
    health = service.get("/health").json()
    assert (health["status"], health["model_loaded"]) == ("healthy", True)
    assert health["uptime_seconds"] > 0
    assert service.get("/health").json()["total_requests"] > health["total_requests"]
    assert service.get("/health/live").status_code == service.get("/health/ready").status_code == 200


def test_model_stats(service: Service) -> None:
    stats = service.get("/model/stats").json()
    assert (stats["total_movies"], stats["model_loaded"], stats["source"]) == (6, True, "six")
    assert stats["matrix_shape"] == [6, stats["vocabulary_size"]]
    assert {"cache_size", "model_version", "built_at"} <= stats.keys()


def test_the_model_card_as_json_and_as_text(service: Service) -> None:
    told = service.get("/model/card").json()
    assert told["card"]["data"]["movies"] == 6
    assert all(told["card"]["self_checks"].values())
    text = service.get("/model/card", params={"format": "text"})
    assert text.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert told["model_version"] in text.text
    assert "self_checks.neighbours_equal_live_ranking" in text.text
    assert service.get("/model/card", params={"format": "xml"}).status_code == 422


@pytest.mark.parametrize(
    ("accept", "query", "given"),
    [
        ("text/plain", "", "text/plain"), ("text/plain, application/json;q=0.5", "", "text/plain"),
        ("application/json", "", "application/json"), ("text/plain;q=0.5, application/json", "", "application/json"),
        ("*/*", "", "application/json"), ("text/html, */*;q=0.8", "", "application/json"),
        ("image/png", "", "application/json"), ("text/plain", "?format=json", "application/json"),
        ("application/json", "?format=text", "text/plain"),
    ],
)  # fmt: skip
def test_the_model_card_is_what_the_client_accepts_unless_it_names_a_format(
    service: Service, accept: str, query: str, given: str
) -> None:
    response = service.get("/model/card" + query, headers={"Accept": accept})
    assert response.status_code == 200
    assert response.headers["Content-Type"].partition(";")[0] == given
    assert "Accept" in response.headers["Vary"]


def test_the_summary_counts_what_was_asked_over_both_workers(service: Service) -> None:
    before = service.get("/monitoring/summary").json()
    for _ in range(20):
        service.get("/recommendations/40?top_k=3")
        service.get("/search?query=heist")
    after = service.get("/monitoring/summary").json()
    assert after["model_status"]["loaded"] is True
    assert after["model_status"]["total_movies"] == 6
    requests_then, requests_now = before["request_metrics"], after["request_metrics"]
    assert requests_now["recommendations_generated"] - requests_then["recommendations_generated"] == 60
    assert requests_now["search_queries"] - requests_then["search_queries"] == 20
    looked_up = sum(after["cache_metrics"][name] - before["cache_metrics"][name] for name in ("hits", "misses"))
    assert looked_up == 20
    hits, misses = after["cache_metrics"]["hits"], after["cache_metrics"]["misses"]
    assert after["cache_metrics"]["hit_rate"] == round(hits / (hits + misses), 4)


def test_clearing_the_cache_reaches_every_worker(service: Service) -> None:
    def misses() -> int:
        return int(service.get("/monitoring/summary").json()["cache_metrics"]["misses"])

    def ask() -> None:
        for _ in range(20):
            service.get("/recommendations/50?top_k=43")

    def comes_to(expected: int) -> bool:
        ask()
        return misses() == expected

    before = misses()
    wait_until(lambda: comes_to(before + 2), "a miss of each worker")
    ask()
    assert misses() == before + 2
    cleared = requests.delete(service.url + "/cache", timeout=10)
    assert cleared.json() == {"message": "Cache cleared successfully"}
    wait_until(lambda: comes_to(before + 4), "another miss of each worker")


def test_a_worker_has_imported_neither_pandas_nor_scikit_learn(service: Service) -> None:
    for path in ("/recommendations/10?min_similarity=0.1", "/search?query=heist", "/movies/random", "/metrics"):
        assert service.get(path).status_code == 200
    pid = service.process.pid
    workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert len(workers) == 2
    for worker in (str(pid), *workers):
        libraries = Path(f"/proc/{worker}/maps").read_text()
        assert "llvmlite" in libraries
        assert "pandas" not in libraries
        assert "sklearn" not in libraries


def send_raw(service: Service, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """What the service answers to bytes that no client library would send."""
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, dict(answer.getheaders()), answer.read()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /movies/" + b"1" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 9000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Many: 1\r\n" * 120 + b"\r\n", 431),
        (b"NONSENSE\r\n\r\n", 400),
        (b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", 400),
    ],
)
def test_what_is_no_request_is_answered_and_counted_like_any_other(
    service: Service, request_bytes: bytes, status: int
) -> None:
    def counted() -> float:
        return service.metric("http_requests_total", method="_OTHER", endpoint="unmatched", status_code=str(status))

    before = counted()
    answered, headers, body = send_raw(service, request_bytes)
    problem = json.loads(body)
    assert (answered, headers["Content-Type"]) == (status, "application/problem+json")
    assert problem["request_id"] == headers["X-Request-ID"]
    assert problem["status"] == status
    assert counted() == before + 1


def test_a_body_whose_chunks_are_none_is_400(service: Service) -> None:
    headers_sent = b"Host: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    status, headers, _ = send_raw(service, b"POST /search HTTP/1.1\r\n" + headers_sent + b"ZZ\r\n{}\r\n0\r\n\r\n")
    assert (status, headers["Content-Type"]) == (400, "application/problem+json")


def test_anything_unforeseen_is_500_without_internals(six_models: Path, tmp_path: Path) -> None:
    running = start(
        six_models / store.CURRENT, tmp_path, arguments=("-c", "config/gunicorn.conf.py", "tests.faulty:app")
    )
    try:
        response = running.get("/faulty/view")
        problem = assert_problem(response, 500)
        assert "secret" not in response.text
        assert_problem(running.get("/?break_hook=1"), 500)
        line = next(line for line in running.events() if line.get("error.type") == "ZeroDivisionError")
        assert line["http.request.id"] == problem["request_id"]
        assert "secret" in line["error.message"]
        assert "faulty.py" in line["error.stack_trace"]
        assert running.metric("http_requests_total", method="GET", endpoint="/faulty/view", status_code="500") == 1
    finally:
        stop(running)


def test_head_has_the_etag_of_get_and_no_body(service: Service) -> None:
    got, asked = service.get("/movies/10"), requests.head(service.url + "/movies/10", timeout=10)
    assert asked.headers["ETag"] == got.headers["ETag"]
    assert (asked.status_code, asked.content) == (200, b"")
    assert service.get("/movies/10", headers={"If-Match": '"other"'}).status_code == 200


def test_a_reload_takes_the_new_model_and_keeps_the_old_where_that_is_broken(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    models = tmp_path_factory.mktemp("models")
    store.save(build(SIX, source="six"), models)
    running = start(models / store.CURRENT, tmp_path_factory.mktemp("metrics"))
    try:
        assert running.get("/model/stats").json()["total_movies"] == 6
        newer = store.save(build(SIX[:4], source="four"), models)
        running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: running.get("/model/stats").json()["total_movies"] == 4, "the new model's service")
        (newer / "catalog.blob").unlink()
        running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "model in use stays" in running.log(), "the refusal of the broken model")
        assert running.get("/movies/10").status_code == 200
    finally:
        stop(running)


def test_without_a_model_the_service_answers_503_and_says_why(tmp_path: Path) -> None:
    """Our configuration refuses to start so; another server's configuration, or flask run, does not."""
    running = start(tmp_path / "nowhere", tmp_path, arguments=("wsgi:app",))
    try:
        response = running.get("/recommendations/10")
        assert "There is no model at" in str(assert_problem(response, 503)["detail"])
        assert int(response.headers["Retry-After"]) > 0
        assert_problem(running.get("/search?query=heat"), 503)
        assert_problem(running.get("/model/stats"), 503)
        assert_problem(running.get("/health/ready"), 503)
        health = running.get("/health")
        assert (health.status_code, health.json()["status"], health.json()["model_loaded"]) == (503, "unhealthy", False)
        assert "There is no model" in health.json()["reason"]
        assert running.get("/health/live").status_code == 200
    finally:
        stop(running)
