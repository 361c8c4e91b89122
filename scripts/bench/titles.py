"""Mistyped titles beside rapidfuzz's scans of all titles."""
from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from itertools import islice, pairwise

import numpy as np
from rapidfuzz import fuzz, process
from rapidfuzz.distance import OSA, Levenshtein

from recsys_api.catalog.readers import read
from recsys_api.model import store
from recsys_api.model.titles import TitleIndex, fold_title
from scripts.bench.catalogs import scaled_titles
from scripts.bench.models import kept, real_catalog, scaled_name
from scripts.bench.results import Result
from scripts.bench.timing import milliseconds, p50
from scripts.bench.typos import Typo, typos

_LARGE = 1_000_000
_CUTOFFS: dict[str, tuple[Callable[..., float], int]] = {
    "OSA, at most 2": (OSA.distance, 2),
    "Levenshtein, at most 2": (Levenshtein.distance, 2),
    "ratio, at least 80": (fuzz.ratio, 80),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Its own options."""
    parser.add_argument("--queries", type=int, help="mistyped titles (default: 2,000; with --quick 300)")


def run(arguments: argparse.Namespace) -> list[Result]:
    """Milliseconds of a search with one typo, and how often the right film comes first, at two sizes."""
    queries = arguments.queries or (300 if arguments.quick else 2000)
    model = store.load(arguments.model)
    results = _measure(model.titles, queries, 60)
    if not arguments.quick:
        results += _measure(_large_index(), queries, 25)
    return results


def _measure(index: TitleIndex, queries: int, scans: int) -> list[Result]:
    arrays = index.arrays
    titles = [
        bytes(arrays.entries[start:stop]).decode()
        for start, stop in pairwise(arrays.entry_offsets.tolist())
    ]
    title_of: dict[int, set[str]] = {}
    for row, title in zip(arrays.entry_rows.tolist(), titles, strict=True):
        title_of.setdefault(row, set()).add(title)
    asked = list(islice(typos(titles, frozenset(titles)), queries))

    def right(typo: Typo) -> bool:
        hits = index.search(typo.query, 1)
        return bool(hits) and fold_title(typo.title) in title_of[hits[0].row]

    def scan(scorer: Callable[..., float], cutoff: int) -> Callable[[Typo], object]:
        return lambda typo: process.extractOne(typo.query, titles, scorer=scorer, score_cutoff=cutoff)

    at = f"at {arrays.popularity.size:,} films"
    print(f"scanning {len(titles):,} titles ...", file=sys.stderr)
    scanned = milliseconds({name: scan(*how) for name, how in _CUTOFFS.items()}, asked[:scans])
    medians = {name: p50(taken) for name, taken in scanned.items()}
    ours = milliseconds({"ours": lambda typo: index.search(typo.query, 10)}, asked)["ours"]
    best = min(medians, key=lambda name: medians[name])
    return [
        Result(f"mistyped title {at}, the service, P50", p50(ours), "ms"),
        Result(f"mistyped title {at}, the service, P99", float(np.quantile(ours, 0.99)), "ms"),
        *(Result(f"mistyped title {at}, rapidfuzz ({name}), P50", median, "ms") for name, median in medians.items()),
        Result(f"mistyped title {at}, rapidfuzz's best : the service", medians[best] / p50(ours), "x", at_least=10),
        Result(f"right film first {at}, of {queries:,} queries", 100 * float(np.mean(list(map(right, asked)))), "%",
               at_least=98),
    ]  # fmt: skip


def _large_index() -> TitleIndex:
    """The titles of a million films: of the model that `scale` has left, or made for this."""
    model = kept(scaled_name(_LARGE))
    if model is not None:
        return store.load(model).titles
    print(f"indexing {_LARGE:,} titles ...", file=sys.stderr)
    source, path = real_catalog()
    names = scaled_titles(_LARGE, read(source, path)[0])
    rows = np.arange(_LARGE, dtype=np.int32)
    return TitleIndex.build(names, years=np.zeros(_LARGE, dtype=np.int16), popular_rows=rows)

