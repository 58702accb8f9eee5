"""LogReader: interprets the lines of a log. The package docstring has the rules."""

from collections import deque

from tools.caffe_log import messages
from tools.caffe_log.copied_layers import CopiedLayers
from tools.caffe_log.displays import LINES, Displays, Form, OneTest, Outputs
from tools.caffe_log.glog import PREFIX, Clock, glued_before, last_prefix, plain_text, process_of
from tools.caffe_log.log import Log
from tools.caffe_log.rows import NAN, LogRow, RowBuilder, number

_CONTEXT = 6  # lines kept to report an abort, the last one included


class LogReader:
    """Takes the lines of a log in order, complete lines only. `feed` returns each row; `log` has all that was read."""

    def __init__(self) -> None:
        self._rows = RowBuilder()
        self.log = Log(self._rows.train, self._rows.test)
        self._clock = Clock()
        self._earlier_time = 0  # microseconds of the earlier attempts
        self._time = 0  # microseconds of all attempts, up to the solver's last line
        self._line_before = ""  # the last `Iteration` line
        self._micros = ""  # microseconds in the prefix of the current line
        self._process = ("", "")  # of the last line that began a row
        self._thread = "\n"  # of that process as it stands in its lines, if these have no tag; otherwise in no line
        self._is_after_the_end = False  # the attempt before finished
        self._earlier_processes: set[tuple[str, str]] = set()  # that began rows before it
        self._last_time: int | None = None  # by the clock, of the last `Iteration` line
        self._recent: deque[str] = deque(maxlen=_CONTEXT)
        self._copied = CopiedLayers(self.log)
        self._handlers = {
            "Iteration": self._iteration_line,
            "Train": self._train_output,
            "Training": self._train_output,
            "Test": self._test_output,
            "Testing": self._testing,
            "Snapshotting": self._snapshotting,
            "Resuming": self._resuming,
            "Restoring": self._resuming,
            "SGDSolver": self._resuming,
            "Optimization": self._optimization,
            "Initializing": self._initializing,
            "Solving": self._solving,
            "Creating": self._copied.creating,
            "Finetuning": self._copied.finetuning,
            "Ignoring": self._copied.ignoring,
            "Batch": self._batch,
        }
        self._new_attempt()

    def _new_attempt(self) -> None:
        self._stage = ""  # later initialized, then solving
        self._iteration: int | None = None
        self._displayed: int | None = None  # the iteration of the last display
        self._is_row_unread = False  # the last `Iteration` line is in a form that is not read
        self._copied.new_attempt()
        self._has_header = False
        self._resumed: str | None = None  # name of the solverstate that the attempt goes on from; "" if it is not told

    def feed(self, line: str) -> LogRow | None:
        """Takes the next line, with or without its line end. Returns the row that it completes, if any."""
        prefix, row = PREFIX.match(line), None
        if prefix is None or line.find("] ", prefix.end()) >= 0:  # only such a line can have a later prefix
            line = plain_text(line)
            prefix = last_prefix(line)
            if prefix is None:
                self._other_line(line)
                return None
            if before := glued_before(line, prefix):
                row = self.feed(before)
        severity, second, self._micros, word = prefix.groups()
        if not word and messages.LOOKS_COLOURED.search(line):
            line = plain_text(line)
            prefix = last_prefix(line) or prefix
            word = prefix[4]
        if second != self._clock.second:
            self._clock.set_second(second)
            self.log.attempts = self.log.attempts or 1
        self._recent.append(line)
        if severity == "F":
            self.log.fatal = messages.stripped(self._recent)
        handler = self._handlers.get(word)
        if handler is None:
            return row
        self._prefix = prefix
        return handler(line, prefix.start(4)) or row

    def feed_text(self, text: str) -> None:
        """Takes whole lines, each with its line end. The same as `feed` with each, and faster for many."""
        process, train, test = self._process, self._rows.outputs_of("train"), self._rows.outputs_of("test")
        thread = "" if process[0] or train is None else process[1]
        form = Form(thread, train or Outputs(), test or Outputs())
        for texts, part in form.parts(text):
            if part is None or self._process != process or not self._take(part, form):
                for line in LINES.findall("".join(texts)):
                    self.feed(line)

    def _take(self, part: Displays | OneTest, form: Form) -> bool:
        """Takes lines of the thread that began the last row. False if they are not the next of this attempt."""
        if self._iteration is None or part.iterations[0] < self._iteration:
            return False
        if part.iterations[0] == (self._iteration if isinstance(part, OneTest) else self._displayed):
            return False  # it may be there twice
        if isinstance(part, OneTest):
            self._take_test(part, form)
        else:
            self._take_displays(part, form)
        self._last_time = self._clock.last_read
        self._iteration = part.iterations[-1]
        return True

    def _take_test(self, test: OneTest, form: Form) -> None:
        self._clock.set_second(test.second)
        self._clock.read(test.micros)
        self._clock.set_second(test.output_second)
        self._time = self._earlier_time + self._clock.read(test.output_micros)
        self._rows.move_to(test.iterations[0])
        self._rows.close()
        row = self._begin_row("test", test.iterations[0])
        for index, (name, weighted, value) in enumerate(zip(*form.test, test.outputs, strict=True)):
            row.add(index, name, value, weighted)
        lines = LINES.findall(test.text)
        self._line_before = lines[0]
        self._recent.extend(lines)

    def _take_displays(self, displays: Displays, form: Form) -> None:
        elapsed = self._clock.read_pairs(displays.minutes, displays.seconds, displays.micros, displays.rate_micros)
        times = [(self._earlier_time + lapse) / 1e6 for lapse in elapsed]
        self._rows.add_displays(displays, form.train, times)
        self._time = self._earlier_time + self._clock.elapsed
        rates, lapses = displays.iters_per_s, displays.lapses
        if self._displayed is None:
            rates, lapses = rates[1:], lapses[1:]
        if not (all(lapses) and all(map((0.0).__lt__, rates))):
            rates = [rate for rate, lapse in zip(rates, lapses, strict=True) if lapse and rate > 0]
        self.log.rates.fromlist(rates)
        self._displayed = displays.iterations[-1]
        lines = LINES.findall("".join(displays.texts[-_CONTEXT // 2 :]))  # each is of two lines or more
        self._line_before = lines[-1]
        self._recent.extend(lines)

    def finish(self) -> Log:
        """To be called at the end of the log: keeps or drops the open row. Returns `log`."""
        last = self._rows.open
        kept = self._rows.close(cut=True)
        self.log.is_cut_short = (
            last is not None and kept is None and bool(last.kind == "train" or last.values or last.garbled)
        )
        self._rows.take_back_empty_attempt()
        self.log.garbled_rows = self._rows.garbled
        self.log.lost_rows, self.log.lost_rates = self._rows.lost_rows, self._rows.lost_rates
        self.log.seconds = self._time / 1e6
        self.log.tail = messages.stripped(self._recent)
        return self.log

    # Rows

    def _iteration_line(self, line: str, start: int) -> LogRow | None:
        match = messages.ITERATION.match(line, start)
        if match is None and (plain := self._plain(line)):
            line, start = plain
            match = messages.ITERATION.match(line, start)
        if match is None:
            if messages.RATE.match(line, start):
                return self._rows.close()  # and the rows of this iteration stay without a rate
            if messages.DISPLAY.match(line, start):
                self.log.unread_count += 1
                self.log.unread = [*self.log.unread, line.strip()][:3]
                self._is_row_unread = True
                return self._rows.close()
            return None
        digits, rate, lapse, key, value, net, score = match.groups()
        self._is_row_unread = False
        iteration = int(digits)
        if key == "lr":
            if iteration != self._iteration:
                iteration = self._iteration_of_rate(line, iteration)
            elif self._is_of_another_thread(line):
                self._rows.take_rate(iteration, number(value))
                return None
        elif self._prefix.start() or not line.startswith(self._thread, self._prefix.end(3)):
            self._check_process(line)
        row = None if iteration == self._iteration else self._set_iteration(iteration)
        self._time = self._earlier_time + self._clock.read(self._micros)
        self._last_time = self._clock.last_read
        self.log.is_mixed |= line == self._line_before
        self._line_before = line
        if score is not None:
            return self._inline_score(line, match.start(7), iteration) or row
        if key == "lr":
            return self._rows.end_with_rate(iteration, number(value)) or row
        row = self._rows.close() or row
        if key == "loss":
            self._begin_row("train", iteration, 0, number(value), self._displayed_rate(iteration, rate, lapse))
        else:
            self._begin_row("test", iteration, int(net or 0))
        return row

    def _iteration_of_rate(self, line: str, iteration: int) -> int:
        """The iteration of an lr line. NVIDIA Caffe 0.17 displays the last iteration as N + 1, but its rate as N."""
        before = self._iteration
        if before is not None and iteration < before:
            if iteration == before - 1 and self._rows.open is not None and ", m = " in line:
                return before
            if process_of(line, self._prefix) != self._process:
                self.log.is_mixed = True  # the lr line of a slower thread, or another attempt
        return iteration

    def _check_process(self, line: str) -> None:
        """Notes whether the processes take turns. A process that starts its solver again is another attempt."""
        process = process_of(line, self._prefix)
        if process != self._process:
            if process in self._earlier_processes or self._iteration is not None:
                self.log.is_mixed = True
            self._earlier_processes.add(self._process)
            self._process = process
        self._thread = f" {process[1]} " if not process[0] else "\n"

    def _is_of_another_thread(self, line: str) -> bool:
        """Whether a line without a tag is of another thread than the open row: of a worker on another GPU."""
        if line.startswith(self._thread, self._prefix.end(3)) or self._rows.open is None or self._process[0]:
            return False
        return process_of(line, self._prefix) != self._process

    def _set_iteration(self, iteration: int) -> LogRow | None:
        """Sets the solver's iteration. If it is lower than before, the attempt ends, and its open row is returned."""
        row = None
        if self._iteration is not None and iteration < self._iteration:
            row = self._end_attempt()
        if self._iteration is None:
            now = self._clock.now + int(self._micros)
            self.log.is_mixed |= self._last_time is not None and now < self._last_time
            if self.log.attempts > 1:
                start = 0 if self._has_header and self._resumed is None else iteration
                self._rows.replace_from(start, self._resumed or "", is_lost=start == 0 and self._is_after_the_end)
            self._rows.reach = iteration
        self._rows.move_to(iteration)
        self._iteration = iteration
        self._stage = "solving"
        return row

    def _begin_row(
        self, kind: str, iteration: int, net: int = 0, loss: float | None = None, iters_per_s: float = NAN
    ) -> LogRow:
        row = self._rows.open = LogRow(kind, iteration, self._time / 1e6, net, loss, iters_per_s)
        return row

    def _inline_score(self, line: str, start: int, iteration: int) -> LogRow | None:
        """`Iteration N, Test score #0: 0.1`: for some weeks of 2014 every score line had the iteration."""
        completed, row = None, self._rows.open
        if row is None or row.kind != "test" or row.iteration != iteration:
            completed = self._rows.close()
            self._begin_row("test", iteration)
        self._test_output(line, start)
        return completed

    def _testing(self, line: str, start: int) -> LogRow | None:
        """`Testing net` alone: 2013, when the line had no iteration."""
        row = self._rows.close()
        if self._iteration is not None and plain_text(line[start:]).strip() == "Testing net":
            self._begin_row("test", self._iteration)
        return row

    def _train_output(self, line: str, start: int) -> None:
        row = self._rows.open
        if row and row.kind == "train":
            self._add_output(row, line, start)
        else:
            self._output_without_row(line, start)

    def _test_output(self, line: str, start: int) -> None:
        row = self._rows.open
        if row is None or row.kind == "train":
            self._output_without_row(line, start)
            return
        if not row.values:
            self._time = self._earlier_time + self._clock.read(self._micros)
            row.seconds = self._time / 1e6
        if match := messages.TEST_LOSS.match(line, start):
            row.loss = number(match[1])
            row.garbled |= row.loss is None
        else:
            self._add_output(row, line, start)

    def _output_without_row(self, line: str, start: int) -> None:
        """The first output tells of a row whose `Iteration` line is missing. A log may begin within a row."""
        if self._iteration is not None and not self._is_row_unread and " #0: " in line[start:]:
            self._rows.garbled += 1

    def _add_output(self, row: LogRow, line: str, start: int) -> None:
        match = messages.OUTPUT.match(line, start)
        if match:
            index, name, text, weight = match.groups()
            value = number(text)
            if value is not None and not (name and ("\\" in name or "\x1b" in name or messages.CUT_NAME in name)):
                row.add(int(index), name or f"score_{index}", value, weight is not None)
                return
        plain = self._plain(line)
        match = messages.OUTPUT.match(*plain) if plain else match
        if match and messages.CUT_NAME not in (match[2] or ""):
            row.add(int(match[1]), match[2] or f"score_{match[1]}", number(match[3]), match[4] is not None)
        else:
            row.garbled = True  # garbled, or `Test interrupted.`

    def _plain(self, line: str) -> tuple[str, int] | None:
        """The line without colour codes and escapes, and where its message starts. None if it has none of these."""
        plain = plain_text(line)
        prefix = last_prefix(plain) if plain != line else None
        if prefix is None:
            return None
        self._prefix = prefix
        return plain, prefix.start(4)

    def _end_row(self, line: str, start: int) -> LogRow | None:
        self._time = self._earlier_time + self._clock.read(self._micros)
        return self._rows.close()

    def _snapshotting(self, line: str, start: int) -> LogRow | None:
        if line.startswith("Snapshotting solver state", start):
            self._rows.snapshots.add(messages.last_name(line))
        row = self._rows.open
        if row is not None and row.kind == "test" and not row.values:
            return None  # by SIGHUP, within the test
        return self._end_row(line, start)

    def _resuming(self, line: str, start: int) -> None:
        """`SGDSolver: restoring history` is all that a script that calls `solver.restore` has in its log."""
        self._resumed = (self._resumed or "") if line.startswith("SGDSolver", start) else messages.last_name(line)

    def _displayed_rate(self, iteration: int, rate: str | None, lapse: str | None) -> float:
        """iter/s of a display; NaN for the first of an attempt and for a time too short for Caffe's timer."""
        self.log.is_mixed |= iteration == self._displayed  # its lines may be there twice
        first, self._displayed = self._displayed is None, iteration
        value = number(rate) or NAN
        if first or not number(lapse) or not value > 0:
            return NAN
        self.log.rates.append(value)
        return value

    # Attempts

    def _initializing(self, line: str, start: int) -> LogRow | None:
        if not line.startswith("Initializing solver from", start):
            return None
        row = self._end_attempt() if self._stage or self.log.fatal else None
        self._stage = "initialized"
        self._has_header = True
        self._earlier_processes.discard(process_of(line, self._prefix))
        return row

    def _solving(self, line: str, start: int) -> LogRow | None:
        process = process_of(line, self._prefix)
        if self._stage == "solving" and (self._iteration is None or (self._has_header and process != self._process)):
            return None  # a worker's thread of a training on several GPUs
        self._earlier_processes.discard(process)
        row = self._end_attempt() if self._stage == "solving" else None
        self._stage = "solving"
        self._clock.restart(self._micros)
        return row

    def _end_attempt(self) -> LogRow | None:
        row = self._rows.close(cut=True)
        self._rows.new_attempt()
        self._earlier_time = self._time
        self._clock.restart(self._micros)
        self.log.attempts += 1
        self._is_after_the_end = self.log.finished
        self.log.finished = self.log.stopped_early = False
        self.log.fatal = []
        self._new_attempt()
        return row

    def _optimization(self, line: str, start: int) -> LogRow | None:
        row = self._end_row(line, start)
        if line.startswith("Optimization stopped early", start):
            self.log.stopped_early = True
        elif line.startswith("Optimization Done", start):
            self.log.finished = not self.log.stopped_early
            self._rows.settle_last_rates()
        return row

    def _batch(self, line: str, start: int) -> None:
        self.log.tested_batches += 1

    def _other_line(self, line: str) -> None:
        """A line without glog's prefix: of another program, a later line of a message, or of a crash."""
        if line.lstrip().startswith(messages.STACK):
            return
        if self._recent and not self.log.is_wrapped and messages.is_cut_off(self._recent[-1], line):
            self.log.is_wrapped = True
        self._recent.append(line)
        if line.startswith(messages.CRASH):
            self.log.fatal = messages.stripped(self._recent)
