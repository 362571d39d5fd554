"""What each data set is, whose it is, and where its files are from.

A digest is the one that its publisher or the loaders in common use check; where none is known the file's own is
recorded when it is first fetched, and checked from then on.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch: its name below the data root, where it is to be had, and its MD5, "" where not known."""

    name: str
    urls: tuple[str, ...]
    md5: str = ""


@dataclass(frozen=True)
class Card:
    """One data set. `get` says what to do where there is nothing that could be fetched, or after it was."""

    title: str
    what: str
    licence: str
    source: str
    files: tuple[RemoteFile, ...] = ()
    get: str = ""


_MENDELEY = "https://data.mendeley.com/public-files/datasets"
_TORONTO = "https://www.cs.toronto.edu/~kriz"
_ZENKE = "https://zenkelab.org/datasets"
_FIGSHARE = "https://ndownloader.figshare.com/files"
_MNIST = (
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
)
_FASHION = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",)


def _idx(folder: str, bases: tuple[str, ...], digests: dict[str, str]) -> tuple[RemoteFile, ...]:
    return tuple(
        RemoteFile(f"{folder}/{name}.gz", tuple(f"{base}/{name}.gz" for base in bases), md5)
        for name, md5 in digests.items()
    )


def _mendeley(dataset: str, file: str) -> tuple[str, ...]:
    return (f"{_MENDELEY}/{dataset}/files/{file}/file_downloaded",)


_HEIDELBERG = "Cramer et al., IEEE TNNLS 2020"
_GENERATED = "generated on first use"
_CIFAR10_DVS = {
    "airplane": (7712788, "0afd5c4bf9ae06af762a77b180354fdd"),
    "automobile": (7712791, "8438dfeba3bc970c94962d995b1b9bdd"),
    "bird": (7712794, "a9c207c91c55b9dc2002dc21c684d785"),
    "cat": (7712812, "52c63c677c2b15fa5146a8daf4d56687"),
    "deer": (7712815, "b6bf21f6c04d21ba4e23fc3e36c8a4a3"),
    "dog": (7712818, "f379ebdf6703d16e0a690782e62639c3"),
    "frog": (7712842, "cad6ed91214b1c7388a5f6ee56d08803"),
    "horse": (7712851, "e7cbbf77bec584ffbf913f00e682782a"),
    "ship": (7712836, "41c7bd7d6b251be82557c6cce9a7d5c9"),
    "truck": (7712839, "89f3922fd147d9aeff89e76a2b0b70a7"),
}

