"""Recorded work on the CPU behaves as a CUDA graph: its results are in the same tensors after every replay."""

import torch

from tests.helpers.call_tape import Tape
from torchcaffe.common.blob import Blob
from torchcaffe.common.context import Context
from torchcaffe.solvers.recording import Recording, record


def recorded() -> tuple[torch.Tensor, Blob, Recording]:
    """An input, a blob whose value is twice the input, and the recorded work, which returns the sum."""
    source, blob = torch.ones(3), Blob(Context(), (3,))

    def work() -> torch.Tensor:
        blob.value, blob.grad = source * 2, source * 3
        return source.sum()

    return source, blob, record(work, [blob], torch.device("cpu"))


def test_a_replay_reads_the_input_where_it_was_and_writes_to_the_same_tensors() -> None:
    source, blob, recording = recorded()
    first = recording.replay()
    tensors = blob.tensors()
    source.fill_(5)
    second = recording.replay()
    assert second is first
    assert blob.tensors() == tensors
    assert (second.tolist(), blob.data.tolist(), blob.diff.tolist()) == (15, [10] * 3, [15] * 3)


def test_a_replay_attaches_the_recorded_tensors_to_blobs_that_hold_others_by_now() -> None:
    _, blob, recording = recorded()
    recording.replay()
    blob.value, blob.grad = torch.zeros(3), None
    recording.replay()
    assert (blob.data.tolist(), blob.diff.tolist()) == ([2] * 3, [3] * 3)


def test_work_without_a_result_is_run_at_every_replay() -> None:
    counter = torch.zeros(())

    def work() -> None:
        counter.add_(1)

    recording = record(work, [], torch.device("cpu"))
    for count in range(1, 4):
        assert recording.replay() is None
        assert counter == count


def test_the_tape_of_the_tests_gives_what_a_recording_gives() -> None:
    counter = torch.zeros(())
    tape = Tape(lambda: counter.add_(1), [])
    assert [float(tape.replay()) for _ in range(3)] == [1, 2, 3]
