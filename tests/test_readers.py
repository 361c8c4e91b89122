"""Readers survive dirty data, lose no row silently, and say in one sentence when nothing can be read."""
from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_api.catalog import Catalog, Movie
from recsys_api.catalog.readers import SOURCES, read
from recsys_api.catalog.readers.clean import release_date
from recsys_api.catalog.readers.movielens import split_title
from recsys_api.catalog.readers.report import UNCLOSED, ReadReport
from recsys_api.catalog.readers.wikipedia import directors_in
from recsys_api.errors import CatalogError

METADATA = "id,title,original_title,release_date,vote_average,vote_count,genres,overview,original_language"


def kaggle(folder: Path, *rows: str, **tables: str) -> Path:
    (folder / "movies_metadata.csv").write_text("\n".join([METADATA, *rows]) + "\n", encoding="utf-8")
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def wikipedia(path: Path, *films: dict[str, object]) -> Path:
    path.write_text(json.dumps(films), encoding="utf-8")
    return path


def by_title(movies: list[Movie]) -> dict[str, Movie]:
    return {movie.title: movie for movie in movies}


def reasons(report: ReadReport) -> dict[str, int]:
    return {reason: tally.rows for reason, tally in (report.dropped | report.repaired).items()}


def test_kaggle_joins_credits_and_keywords(tmp_path: Path) -> None:
    kaggle(
        tmp_path,
        "1,Heat,Heat,12/15/1995,7.7,1886,\"[{'id': 1, 'name': 'Crime'}]\",Cops and robbers.,en",
        credits="cast,crew,id\n"
        "\"[{'order': 1, 'name': 'Robert De Niro'}, {'order': 0, 'name': 'Al Pacino'}]\","
        "\"[{'job': 'Director', 'name': 'Michael Mann'}, {'job': 'Editor', 'name': 'Pat'}]\",1\n",
        keywords="id,keywords\n1,\"[{'id': 5, 'name': 'heist'}]\"\n",
    )
    movies, report = read("kaggle", tmp_path)
    assert movies == [
        Movie(
            1, "Heat", "1995-12-15", 7.7, 1886, ("Crime",), "Cops and robbers.", "Heat", "en",
            ("Michael Mann",), ("Al Pacino", "Robert De Niro"), ("heist",),
        )
    ]  # fmt: skip
    assert (report.read, report.kept, reasons(report)) == (1, 1, {})


def test_kaggle_faults_are_dropped_or_repaired_by_reason(tmp_path: Path) -> None:
    kaggle(
        tmp_path,
        "1,Good,Good,1995-10-30,7.7,10,[],Fine.,en",
        "1997-08-20,Shifted,,,,,,,",
        ",,,,,,,,",
        "2,,Ohne Titel,31/31/1999,7,10,[],,de",
        "3,,,,,,,,",
        "4,Odd,Odd,sometime,abc,nan,not a list,,en",
        "1,Good,Good,1995-10-30,7.7,10,[],\"Richer, since it says far more about the film.\",en",
        "5,Short,Short",
    )
    movies, report = read("kaggle", tmp_path)
    assert [movie.title for movie in movies] == ["Good", "Ohne Titel", "Odd", "Short"]
    assert movies[0].overview.startswith("Richer")
    assert reasons(report) == {
        "id is not a number (shifted row)": 1,
        "blank row": 1,
        "no title": 1,
        "duplicate movie_id": 1,
        "title taken from original_title": 1,
        "impossible date left empty": 1,
        "unreadable date left empty": 1,
        "vote_average left 0, not a number from 0 to 10": 1,
        "unreadable genres left empty": 1,
        "row with too few or too many cells": 1,
    }
    assert report.dropped["id is not a number (shifted row)"].lines == ["movies_metadata.csv:3"]


def test_a_line_break_in_a_cell_does_not_spoil_the_line_numbers(tmp_path: Path) -> None:
    kaggle(tmp_path, '1,A,A,,,,,"two\nlines",en', "x,B,B,,,,,,en", "2,C,C,,,,,,en")
    movies, report = read("kaggle", tmp_path)
    assert movies[0].overview == "two lines"
    assert report.dropped["id is not a number (shifted row)"].lines == ["movies_metadata.csv:4"]


def test_a_zip_with_a_folder_in_it_is_read_as_the_folder_would_be(tmp_path: Path) -> None:
    kaggle(tmp_path, "1,A,A,,,,,,en")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.write(tmp_path / "movies_metadata.csv", "the-movies/movies_metadata.csv")
    assert read("kaggle", tmp_path / "set.zip")[0] == read("kaggle", tmp_path)[0]