CARDS: dict[str, Card] = {
    "asl-dvs": Card(
        "ASL-DVS",
        "100,800 recordings of 24 letters of the American sign language, DAVIS240, 0.1 s",
        "none stated; for research",
        "Bi et al., ICCV 2019",
        (
            RemoteFile(
                "ASLDVS.zip",
                ("https://www.dropbox.com/sh/ibq0jsicatn7l6r/AACNrNELV56rs1YInMWUs9CAa?dl=1",),
                "33f8b87bf45edc0bfed0de41822279b9",
            ),
        ),
        "unpack it, and the archives in it, to ASLDVS/<letter>/*.mat",
    ),
    "bci-iv-2a": Card(
        "BCI Competition IV 2a",
        "5,184 trials of four imagined movements of 9 people, EEG of 22 channels, 250 Hz, 4 s",
        "see the competition's page; cite",
        "Brunner et al. 2008; Tangermann et al., Frontiers in Neuroscience 6:55, 2012",
        get="get BCICIV_2a_gdf.zip and true_labels.zip from www.bbci.de/competition/iv/ by hand, unpack both to BCICIV_2a_gdf/, "
        "and pip install 'rheobase[eeg]'",
    ),
    "bonn-eeg": Card(
        "Bonn EEG",
        "500 recordings of EEG, one channel, 173.61 Hz, 23.6 s, 5 classes",
        "CC BY 4.0",
        "Andrzejak et al., Physical Review E 64, 061907, 2001",
        get="get the five sets from www.upf.edu/web/ntsa/downloads by hand, to bonn_eeg/setA/*.txt to bonn_eeg/setE/*.txt",
    ),
    "cifar10": Card(
        "CIFAR-10",
        "60,000 colour images of 32x32 pixels, 10 classes",
        "none stated; cite",
        "Krizhevsky 2009",
        (
            RemoteFile(
                "cifar-10-binary.tar.gz",
                (f"{_TORONTO}/cifar-10-binary.tar.gz",),
                "c32a1d4ab5d03f1284b67883e8d87530",
            ),
        ),
        "unpack it: tar xf cifar-10-binary.tar.gz",
    ),
    "cifar10-dvs": Card(
        "CIFAR10-DVS",
        "10,000 recordings of moving CIFAR-10 images, DVS128, 1.2 s, 10 classes",
        "CC BY 4.0",
        "Li et al., Frontiers in Neuroscience 11:309, 2017",
        tuple(
            RemoteFile(f"CIFAR10DVS/{name}.zip", (f"{_FIGSHARE}/{number}",), md5)
            for name, (number, md5) in _CIFAR10_DVS.items()
        ),
        "unpack all: CIFAR10DVS/<class>/*.aedat",
    ),
    "cifar10-dvs-sim": Card(
        "cifar10-dvs-sim",
        "10,000 recordings of CIFAR-10 before a simulated camera, 48x48, 1.2 s",
        "that of CIFAR-10",
        "this project",
        get=f"{_GENERATED} from CIFAR-10",
    ),
    "cifar100": Card(
        "CIFAR-100",
        "60,000 colour images of 32x32 pixels, 100 classes",
        "none stated; cite",
        "Krizhevsky 2009",
        (
            RemoteFile(
                "cifar-100-binary.tar.gz",
                (f"{_TORONTO}/cifar-100-binary.tar.gz",),
                "03b5dce01913d631647c71ecec9e9cb8",
            ),
        ),
        "unpack it: tar xf cifar-100-binary.tar.gz",
    ),
    "digits-dvs": Card(
        "digits-dvs",
        "1,797 recordings of scikit-learn's digits before a simulated camera, 16x16, 0.3 s",
        "CC BY 4.0 (images)",
        "Alpaydin and Kaynak, UCI, 1998",
        get=_GENERATED,
    ),
    "dvs128-gesture": Card(
        "DVS128 Gesture",
        "1,464 gestures of 29 people under 3 lights, DVS128, 11 classes",
        "CC BY 4.0",
        "Amir et al., CVPR 2017",
        get="get DvsGesture.tar.gz (MD5 8a5c71fb11e24e5ca5b11866ca6c00a1) from IBM's page, "
        "ibm.ent.box.com/s/3hiq58ww1pbbjrinh367ykfdf60xsfm8, by hand, and unpack it",
    ),
    "fashion-dvs-sim": Card(
        "fashion-dvs-sim",
        "10,000 recordings of Fashion-MNIST before a simulated camera, 48x48, 1.2 s",
        "that of Fashion-MNIST",
        "this project",
        get=f"{_GENERATED} from Fashion-MNIST",
    ),
    "fashion-mnist": Card(
        "Fashion-MNIST",
        "70,000 grey images of 28x28 pixels, 10 classes",
        "MIT",
        "Xiao et al., arXiv 1708.07747",
        _idx(
            "fashion_mnist",
            _FASHION,
            {
                "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
                "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
                "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
            },
        ),
    ),
    "folder": Card("folder", "your own recordings", "yours", "you", get="see docs/own-data.md"),
    "free-spoken-digits": Card(
        "Free Spoken Digits",
        "3,000 spoken digits in English by 6 people, 8 kHz, 10 classes",
        "CC BY-SA 4.0",
        "Jackson et al., github.com/Jakobovski/free-spoken-digit-dataset",
        (
            RemoteFile(
                "free-spoken-digit-dataset.zip",
                ("https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/heads/master.zip",),
            ),
        ),
    ),
    "image-folder": Card(
        "image-folder", "your own images, a folder a class", "yours", "you", get="see docs/own-data.md"
    ),
    "imagenet": Card(
        "ImageNet",
        "1,281,167 training and 50,000 validation images of 1,000 classes, as many as are there",
        "for research, by agreement with image-net.org",
        "Deng et al., CVPR 2009",
        get="ask for it at image-net.org, and unpack it to imagenet/train/<class>/*.JPEG and imagenet/val/<class>/*.JPEG",
    ),
    "mnist": Card(
        "MNIST",
        "70,000 grey images of 28x28 pixels, 10 digits",
        "CC BY-SA 3.0",
        "LeCun et al., Proceedings of the IEEE 86(11), 1998",
        _idx(
            "mnist",
            _MNIST,
            {
                "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
                "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
                "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
            },
        ),
    ),
    "motion-dvs-sim": Card(
        "motion-dvs-sim",
        "3,500 recordings of 11 motions, simulated, 32x32, 0.3 s",
        "Apache-2.0",
        "this project",
        get=_GENERATED,
    ),
    "moving-digits-dvs": Card(
        "moving-digits-dvs",
        "900 recordings of 1 to 3 moving digits with boxes, simulated, 64x64, 0.32 s",
        "CC BY 4.0 (images)",
        "Alpaydin and Kaynak, UCI, 1998",
        get=_GENERATED,
    ),
    "ncaltech101": Card(
        "N-Caltech101",
        "8,709 recordings of images under saccades, ATIS, 0.3 s, 101 classes",
        "as its Mendeley page states",
        "Orchard et al., Frontiers in Neuroscience 9:437, 2015",
        (
            RemoteFile(
                "N-Caltech101-archive.zip",
                _mendeley("cy6cvx3ryv", "36b5c52a-b49d-4853-addb-a836a8883e49"),
                "66201824eabb0239c7ab992480b50ba3",
            ),
        ),
        "unpack it, and Caltech101.zip in it",
    ),
    "ncars": Card(
        "N-CARS",
        "24,029 recordings of cars and of background from a moving car, ATIS, 0.1 s, 2 classes",
        "for research; see Prophesee's page",
        "Sironi et al., CVPR 2018",
        get="ask for it at www.prophesee.ai (dataset N-CARS), and unpack it to Prophesee_Dataset_n_cars/",
    ),
    "nmnist": Card(
        "N-MNIST",
        "70,000 recordings of digits under saccades, ATIS, 34x34, 0.3 s, 10 classes",
        "CC BY-SA 4.0",
        "Orchard et al., Frontiers in Neuroscience 9:437, 2015",
        (
            RemoteFile(
                "Train.zip",
                _mendeley("468j46mzdv", "39c25547-014b-4137-a934-9d29fa53c7a0"),
                "20959b8e626244a1b502305a9e6e2031",
            ),
            RemoteFile(
                "Test.zip",
                _mendeley("468j46mzdv", "05a4d654-7e03-4c15-bdfa-9bb2bcbea494"),
                "69ca8762b2fe404d9b9bad1103e97832",
            ),
        ),
    ),
    "physionet-mi": Card(
        "PhysioNet motor imagery",
        "9,450 trials of four imagined movements of 105 people, EEG of 64 channels, 160 Hz, 4 s",
        "ODC-By 1.0",
        "Schalk et al., IEEE TBME 51, 2004; Goldberger et al., Circulation 101, 2000",
        get="get it from physionet.org/content/eegmmidb/1.0.0/ to eegmmidb/S001/ to S109/, and pip install 'rheobase[eeg]'",
    ),
    "qtdb": Card(
        "QTDB",
        "759 pieces of two leads of ECG in level-crossing spikes, 1,301 steps, 6 waves",
        "MIT (coded data), ODC-By (ECG)",
        "Laguna et al. 1997; Yin et al., Nature Machine Intelligence 3, 2021",
        get="get QTDB_train.mat and QTDB_test.mat from the code of Yin et al., github.com/byin-cwi/Efficient-spiking-networks, "
        "to qtdb/",
    ),
    "shd": Card(
        "SHD",
        "10,420 spoken digits in English and German as spikes of 700 channels, 20 classes",
        "CC BY 4.0",
        _HEIDELBERG,
        (
            RemoteFile(
                "shd_train.h5.zip", (f"{_ZENKE}/shd_train.h5.zip",), "f3252aeb598ac776c1b526422d90eecb"
            ),
            RemoteFile("shd_test.h5.zip", (f"{_ZENKE}/shd_test.h5.zip",), "1503a5064faa34311c398fb0a1ed0a6f"),
        ),
        "unpack both",
    ),
    "speech-commands-12": Card(
        "Speech Commands (test set)",
        "4,890 clips of ten words, unknown and silence, 16 kHz, 1 s, 12 classes",
        "CC BY 4.0",
        "Warden, arXiv 1804.03209",
        get="from speech_commands_test_set_v0.02.tar.gz: speech_commands_v2_test/<word>/*.wav (or .flac) with an index.csv of "
        "path, label, speaker, suggested_split",
    ),
    "speech-commands-35": Card(
        "Speech Commands",
        "105,829 clips of 35 words by 2,618 people, 16 kHz, 1 s",
        "CC BY 4.0",
        "Warden, arXiv 1804.03209",
        (
            RemoteFile(
                "speech_commands_v0.02.tar.gz",
                (
                    "https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
                    "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
                ),
                "6b74f3901214cb2c2934e98196829835",
            ),
        ),
        "unpack it to speech_commands_v0.02/",
    ),
    "ssc": Card(
        "SSC",
        "105,829 spoken words as spikes of 700 channels, 35 classes",
        "CC BY 4.0",
        _HEIDELBERG,
        (
            RemoteFile(
                "ssc_train.h5.zip", (f"{_ZENKE}/ssc_train.h5.zip",), "d102be95e7144fcc0553d1f45ba94170"
            ),
            RemoteFile(
                "ssc_valid.h5.zip", (f"{_ZENKE}/ssc_valid.h5.zip",), "b4eee3516a4a90dd0c71a6ac23a8ae43"
            ),
            RemoteFile("ssc_test.h5.zip", (f"{_ZENKE}/ssc_test.h5.zip",), "a35ff1e9cffdd02a20eb850c17c37748"),
        ),
        "unpack all",
    ),
    "tiny-imagenet": Card(
        "Tiny ImageNet",
        "110,000 labelled colour images of 64x64 pixels, 200 classes",
        "none stated; for research, as ImageNet",
        "Stanford CS231n; Deng et al., CVPR 2009",
        (
            RemoteFile(
                "tiny-imagenet-200.zip",
                ("http://cs231n.stanford.edu/tiny-imagenet-200.zip",),
                "90528d7ca1a48142e341f4ef8d21d0de",
            ),
        ),
        "unpack it",
    ),
}
