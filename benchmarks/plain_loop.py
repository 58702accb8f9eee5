"""A plain PyTorch training loop, for comparison: AlexNet of the same shape, a DataLoader, eager steps.

    python benchmarks/plain_loop.py --images images.npy --labels labels.npy --mean mean.npy --classes 100 --frozen 3

The images are uint8, NCHW, in memory. No file is read or decoded, which makes the loop faster. The DataLoader's workers
crop and mirror each image and subtract the mean; the batch goes to the device from pinned memory. benchmarks/gpu.py
runs this program. For each window of iterations it prints a line: milliseconds per iteration.
"""

import argparse
import contextlib
import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

CROP = 57


class Images(Dataset):
    """Images minus their mean, cropped and mirrored at random."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, mean: np.ndarray) -> None:
        self.images, self.labels, self.mean = images, labels.astype(np.int64), mean

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        top, left = np.random.randint(0, self.images.shape[2] - CROP + 1, 2)
        window = (slice(None), slice(top, top + CROP), slice(left, left + CROP))
        image = self.images[index][window] - self.mean[window]
        image = image[:, :, ::-1].copy() if np.random.randint(2) else image
        return torch.from_numpy(image), self.labels[index]


class AlexNet(nn.Module):
    """The eight weighted layers of prototxt/alexnet, for 57x57 images. Pooling rounds up, as in Caffe."""

    def __init__(self, classes: int) -> None:
        super().__init__()

        def pool() -> nn.Module:
            return nn.MaxPool2d(3, 2, ceil_mode=True)

        def norm() -> nn.Module:
            return nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0)

        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 11, 4), nn.ReLU(inplace=True), norm(), pool(),
            nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(inplace=True), norm(), pool(),
            nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(inplace=True), pool(),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(256, 4096), nn.ReLU(inplace=True), nn.Dropout(),
            nn.Linear(4096, 4096), nn.ReLU(inplace=True), nn.Dropout(),
            nn.Linear(4096, classes),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x))


def optimizer_of(net: AlexNet, frozen: int) -> torch.optim.Optimizer:
    """SGD of the weighted layers, without the first `frozen` ones."""
    weighted = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer in weighted[:frozen]:
        layer.requires_grad_(False)
    learning = [parameter for layer in weighted[frozen:] for parameter in layer.parameters()]
    return torch.optim.SGD(learning, lr=0.01, momentum=0.9, weight_decay=5e-4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("images", "labels", "mean"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--classes", type=int, required=True)
    parser.add_argument("--frozen", type=int, default=0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "tf32", "bf16"])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--window", type=int, default=100)
    parser.add_argument("--windows", type=int, default=5)
    run(parser.parse_args())


def run(arguments: argparse.Namespace) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = arguments.precision == "tf32"
    images, labels, mean = (np.load(path) for path in (arguments.images, arguments.labels, arguments.mean))
    on_gpu = arguments.device != "cpu"
    loader = DataLoader(
        Images(images, labels, mean), arguments.batch, shuffle=True, drop_last=True, num_workers=arguments.workers,
        pin_memory=on_gpu, persistent_workers=arguments.workers > 0,
    )  # fmt: skip
    net = AlexNet(arguments.classes).to(arguments.device)
    optimizer, loss_function, batches = optimizer_of(net, arguments.frozen), nn.CrossEntropyLoss(), endless(loader)
    bf16 = torch.autocast(arguments.device.split(":")[0], torch.bfloat16)
    for _ in range(arguments.windows):
        started = time.perf_counter()
        for _ in range(arguments.window):
            batch, label = (tensor.to(arguments.device, non_blocking=True) for tensor in next(batches))
            optimizer.zero_grad(set_to_none=True)
            with bf16 if arguments.precision == "bf16" else contextlib.nullcontext():
                loss = loss_function(net(batch), label)
            loss.backward()
            optimizer.step()
        float(loss)  # this waits for the device, once in each window
        print(f"{(time.perf_counter() - started) / arguments.window * 1e3:.4f}", flush=True)


def endless(loader: DataLoader) -> Iterator[list[torch.Tensor]]:
    while True:
        yield from loader


if __name__ == "__main__":
    main()
