"""Event recordings: read, write, bin, corrupt, simulate. NumPy only; nothing here knows of networks.

`read_recording` opens a file of any known format (`FORMATS`), `read_chunks` one too large for memory, `flow` a pipe
as it arrives (`windows` cuts it by time), `write_recording`
writes one, `bin_by_time` and `bin_by_count` turn a recording into
frames, `downsample`, `drop_events` and `add_noise` make recordings from recordings (`NOISE_SUITE` names what goes wrong
with cameras, `background_filter` and `refractory_filter` take noise away), `simulate` is a model of the camera.
"""

from rheobase.events.binning import bin_by_count, bin_by_time
from rheobase.events.csv import read_csv, write_csv
from rheobase.events.denoise import background_filter, refractory_filter
from rheobase.events.flow import Flow, flow, windows
from rheobase.events.nmnist import format_nmnist, parse_nmnist, read_nmnist, write_nmnist
from rheobase.events.noise import NOISE_SUITE, hot_pixels, jitter_time, lose_contrast
from rheobase.events.numpy_files import read_npy, read_npz, write_npz
from rheobase.events.read import FORMATS, find_format, read_chunks, read_recording, write_recording
from rheobase.events.recording import Recording
from rheobase.events.saccade import loop_path, moved_frames, saccade_frames, saccade_path
from rheobase.events.sensor import Sensor, simulate, simulate_batch
from rheobase.events.survey import Survey, survey
from rheobase.events.transform import add_noise, downsample, drop_events

__all__ = [
    "FORMATS",
    "NOISE_SUITE",
    "Flow",
    "Recording",
    "Sensor",
    "Survey",
    "add_noise",
    "background_filter",
    "bin_by_count",
    "bin_by_time",
    "downsample",
    "drop_events",
    "find_format",
    "flow",
    "format_nmnist",
    "hot_pixels",
    "jitter_time",
    "loop_path",
    "lose_contrast",
    "moved_frames",
    "parse_nmnist",
    "read_chunks",
    "read_csv",
    "read_nmnist",
    "read_npy",
    "read_npz",
    "read_recording",
    "refractory_filter",
    "saccade_frames",
    "saccade_path",
    "simulate",
    "simulate_batch",
    "survey",
    "windows",
    "write_csv",
    "write_nmnist",
    "write_npz",
    "write_recording",
]
