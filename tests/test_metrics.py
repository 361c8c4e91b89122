"""The metric contract: exact over workers, from the start, whatever is asked and whatever lies in the folder."""
from __future__ import annotations

import gzip
import http.client
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from recsys_api.metrics.catalogue import CATALOGUE, HTTP_METHODS
from recsys_api.metrics.files import Files
from recsys_api.metrics.scrape import SharedRun
from recsys_api.model import store
from scripts import document_metrics

from .conftest import DEADLINE_SECONDS, ROOT, Series, Service, answers, free_port, start, stop, wait_until


def test_every_metric_of_the_catalogue_is_scraped_and_no_other(service: Service) -> None:
    service.get("/recommendations/10")  # the hit rate is absent before the first look-up
    scraped = {
        family.name + ("_total" if family.type == "counter" else ""): family
        for family in parse_text(service.get("/metrics").text)
    }
    assert scraped.keys() == CATALOGUE.keys() - {"recommendation_model_quality"}  # which nobody measured
    for name, family in scraped.items():
        definition = CATALOGUE[name]
        assert (family.type, family.documentation) == (definition.kind, definition.help), name
        for sample in family.samples:
            assert sample.labels.keys() - {"le"} == definition.labels.keys(), name
            for label, value in sample.labels.items():
                allowed = definition.labels[label].values if label != "le" else ()
                assert not allowed or value in {*allowed, definition.labels[label].otherwise}, (name, label, value)


def test_the_quality_of_a_model_is_that_of_its_card_and_goes_with_it(
    measured_models: Path, six_models: Path, tmp_path: Path
) -> None:
    """Built with --ratings: what was measured, from the start; after a reload to a model that was not: nothing."""
    (tmp_path / "model").symlink_to(measured_models / store.CURRENT)
    (tmp_path / "metrics").mkdir()
    running = start(tmp_path / "model", tmp_path / "metrics")

    def told() -> dict[str, float]:
        scraped = running.scrape("?name[]=recommendation_model_quality")
        return {dict(labels)["metric"]: value for (_, labels), value in scraped.items()}

    try:
        card = running.get("/model/card").json()["card"]
        assert told() == {name: figure["value"] for name, figure in card["evaluation"].items()}
        assert told().keys() == set(CATALOGUE["recommendation_model_quality"].labels["metric"].values)
        (tmp_path / "model").unlink()
        (tmp_path / "model").symlink_to(six_models / store.CURRENT)
        running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: told() == {}, "the end of what was measured of the model before")
        assert running.metric("recommendation_model_loaded") == 1
    finally:
        stop(running)


def test_buckets_are_those_of_the_catalogue(service: Service) -> None:
    text = service.get("/metrics").text
    for name, definition in CATALOGUE.items():
        if definition.buckets:
            bounds = {float(bound) for bound in re.findall(rf'^{name}_bucket{{.*?le="([^"]+)"', text, re.MULTILINE)}
            assert bounds == {*definition.buckets, float("inf")}, name


def test_the_page_of_the_metrics_is_made_from_the_catalogue() -> None:
    assert document_metrics.main(["--check"]) == 0


def test_an_error_ratio_is_zero_and_not_absent_before_the_first_error(service: Service) -> None:
    scraped = service.scrape()
    for endpoint in ("/recommendations/<int:movie_id>", "/search", "/movies/popular", "/model/stats"):
        for status in ("200", "422", "500", "503"):
            labels = frozenset({"method": "GET", "endpoint": endpoint, "status_code": status}.items())
            assert ("http_requests_total", labels) in scraped, (endpoint, status)


