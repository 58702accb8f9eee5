"""A data set in Tiny-ImageNet's layout where no real one is at hand: pieces of a photograph, as real JPEGs."""

import csv
import io
import zipfile
from pathlib import Path

import matplotlib.cbook
from PIL import Image

CLASSES = Path(__file__).resolve().parents[2] / "data" / "classes" / "tiny-imagenet.csv"
# fmt: off
IDS = {  # those of the sample of the real data set
    "n01774750", "n02123045", "n02268443", "n02410509", "n02486410", "n02699494", "n02769748",
    "n02802426", "n03085013", "n03089624", "n03424325", "n03617480", "n03662601", "n03814639",
    "n03854065", "n04149813", "n04376876", "n04532106", "n07615774", "n09428293",
}
# fmt: on
TRAIN, VAL = 60, 10  # images a class


def photograph_in_pieces(path: Path) -> Path:
    """Writes the archive `path`: 20 classes, each a region of the photograph, cut into 64x64 pieces that overlap."""
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=True) as file:
        picture = Image.open(file).convert("RGB")
    with open(CLASSES, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["id"] in IDS]
    top, notes = "tiny-imagenet-sample", []
    with zipfile.ZipFile(path, "w") as archive:
        for label, row in enumerate(rows):
            for number in range(TRAIN + VAL):
                left, upper = label % 5 * 85 + number % 10 * 2, label // 5 * 125 + number // 10 * 3
                piece = io.BytesIO()
                picture.crop((left, upper, left + 64, upper + 64)).save(piece, "JPEG")
                if number < TRAIN:
                    name = f"train/{row['id']}/images/{row['id']}_{number}.JPEG"
                else:
                    name = f"val/images/val_{len(notes)}.JPEG"
                    notes.append(f"val_{len(notes)}.JPEG\t{row['id']}\t0\t0\t63\t63\n")
                archive.writestr(f"{top}/{name}", piece.getvalue())
        archive.writestr(f"{top}/val/val_annotations.txt", "".join(notes))
        archive.writestr(f"{top}/wnids.txt", "".join(f"{row['id']}\n" for row in rows))
        archive.writestr(f"{top}/words.txt", "".join(f"{row['id']}\t{row['name']}\n" for row in rows))
    return path
