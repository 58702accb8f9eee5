"""Reads a Caffe training log, of any year, line by line. Source: BVLC Caffe's src/caffe/solver.cpp, 2013 to its head.

Today's order of lines at iteration N, of which a display and a test each come at their own interval:

    Iteration N, Testing net (#0)                          a test row begins, one a test net
        Test loss: 2.3                                     with test_compute_loss
        Test net output #0: accuracy = 0.1
    Iteration N (5 iter/s, 4s/20 iters), loss = 2.3        a train row begins; until 2017 without iter/s
        Train net output #0: loss = 2.3 (* 1 = 2.3 loss)
    Iteration N, lr = 0.01

and after the last iteration `Iteration N, loss = 2.3` without outputs, a test, `Optimization Done.` Older logs have the
lr line before the loss line, no train outputs, `Test score #0: 0.1` without a name (here `score_0`), and in 2013
`Testing net` without an iteration (here: the last one named).

The rules:
- A row is complete when the solver's next line shows that it has ended. At the log's end, or where the next attempt's
  log begins, it is kept if it has all outputs of the row before it, else dropped. A garbled line spoils its row.
- The rate of a row is that of the `lr` line of its iteration, before or after it; without one, that of the last before
  it, or of the attempt's first. It stays blank where the log ends before the rate in force is known.
- Another attempt begins at a solver's start, or where iterations go back. Its rows replace the earlier rows from its
  first iteration on. Seconds go on from the sum of what earlier attempts trained, work that was lost included.
- Seconds count from the line `Solving`, or from the attempt's first line where there is none. An attempt's time ends
  with its solver's last line.

`LogReader` takes the lines and tells of each row as it comes; `Log` is what they say in all.
"""

from tools.caffe_log.reader import Log, LogReader
from tools.caffe_log.rows import Event
from tools.caffe_log.table import Table

__all__ = ["Event", "Log", "LogReader", "Table"]
