"""Threads that decode objects of the same type at once, for the first time."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import json, sys, threading
from kube.decoding import one_at_a_time
one_at_a_time()
sys.setswitchinterval(1e-6)  # another thread's turn at nearly every instruction, as on a machine with much to do
from lightkube.core import decoders
from lightkube.resources.core_v1 import Pod
pod = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "echo", "ports": [{"containerPort": 80}]}]}}
text, together, names = json.dumps(pod).encode(), threading.Barrier(4), []

def decode(how):
    together.wait()
    names.append(how().spec.containers[0].name)

ways = [lambda: decoders.decode_object(text, Pod), lambda: Pod.from_dict(pod)] * 2
threads = [threading.Thread(target=decode, args=[way]) for way in ways]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(*names)
"""


@pytest.mark.parametrize("attempt", range(3))
def test_threads_that_meet_a_type_for_the_first_time_do_not_end_the_process(attempt: int) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["echo"] * 4), done.stderr
