"""The weights as a file, and what is known of them as a document."""
from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from recsys_api.catalog import Movie
from recsys_api.model import mood
from recsys_api.model.weights import Weights
from scripts.quality import evaluation, halves, metrics, missing, tried
from scripts.quality.evaluation import COLD, NEXT_LIKES, ONE_SOUP, SIMILARITY, Subject
from scripts.quality.halves import Way
from scripts.quality.ratings import Ratings
from scripts.quality.report import markdown, table, times

_STRENGTHS = (-0.6, 0.0, 0.2, 0.4, 0.8, 2.0)
_STAND_INS = (0.0, 0.5, 1.0)
_SPLITS = 5
_WIDTH = 115
_COLUMNS = ("ndcg@10", "recall@20", "mrr", "hit rate@10", "coverage@10", "gini", "diversity", "mean popularity")
_STRATA = tuple(f"ndcg@10 {stratum}" for stratum in evaluation.STRATA)


def weights_file(weights: Weights, *, movies: int, rated: Ratings) -> str:
    """weights.toml."""
    people = np.unique(rated.users).size
    lines = [
        "# How much each field counts, and how; read when a model is built. Written by scripts/learn_weights.py,",
        f"# learned from {len(rated):,} ratings by {people} people of {movies:,} movies; see docs/quality.md.",
        "",
        "# How far a movie without a field is made up for it: 0 not at all, 1 by all that the field typically brings.",
        f"compensation = {weights.compensation}",
        "",
        "# How far a movie that is a little like everything is held back: its mean similarity to the power of -this.",
        f"damping = {weights.damping}",
        "",
        "# How much of the keywords' weight the overview gets in a catalogue without keywords: 0 nothing, 1 all. Where",
        "# only some of the movies lack them, as much less.",
        f"stand_in = {weights.stand_in}",
        "",
        "# weight    share of the similarity; all weights add up to 1",
        "# typical   share of what movies have in common with their nearest: what a movie without the field lacks",
        "# thin      how many of its rarest terms bring a movie half of the field's weight; 0: one brings all of it",
    ]
    for name, field in weights.fields.items():
        by_hand = "  # by hand: ratings do not tell" if name in halves.BY_HAND else ""
        lines += ["", f"[{name}]", f"weight = {field.weight:.4f}{by_hand}", f"typical = {field.typical:.4f}"]
        if field.thin:
            lines.append(f"thin = {field.thin}")
    return "\n".join(lines) + "\n"


def document(
    movies: Sequence[Movie],
    fuller: Sequence[Movie],
    rated: Ratings,
    weights: Weights,
    *,
    without_keywords: Mapping[str, tuple[Sequence[Movie], Ratings]],
    seed: int,
    command: str,
) -> str:
    """docs/quality.md: asked of `movies`; fields learned from `fuller`, the same movies with directors.

    `without_keywords` are catalogues without keywords by what to call them, with ratings by the same people.
    """
    ways = halves.both_ways(movies, rated, seed=seed, learned_with=fuller)
    lines = [*_opening(movies, rated, seed, command), *_verdict(ways)]
    lines += ["", *_other_splits(movies, fuller, rated), "", *_moods(movies, fuller, rated, seed)]
    lines += ["", *_without_keywords(without_keywords, fuller, rated, seed)]
    lines += ["", *_missing(movies, weights), "", *_tried(movies, rated, seed), "", "## All figures"]
    for number, way in enumerate(ways, 1):
        for protocol, one in way.asked.items():
            lines += ["", f"### {protocol.capitalize()}, half {number}: {one.cases:,} lists", ""]
            lines += [*table(one, metrics=_COLUMNS), "", *table(one, metrics=_STRATA)]
    return "\n".join(_wrapped(lines))


