"""Storage that fails for a while: try again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")


def persistently(action: Callable[[], Result], patience: float, what: str) -> Result:
    """Try until it succeeds or has failed for `patience` seconds.

    Args:
        action: may be repeated.
        patience: seconds.
        what: is read or written, for the error.

    Raises:
        PermissionError: at once, as waiting grants nothing.
        OSError: what the storage said last.
    """
    failing, pause = 0.0, 0.5
    while True:
        try:
            return action()
        except PermissionError:
            raise
        except OSError as error:
            now = time.monotonic()
            failing = failing or now  # what took long before it failed is tried again, too
            if now - failing + pause > patience:
                raise OSError(
                    f"{what}: the storage has failed for {patience:g} s (encode.patience): {error}"
                ) from error
        time.sleep(pause)
        pause = min(2 * pause, 15.0)


@dataclass(frozen=True)
class Patience:
    """A `storage.Attempt` that tries again while the storage fails."""

    seconds: float

    def __call__(self, action: Callable[[], Result], what: str, /) -> Result:
        """As `persistently`."""
        return persistently(action, self.seconds, what)
