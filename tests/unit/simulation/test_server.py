from __future__ import annotations

from jobs.simulation.server import VirtualServer
from jobs.simulation.workload import VirtualBackend


def server(*, slots: int = 2, residents: int = 1, resident: tuple[str, ...] = ()) -> VirtualServer:
    return VirtualServer(
        VirtualBackend("s", slots, residents, resident=resident), {"a": 5.0, "b": 3.0, "c": 1.0}
    )


def test_a_task_starts_only_when_its_model_is_resident() -> None:
    one = server()
    one.send("t", "a")

    started, load = one.advance(0.0)

    assert not started
    assert load is not None
    assert load.ready_seconds == 5.0
    one.loaded(5.0)
    assert [s.task_id for s in one.advance(5.0)[0]] == ["t"]


def test_a_busy_model_is_drained_before_it_is_evicted() -> None:
    one = server(resident=("a",))
    one.send("t1", "a")
    one.advance(0.0)
    one.send("t2", "b")

    assert one.advance(1.0) == ([], None)
    one.send("t3", "a")
    assert one.advance(2.0) == ([], None)
    one.finish("t1", 9.0)
    load = one.advance(9.0)[1]
    assert load is not None
    assert (load.model, load.evicted) == ("b", "a")


def test_an_idle_model_is_evicted_and_others_serve_meanwhile() -> None:
    one = server(residents=2, resident=("a", "b"))
    one.send("t1", "a")
    one.advance(0.0)
    one.send("t2", "c")
    one.send("t3", "a")

    started, load = one.advance(1.0)

    assert load is not None
    assert (load.model, load.evicted) == ("c", "b")
    assert [s.task_id for s in one.advance(1.0)[0] or started] == ["t3"]


def test_slots_are_never_exceeded() -> None:
    one = server(slots=2, resident=("a",))
    for number in range(5):
        one.send(f"t{number}", "a")

    started, _ = one.advance(0.0)

    assert len(started) == 2
    assert one.in_flight == 5


def test_a_preload_waits_for_room_and_is_done_once() -> None:
    one = server(residents=2, resident=("a",))
    one.preload("b")
    one.preload("b")

    load = one.advance(0.0)[1]

    assert load is not None
    assert (load.model, load.evicted) == ("b", None)
    one.loaded(3.0)
    assert one.advance(3.0) == ([], None)
    assert set(one.resident) == {"a", "b"}


def test_an_outage_takes_everything() -> None:
    one = server(resident=("a",))
    one.send("t1", "a")
    one.advance(0.0)
    one.send("t2", "b")

    lost = one.fail()

    assert [s.task_id for s in lost.running] == ["t1"]
    assert lost.queued == ("t2",)
    assert one.resident == ()
    one.send("t3", "a")
    assert one.advance(1.0) == ([], None)


def test_a_model_loaded_for_one_who_waits_for_a_slot_makes_room_for_nobody_behind() -> None:
    one = server(slots=1, residents=2, resident=("a",))
    one.send("t1", "a")
    one.advance(0.0)
    one.send("t2", "b")
    one.send("t3", "c")
    load = one.advance(1.0)[1]
    assert load is not None
    assert load.model == "b"
    one.loaded(4.0)

    assert one.advance(4.0) == ([], None)
    one.finish("t1", 9.0)
    started, load = one.advance(9.0)
    assert [each.task_id for each in started] == ["t2"]
    assert load is not None
    assert (load.model, load.evicted) == ("c", "a")


def test_only_tasks_give_way_to_people_in_line_and_at_work() -> None:
    one = server(slots=2, residents=2, resident=("a", "b"))
    one.send("t1", "a")
    one.send_first("p1", "a")
    one.advance(0.0)
    one.send("t2", "a")
    one.send("t3", "b")
    one.send_first("p2", "a")
    one.send_first("p3", "c")

    assert one.take_back(frozenset({"b"})) == ["t2"]
    assert [name for name, _ in one.queue] == ["p2", "p3", "t3"]
    assert one.interrupt({"a"}) == ["t1"]
    assert set(one.running) == {"p1"}