def _wrapped(lines: Sequence[str]) -> Iterator[str]:
    """The lines of a Markdown text with its paragraphs wrapped; code, tables and headings stay as they are."""
    in_code, paragraph = False, ""
    for line in [*lines, ""]:
        in_code ^= line.startswith("```")
        is_prose = bool(line) and not in_code and not line.startswith(("#", "|", "```"))
        if paragraph and (not is_prose or line.startswith("- ")):
            indent = "  " if paragraph.startswith("- ") else ""
            yield from textwrap.wrap(
                paragraph, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
            )
            paragraph = ""
        if is_prose:
            paragraph = f"{paragraph} {line.strip()}".strip()
        else:
            yield line


def _opening(movies: Sequence[Movie], rated: Ratings, seed: int, command: str) -> Iterator[str]:
    people = np.unique(rated.users).size
    yield from [
        "# How good the recommendations are",
        "",
        "Everything below was printed by",
        "",
        "```sh",
        *command.replace(" --", " \\\n    --").split("\n"),
        "```",
        "",
        f"on {len(movies):,} films of TMDB with the overview, the cast and the keywords of one data set, the year",
        f"and the genres of MovieLens, and {len(rated):,} ratings by {people} people. Fields are learned with the",
        "directors that Wikipedia names, and then asked without them.",
        "",
        f"The people are drawn into two halves (seed {seed}). Fields are weighed by the ratings of one half, votes are",
        "counted there, and the other half is asked; then the other way round. Brackets hold intervals of 95 %, by",
        "bootstrap over lists (2.5 to 97.5 % of 1,000 draws; for coverage and Gini of 200 draws, moved by the",
        "bias that the draws show).",
        "",
        "Only the weights of the fields are learned on one half alone. A handful of constants were chosen with both in",
        "view: when a list is thin, the damping of hubs, the balance for missing fields, the strength of the mood, the",
        "share of item to item, the part of the keywords that goes to the overview, and the spans of years. So the",
        "figures are a little kinder than those of people who were in neither half would be.",
        "",
        "`scripts/evaluate.py --ratings ratings.csv --links links.csv` asks the same of any model.",
        "",
        "## What is asked",
        "",
        "- **Next likes**: of everybody's likes (4 stars and more; at least five) the last fifth by time is",
        "to be foretold",
        "  from the likes before, by similarity summed over these, among all films but those rated before.",
        "- **Item to item**: of a film that at least five people liked, the ten that were most liked with",
        "it, by the cosine",
        "  of who liked them, shrunk by c / (c + 10) where c people liked both. Half of the people tell what belongs",
        "  together; what learns from ratings learns from the others.",
        "- **Cold films**: a fifth of the films, five times, is hidden from all ratings and to be ranked for",
        "everybody by",
        "  their other likes.",
        "",
        "nDCG@10, recall@20, MRR (first 100 places) and hit rate@10 are means over lists; coverage@10 is the",
        "share of films",
        "that anybody is shown, Gini how unequally they are shown, diversity 1 less the mean similarity",
        "within a list, mean",
        "popularity the ratings of what is shown. Head, middle and tail are films that each got a third of",
        "the ratings,",
        "with only these wanted. Ties are broken by one lot for all.",
        "",
        f"**{SIMILARITY.capitalize()}** is the model without any votes, **balanced**, **popular** and",
        "**deep_cuts** its",
        f"moods. **{ONE_SOUP.capitalize()}** is TF-IDF of all text in one, overview three times, cast, keywords twice,",
        "10,000 uni- and bigrams. **Popularity**, **item-kNN** and **EASE** learn from the other half and",
        "from what these",
        "people had rated before; our model never learns from the people it is asked about.",
        "",
        "## What came of it",
        "",
    ]


