import dataclasses

import pytest
import torch
from tiny_training import tiny_settings

import model.pace
from model.pace import choose_pace
from model.parallel import World

Job = dataclasses.make_dataclass("Job", ["settings", "place"])


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({("float32", 2): 2.0, ("bfloat16", 2): 1.0, ("float32", 1): 3.9, ("bfloat16", 1): 1.9},
         ("bfloat16", 2)),
        ({("float32", 2): 1.0, ("bfloat16", 2): 1.1, ("float32", 1): 2.0, ("bfloat16", 1): 2.2},
         ("float32", 2)),
        # A busy machine: threads that wait for each other lose.
        ({("float32", 2): 9.0, ("bfloat16", 2): 6.0, ("float32", 1): 0.6, ("bfloat16", 1): 0.3},
         ("bfloat16", 1)),
        # Nearly equal: the simpler format, all cores.
        ({("float32", 2): 1.0, ("bfloat16", 2): 0.97, ("float32", 1): 0.99, ("bfloat16", 1): 0.9},
         ("float32", 2)),
    ],
)  # fmt: skip
def test_the_clearly_faster_format_and_thread_count_are_chosen(seconds, chosen, monkeypatch):
    def timed(_network, _job, *, precision, threads):
        return seconds[precision, threads]

    monkeypatch.setattr(model.pace, "_seconds", timed)
    job = Job(tiny_settings(precision="auto", threads=None), World(0, 1, torch.device("cpu")))
    assert choose_pace(torch.nn.Identity(), job, threads=2) == chosen


def test_what_the_settings_fix_is_not_timed():
    job = Job(tiny_settings(precision="float32", threads=1), World(0, 1, torch.device("cpu")))
    assert choose_pace(torch.nn.Identity(), job, threads=1) == ("float32", 1)
