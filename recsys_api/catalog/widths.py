"""How wide the numbers of rows, of features and the like are kept: 16 bits where those are enough, else 32."""
from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.uint16] | npt.NDArray[np.int32]
"""Numbers of rows, of features or of whatever else is counted from 0; they are half of a model's bytes."""

_MOST = int(np.iinfo(np.uint16).max)


def narrow(ids: npt.NDArray[Any], count: int) -> Ids:
    """`ids`, each of them one of `count` from 0 on, as uint16 where that has room for `count` too, else as int32."""
    return ids.astype(np.uint16, copy=False) if count <= _MOST else ids.astype(np.int32, copy=False)
