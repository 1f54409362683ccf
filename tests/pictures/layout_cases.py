"""The folders of test_layouts.py: their pictures, and the words of the report."""

import os
import unicodedata

from pictures.folders import NEAR_COPIES
from tests.pictures.layouts import (
    PETS,
    copy,
    damaged_shards,
    empty_files,
    link,
    packed,
    pets,
    raw_class,
    raw_file,
    refused,
    same_pictures,
    trains,
    write,
)

NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
SPLIT = "split off train, by split_seed 0"
TAKEN = "passed over: left by other tools: 1 ("

CASES = (
    # Names of splits.
    trains("the usual names", pets("train", "valid", "test"), "24 pictures in 2 classes"),
    trains("Train and Test", pets("Train", "Test"), SPLIT, "16 pictures"),
    trains("Training and Test", pets("Training", "Test"), SPLIT, "16 pictures"),
    trains("TRAIN and TEST", pets("TRAIN", "TEST"), SPLIT, "16 pictures"),
    trains("train_set and val_set", pets("train_set", "val_set"), "16 pictures"),
    trains("training_set and test_set", pets("training_set", "test_set"), SPLIT),
    trains("Training-Set and Test-Set", pets("Training-Set", "Test-Set"), SPLIT),
    trains("train data and test data", pets("train data", "test data"), SPLIT),
    trains("training, validation", pets("training", "validation", "testing"), "24 pictures"),
    trains("train_images, images_test", pets("train_images", "images_test"), SPLIT),
    refused("train1 and test1", ("train1/*4", "test1/*4"), "look like splits and not like classes"),
    refused("splits with a prefix", pets("my_train", "my_test"), "rename them to train, v"),
    trains("train and val", pets("train", "val"), "16 pictures"),
    trains("train and dev", pets("train", "dev"), "the folder dev is taken as valid"),
    trains("train and Eval", pets("train", "Eval"), "the folder Eval is taken as valid"),
    trains("Train and Holdout", pets("Train", "Holdout"), "the folder Holdout is taken as test"),
    trains("train alone", pets("train"), SPLIT),
    trains("in another folder", pets("dogImages/train", "dogImages/valid"), "16 pictures"),
    trains("in two other folders", pets("a/b/train", "a/b/test"), SPLIT),
    trains(
        "annotations next to the splits",
        (*pets("train", "test"), "annotations/1.xml"),
        "next to the split folders: 1 (annotations)",
    ),
    trains("a README next to the splits", (*pets("train", "test"), "README.md"), "(README.md)"),
    refused("train twice", pets("train", "Training"), "are both for train: keep one"),
    refused("no train", pets("valid", "test"), "no train folder: training needs one"),
    refused(
        "a class train with folders",
        ("bus/*4", "car/*4", "train/a/*4", "train/b/*4"),
        "has the folder train next to bus, car: if these are classes too, move them",
    ),
    refused(
        "test next to classes",
        (*PETS, *pets("test")),
        "has the folder test next to class folders (cat, dog): move the class folders into",
    ),
    refused(
        "splits inside classes",
        ("cat/train/*3", "cat/test/*2", "dog/train/*3", "dog/test/*2"),
        "the split folders are inside the class folders",
        "arrange them as train/cat/",
    ),
    refused("test without classes", (*pets("train"), "test/*3"), "3 pictures lie in it without a"),
    refused(
        "both without classes", ("train/*5", "test/*3"), "5 pictures lie in it without a class"
    ),
    refused(
        "the same pictures twice",
        pets("train", "valid"),
        "train and valid hold the same 8 pictures",
        "give each its own pictures",
        do=same_pictures,
    ),
    # Classes.
    trains("class folders alone", PETS, SPLIT, "8 pictures in 2 classes"),
    trains("a class train", ("bus/*4", "car/*4", "train/*4"), "counts as a class, since it has"),
    trains("kinds of trains", ("freight train/*4", "steam train/*4"), "8 pictures in 2 classes"),
    trains("a class test", ("bus/*4", "car/*4", "test/*4"), "there is no train folder next to it"),
    trains("leading numbers", ("001.cat/*4", "002.dog/*4"), SPLIT),
    trains("letters", ("a/*4", "A/*4"), SPLIT),
    trains("other scripts", ("猫/*4", "🐕/*4"), SPLIT),
    trains("folders in a class", ("cat/2019/*3", "cat/*3", "dog/*4"), "10 pictures in 2 classes"),
    trains(
        "classes one folder further down",
        ("mammals/cat/*4", "mammals/dog/*4", "birds/owl/*4", "birds/hen/*4"),
        "in folders within them (birds: hen, owl; mammals: cat, dog)",
        "if the inner folders are the classes",
    ),
    trains("pictures next to classes", (*PETS, "1.png"), "outside the class folders: 1 (1.png)"),
    refused(
        "one folder around", ("pets/cat/*4", "pets/dog/*4"), "one class only (pets)", "did you"
    ),
    refused(
        "one folder around, in train",
        pets("train/pets", "test/pets"),
        "train/pets, with the folders cat, dog?",
    ),
    refused("one class", ("cat/*9",), "one class only (cat)", "at least two folders of pictures"),
    refused("pictures alone", ("*9",), "9 pictures lie in it without a class", "one folder for ea"),
    refused("nothing", (), "no class folders in", "one folder for each class"),
    refused("text alone", ("README.md",), "no class folders in", "one folder for each class"),
    refused("an archive", ("photos.zip",), "photos.zip is an archive: unpack it"),
    refused(
        "an empty class", (*PETS, "fox/"), "class folders without a picture", ": fox: add pict"
    ),
    refused("a class of litter", (*PETS, "fox/Thumbs.db"), ": fox: add pictures", "fox/Thumbs.db"),
    refused(
        "only in test", (*pets("train"), *pets("test"), "test/fox/*1"), "not have: fox: use the"
    ),
    trains("not in test", (*pets("train"), "test/cat/*2"), "test has no pictures of dog"),
    refused("one picture each", ("cat/*1", "dog/*1", "fox/*1"), "can be spared for validation"),
    trains("one picture in one", (*PETS, "fox/*1"), "valid has no pictures of fox, which have too"),
    # What tools leave.
    trains("notebooks", (*PETS, "cat/.ipynb_checkpoints/0-checkpoint.png"), TAKEN + "cat/.ipynb_"),
    trains("macOS's zip", (*PETS, "__MACOSX/cat/._0.png"), TAKEN + "__MACOSX"),
    trains("macOS's zip in a class", (*PETS, "cat/__MACOSX/0.png"), TAKEN + "cat/__MACOSX"),
    trains(
        "macOS", (*PETS, "cat/.DS_Store", "cat/._0.png", ".DS_Store"), "left by other tools: 3 ("
    ),
    trains("Synology", (*PETS, "cat/@eaDir/0.png"), TAKEN + "cat/@eaDir"),
    trains("a disk of Windows", (*PETS, "$RECYCLE.BIN/0.png"), TAKEN + "$RECYCLE.BIN"),
    trains("a volume", (*PETS, "System Volume Information/0.png"), TAKEN + "System Volume"),
    trains("a disk of Linux", (*PETS, "lost+found/"), TAKEN + "lost+found"),
    trains("thumbs.db", (*PETS, "cat/thumbs.db", "dog/THUMBS.DB"), "left by other tools: 2 ("),
    trains("desktop.ini", (*PETS, "dog/Desktop.ini"), TAKEN + "dog/Desktop.ini"),
    trains("zones", (*PETS, "cat/0.png:Zone.Identifier"), TAKEN + "cat/0.png:Zone.Identifier"),
    trains("Hadoop", (*PETS, "cat_$folder$", "_SUCCESS"), "left by other tools: 2 ("),
    trains("git", (*PETS, ".git/0.png", ".cache/0.png"), "left by other tools: 2 ("),
    # Links and other files.
    trains("a link to a picture", PETS, "9 pictures", do=link("cat/9.png", "1.png")),
    refused("a link to a class", PETS, "in two classes", do=link("fox", "cat")),
    trains(
        "a dead link", PETS, "links that lead nowhere: 1 (cat/9.png)", do=link("cat/9.png", "x")
    ),
    trains(
        "a link to itself",
        PETS,
        "links that lead nowhere: 1 (cat/9.png)",
        do=link("cat/9.png", "9.png"),
    ),
    trains("a circle of links", PETS, "read already: 1 (cat/up)", do=link("cat/up", "../cat")),
    trains("a pipe", PETS, "neither files nor folders", do=lambda root: os.mkfifo(root / "cat/p")),
    refused("a class of dead links", (*PETS, "fox/"), "that lead nowhere", do=link("fox/1", "x")),
    # Names.
    refused("a class not in UTF-8", PETS, "not UTF-8: caf\\udce9", "convmv", do=raw_class),
    refused(
        "a file not in UTF-8",
        PETS,
        "that are not UTF-8: cat/\\udce9.png",
        "convmv",
        do=raw_file,
    ),
    refused("backslashes", ("cat\\0.png", "dog\\0.png"), "with a backslash: cat\\0.png, dog", "7z"),
    refused("a backslash in a class", (*PETS, "cat\\9.png"), "with a backslash: cat"),
    refused(
        "two forms of a name", (f"{NFC}/*4", f"{NFD}/*4"), "one name in two ways", "cafe\\u0301"
    ),
    trains(
        "a form in each split",
        (f"train/{NFC}/*4", "train/b/*4", f"test/{NFD}/*2"),
        "10 pictures in 2 cla",
    ),
    refused("spaces", ("cat/*4", "cat /*4", "dog/*4"), "one name in two ways", "'cat '"),
    trains("spaces once", ("train/cat /*4", "train/dog/*4", "test/cat/*2"), "do not count: 'cat '"),
    refused("case", ("Cat/*4", "cat/*4", "dog/*4"), "differ in case only: 'Cat' and 'cat'"),
    refused("case in test", (*pets("train"), "test/Cat/*1"), "does not have: Cat (train has cat)"),
    trains("a line break in a name", ("a\nERROR b/*4", "dog/*4"), "8 pictures in 2 classes"),
    # Contents.
    refused(
        "a picture in two classes",
        PETS,
        "picture is in two classes (equal bytes): cat/0.png = dog/9.png: keep",
        do=copy("cat/0.png", "dog/9.png"),
    ),
    trains("copies", PETS, "copies (equal bytes): 1 groups", do=copy("cat/0.png", "cat/8.png")),
    trains(
        "a test picture in train",
        pets("train", "test"),
        "WARNING: pictures that test shares with train (equal bytes): 1 (",
        do=copy("train/cat/0.png", "test/cat/8.png"),
    ),
    trains("one file of text", (*PETS, "cat/note.txt"), "cat/note.txt", "not a picture"),
    refused("files of text", (*PETS, "cat/a.txt", "cat/b.txt"), "2 of 10 pictures cannot be read"),
    refused(
        "empty files",
        PETS,
        "cannot be read",
        do=empty_files,
    ),
    refused(
        "unreadable validation", (*pets("train"), "valid/cat/0.txt"), "none of the pictures to eval"
    ),
    trains("shards", PETS, SPLIT, do=packed),
    refused("damaged shards", PETS, "where the index has", "pack again", do=damaged_shards),
    refused("damaged near copies", PETS, "delete it, or write it", do=write(NEAR_COPIES, b"[")),
)
