"""A net and a solver whose logs of both engines are compared: several data layers, losses and shared parameters."""

from pathlib import Path

from tests.helpers import engine_runs

NET = """
name: "Small"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { scale: 0.0078125 mean_value: 128 }
  data_param { source: "train" batch_size: 10 backend: LMDB } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST not_stage: "other" }
  transform_param { scale: 0.0078125 mean_value: 120 mean_value: 128 mean_value: 130 crop_size: 60 mirror: true }
  data_param { source: "val" batch_size: 7 backend: LMDB } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST stage: "other" }
  transform_param { scale: 0.0078125 crop_size: 60 } data_param { source: "train" batch_size: 30 backend: LMDB } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { pool: AVE kernel_size: 20 stride: 20 } }
layer { name: "pool_t" type: "ReLU" bottom: "pool" top: "pool_t" }
layer { name: "flat" type: "Pooling" bottom: "pool_t" top: "flat" pooling_param { pool: AVE global_pooling: true } }
layer { name: "ip" type: "InnerProduct" bottom: "flat" top: "ip" param { name: "w" } param { lr_mult: 2 }
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "ip2" type: "InnerProduct" bottom: "ip" top: "ip2" param { name: "w" }
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } bias_filler { type: "constant" value: 0.1 } } }
layer { name: "score" type: "InnerProduct" bottom: "ip2" top: "score"
  inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "accuracy" type: "Accuracy" bottom: "score" bottom: "label" top: "accuracy" top: "class" }
layer { name: "top2" type: "Accuracy" bottom: "score" bottom: "label" top: "top2" accuracy_param { top_k: 2 } }
layer { name: "aux" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "a_loss" loss_weight: 0.3 }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" }
"""


def write(folder: Path, settings: dict, net: str = NET) -> None:
    if not (folder / "train").exists():
        engine_runs.make_data(folder)
    (folder / "net.prototxt").write_text(net)
    given = {"base_lr": 0.0001, "test_iter": 3} | settings
    text = engine_runs.solver_text(**{name: value for name, value in given.items() if value is not None})
    dropped = [name for name, value in given.items() if value is None]
    lines = [line for line in text.splitlines() if line.split(":")[0] not in dropped]
    (folder / "solver.prototxt").write_text("\n".join(lines).replace("test_state: {", "test_state {"))
