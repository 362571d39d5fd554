"""Encoder and network as a package of a build system: 16-bit samples in, decisions out."""

from typing import Any

from numpy.typing import NDArray

from rheobase.program import Program
from rheobase.program.c99.generator import generate as generate_network
from rheobase.signals.program.c99 import fill, generate, rows
from rheobase.signals.program.chain import IntegerCoding
from rheobase.signals.program.golden import golden
from rheobase.targets import Feed

ENCODER = ("encoder.h", "encoder.c")


def samples_feed(coding: IntegerCoding, program: Program, samples: NDArray[Any]) -> Feed:
    """What `write_package` puts in front of the network: the encoder, and a test of the chain on `samples`.

    Shape: int16 [L].
    Raises:
        DataError, ProgramError: as `golden`.
    """
    source = generate(coding, program.name)
    expected = golden(coding, program, samples, generate_network(program).max_steps)
    names = {"prefix": source.prefix, "PREFIX": source.prefix.upper()}
    sampling = f"{coding.sampling:.10g}"
    return Feed(
        f"16-bit samples of one channel at {sampling} Hz",
        fill("classify.c", **names, sampling=sampling, hop=coding.hop),
        {file: source.files[file] for file in ENCODER},
        {
            "chain_test.c": fill(
                "chain_test.c",
                **names,
                title=f"Chain test of rheobase program {program.name}",
                sampling=sampling,
                samples=rows(expected.samples),
                count=len(expected.samples),
                decisions=rows(expected.decisions),
                steps=len(expected.frames),
                frames_hash=f"0x{expected.frames_hash:016x}",
                logits_hash=f"0x{expected.logits_hash:016x}",
            )
        },
        fill("package.md", **names, sampling=sampling, hop=coding.hop, channels=coding.channels),
    )
