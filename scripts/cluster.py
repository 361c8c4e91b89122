"""The table of neighbours from many processes or machines, on a Dask cluster; `build_model.py --scheduler` uses it.

Plain arrays go to the workers once and come back in blocks. Dask itself sends its tasks as pickles, so that whoever
reaches a scheduler can run code on its workers, and the other way round: only a trusted network, or tls://.
"""
from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from distributed import CancelledError, Client, KilledWorker, LocalCluster, as_completed

from recsys_api.errors import RecsysError
from recsys_api.model.kernel import EVEN, NO_COPIES, Int32s, Scores, SimilarityIndex, TopK
from recsys_api.model.neighbours import Arrangement, block_of, code_version

LOCAL = "local"
_PATIENCE_SECONDS = 30


class ClusterError(RecsysError):
    """There is no cluster to build on; the text says why."""


@contextmanager
def cluster(scheduler: str) -> Iterator[Client]:
    """A client of the cluster at `scheduler`: `local` or `local:N` processes of this machine, `tcp://...`, `tls://...`.

    The certificates for tls:// are those of Dask's own configuration. Raises ClusterError where there is no cluster, or
    none of the same code.
    """
    name, _, processes = scheduler.partition(":")
    if name == LOCAL:
        count = int(processes) if processes else os.cpu_count() or 1
        with (
            LocalCluster(
                n_workers=count, threads_per_worker=1, dashboard_address=None, silence_logs=logging.ERROR
            ) as local,
            Client(local) as client,
        ):
            yield client
        return
    try:
        client = Client(scheduler, timeout=_PATIENCE_SECONDS)
    except (OSError, ValueError) as error:
        raise ClusterError(f"There is no Dask scheduler at {scheduler} ({error}).") from error
    with client:
        _require_workers(client, scheduler)
        yield client


def neighbours(
    client: Client,
    index: SimilarityIndex,
    k: int,
    *,
    factors: Scores = EVEN,
    copies: Int32s = NO_COPIES,
    progress: Callable[[int], None] | None = None,
) -> TopK:
    """What `recsys_api.model.neighbours.neighbours` returns, bit for bit, from the workers of `client`.

    A worker that dies is done without: its blocks go to others, and a new one takes its share. Raises ClusterError
    where no block can be had any more.
    """
    arrangement = Arrangement.of(index, factors=factors, copies=copies)
    n = arrangement.rows.size
    k = min(k, n - 1)
    table = TopK(np.empty((n, k), dtype=np.int32), np.empty((n, k), dtype=np.float32))
    arrays = arrangement._asdict()
    left = list(arrangement.starts())
    while left:
        before = len(left)
        for start, block in _blocks(client, arrays, left, k):
            left.remove(start)
            rows = arrangement.rows[start : start + len(block.rows)]
            table.rows[rows], table.scores[rows] = block
            if progress is not None:
                progress(len(rows))
        if len(left) == before:
            raise ClusterError("The workers of the cluster died, every one that was asked; see their logs for why.")
    return table


def _blocks(client: Client, arrays: dict[str, object], starts: list[int], k: int) -> Iterator[tuple[int, TopK]]:
    """The blocks that begin at `starts` as they come, but for those that were lost with a worker.

    Dask soon keeps just one copy of what was sent; when the worker that has it dies, all that needs it is cancelled.
    """
    try:
        sent = client.scatter(arrays, broadcast=True, timeout=_PATIENCE_SECONDS)
    except TimeoutError:
        raise ClusterError("The cluster has no workers any more.") from None
    start_of = {client.submit(block_of, sent, start, k, pure=False): start for start in starts}
    for future in as_completed(list(start_of)):
        start = start_of.pop(future)
        try:
            block = TopK(*future.result())
        except (CancelledError, KilledWorker):
            continue
        yield start, block


def _require_workers(client: Client, scheduler: str) -> None:
    try:
        client.wait_for_workers(1, timeout=_PATIENCE_SECONDS)
    except TimeoutError:
        raise ClusterError(f"The Dask scheduler at {scheduler} has no workers.") from None
    try:
        versions = client.run(code_version)
    except (ImportError, AttributeError) as error:
        raise ClusterError(f"The workers of {scheduler} do not have this service's code ({error}).") from error
    other = sorted(address for address, version in versions.items() if version != code_version())
    if other:
        raise ClusterError(f"The workers {', '.join(other)} have other code than this machine; give all the same.")
