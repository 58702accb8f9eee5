"""CopiedLayers: which layers of the weights file the train net took, as Net::CopyTrainedLayersFrom logs it."""

from tools.caffe_log.glog import plain_text
from tools.caffe_log.log import Log


class CopiedLayers:
    """Fills `Log.ignored_layers`. Each method takes a line and where its message starts."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._train_layers: set[str] = set()
        self._in_train_net = False
        self.new_attempt()

    def new_attempt(self) -> None:
        self._has_copied = False

    def creating(self, line: str, start: int) -> None:
        if line.startswith("Creating train", start):
            self._in_train_net = True
            self._train_layers.clear()
        elif line.startswith("Creating test", start):
            self._in_train_net = False
        elif self._in_train_net and line.startswith("Creating Layer ", start):
            self._train_layers.add(plain_text(line[start:]).strip().removeprefix("Creating Layer "))

    def finetuning(self, line: str, start: int) -> None:
        """Weights are copied. Each weights file has a line, and newer Caffes repeat them for each test net."""
        if not self._has_copied:
            self._log.ignored_layers = []
        self._has_copied = True

    def ignoring(self, line: str, start: int) -> None:
        """Each net prints this. A layer that the train net has is one that only a test net lacks: not counted."""
        layer = plain_text(line[start:]).strip().removeprefix("Ignoring source layer ")
        if layer not in self._train_layers and layer not in self._log.ignored_layers:
            self._log.ignored_layers.append(layer)
