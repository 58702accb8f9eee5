"""Removes the LMDBs that nothing needs any more: `keep_lmdbs: none`.

All runs that read an LMDB have this data set's lock (`lmdb_users`), each shared with the others, and so have all sweeps
and pilots from beginning to end. The kernel frees it when one ends, also by kill -9. Who removes must have it alone. So
an LMDB goes only while nobody uses it or is about to, whatever experiment that is for. A later plan finds that it is
gone and wanted, and has it made again from the images.
"""

from tools.common.files import lock_if_free
from tools.common.lmdb_removal import can_be_removed, remove
from tools.datasets.present import PresentImages
from tools.planning.stages import lmdb_stage, split_stage
from tools.planning.state import make_plan
from tools.protocol.experiment import Experiment
from tools.protocol.layout import lmdb_users, split_of, train_sizes
from tools.training.engine import Engine


def remove_lmdbs(exp: Experiment, engine: Engine) -> str:
    """Removes the LMDBs of `exp` if all its runs are finished; returns what there is to say, empty if nothing.

    Those that could not be made again to the same bytes stay: where the images are gone or have changed, and LMDBs of
    earlier versions, which have no checksum. The caller must not hold the data set's lock itself.
    """
    if exp.keep_lmdbs == "all":
        return ""
    images = PresentImages(exp)
    places = [(split_of(exp, seed), split_stage(exp, seed, images)) for seed in exp.seeds]
    found = [
        (place.lmdb(name), stage)
        for place, stage in dict(places).items()
        for name in place.lists(train_sizes(exp))
        if can_be_removed(place.lmdb(name)) and lmdb_stage(exp, place, name).is_complete
    ]
    if not found:
        return ""
    if images.are_gone or not all(stage.is_complete for _, stage in found):
        return "keep_lmdbs: none: the LMDBs stay: the images that they are made of are not here"
    try:
        with lock_if_free(lmdb_users(exp)) as free:
            if not free:
                return "keep_lmdbs: none: the LMDBs stay for now: another sweep or run uses this data set"
            if not make_plan(exp, engine).is_complete:  # another sweep has begun and ended since
                return ""
            size = sum(remove(folder) for folder, _ in found if can_be_removed(folder))
    except OSError as error:
        return f"keep_lmdbs: none: {error.filename}: cannot be removed ({error.strerror})"
    return f"keep_lmdbs: none: {len(found)} LMDBs removed, {size / 1e9:.2g} GB; what needs them makes them again"
