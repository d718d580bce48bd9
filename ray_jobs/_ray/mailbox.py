"""Carries reports from actors and controllers to the driver, which alone writes to MLflow and the terminal."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import ray

from ray_jobs._ray.cluster import beside_driver


class _Mailbox:
    def __init__(self) -> None:
        self.letters: list[tuple[Any, ...]] = []

    def put(self, *letter: Any) -> None:
        self.letters.append(letter)

    def take(self) -> list[tuple[Any, ...]]:
        letters, self.letters = self.letters, []
        return letters


def open_mailbox() -> Any:
    """An actor with `put.remote(*letter)`."""
    return beside_driver(_Mailbox)


@contextlib.contextmanager
def delivering(mailbox: Any, receive: Callable[..., None]) -> Iterator[None]:
    """Call `receive(*letter)` from one thread while the body runs, and for the last letters when it ends."""
    ended = threading.Event()

    def deliver() -> None:
        while True:
            last = ended.wait(1.0)
            for letter in ray.get(mailbox.take.remote()):
                receive(*letter)
            if last:
                return

    thread = threading.Thread(target=deliver, name="deliver-letters")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
