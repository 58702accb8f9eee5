"""Reads a Caffe training log of any year, line by line. Source: BVLC Caffe's src/caffe/solver.cpp, 2013 to its head.

Today's lines at iteration N, in order. Displays and tests each have their own interval:

    Iteration N, Testing net (#0)                          starts a test row; one for each test net
        Test loss: 2.3                                     with test_compute_loss
        Test net output #0: accuracy = 0.1
    Iteration N (5 iter/s, 4s/20 iters), loss = 2.3        starts a train row; until 2017 without iter/s
        Train net output #0: loss = 2.3 (* 1 = 2.3 loss)
    Iteration N, lr = 0.01

After the last iteration follow `Iteration N, loss = 2.3` without outputs, a test, and `Optimization Done.` In older
logs the lr line comes before the loss line, there are no train outputs, and `Test score #0: 0.1` has no name (its
column is `score_0`). In 2013 `Testing net` had no iteration; it is that of the line before.

Rules:
- A row is complete when the solver's next line follows. The last row of the log, or of an attempt, is kept if it has
  all outputs of the row before it; otherwise it is dropped. A garbled line drops its row. So does a missing one, but
  for the outputs of the last display. A snapshot does not complete a test row without outputs: signals ask for it.
- The learning rate of a row is that of the `lr` line of its iteration, before or after it. If there is none, it is the
  last one before, or the first of the attempt. It is blank if the log ends before any of these, and for a display whose
  lr line is garbled or missing, with the tests up to the next lr line. Only the last display has none.
- A new attempt starts where a solver starts, or where the iteration goes back. It goes on from the last attempt that
  wrote the solverstate it resumes, or else came as far as its first iteration. Its rows replace that attempt's from its
  first iteration on; rows of attempts in between do not count. An attempt without a row replaces nothing. One
  that initializes its solver and resumes nothing began at 0, whatever it displays first: it replaces all rows. Seconds
  continue from the training time of all earlier attempts, lost work included.
- `Solving` of another thread in the same attempt is that of a worker of a training on several GPUs. The lr line of
  such a thread does not complete a row.
- Seconds count from the line `Solving`, or from the first line of the attempt if there is none. The time of an attempt
  ends with the solver's last line.

NVIDIA Caffe (source: its src/caffe/solver.cpp, 0.15 to 0.17) prints the same rows with other words around them:

    [0.0] Iteration N (5 iter/s, 1.6s/8 iter), 12.8/320ep, loss = 2.3      `(0.05 s)` in the first three displays
    [0.0] Iteration N, lr = 0.01, m = 0.9, wd = 0.0005, gs = 1
    Iteration N (241.076/s), lr = 0.001                                    2015

0.17 displays the last iteration as N and its rate as that of N - 1.

Colour codes, and the backslashes that issue trackers put before `*`, are left out. What a reader of lines cannot do is
in `arrange`: it works on the whole log, if `Log.is_mixed` or `Log.is_wrapped` says that it must.

- Of processes that do the same training at once (ranks of MPI) the one with the most rows is read, of equals the one
  with the most outputs. They are told apart by glog's thread id and by the tag before the line, `[1] ` or `1: `.
- A line that is there twice, with the same time, is read once.
- Attempts are read in the order of their times, whatever their order in the file. If that would begin later than the
  file does, the clock was set back: then in the order of the file.
- Lines that a console cut at a fixed width are joined again.

`LogReader` takes the lines and returns each row when it is complete. `Log` has the result of the whole log. Most lines
of a long log are displays of one form; `displays` finds them, so that `LogReader.feed_text` takes many at once.
"""

from tools.caffe_log.log import Log
from tools.caffe_log.reader import LogReader
from tools.caffe_log.rows import LogRow
from tools.caffe_log.table import Table

__all__ = ["Log", "LogReader", "LogRow", "Table"]