@given(st.lists(st.text(max_size=60), max_size=12))
def test_whatever_the_rows_hold_each_is_kept_or_dropped(
    tmp_path_factory: pytest.TempPathFactory, rows: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("mangled")
    body = "\n".join([METADATA, "1,Anchor,Anchor,,,,,,en", *rows])
    (folder / "movies_metadata.csv").write_bytes(body.encode("utf-8", "surrogatepass") + b"\xff\x00")
    movies, report = read("kaggle", folder)
    assert report.read == len(movies) + report.rows_dropped


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("1995-10-30", "1995-10-30"), ("10/30/1995", "1995-10-30"), ("1995", "1995"), ("1995.0", "1995"),
        ("1995-02-30", ""), ("30/10/1995", ""), ("", ""), ("nan", ""), ("soon", ""), ("0001-01-01", ""),
    ],
)  # fmt: skip
def test_dates_are_iso_or_american_or_years(written: str, read_as: str) -> None:
    assert release_date(written, lambda reason: None) == read_as


@given(st.dates(min_value=pd.Timestamp("1880-01-01").date()).filter(lambda day: day.year <= 2100))
def test_iso_and_american_dates_mean_the_same_day(day: object) -> None:
    iso, american = f"{day:%Y-%m-%d}", f"{day:%m/%d/%Y}"
    assert release_date(iso, lambda reason: None) == release_date(american, lambda reason: None) == iso