def test_every_answer_is_counted_once_under_its_route(service: Service) -> None:
    asked: list[tuple[str, str, bytes | None, str, int]] = [
        ("GET", "/movies/10", None, "/movies/<int:movie_id>", 200),
        ("GET", "/movies/999", None, "/movies/<int:movie_id>", 404),
        ("HEAD", "/movies/10", None, "/movies/<int:movie_id>", 200),
        ("OPTIONS", "/search", None, "/search", 200),
        ("GET", "/search", None, "/search", 422),
        ("POST", "/search", b"{", "/search", 400),
        ("POST", "/search", b'"' + b"x" * 70_000 + b'"', "/search", 413),
        ("PUT", "/search", None, "unmatched", 405),
        ("BREW", "/search", None, "unmatched", 405),
        ("GET", "/x?y=1", None, "unmatched", 404),
        ("GET", "/docs/assets/none.js", None, "/docs/assets/<path:filename>", 404),
        ("GET", "/docs/assets/swagger-ui.css", None, "/docs/assets/<path:filename>", 200),
    ]
    before = service.scrape()
    for method, path, body, _, status in asked * 3:
        response = requests.request(
            method, service.url + path, data=body, headers={"Content-Type": "application/json"}, timeout=10
        )
        assert response.status_code == status
    after = service.scrape()
    expected = Counter(
        (method if method in HTTP_METHODS else "_OTHER", endpoint, str(status))
        for method, _, _, endpoint, status in asked * 3
    )
    expected["GET", "/metrics", "200"] += 1  # the scrape before
    counted: Counter[tuple[str, str, str]] = Counter()
    for (name, labels), value in after.items():
        if name == "http_requests_total" and value != before[name, labels]:
            told = dict(labels)
            counted[told["method"], told["endpoint"], told["status_code"]] += int(value - before[name, labels])
    assert counted == expected
    total = "http_request_duration_seconds_count"
    assert sum_of(after, total) - sum_of(before, total) == expected.total()
    assert sum_of(after, "http_requests_in_progress") == 1  # the scrape itself


def sum_of(scraped: dict[Series, float], name: str) -> float:
    return sum(value for (its_name, _), value in scraped.items() if its_name == name)


def test_names_text_openmetrics_and_gzip(service: Service) -> None:
    only = service.get("/metrics?name[]=gunicorn_workers&name[]=http_requests_total").text
    assert {family.name for family in parse_text(only)} == {"gunicorn_workers", "http_requests"}
    assert service.get("/metrics?name[]=nothing").text.strip() == ""
    plain = service.get("/metrics")
    assert plain.headers["Content-Type"].startswith("text/plain; version=")
    asked = {"Accept": "application/openmetrics-text; version=1.0.0; charset=utf-8"}
    openmetrics = service.get("/metrics", headers=asked)
    assert openmetrics.headers["Content-Type"].startswith("application/openmetrics-text")
    assert {f.name for f in parse_openmetrics(openmetrics.text)} == {f.name for f in parse_text(plain.text)} - {""}
    packed = requests.get(service.url + "/metrics", headers={"Accept-Encoding": "gzip"}, stream=True, timeout=10)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.raw.read()).startswith(b"# HELP")
    assert "Content-Encoding" not in service.get("/metrics", headers={"Accept-Encoding": "identity"}).headers


def test_summary_health_and_statistics_tell_what_the_scrape_tells(service: Service) -> None:
    for top_k in range(1, 8):
        service.get(f"/recommendations/20?top_k={top_k}")
    scraped = service.scrape()
    summary = service.get("/monitoring/summary").json()
    assert summary["cache_metrics"]["hits"] == sum_of(scraped, "recommendation_cache_hits_total")
    assert summary["cache_metrics"]["misses"] == sum_of(scraped, "recommendation_cache_misses_total")
    assert summary["cache_metrics"]["current_size"] == sum_of(scraped, "recommendation_cache_size")
    assert summary["cache_metrics"]["hit_rate"] == round(sum_of(scraped, "cache_hit_rate"), 4)
    assert service.get("/model/stats").json()["cache_size"] == sum_of(scraped, "recommendation_cache_size")
    assert service.get("/health").json()["total_requests"] == sum_of(scraped, "http_requests_total") + 3


def test_an_emptied_cache_is_seen_empty_at_once(service: Service) -> None:
    for top_k in range(1, 20):
        service.get(f"/recommendations/30?top_k={top_k}")
    assert service.get("/monitoring/summary").json()["cache_metrics"]["current_size"] > 0
    requests.delete(service.url + "/cache", timeout=10)
    assert service.get("/monitoring/summary").json()["cache_metrics"]["current_size"] == 0
    assert service.get("/model/stats").json()["cache_size"] == 0


def test_ten_thousand_requests_are_counted_to_the_last(service: Service) -> None:
    paths = ("/movies/10", "/recommendations/10", "/search?query=heist", "/movies/999", "/health/live")
    host, port = service.url.removeprefix("http://").split(":")

    def client(number: int) -> None:
        connection = http.client.HTTPConnection(host, int(port), timeout=DEADLINE_SECONDS)
        for i in range(2500):
            connection.request("GET", paths[(i + number) % len(paths)])
            connection.getresponse().read()
        connection.close()

    asked_before = service.get("/monitoring/summary").json()["request_metrics"]
    before = service.get("/health").json()["total_requests"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(client, range(4)))
    assert service.get("/health").json()["total_requests"] == before + 10_001
    assert sum_of(service.scrape(), "http_requests_total") == before + 10_002
    asked = service.get("/monitoring/summary").json()["request_metrics"]
    assert asked["search_queries"] - asked_before["search_queries"] == 2000
    assert asked["recommendations_generated"] - asked_before["recommendations_generated"] == 2000 * 5


