"""The benchmarks' frame: figures beside their targets, as a table, as JSON and as an exit status."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
from rapidfuzz.distance import OSA

from recsys_api.model import store
from scripts import benchmark
from scripts.bench import report
from scripts.bench.catalogs import scaled_catalog, scaled_titles
from scripts.bench.progress import Progress
from scripts.bench.results import Result, table
from scripts.bench.typos import typos

from .conftest import SIX


def test_a_figure_says_whether_its_target_is_met() -> None:
    assert Result("a", 2.0, at_most=2.0).met
    assert not Result("a", 2.1, at_most=2.0).met
    assert not Result("a", 2.1, at_least=3, at_most=4).met
    assert Result("a", 2.1).met is None


def test_the_table_has_a_line_for_each_figure() -> None:
    lines = list(table([Result("short", 12345.6, "ms"), Result("rather long", 0.84567, "x", at_least=0.85)]))
    assert lines == ["short        12,346 ms", "rather long   0.846 x   at least 0.85  MISSED"]


def test_request_compares_what_is_cached_and_what_is_computed_with_bare_flask(
    six_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found.json"
    model = str(six_models / store.CURRENT)
    status = benchmark.main(["request", "--model", model, "--rounds", "1", "--json", str(out)])
    found = json.loads(out.read_text())
    results = {result["name"]: result for result in found["results"]}
    assert found["benchmark"] == "request"
    for kind in ("cached", "computed"):
        assert all(results[f"{kind}: {name}"]["value"] > 0 for name in ("the service", "bare Flask"))
    assert status == (not results["cached: the service : bare Flask"]["met"])
    assert "computed: the service : bare Flask" in capsys.readouterr().out


def test_questions_asks_for_everything_at_once_and_each_by_itself(
    six_models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = benchmark.main(["questions", "--model", str(six_models / store.CURRENT), "--movies", "6"])
    lines = capsys.readouterr().out.splitlines()
    (whole,) = [line for line in lines if line.startswith("with filters, diversity and reasons, P50")]
    assert "at most 2" in whole
    assert status == ("MISSED" in whole)
    assert any(line.startswith("plain, P99") for line in lines)


def test_a_model_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["request", "--model", str(tmp_path / "none")]) == 2
    assert f"there is no model at {tmp_path / 'none'}" in capsys.readouterr().err


def test_the_load_tester_is_compared_with_wrk_or_not_at_all(
    six_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="wrk is needed and was not found"):
        benchmark.main(["load", "--model", str(six_models / store.CURRENT)])


def test_the_report_has_every_figure_with_its_target_and_says_what_was_missed_or_not_measured(tmp_path: Path) -> None:
    day = "2026-01-02"
    films = [Result(f"build at {size:,} films", size / 1000, "s", at_most=20) for size in (1000, 10_000)]
    lost = Result("requests lost", 0, at_most=0)
    grown = [*films, Result("growth: build ~ films to the power of", 1.0), lost]
    sections = [
        report.Section("kernel", "Nearest films.", 12.0, 0.5, [], "", [Result("ratio", 3.0, "x", at_least=4)], day),
        report.Section("scale", "Many films.", 90.0, 0.5, ["--most", "10000"], "", grown, day),
        report.Section("http", "Requests.", 1.0, 0.5, [], "error: wrk is not there", [], day),
    ]
    report.write(tmp_path, sections)
    page = (tmp_path / "performance.md").read_text()
    assert "| ratio | 3 x | at least 4 | **missed** |" in page
    assert "Of 4 targets 3 are met." in page
    assert "| films | 1,000 | 10,000 | grows as films to the power of | target | |" in page
    assert "| build, s | 1 | 10 | 1 | at most 20 | met |" in page
    assert "| requests lost | 0 | at most 0 | met |" in page
    assert "`scripts/benchmark.py scale --most 10000`, 90 s on 2026-01-02" in page
    assert "Not measured: error: wrk is not there" in page
    assert {path.name for path in (tmp_path / "images").iterdir()} == {"targets.png", "scale.png"}


def test_a_scaled_catalogue_is_the_same_each_time_and_has_no_movie_twice() -> None:
    first, again = (list(scaled_catalog(500, SIX)) for _ in range(2))
    assert first == again
    assert len({movie.movie_id for movie in first}) == 500
    assert {movie.title for movie in first[:6]} == {movie.title for movie in SIX}
    moulds = {(movie.release_date, movie.genres, len(movie.overview.split())) for movie in SIX}
    assert {(movie.release_date, movie.genres, len(movie.overview.split())) for movie in first} == moulds
    assert len(list(scaled_catalog(4, SIX))) == 4


@pytest.mark.parametrize("total", [4, 200])
def test_the_titles_of_a_scaled_catalogue_can_be_had_without_it(total: int) -> None:
    whole = [(movie.title, movie.original_title) for movie in scaled_catalog(total, SIX)]
    assert list(scaled_titles(total, SIX)) == whole


def test_long_work_tells_now_and_then_how_much_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("films", 1000, clock=map(float, range(0, 1000, 15)).__next__) as progress:
        for done in (0, 100, 200, 300, 400):
            progress(done)
    told = capsys.readouterr().err.splitlines()
    assert told == ["films: 100 of 1,000, about 135 s left", "films: 300 of 1,000, about 105 s left"]


def test_a_typo_is_one_slip_and_never_another_title() -> None:
    known = frozenset({"midnight heist", "midnight heis", "the last heist"})
    drawn = [typo for typo, _ in zip(typos(sorted(known), known), range(200), strict=False)]
    assert all(typo.query not in known and typo.title in known for typo in drawn)
    assert all(OSA.distance(typo.query, typo.title) == 1 for typo in drawn)