def test_text_becomes_nfc_without_entities_control_characters_and_double_spaces(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("title,overview\nAme\u0301lie &amp; co,a\x07  b\u00a0c\n", encoding="utf-8")
    movie = read("csv", table)[0][0]
    assert (movie.title, movie.overview) == ("Amélie & co", "a b c")


@pytest.mark.parametrize(
    "cell",
    [
        "Crime|Drama", '["Crime", "Drama"]', "['Crime', 'Drama']", "Crime; Drama", "Crime, Drama",
        "[{'id': 1, 'name': 'Crime'}, {'id': 2, 'name': 'Drama'}]",
    ],
)  # fmt: skip
def test_a_table_may_write_lists_in_any_usual_way(tmp_path: Path, cell: str) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([["name", "genre", "year"], ["Heat", cell, "1995"]])
    (tmp_path / "t.csv").write_text(buffer.getvalue())
    movie = read("csv", tmp_path / "t.csv")[0][0]
    assert (movie.title, movie.genres, movie.release_date) == ("Heat", ("Crime", "Drama"), "1995")


def test_columns_of_other_names_are_mapped(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("key,film,handling\n7,Elling,Two men share a flat.\n")
    columns = {"movie_id": "key", "title": "film", "overview": "handling"}
    assert read("csv", tmp_path / "t.csv", columns=columns)[0] == [Movie(7, "Elling", overview="Two men share a flat.")]


def test_a_table_without_ids_gets_ids_that_do_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("title,year\nA,1990\nB,1991\n")
    (tmp_path / "b.csv").write_text("title,year\nB,1991\nA,1990\n")
    first, second = (by_title(read("csv", tmp_path / name)[0]) for name in ("a.csv", "b.csv"))
    assert first == second


def test_parquet_with_lists_is_read(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": [5], "title": ["Heat"], "genres": [["Crime", "Drama"]], "vote_average": [7.7]})
    frame.to_parquet(tmp_path / "t.parquet")
    assert read("parquet", tmp_path / "t.parquet")[0] == [Movie(5, "Heat", vote_average=7.7, genres=("Crime", "Drama"))]


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("Toy Story (1995)", ("Toy Story", "1995", "")),
        ("American President, The (1995)", ("The American President", "1995", "")),
        ("Seven (a.k.a. Se7en) (1995)", ("Seven", "1995", "Se7en")),
        (
            "City of Lost Children, The (Cité des enfants perdus, La) (1995)",
            ("The City of Lost Children", "1995", "La Cité des enfants perdus"),
        ),
        ("Babylon 5", ("Babylon 5", "", "")),
    ],
)
def test_movielens_titles_give_year_article_and_other_title(written: str, parts: tuple[str, str, str]) -> None:
    assert split_title(written) == parts


def test_movielens_tags_become_keywords_most_used_first(tmp_path: Path) -> None:
    (tmp_path / "movies.csv").write_text(
        "movieId,title,genres\n1,Toy Story (1995),Animation|Children\n2,X,(no genres listed)\n"
    )
    (tmp_path / "tags.csv").write_text("userId,movieId,tag,timestamp\n1,1,pixar,0\n2,1,Fun,0\n3,1,fun,0\n")
    toy_story, unknown = read("movielens", tmp_path)[0]
    assert (toy_story.keywords, toy_story.genres) == (("fun", "pixar"), ("Animation", "Children"))
    assert (unknown.genres, unknown.release_date) == ((), "")


def test_wikipedia_ids_come_from_the_article_and_not_from_the_order(tmp_path: Path) -> None:
    heat = {"title": "Heat", "year": 1995, "href": "Heat_(1995_film)", "cast": ["Al Pacino"], "genres": ["Crime"]}
    other = {"title": "Heat", "year": 1972, "href": "Heat_(1972_film)", "cast": ["Joe Dallesandro"], "genres": []}
    one, _ = read("wikipedia", wikipedia(tmp_path / "a.json", heat, other))
    two, _ = read("wikipedia", wikipedia(tmp_path / "b.json", other, {**heat, "extract": "Longer now."}))
    assert {(m.movie_id, m.release_date) for m in one} == {(m.movie_id, m.release_date) for m in two}
    assert all(0 < movie.movie_id < 2**53 for movie in one)


def test_wikipedia_rows_of_one_film_become_one_and_films_that_share_an_article_stay_two(tmp_path: Path) -> None:
    cast = ["Mary Pickford"]
    movies, report = read(
        "wikipedia",
        wikipedia(
            tmp_path / "a.json",
            {"title": "Rags", "year": 1915, "href": "Rags_(1915_film)", "cast": cast, "genres": []},
            {"title": "Rags", "year": 1915, "href": "Rags_(1915_film)", "cast": cast, "genres": [], "extract": "More."},
            {"title": "The Cat", "year": 1921, "href": "Serials", "cast": ["A B"], "genres": []},
            {"title": "The Dog", "year": 1921, "href": "Serials", "cast": ["C D"], "genres": []},
        ),
    )
    assert sorted(movie.title for movie in movies) == ["Rags", "The Cat", "The Dog"]
    assert by_title(movies)["Rags"].overview == "More."
    assert reasons(report) == {"duplicate movie_id": 1}


def test_wikipedia_cast_loses_its_scraps(tmp_path: Path) -> None:
    cast = [
        "voices of", "Tom Hanks", "(voices)", "and", "Sammy Davis, Jr.", ".", "Tom Hanks", "Ida (narrator)",
        "screenwriter", "will.i.am",
    ]  # fmt: skip
    film = {"title": "X", "year": 1999, "cast": cast, "genres": ["Animated", "Sport"]}
    movie = read("wikipedia", wikipedia(tmp_path / "a.json", film))[0][0]
    assert movie.cast == ("Tom Hanks", "Sammy Davis, Jr.", "Ida", "will.i.am")
    assert movie.genres == ("Animation", "Sports")


@pytest.mark.parametrize(
    ("extract", "directors"),
    [
        ("X is a 1995 film written and directed by Michael Mann. It stars", ("Michael Mann",)),
        ("X was directed by John Musker and Ron Clements, and produced", ("John Musker", "Ron Clements")),
        ("X is a film directed by J. Lee Thompson from a screenplay", ("J. Lee Thompson",)),
        ("a comedy directed by Peter and Bobby Farrelly, starring", ("Peter Farrelly", "Bobby Farrelly")),
        ("directed and produced by Guillermo del Toro.", ("Guillermo del Toro",)),
        ("a silent film by German filmmaker F. W. Murnau", ()),
        ("directed by German Expressionist filmmaker F. W. Murnau and", ("F. W. Murnau",)),
    ],
)
def test_wikipedia_directors_are_taken_from_the_extract(extract: str, directors: tuple[str, ...]) -> None:
    assert directors_in(extract) == directors


@pytest.mark.parametrize(
    ("source", "name", "content", "says"),
    [
        ("kaggle", "none", None, "does not exist"),
        ("kaggle", "x.zip", b"no archive", "neither a folder nor a readable zip archive"),
        ("csv", "x.csv", b"name_of_film\nHeat\n", "--column title=THEIRS"),
        ("csv", "x.csv", b"title\n", "holds no movie"),
        ("parquet", "x.parquet", b"no parquet", "not a readable Parquet file"),
        ("wikipedia", "x.json", b"{}", "holds no list of films"),
        ("wikipedia", "x.json", b"[1, 2", "is not JSON"),
        ("wikipedia", "x.json.gz", gzip.compress(b"[]" * 100, mtime=0)[:-4], "is it whole?"),
        ("movielens", "", None, "has no movies.csv"),
        ("imdb", "", None, "There is no source 'imdb'"),
        ("bundled", "", None, "needs no --input"),
    ],
)
def test_what_cannot_be_read_gets_one_clear_sentence(
    tmp_path: Path, source: str, name: str, content: bytes | None, says: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CatalogError) as caught:
        read(source, path)
    assert says in str(caught.value)


def test_wikipedia_markup_is_taken_out_of_titles(tmp_path: Path) -> None:
    path = wikipedia(
        tmp_path / "films.json",
        {"title": "The Curtain Pole[1]", "year": 1909},
        {"title": "Fly by Night\u00a0[fr]", "year": 2018},
        {"title": "Naked Gun .mw-parser-output .frac{white-space:nowrap}.mw-parser-output .num{x:y}33+1⁄3"},
        {"title": "[Rec]", "year": 2007},
    )
    movies, report = read("wikipedia", path)
    assert {movie.title for movie in movies} == {"The Curtain Pole", "Fly by Night", "Naked Gun 33+1⁄3", "[Rec]"}
    assert reasons(report) == {"markup removed from title": 3}


def test_a_quote_that_is_never_closed_costs_its_own_row_and_no_other(tmp_path: Path) -> None:
    rows = [f"{i},Film {i},\"What happens in {i}\"" for i in range(1, 61)]
    rows[20] = '21,Film 21,"What happens'
    table = tmp_path / "films.csv"
    table.write_text("\n".join(["id,title,overview", *rows]) + "\n")
    movies, report = read("csv", table)
    assert (report.read, len(movies)) == (60, 59)
    assert reasons(report) == {UNCLOSED: 1}
    assert report.dropped[UNCLOSED].lines == ["films.csv:22"]


def test_a_cell_over_several_lines_is_one_cell(tmp_path: Path) -> None:
    table = tmp_path / "films.csv"
    table.write_text('id,title,overview\n1,Heat,"Cops,\n\n""robbers""\nand coffee."\n2,Ronin,A case.\n')
    movies, report = read("csv", table)
    assert movies[0].overview == 'Cops, "robbers" and coffee.'
    assert (len(movies), reasons(report)) == (2, {})


@pytest.mark.parametrize(
    "cell", ["{{}}", "[{{}}]", '[{"name": "\\ud83d"}]', "[[[[", "{'a': [1, 2}", '["\\ud800"]', "[1,null]"]
)
def test_no_cell_is_too_odd(tmp_path: Path, cell: str) -> None:
    with (tmp_path / "films.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "title", "genres"], [1, "Heat", cell], [2, "Ronin", "Crime"]])
    assert [movie.title for movie in read("csv", tmp_path / "films.csv")[0]] == ["Heat", "Ronin"]
    quoted = '"' + cell.replace('"', '""') + '"'
    kaggle(tmp_path, f"1,Heat,Heat,1995,7,10,{quoted},x,en", credits=f"cast,crew,id\n{quoted},{quoted},1\n")
    assert len(Catalog.from_movies(read("kaggle", tmp_path)[0])) == 1


@pytest.mark.parametrize("movie_id", ["9" * 20, "-1", "1e5", "x", ""])
def test_a_movie_id_that_cannot_be_one_drops_its_row(tmp_path: Path, movie_id: str) -> None:
    (tmp_path / "movies.csv").write_text(f"movieId,title,genres\n{movie_id},Heat (1995),Crime\n2,Ronin (1998),Crime\n")
    movies, report = read("movielens", tmp_path)
    assert [movie.movie_id for movie in movies] == [2]
    assert report.rows_dropped == 1


def test_bytes_that_are_not_utf8_are_reported(tmp_path: Path) -> None:
    (tmp_path / "films.csv").write_bytes("id,title\n1,Amélie\n".encode("latin-1"))
    movies, report = read("csv", tmp_path / "films.csv")
    assert movies[0].title == "Am\ufffdlie"
    assert reasons(report) == {"bytes that are not UTF-8 replaced": 1}


def test_nothing_in_a_parquet_table_is_taken_for_a_text(tmp_path: Path) -> None:
    frame = pd.DataFrame({"title": ["Heat", None, b"Ronin"], "overview": [pd.NA, None, float("nan")]}, dtype=object)
    frame.iloc[:2].to_parquet(tmp_path / "films.parquet")
    movies, report = read("parquet", tmp_path / "films.parquet")
    assert [(movie.title, movie.overview) for movie in movies] == [("Heat", "")]
    assert reasons(report) == {"blank row": 1}


def test_movielens_gives_votes_and_imdb_ids(tmp_path: Path) -> None:
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n1,Heat (1995),Crime\n2,Ronin (1998),Crime\n")
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating\n1,1,4.0\n2,1,5.0\n3,1,99\n4,2,x\n")
    (tmp_path / "links.csv").write_text("movieId,imdbId,tmdbId\n1,0113277,949\nx,1,1\n")
    heat, ronin = read("movielens", tmp_path)[0]
    assert (heat.vote_average, heat.vote_count, heat.imdb_id) == (9.0, 2, "tt0113277")
    assert (ronin.vote_average, ronin.vote_count, ronin.imdb_id) == (0.0, 0, "")


@pytest.mark.parametrize("damage", ["encrypted", "bad header", "unknown method"])
def test_an_archive_that_cannot_be_unpacked_is_one_sentence(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "films.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("movies_metadata.csv", METADATA + "\n1,Heat,Heat,1995,7,1,[],x,en\n")
    content = bytearray(path.read_bytes())
    central = content.index(b"PK\x01\x02")
    if damage == "encrypted":
        content[6] |= 1
        content[central + 8] |= 1
    elif damage == "bad header":
        content[:4] = b"XXXX"
    else:
        content[8] = content[central + 10] = 99
    path.write_bytes(content)
    with pytest.raises(CatalogError, match=r"films\.zip/movies_metadata\.csv cannot be read"):
        read("kaggle", path)


def test_a_missing_column_of_ids_is_named(tmp_path: Path) -> None:
    (tmp_path / "movies_metadata.csv").write_text("ident,title\n1,Heat\n")
    with pytest.raises(CatalogError, match="no column 'id' or 'tmdb_id'; it has ident, title"):
        read("kaggle", tmp_path)


def test_every_source_is_documented_in_the_read_me() -> None:
    text = (Path(__file__).parent.parent / "README.md").read_text()
    assert [source for source in SOURCES if f"`{source}`" not in text] == []


def test_the_first_kaggle_sample_is_read_faults_and_all(shared_data: Path) -> None:
    movies, report = read("kaggle", shared_data / "kaggle-sample")
    assert (report.read, len(movies)) == (1692, 1651)
    assert reasons(report) == {"blank row": 40, "duplicate movie_id": 1}
    assert sum(len(movie.release_date) == 10 for movie in movies) > 1640
    assert by_title(movies)["Toy Story"].directors == ("John Lasseter",)


def test_the_second_kaggle_sample_is_read_whole(shared_data: Path) -> None:
    movies, report = read("kaggle", shared_data / "kaggle-sample-tmdb-id")
    assert (report.read, len(movies), report.dropped) == (1000, 1000, {})
    assert sum(bool(movie.keywords) for movie in movies) > 690


def test_wikipedia_is_read_whole_with_ids_that_survive_a_shuffle(shared_data: Path, tmp_path: Path) -> None:
    movies, report = read("wikipedia", shared_data / "wikipedia-movies")
    assert report.read == 36273
    assert report.rows_dropped < 120
    assert len({movie.movie_id for movie in movies}) == len(movies)
    assert sum(bool(movie.directors) for movie in movies) > 29_000
    films = [
        film
        for file in sorted((shared_data / "wikipedia-movies").iterdir())
        for film in json.loads(gzip.decompress(file.read_bytes()))
    ]
    reversed_rows, _ = read("wikipedia", wikipedia(tmp_path / "reversed.json", *reversed(films)))
    assert {movie.movie_id for movie in reversed_rows} == {movie.movie_id for movie in movies}


def test_movielens_and_parquet_are_read_whole(shared_data: Path) -> None:
    movies, report = read("movielens", shared_data / "movielens-small")
    assert (report.read, len(movies)) == (9742, 9742)
    assert by_title(movies)["The City of Lost Children"].original_title == "La Cité des enfants perdus"
    path = shared_data / "tmdb-top-rated" / "processed_movies.parquet"
    assert len(read("parquet", path, columns={"overview": "tags"})[0]) == 5634
