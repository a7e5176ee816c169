"""A suspect runs alone in its process."""

from __future__ import annotations

import threading

from jobs.attempt.solo_gate import SoloGate


def test_a_suspect_waits_for_the_others_and_keeps_newcomers_out() -> None:
    gate, alone_now, leave = SoloGate(), threading.Event(), threading.Event()
    seen: list[bool] = []

    def suspect() -> None:
        with gate.shared(wait_seconds=5), gate.alone(cancelled=lambda: False) as alone:
            seen.append(alone)
            alone_now.set()
            leave.wait(10)

    with gate.shared(wait_seconds=5) as entered:
        assert entered
        thread = threading.Thread(target=suspect)
        thread.start()
        assert not alone_now.wait(0.2)
    assert alone_now.wait(10)
    with gate.shared(wait_seconds=0.05) as entered:
        assert not entered
    leave.set()
    thread.join(10)
    with gate.shared(wait_seconds=5) as entered:
        assert entered
    assert seen == [True]


def test_two_suspects_run_one_after_the_other() -> None:
    gate, inside, most = SoloGate(), [0], [0]
    lock = threading.Lock()

    def suspect() -> None:
        with gate.shared(wait_seconds=5), gate.alone(cancelled=lambda: False):
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            threading.Event().wait(0.05)
            with lock:
                inside[0] -= 1

    threads = [threading.Thread(target=suspect) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert most == [1]


def test_a_cancelled_suspect_waits_no_longer() -> None:
    gate = SoloGate()
    with gate.shared(wait_seconds=5):
        done = threading.Event()

        def suspect() -> None:
            with gate.shared(wait_seconds=5), gate.alone(cancelled=lambda: True) as alone:
                if not alone:
                    done.set()

        thread = threading.Thread(target=suspect)
        thread.start()
        assert done.wait(10)
        thread.join(10)
