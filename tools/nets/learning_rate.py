"""What a solver's learning rate needs, as sgd_solver.cpp computes it (GetLearningRate).

Caffe takes 0 for every number that is not given. Then the rate is 0, falls to 0 at the first step, or never changes,
and the training says nothing of it. Solvers of all types use the rate.
"""

import math
from pathlib import Path

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import SolverParameter

NEEDS: dict[str, tuple[str, ...]] = {  # lr_policy -> the fields that it cannot do without
    "fixed": (),
    "step": ("gamma", "stepsize"),
    "exp": ("gamma",),
    "inv": ("gamma", "power"),
    "multistep": ("gamma", "stepvalue"),
    "poly": ("power",),
    "sigmoid": ("gamma", "stepsize"),
}


def rate_faults(solver: SolverParameter, file: Path) -> list[str]:
    """A line for each thing that is wrong with the learning rate of `solver`, which `file` has."""
    policy, faults = solver.lr_policy, []
    if not 0 < solver.base_lr < math.inf:
        place = prototxt.place_of(file, "base_lr")
        faults.append(f"{place}: base_lr: {_given(solver, 'base_lr')}; give a learning rate above 0, such as 0.01")
    if policy not in NEEDS:
        given = f'"{policy}"' if policy else "not given"
        faults.append(f"{prototxt.place_of(file, 'lr_policy')}: lr_policy: {given}; there are {', '.join(NEEDS)}")
    return faults + [
        f"{prototxt.place_of(file, key, 'lr_policy')}: {key}: {_given(solver, key)}; "
        f'lr_policy: "{policy}" needs one above 0; "fixed" has a rate that stays'
        for key in NEEDS.get(policy, ())
        if not _fits(solver, key)
    ]


def _fits(solver: SolverParameter, key: str) -> bool:
    value = getattr(solver, key)
    may_be_negative = key in ("power", "stepvalue") or solver.lr_policy == "sigmoid"
    return bool(value) if may_be_negative else value > 0  # sigmoid: BVLC Caffe's head refuses a gamma below 0


def _given(solver: SolverParameter, key: str) -> str:
    is_given = any(field.name == key for field, _ in solver.ListFields())
    return f"{getattr(solver, key):g}" if is_given else "not given"
