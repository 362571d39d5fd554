"""EEG files as they are published: a writer of EDF+, and what stands in for MNE where it is not installed."""

import importlib.util
import types

import numpy as np

HAVE_MNE = importlib.util.find_spec("mne") is not None


def write_edf(path, samples, rate, marks):
    """EDF+C of int16 records of one second. Shape: samples [L, C] microvolts, L a whole number of seconds.

    Header: version, patient, recording, date, time, header bytes, "EDF+C", records, seconds a record, signals; then
    for all signals label, transducer, unit, physical and digital range, filter, samples a record. The last signal holds
    annotations: `+onset 0x15 duration 0x14 text 0x14 0x00`, after the time of the record.
    """
    length, channels = samples.shape
    records, room = length // rate, 30
    tals = [f"+{i}\x14\x14\0" for i in range(records)]
    for at, text in marks:
        tals[at // rate] += f"+{at / rate:.6f}\x154.1\x14{text}\x14\0"

    def field(value, width):
        return str(value).ljust(width)[:width].encode("ascii")

    names = [f"C{i:02}." for i in range(channels)]
    head = field(0, 8) + field("X X X X", 80) + field("Startdate X X X X", 80) + field("01.01.01", 8)
    head += field("00.00.00", 8) + field(256 * (channels + 2), 8) + field("EDF+C", 44) + field(records, 8)
    head += field(1, 8) + field(channels + 1, 4)
    columns = (
        (16, [*names, "EDF Annotations"]),
        (80, [""] * (channels + 1)),
        (8, [*["uV"] * channels, ""]),
        (8, [*[-3276.8] * channels, -1]),
        (8, [*[3276.7] * channels, 1]),
        (8, [-32768] * (channels + 1)),
        (8, [32767] * (channels + 1)),
        (80, [""] * (channels + 1)),
        (8, [*[rate] * channels, room]),
        (32, [""] * (channels + 1)),
    )
    head += b"".join(field(value, width) for width, values in columns for value in values)
    values = np.rint(samples * 10).astype("<i2").reshape(records, rate, channels).swapaxes(1, 2)
    with path.open("wb") as file:
        file.write(head)
        for block, tal in zip(values, tals, strict=True):
            file.write(block.tobytes() + tal.encode().ljust(2 * room, b"\0"))


def write_stand_in(path, samples, rate, marks):
    """What `fake_mne` reads, under any suffix."""
    with path.open("wb") as file:
        np.savez(
            file,
            samples=samples,
            rate=rate,
            at=[at / rate for at, _ in marks],
            text=[text for _, text in marks],
        )


def fake_mne():
    """A module of MNE's shape that reads stand-ins."""

    def read(path, preload, verbose):
        with np.load(path) as file:
            arrays = dict(file)
        notes = types.SimpleNamespace(onset=arrays["at"], description=arrays["text"])
        names = [f"C{i}" for i in range(arrays["samples"].shape[1])]
        return types.SimpleNamespace(
            get_data=lambda: arrays["samples"].T * 1e-6,
            info={"sfreq": float(arrays["rate"])},
            annotations=notes,
            ch_names=names,
        )

    made = types.ModuleType("mne")
    made.io = types.SimpleNamespace(read_raw_edf=read, read_raw_gdf=read)
    return made


def graz(root, people=range(1, 10), *, runs=2, each=6, write=write_stand_in):
    """Sessions of 25 channels (22 of EEG): a rhythm whose rate is the class, from the cue on; NaN between the runs."""
    from scipy.io import savemat

    folder = root / "BCICIV_2a_gdf"
    folder.mkdir(parents=True)
    for person in people:
        for session in "TE":
            rng = np.random.default_rng(10 * person + (session == "E"))
            classes = rng.permutation(np.arange(runs * each) % 4)
            pieces, marks, start = [], [(0, "276")], 0
            for i, kind in enumerate(classes):
                piece, cue = rhythm(rng, kind, 250, 25)
                if i % each == 0:
                    marks.append((start, "32766"))
                    pieces.append(np.full((100, 25), np.nan))
                    start += 100
                marks += [(start, "768"), (start + cue, str(769 + kind) if session == "T" else "783")]
                pieces.append(piece)
                start += len(piece)
            write(folder / f"A0{person}{session}.gdf", np.concatenate(pieces), 250, marks)
            if session == "E":
                savemat(folder / f"A0{person}E.mat", {"classlabel": classes[:, None] + 1})
    return folder


def physionet(root, people, *, each=4, write=write_stand_in):
    """Runs of 64 channels: rest (T0), then a movement (T1 or T2) of the run's kind, for 5 s."""
    folder = root / "eegmmidb"
    for person in people:
        inner = folder / f"S{person:03}"
        inner.mkdir(parents=True)
        for run in (4, 6, 8, 10, 12, 14):
            rng = np.random.default_rng(100 * person + run)
            pieces, marks = [], []
            for i in range(each):
                piece, cue = rhythm(rng, i % 2 + 2 * (run not in (4, 8, 12)), 160, 64)
                start = sum(map(len, pieces))
                marks += [(start, "T0"), (start + cue, f"T{i % 2 + 1}")]
                pieces.append(piece)
            write(inner / f"S{person:03}R{run:02}.edf", np.concatenate(pieces), 160, marks)
    return folder


def rhythm(rng, kind, rate, channels):
    """Seven seconds of noise, from 2 s on with a rhythm of 8, 14, 20 or 26 Hz; and where that begins."""
    t = np.arange(7 * rate) / rate
    wave = 60 * np.sin(2 * np.pi * (8 + 6 * kind) * t) * (t >= 2)
    return wave[:, None] + 5 * rng.normal(size=(len(t), channels)), 2 * rate
