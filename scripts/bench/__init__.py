"""The benchmarks behind scripts/benchmark.py, one module for each sub-command.

A sub-command is a module named as it is, listed in `scripts/benchmark.py`, with

- a docstring whose first sentence is its help;
- `add_options(parser)`: options of its own; `--model`, `--quick` and `--json FILE` every sub-command has;
- `run(arguments) -> list[Result]`: measures, and returns every figure by name, with its target where it has one.

What is compared is set up identically and takes turns within one run, so that a ratio says something on any machine;
targets are ratios wherever they can be. `run` shows its progress on stderr and prints nothing: `scripts/benchmark.py`
prints the table or writes the JSON, and `report` collects what `run` returns. With `--quick` a sub-command takes a few
seconds, for a check before a release. `models.py` makes the models, `results.py` holds what all of them return.
"""
