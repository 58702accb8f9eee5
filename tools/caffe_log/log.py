"""Log: what a training log holds, as LogReader reads it."""

import statistics
from array import array
from itertools import islice, pairwise
from operator import eq

from tools.caffe_log.rows import NAN
from tools.caffe_log.table import Table


class Log:
    """The content of a log. `finished`, `stopped_early` and `fatal` are those of the last attempt."""

    def __init__(self, train: Table, test: Table) -> None:
        self.train = train
        self.test = test
        self.attempts = 0
        self.seconds = 0.0  # of training in all attempts, up to the solver's last line; set by `finish`
        self.finished = False  # trained to max_iter
        self.stopped_early = False  # by SIGINT; Caffe prints `Optimization Done.` then too
        self.fatal: list[str] = []  # an abort's message and the lines before it, without stack frames
        self.tail: list[str] = []  # the last lines of the log, without stack frames; set by `finish`
        self.ignored_layers: list[str] = []  # layers in the weights file that the train net does not have
        self.rates = array("d")  # iter/s as displayed, without meaningless ones
        self.garbled_rows = 0  # left out because a line is garbled or missing; set by `finish`
        self.lost_rows = 0  # of a finished training before another one in the same log; set by `finish`
        self.lost_rates = 0  # rows without a learning rate, whose line is garbled or missing; set by `finish`
        self.is_cut_short = False  # the last row is left out, because it may lack outputs; set by `finish`
        self.unread: list[str] = []  # the first lines that look like a display or a test, but are not read
        self.unread_count = 0
        self.tested_batches = 0  # lines of `caffe test`, which trains nothing
        self.processes = 1  # that did the same training at once; the tables have the rows of one; set by `parse_log`
        self.cut_line = ""  # a last line that may be half written; set by `parse_log`
        self.is_mixed = False  # several processes at once, or attempts that are not in the order of their time
        self.is_wrapped = False  # a console cut long lines in two

    @property
    def iters_per_s(self) -> float:
        """The median of the displayed rates; if there are none, of those between train rows; otherwise NaN."""
        points = pairwise(zip(self.train.numbers("NumIters"), self.train.numbers("Seconds"), strict=True))
        rates = self.rates or [(n - m) / (t - s) for (m, s), (n, t) in points if n > m and t > s]
        return statistics.median(rates) if rates else NAN

    @property
    def doubled_rows(self) -> int:
        """Train rows with the iteration of the row before: one solver displays an iteration once."""
        iterations = self.train.numbers("NumIters")
        return sum(map(eq, iterations, islice(iterations, 1, None)))