def test_a_condition_on_a_file_adds_no_series(service: Service) -> None:
    before = service.scrape().keys()
    for headers in ({"If-Match": '"x"'}, {"Range": "bytes=0-5"}, {"Range": "bytes=9999999-"}, {"If-None-Match": "*"}):
        service.get("/docs/assets/swagger-ui.css", headers=headers)
    assert service.scrape().keys() <= before | {("cache_hit_rate", frozenset())}


@pytest.fixture
def faulty(six_models: Path, tmp_path: Path) -> Iterator[Service]:
    """The service with views that fail, by itself."""
    running = start(
        six_models / store.CURRENT, tmp_path, arguments=("-c", "config/gunicorn.conf.py", "tests.faulty:app")
    )
    yield running
    stop(running)


def test_hang_ups_and_broken_streams_are_counted_and_nothing_stays_in_progress(faulty: Service) -> None:
    host, port = faulty.url.removeprefix("http://").split(":")
    for _ in range(5):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(b"GET /faulty/slow HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(10)  # and away, in the middle of the answer
        with pytest.raises(requests.RequestException):
            faulty.get("/faulty/stream")
        assert faulty.get("/?break_hook=1").status_code == 500
        failed = faulty.get("/faulty/first", headers={"X-Request-ID": "first-part"})
        assert (failed.status_code, failed.json()["request_id"]) == (500, "first-part")
    wait_until(lambda: faulty.metric("http_requests_in_progress") == 1, "the end of all requests")
    counted = {"/faulty/slow": "200", "/faulty/stream": "200", "/": "500", "/faulty/first": "500"}
    for endpoint, status in counted.items():
        assert faulty.metric("http_requests_total", method="GET", endpoint=endpoint, status_code=status) == 5
        assert faulty.metric("http_request_duration_seconds_count", method="GET", endpoint=endpoint) == 5


def test_files_that_cannot_be_read_are_skipped_and_counted(faulty: Service) -> None:
    for _ in range(10):
        faulty.get("/movies/10")
    counted = faulty.metric("http_requests_total", method="GET", endpoint="/movies/<int:movie_id>", status_code="200")
    assert counted == 10
    whole = (faulty.metrics_dir / "counter_0.db").read_bytes()
    (faulty.metrics_dir / "counter_90.db").write_bytes(b"")
    (faulty.metrics_dir / "counter_91.db").write_bytes(whole[:1000])
    (faulty.metrics_dir / "histogram_92.db").write_bytes(random.Random(1).randbytes(4096))
    (faulty.metrics_dir / "customers.db").write_bytes(b"SQLite format 3\0")
    (faulty.metrics_dir / "gauge_all_7.db").write_bytes(whole)
    skipped = faulty.metric("metrics_files_skipped_total")
    files = faulty.metric("metrics_files")
    assert faulty.metric(
        "http_requests_total", method="GET", endpoint="/movies/<int:movie_id>", status_code="200"
    ) == counted
    assert faulty.metric("metrics_files_skipped_total") >= skipped + 5
    assert faulty.metric("metrics_files") == files


CHUNKS_THAT_ARE_NONE = b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /movies/10", 200), (b"GET /search?query=x", 200), (b"POST /nope", 404), (b"DELETE /cache", 200),
        (b"GET /health", 200), (b"GET /docs", 200), (b"POST /search", 415),
    ],
)  # fmt: skip
def test_a_body_that_nobody_reads_and_that_is_none_gives_one_answer(service: Service, line: bytes, status: int) -> None:
    before = sum_of(service.scrape(), "http_requests_total")
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(line + b" HTTP/1.1\r\n" + CHUNKS_THAT_ARE_NONE)
        answered = b""
        while part := connection.recv(65536):
            answered += part
    assert answered.startswith(b"HTTP/1.1 %d " % status)
    assert answered.count(b"HTTP/1.1 ") == 1
    assert sum_of(service.scrape(), "http_requests_total") == before + 2  # this one and the scrape before


def entry(key: bytes) -> bytes:
    padding = b" " * (8 - (len(key) + 4) % 8)
    return struct.pack("i", len(key)) + key + padding + struct.pack("dd", 1.0, 0.0)


