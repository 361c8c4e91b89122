#!/usr/bin/env python3
"""Write docs/metrics.md from the catalogue of metrics."""
from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from recsys_api.metrics.catalogue import as_markdown

PAGE = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page, or with --check say whether it is up to date; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the page is not up to date")
    arguments = parser.parse_args(argv)
    text = "\n".join(as_markdown()) + "\n"
    if arguments.check:
        if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
            return 0
        print(f"error: {PAGE} is not up to date; run scripts/document_metrics.py.", file=sys.stderr)
        return 1
    PAGE.write_text(text, encoding="utf-8")
    print(f"wrote {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