def _verdict(ways: Sequence[Way]) -> Iterator[str]:
    rows = [["", *(f"half {number}" for number, _ in enumerate(ways, 1))]]
    likes, cold = ([way.asked[protocol] for way in ways] for protocol in (NEXT_LIKES, COLD))
    for label, cells in (
        (f"next likes, {SIMILARITY} / {ONE_SOUP}", [times(one.times(SIMILARITY, ONE_SOUP)) for one in likes]),
        ("next likes, balanced / popularity", [times(one.times("balanced", "popularity")) for one in likes]),
        (
            "next likes, coverage@10 of balanced",
            [f"{one.figures['balanced']['coverage@10'].value:.3f}" for one in likes],
        ),
        (f"cold films, {SIMILARITY} / {ONE_SOUP}", [times(one.times(SIMILARITY, ONE_SOUP)) for one in cold]),
    ):
        rows.append([label, *cells])
    yield from markdown(rows)
    yield ""
    yield "Ratios are of nDCG@10 for the same people. What was learned:"
    yield ""
    yield from markdown(
        [
            ["weight of", *(f"half {number}" for number, _ in enumerate(ways, 1))],
            *([name, *(f"{way.weights.fields[name].weight:.3f}" for way in ways)] for name in ways[0].weights.fields),
        ]
    )


def _other_splits(movies: Sequence[Movie], fuller: Sequence[Movie], rated: Ratings) -> Iterator[str]:
    """The verdict on other draws of the halves: how much of it is luck."""
    yield "## Other halves"
    yield ""
    yield f"The same with the seeds 0 to {_SPLITS - 1}, both ways each; nDCG@10 in ratios as above."
    yield ""
    told = []
    for seed in range(_SPLITS):
        drawn = rated.halves(seed)
        for learned_on, reported_on in (drawn, drawn[::-1]):
            weights = halves.weights_from(fuller, learned_on)
            model = halves.subject(movies, weights, learned_on)
            one = evaluation.next_likes(model, reported_on, learned_on=learned_on, with_simple=True)
            told.append(
                (
                    one.times(SIMILARITY, ONE_SOUP).value,
                    one.times("balanced", "popularity").value,
                    one.figures["balanced"]["coverage@10"].value,
                )
            )
    columns = np.array(told)
    labels = (f"{SIMILARITY} / {ONE_SOUP}", "balanced / popularity", "coverage@10 of balanced")
    yield from markdown(
        [
            ["", "mean", "least", "greatest"],
            *(
                [label, f"{of_one.mean():.3f}", f"{of_one.min():.3f}", f"{of_one.max():.3f}"]
                for label, of_one in zip(labels, columns.T, strict=True)
            ),
        ]
    )


def _moods(movies: Sequence[Movie], fuller: Sequence[Movie], rated: Ratings, seed: int) -> Iterator[str]:
    strengths = mood.STRENGTHS
    shipped = ", ".join(f"{name} is {strength:+g}" for name, strength in strengths.items())
    yield "## Moods"
    yield ""
    yield "A list is ordered by similarity times a factor from 1, for a film that nobody voted on, to 1 +"
    yield "strength, for the"
    yield f"best known (`recsys_api/model/mood.py`). What that does to the next likes, both halves together; {shipped}."
    yield ""
    rows = [["strength", "ndcg@10", "coverage@10", "gini", "mean popularity"]]
    told: dict[float, list[list[float]]] = {strength: [] for strength in _STRENGTHS}
    drawn = rated.halves(seed)
    for learned_on, reported_on in (drawn, drawn[::-1]):
        model = halves.subject(movies, halves.weights_from(fuller, learned_on), learned_on)
        known = (model.factors["popular"] - 1) / strengths["popular"]
        asked = {f"{strength:+g}": (1 + strength * known).astype(np.float32) for strength in _STRENGTHS}
        figures = evaluation.next_likes(Subject(movies, model.rows, asked), reported_on).figures
        for strength in _STRENGTHS:
            one = figures[f"{strength:+g}"]
            told[strength].append([one[column].value for column in rows[0][1:]])
    for strength, both in told.items():
        ndcg, coverage, gini, popularity = np.mean(both, axis=0)
        rows.append([f"{strength:+g}", f"{ndcg:.4f}", f"{coverage:.3f}", f"{gini:.3f}", f"{popularity:.0f}"])
    yield from markdown(rows)


