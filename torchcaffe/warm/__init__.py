"""A warm start: a process that has PyTorch loaded forks a worker for each call of `torchcaffe`.

TORCHCAFFE_WARM is the process id of the caller's parent, or of a parent's parent, and so on: the owner, such as a
sweep. The first call loads PyTorch and leaves a copy of itself behind, the warm parent, before it begins its work.
Later calls find it by an abstract socket. Each sends its arguments, environment, open files, folder and signal settings
(call.py), and the warm parent forks a worker that continues in `main` as if it had been started by the caller. The
caller forwards signals and ends as the worker does (client.py). The kernel kills the worker when the caller ends, or
the warm parent, and the warm parent ends with the owner (parent.py, worker.py).

A call starts cold, as without the variable, if it finds no warm parent, if that does not answer, if files of the
program have changed, or if anything differs that counts when a process starts and that a worker cannot change
(`Call.start`): Python, its path, limits, processors, rights, and the environment.

What a call does before it has reached the warm parent is its price, so these modules import little.
"""
