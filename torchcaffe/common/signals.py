"""SIGINT and SIGHUP: noted when they come, asked for by the solver between iterations."""

import signal
from types import FrameType

from torchcaffe.common.log import Fatal
from torchcaffe.solvers.solver import Action

_EFFECTS = {"stop": Action.STOP, "snapshot": Action.SNAPSHOT, "none": Action.NONE}


class Signals:
    """Handles both signals inside a `with`. The effects are `stop`, `snapshot` or `none`."""

    def __init__(self, sigint_effect: str, sighup_effect: str):
        self._effects = {signal.SIGHUP: _effect(sighup_effect), signal.SIGINT: _effect(sigint_effect)}
        self._received: set[int] = set()

    def __enter__(self) -> "Signals":
        self._before = {number: signal.signal(number, self._note) for number in self._effects}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._received.add(number)

    def requested_action(self) -> Action:
        """The effect of a signal that came since this was last asked, SIGHUP's first."""
        for number, action in self._effects.items():
            if number in self._received:
                self._received.discard(number)
                return action
        return Action.NONE


def _effect(name: str) -> Action:
    if name not in _EFFECTS:
        raise Fatal(f'Invalid signal effect "{name}" was specified', "caffe.cpp:162")
    return _EFFECTS[name]
