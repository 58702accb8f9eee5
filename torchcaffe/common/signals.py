"""SIGINT and SIGHUP: recorded when they arrive; the solver asks for them between iterations.

Source followed: BVLC Caffe's util/signal_handler.cpp.
"""

import signal
from enum import Enum
from types import FrameType

from torchcaffe.common.log import Fatal

Action = Enum("Action", ["NONE", "STOP", "SNAPSHOT"])

_EFFECTS = {"stop": Action.STOP, "snapshot": Action.SNAPSHOT, "none": Action.NONE}


class Signals:
    """Handles both signals inside a `with`. The effects are `stop`, `snapshot` or `none`. Raises Fatal for others."""

    def __init__(self, sigint_effect: str, sighup_effect: str):
        self._effects = {signal.SIGHUP: _effect(sighup_effect), signal.SIGINT: _effect(sigint_effect)}
        self._received: set[int] = set()

    def __enter__(self) -> "Signals":
        self._previous = {number: signal.signal(number, self._record) for number in self._effects}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _record(self, number: int, frame: FrameType | None) -> None:
        self._received.add(number)

    def requested_action(self) -> Action:
        """The effect of a signal that arrived since the last call, that of SIGHUP first."""
        for number, action in self._effects.items():
            if number in self._received:
                self._received.discard(number)
                return action
        return Action.NONE


def _effect(name: str) -> Action:
    if name not in _EFFECTS:
        raise Fatal(f'Invalid signal effect "{name}" was specified', "caffe.cpp:162")
    return _EFFECTS[name]