def _without_keywords(
    catalogues: Mapping[str, tuple[Sequence[Movie], Ratings]], fuller: Sequence[Movie], rated: Ratings, seed: int
) -> Iterator[str]:
    """Weights from one half of the people on films with keywords, the other half asked on films without."""
    yield "## Catalogues without keywords"
    yield ""
    yield "Where no film has keywords, the overview tells what films are about, and gets a part of their weight:"
    yield f"`stand_in` in `recsys_api/model/weights.toml`, {halves.STAND_IN:g}. Weights come from one half of the"
    yield "people on films with keywords, as above, and the other half is asked on these; nDCG@10, mean of both ways."
    yield ""
    rows = [["", "part", SIMILARITY, "balanced", "coverage@10 of balanced", ONE_SOUP, "popularity"]]
    drawn = rated.halves(seed)
    for name, (movies, rated_here) in catalogues.items():
        told: dict[float, list[list[float]]] = {part: [] for part in _STAND_INS}
        for learned_on in drawn:
            weights = halves.weights_from(fuller, learned_on)
            voters = np.isin(rated_here.users, learned_on.users)
            votes, asked = rated_here.only(voters), rated_here.only(~voters)
            for part in _STAND_INS:
                model = halves.subject(movies, replace(weights, stand_in=part), votes)
                one = evaluation.next_likes(model, asked, learned_on=votes, with_simple=True).figures
                ndcg = [one[name]["ndcg@10"].value for name in (SIMILARITY, "balanced", ONE_SOUP, "popularity")]
                told[part].append([*ndcg[:2], one["balanced"]["coverage@10"].value, *ndcg[2:]])
        for part, both in told.items():
            rows.append([name, f"{part:g}", *(f"{value:.4f}" for value in np.mean(both, axis=0))])
    yield from markdown(rows)


def _missing(movies: Sequence[Movie], weights: Weights) -> Iterator[str]:
    yield "## Movies without a field"
    yield ""
    yield "Three in ten films lose a field. Exposure is how often they are among the ten nearest of a"
    yield "film, similarity how"
    yield "near their own ten nearest are, both over what it was before: first as shipped, then with"
    yield "nothing made up for."
    yield ""
    bare = replace(weights, compensation=0.0)
    rows = [["lost", "exposure", "similarity", "exposure, nothing made up", "similarity, nothing made up"]]
    for name in missing.FIELDS:
        told = [missing.taken_away(movies, name, weights=given) for given in (weights, bare)]
        rows.append([name, *(f"{value:.2f}" for one in told for value in one)])
    yield from markdown(rows)


def _tried(movies: Sequence[Movie], rated: Ratings, seed: int) -> Iterator[str]:
    yield "## What was tried, and lost"
    yield ""
    yield "Each field in another form, weighed anew on one half and asked of the other, the mean of both ways; without"
    yield "directors, without weights by hand, with nothing made up for and nothing held back. With so"
    yield "few people differences"
    yield "of two or three thousandths are luck: a form was taken only where it won in both columns or says more."
    yield ""
    rows = [["", SIMILARITY, "balanced", "coverage@10"], *tried.outcomes(movies, rated, seed=seed)]
    yield from markdown(rows)
    yield ""
    yield f"Figures are nDCG@{metrics.K} of the next likes, and the coverage of balanced lists."
    yield ""
    yield "Tried while it was made, too, without figures of this command: a weight for each term, learned from likes"
    yield "(slightly better alone, but with more popular films and less coverage at the same nDCG); a flag for films"
    yield "whose original title is another; holding back by likeness to the nearest 20 or 100 films, not to all;"
    yield "counting words and keywords that the budget of features leaves out, as names are (slightly better alone, but"
    yield "less coverage); and, in the articles of Wikipedia, leaving out the names of a film's own people (worse)."
