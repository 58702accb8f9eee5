"""A data set in Tiny-ImageNet's layout, made of pieces of the photograph that matplotlib ships: real JPEG files."""

import io
import zipfile
from pathlib import Path

import matplotlib.cbook
from PIL import Image

# 20 of the 200 classes, with their lines of Tiny-ImageNet's words.txt (WordNet's synonyms).
WORDS = {
    "n01774750": "tarantula",
    "n02123045": "tabby, tabby cat",
    "n02268443": "dragonfly, darning needle, devil's darning needle, sewing needle, snake feeder, snake doctor, "
    "mosquito hawk, skeeter hawk",
    "n02410509": "bison",
    "n02486410": "baboon",
    "n02699494": "altar",
    "n02769748": "backpack, back pack, knapsack, packsack, rucksack, haversack",
    "n02802426": "basketball",
    "n03085013": "computer keyboard, keypad",
    "n03089624": "confectionery, confectionary, candy store",
    "n03424325": "gasmask, respirator, gas helmet",
    "n03617480": "kimono",
    "n03662601": "lifeboat",
    "n03814639": "neck brace",
    "n03854065": "organ, pipe organ",
    "n04149813": "scoreboard",
    "n04376876": "syringe",
    "n04532106": "vestment",
    "n07615774": "ice lolly, lolly, lollipop, popsicle",
    "n09428293": "seashore, coast, seacoast, sea-coast",
}
TRAIN, VAL = 60, 10  # images a class
TOP = "tiny-imagenet-sample"
BOX = "0\t0\t63\t63"


def write_photograph_zip(path: Path) -> Path:
    """Writes the archive `path`: each class is a region of the photograph, cut into 64x64 pieces that overlap.

    As in Tiny-ImageNet, some images are grayscale JPEGs, each class folder has a list of boxes, and the validation
    images of the classes alternate.
    """
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=True) as file:
        photograph = Image.open(file).convert("RGB")
    annotations = []
    with zipfile.ZipFile(path, "w") as archive:
        for label, wnid in enumerate(WORDS):
            names = [f"{wnid}_{number}.JPEG" for number in range(TRAIN)]
            for number, name in enumerate(names):
                archive.writestr(f"{TOP}/train/{wnid}/images/{name}", piece(photograph, label, number))
            archive.writestr(f"{TOP}/train/{wnid}/{wnid}_boxes.txt", "".join(f"{name}\t{BOX}\n" for name in names))
        for number in range(VAL):
            for label, wnid in enumerate(WORDS):
                name = f"val_{len(annotations)}.JPEG"
                archive.writestr(f"{TOP}/val/images/{name}", piece(photograph, label, TRAIN + number))
                annotations.append(f"{name}\t{wnid}\t{BOX}\n")
        archive.writestr(f"{TOP}/val/val_annotations.txt", "".join(annotations))
        archive.writestr(f"{TOP}/wnids.txt", "".join(f"{wnid}\n" for wnid in WORDS))
        archive.writestr(f"{TOP}/words.txt", "".join(f"{wnid}\t{words}\n" for wnid, words in WORDS.items()))
    return path


def piece(photograph: Image.Image, label: int, number: int) -> bytes:
    """JPEG file number `number` of the class `label`; of each class the first and one validation image are gray."""
    left, upper = label % 5 * 85 + number % 10 * 2, label // 5 * 125 + number // 10 * 3
    image = photograph.crop((left, upper, left + 64, upper + 64))
    jpeg = io.BytesIO()
    (image.convert("L") if number % TRAIN == 0 else image).save(jpeg, "JPEG")
    return jpeg.getvalue()
