"""Ways to break a service that runs, and to mend it again."""
from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from scripts.faulty_service import FAILING, FAULT, NO_MODEL, SLOW
from scripts.monitoring_stack import Shorten
from scripts.running_service import RunningService, running_service

THREADS = 16


@dataclass
class Scene:
    """A service at work, and the switch that breaks it."""

    model: Path
    folder: Path
    port: int
    shorten: Shorten
    _running: ExitStack = field(default_factory=ExitStack)

    def serve(self) -> None:
        """Start the service, with threads to spare: where slow requests take them all, scrapes wait as well."""
        self.service: RunningService = self._running.enter_context(
            running_service(
                self.model, self.folder / "service", workers=2, port=self.port,
                application="scripts.faulty_service:faulty_app()", RECSYS_THREADS=str(THREADS),
                **{FAULT: str(self.switch)},
            )
        )  # fmt: skip

    def end_service(self) -> None:
        """Stop the service."""
        self._running.pop_all().close()

    @property
    def switch(self) -> Path:
        """The file that says what is broken."""
        return self.folder / "fault"


Fault = Callable[[Scene], AbstractContextManager[None]]


def _switched(fault: str) -> Fault:
    @contextmanager
    def broken(scene: Scene) -> Iterator[None]:
        scene.switch.write_text(fault, encoding="utf-8")
        yield
        scene.switch.unlink()

    return broken


@contextmanager
def _workers_killed(scene: Scene) -> Iterator[None]:
    """A worker every 15 seconds, or what these are shortened to."""
    service, over, chance = scene.service, threading.Event(), random.Random(1)

    def kill() -> None:
        while not over.wait(scene.shorten(15.0)):
            if workers := service.pids():
                os.kill(chance.choice(workers), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield
    finally:
        over.set()
        killer.join()


@contextmanager
def _service_stopped(scene: Scene) -> Iterator[None]:
    scene.end_service()
    yield
    scene.serve()


FAULTS: dict[str, Fault] = {
    "model taken away": _switched(NO_MODEL),
    "handlers slow by 2.5 s": _switched(SLOW),
    "handlers failing": _switched(FAILING),
    "workers killed": _workers_killed,
    "service stopped": _service_stopped,
}