def written(*entries: bytes) -> bytes:
    body = b"".join(entries)
    return struct.pack("ii", 8 + len(body), 0) + body


GOOD_KEY = b'["c", "c_total", {}, "help"]'


@pytest.mark.parametrize(
    "odd",
    [b'["","b",{},"h"]', b'[1,"b",{},"h"]', b'["b","b",[],"h"]', b'["b","b",{"x":1},"h"]', b'["b"', b"\xff\xfe",
     b"null", b'["b","b_bucket",{"le":"zz"},"h"]'],
)  # fmt: skip
@pytest.mark.parametrize("name", ["counter_0.db", "gauge_livesum_0.db", "histogram_0.db"])
def test_a_file_with_an_odd_key_is_skipped_whole(tmp_path: Path, name: str, odd: bytes) -> None:
    files = Files(tmp_path, leave_out="master")
    (tmp_path / "counter_9.db").write_bytes(written(entry(GOOD_KEY)))
    for content in (written(entry(GOOD_KEY), entry(odd)), written(entry(b'["d", "d", {}, "help"]'), entry(odd))):
        (tmp_path / name).write_bytes(content)
        for _ in range(2):
            merged = files.merge()
            assert [path.name for path in merged.skipped] == [name]
            assert [(s.name, s.value) for family in merged.families for s in family.samples] == [("c_total", 1.0)]


def test_a_file_that_has_only_just_been_made_is_merged(tmp_path: Path) -> None:
    files = Files(tmp_path, leave_out="master")
    for content in (bytes(4096), written() + bytes(4096), written(entry(GOOD_KEY)) + bytes(4096)):
        (tmp_path / "counter_0.db").write_bytes(content)
        assert files.merge().skipped == []
    assert len(files.merge().families) == 1


def test_every_beginning_of_a_file_is_merged_or_skipped_but_never_misread(faulty: Service, tmp_path: Path) -> None:
    """A file may be cut anywhere: what is merged is then nothing, never a part."""
    faulty.get("/movies/10")
    whole = (faulty.metrics_dir / "counter_0.db").read_bytes()
    folder = tmp_path / "alone"
    folder.mkdir()
    files = Files(folder, leave_out="master")
    used = int.from_bytes(whole[:4], sys.byteorder)
    for length in [*range(64), *random.Random(2).sample(range(64, used), 200), used]:
        (folder / "counter_0.db").write_bytes(whole[:length])
        merged = files.merge()
        assert (len(merged.skipped), bool(merged.families)) == ((0, True) if length == used else (1, False)), length


def test_a_slot_whose_file_was_torn_gets_a_new_worker(faulty: Service) -> None:
    path = faulty.metrics_dir / "counter_1.db"
    whole = bytearray(path.read_bytes())
    whole[40:44] = b"\xff\xff\xff\xff"  # in the middle of a key
    path.write_bytes(whole)
    pid = faulty.process.pid
    for worker in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        subprocess.run(["kill", "-9", worker], check=True)
    wait_until(lambda: answers(faulty.url + "/health"), "new workers")
    wait_until(lambda: faulty.metric("gunicorn_workers", state="live") == 2, "both workers")
    assert faulty.get("/movies/10").status_code == 200
    assert (faulty.metrics_dir / "counter_1.broken").exists()


METHODS = ("GET", "GET", "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW", "X-" + "A" * 10)
WORDS = (
    "movies", "recommendations", "search", "batch", "popular", "random", "health", "live", "metrics", "docs", "assets",
    "..", ".", "%00", "%2e%2e", "é", "10", "999", "-1", "1e3", "0x10", "top_k", "query", "~", "a" * 300, "", "static",
    "swagger-ui.css", "openapi.json", "cache", "model", "stats", "monitoring", "summary",
)  # fmt: skip
REAL = (
    "/movies/10", "/recommendations/10", "/recommendations", "/recommendations/batch", "/search", "/health", "/cache",
    "/docs/assets/swagger-ui.css", "/docs/assets/none.css", "/static/docs.css", "/docs", "/openapi.json", "/metrics",
)  # fmt: skip
HEADERS = (
    "X-Request-ID: abc", "X-Request-ID: {}", "Accept: application/openmetrics-text", "If-None-Match: *",
    "Range: bytes=0-5", "Range: bytes=999999999-", "Origin: https://a.example", "traceparent: 00-xx",
    "Content-Type: text/plain",
    "Accept-Encoding: gzip;q=0", "If-Match: x", "X-Forwarded-For: 1", "Cookie: a=b", "Expect: nothing",
    "Access-Control-Request-Method: POST", "X-HTTP-Method-Override: DELETE", "Transfer-Encoding: identity",
)  # fmt: skip
BODIES = (b"", b"{", b"null", b"[]", b'{"movie_id": 10}', b'{"movie_id": 1e99}', b'{"query": "x", "y": 1}', b"\xff\xfe")


def odd_request(chance: random.Random) -> bytes:
    path = "/" + "/".join(chance.choices(WORDS, k=chance.randint(0, 3)))
    if chance.random() < 0.3:
        path = chance.choice(REAL)
    if chance.random() < 0.5:
        path += "?" + "&".join(f"{chance.choice(WORDS)}={chance.choice(WORDS)}" for _ in range(chance.randint(1, 3)))
    lines = [f"{chance.choice(METHODS)} {path} HTTP/1.1", "Host: x"]
    lines += [chance.choice(HEADERS).format(chance.random()) for _ in range(chance.randint(0, 2))]
    body = chance.choice(BODIES)
    if chance.random() < 0.5:
        lines.append("Content-Type: application/json")
    if chance.random() < 0.1:
        lines.append("Transfer-Encoding: chunked")
    else:
        lines.append(f"Content-Length: {len(body)}")
    lines += ["Connection: close", "", ""]
    return "\r\n".join(lines).encode("utf-8") + body


def test_twenty_thousand_odd_requests_add_no_series_and_break_nothing(six_models: Path, tmp_path: Path) -> None:
    running = start(six_models / store.CURRENT, tmp_path, workers=2)
    host, port = running.url.removeprefix("http://").split(":")
    before = running.scrape().keys()
    statuses: Counter[int] = Counter()

    def fuzz(seed: int) -> Counter[int]:
        chance, seen = random.Random(seed), Counter[int]()
        for _ in range(5000):
            with socket.create_connection((host, int(port)), timeout=DEADLINE_SECONDS) as connection:
                connection.sendall(odd_request(chance))
                connection.shutdown(socket.SHUT_WR)
                answer = connection.recv(64)
            seen[int(answer[9:12]) if answer else 0] += 1
        return seen

    try:
        with ThreadPoolExecutor(4) as pool:
            for seen in pool.map(fuzz, range(4)):
                statuses += seen
        assert statuses.total() == 20_000
        assert {200, 400, 404, 405, 415, 422} <= statuses.keys()
        assert not {status for status in statuses if status >= 500 and status != 503}, statuses
        assert running.scrape().keys() - before <= {("cache_hit_rate", frozenset())}
    finally:
        stop(running)


def test_threads_that_ask_at_once_share_a_run_that_began_after_they_asked() -> None:
    running, may_end = threading.Event(), threading.Event()
    begun: list[int] = []

    def run() -> int:
        begun.append(len(begun))
        running.set()
        assert may_end.wait(DEADLINE_SECONDS)
        return begun[-1]

    shared = SharedRun(run)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(shared)
        assert running.wait(DEADLINE_SECONDS)
        others = [pool.submit(shared) for _ in range(8)]
        wait_until(lambda: sum(future.running() for future in others) == 8, "eight waiting threads")
        may_end.set()
        assert first.result() == 0
        assert {future.result() for future in others} <= {1, 2}
    assert len(begun) <= 3


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "with a folder that nobody shares"])
def test_one_process_without_gunicorn_counts_too(six_models: Path, tmp_path: Path, *, shared: bool) -> None:
    port = free_port()
    environment = {"RECSYS_MODEL_DIR": str(six_models / store.CURRENT), "RECSYS_METRICS_DIR": str(tmp_path)}
    environment |= {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)} if shared else {}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "flask", "--app", "wsgi", "run", "--port", str(port)],
            cwd=ROOT, env={"PATH": "/usr/bin:/bin", **environment}, text=True, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    running = Service(f"http://127.0.0.1:{port}", process, tmp_path)
    try:
        wait_until(lambda: answers(running.url + "/health/live"), "the start")
        for _ in range(3):
            running.get("/recommendations/10")
        endpoint = "/recommendations/<int:movie_id>"
        assert running.metric("http_requests_total", method="GET", endpoint=endpoint, status_code="200") == 3
        assert running.metric("recommendation_cache_size") == 1
        assert running.metric("cache_hit_rate") == pytest.approx(2 / 3)
        assert running.metric("gunicorn_workers", state="live") == 1
        assert running.get("/health").json()["workers"] == 1
    finally:
        process.terminate()
        process.wait(DEADLINE_SECONDS)
