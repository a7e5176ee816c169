"""What people do in the dashboard, done in a real browser."""

from __future__ import annotations

import json
import re
import time

import redis
from playwright.sync_api import Page, expect

from tests.browser.conftest import TOKEN, Watched
from tests.support.system import System

HOSTILE = (
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "</pre><script>document.title='owned'</script>",
    '"><svg onload=document.title="owned">',
    "javascript:document.title='owned'",
    "{{ 7 * 7 }}{% raw %}",
    "<a href=\"javascript:document.title='owned'\">click</a>",
    "<iframe src=https://example.org></iframe>",
    "<style>body{display:none}</style>",
    "<meta http-equiv=refresh content='0;url=https://example.org'>",
    "&lt;script&gt; \u202e \x1b[31m <!--",
    "<form action=https://example.org><button>go</button></form>",
    "<div hx-get='/logout' hx-trigger='load'>",
)


def test_a_task_is_submitted_and_its_answer_appears(watched: Watched, system: System) -> None:
    system.start()
    page = watched.open("/submit")

    page.get_by_label("What is to be done").fill("Explain in two sentences what a lease is.")
    page.locator("form.card").get_by_role("button", name="Submit", exact=True).click()

    expect(page.locator(".head .state")).to_have_text("completed", timeout=30_000)
    expect(page.locator("#answer")).to_contain_text("[simulated")
    expect(page.locator(".timeline")).to_contain_text("routed to")


def test_the_answer_is_seen_while_it_is_written(watched: Watched, system: System) -> None:
    task_id = system.insert("Slow", "Explain what a lease is.", status="in_progress")
    page = watched.open(f"/tasks/{task_id}")
    expect(page.locator("#no-answer")).to_be_visible()

    _say(system, task_id, "Once upon")
    expect(page.locator("#answer")).to_have_text("Once upon")
    _say(system, task_id, "Once upon a <b>time</b>")

    expect(page.locator("#answer")).to_have_text("Once upon a <b>time</b>")
    system.sql(
        "UPDATE tasks SET status = 'completed', result = 'The end' WHERE id = %s", (task_id,)
    )
    expect(page.locator("#answer")).to_have_text("The end")
    expect(page.locator(".head .state")).to_have_text("completed")


def test_a_waiting_task_is_cancelled_then_retried_elsewhere(
    watched: Watched, system: System
) -> None:
    task_id = system.insert("Wait", "Explain what a lease is.")
    page = watched.open(f"/tasks/{task_id}")

    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status")).to_contain_text("Cancelled: 1")
    expect(page.locator(".head .state")).to_have_text("cancelled")
    page.get_by_role("button", name="Retry elsewhere").click()

    expect(page.locator(".head .state")).to_have_text("pending")
    assert system.task(task_id)["avoid"] == []


def test_many_tasks_are_found_ticked_and_cancelled(watched: Watched, system: System) -> None:
    wanted = [system.insert(f"Needle {n}", "Explain.") for n in range(3)]
    other = system.insert("Hay", "Explain.")
    page = watched.open("/tasks")

    page.get_by_placeholder("Search title, request, answer, id").fill("needle")
    expect(page.locator("#rows tbody tr")).to_have_count(3)
    page.get_by_label("Tick all").check()
    page.get_by_role("button", name="Cancel ticked").click()

    expect(page.get_by_role("status")).to_contain_text("Cancelled: 3")
    assert {system.task(one)["status"] for one in wanted} == {"cancelled"}
    assert system.task(other)["status"] == "pending"


def test_all_failed_are_retried_once_it_is_confirmed(watched: Watched, system: System) -> None:
    failed = [system.insert(f"Failed {n}", "Explain.", status="failed") for n in range(3)]
    page = watched.open("/tasks?status=failed")
    every = page.get_by_role("button", name="Retry all failed")

    page.once("dialog", lambda dialog: dialog.dismiss())
    every.click()
    assert {system.task(one)["status"] for one in failed} == {"failed"}
    page.once("dialog", lambda dialog: dialog.accept())
    every.click()

    expect(page.get_by_role("status")).to_contain_text("Sent through again: 3")
    assert {system.task(one)["status"] for one in failed} == {"pending"}


def test_a_button_for_all_leaves_nothing_behind_for_the_next(
    watched: Watched, system: System
) -> None:
    system.insert("Failed", "Explain.", status="failed")
    waiting = system.insert("Waits", "Explain.")
    page = watched.open("/tasks?status=failed")
    page.route("**/tasks", lambda route: route.fulfill(status=204))
    page.on("dialog", lambda dialog: dialog.accept())
    with page.expect_response("**/tasks"):
        page.get_by_role("button", name="Retry all failed").click()
    page.unroute("**/tasks")

    page.get_by_label("Tick all").check()
    page.get_by_role("button", name="Cancel ticked").click()

    expect(page.get_by_role("status")).to_contain_text("Nothing to change")
    assert system.task(waiting)["status"] == "pending"


def test_a_backend_is_paused_and_resumed(watched: Watched) -> None:
    page = watched.open("/backends")
    card = page.locator("section.backend").filter(has_text="mlx")

    card.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status")).to_contain_text("Paused")
    watched.open("/")
    expect(page.locator(".lane", has_text="mlx").locator(".tag")).to_have_text("paused")
    watched.open("/backends")
    card.get_by_role("button", name="Resume").click()

    expect(page.get_by_role("status")).to_contain_text("Resumed")


def test_dead_letters_are_sent_again_and_a_purge_wants_the_name(
    watched: Watched, system: System
) -> None:
    _bury(system, "dead-1")
    _bury(system, "dead-2")
    page = watched.open("/queues/llm-ollama?where=dead")
    expect(page.locator("tbody tr")).to_have_count(2)

    page.locator("tbody input").first.check()
    page.get_by_role("button", name="Send again").click()
    expect(page.get_by_role("status")).to_contain_text("Dead letters sent again: 1")
    page.locator("summary", has_text="Purge").click()
    page.get_by_label("Which").select_option("all")
    page.get_by_role("button", name="Purge").click()
    expect(page.get_by_role("status")).to_contain_text("Nothing was deleted")
    page.locator("summary", has_text="Purge").click()
    page.get_by_label("Which").select_option("all")
    page.get_by_label("Type the queue's name").fill("llm-ollama")
    page.get_by_role("button", name="Purge").click()

    expect(page.get_by_role("status")).to_contain_text("Messages deleted: 2")


def test_the_first_screen_follows_what_happens(watched: Watched, system: System) -> None:
    page = watched.open("/")
    expect(page.locator(".figure.pending b")).to_have_text("0")

    system.sql("INSERT INTO tasks (title, description) SELECT 'T', 'x' FROM generate_series(1, 7)")

    expect(page.locator(".figure.pending b")).to_have_text("7", timeout=20_000)
    expect(page.locator("#part-backlog")).to_contain_text("not yet assigned")


def test_hostile_text_stays_text_on_every_page(watched: Watched, system: System) -> None:
    hostile = "\n".join(HOSTILE)
    ids = [
        system.insert(text, hostile, status="failed", result=hostile, last_error=text)
        for text in HOSTILE
    ]
    system.sql(
        "UPDATE tasks SET metadata = jsonb_build_object('note', %s::text), category = %s, "
        "backend = %s, model = %s, idempotency_key = id::text || %s",
        (HOSTILE[0], HOSTILE[1], HOSTILE[2], HOSTILE[3], HOSTILE[0]),
    )
    system.sql("UPDATE experts SET role = %s, department = %s", (HOSTILE[0], HOSTILE[1]))
    system.sql(
        "INSERT INTO kos_attempts (task_id, number, epoch, backend, model, outcome, error, "
        "error_code, finished_at, verdict) SELECT id, 1, 1, backend, model, 'failed', %s, %s, "
        "now(), jsonb_build_object('x', %s::text) FROM tasks",
        (HOSTILE[0], HOSTILE[1], hostile),
    )
    system.sql(
        "INSERT INTO kos_decisions (task_id, stage, chosen, reason, rejected) "
        "SELECT id, 'plan', %s, %s, jsonb_build_array(jsonb_build_object('option', %s::text)) "
        "FROM tasks",
        (HOSTILE[0], HOSTILE[1], HOSTILE[3]),
    )
    _bury(system, HOSTILE[0])

    pages = ("/", "/tasks", "/experts", "/queues/llm-ollama?where=dead", "/backends")
    for path in (*pages, *(f"/tasks/{one}" for one in ids), f"/tasks?q={HOSTILE[3]}"):
        page = watched.open(path)
        assert page.title() != "owned"
        assert page.locator("main script, main iframe, main img, main meta").count() == 0
        assert page.locator("[onerror], [onload], main [hx-trigger=load]").count() == 0
    expect(page.locator("main")).to_be_visible()
    expect(watched.open(f"/tasks/{ids[0]}").locator("#answer")).to_have_text(
        re.compile(re.escape("<script>document.title='owned'</script>"))
    )


def test_people_log_in_with_the_token_and_out_again(watched_guarded: Watched) -> None:
    watched_guarded.expected = ("403",)
    page = watched_guarded.open("/tasks")
    expect(page).to_have_url(re.compile("/login$"))
    watched_guarded.picture("login")
    assert watched_guarded.serious_issues() == []

    _log_in(page, "wrong")
    expect(page.get_by_role("alert")).to_contain_text("not the token")
    _log_in(page, TOKEN)
    expect(page.locator("nav a[aria-current]")).to_have_text("Overview")
    page.get_by_role("button", name="Log out").click()

    expect(page).to_have_url(re.compile("/login$"))


def test_a_form_without_its_token_is_refused(watched: Watched, system: System) -> None:
    watched.expected = ("403",)
    task_id = system.insert("Stay", "Explain.")
    page = watched.open(f"/tasks/{task_id}")

    page.evaluate("document.querySelectorAll('[name=csrf]').forEach(x => x.value = 'forged')")
    page.get_by_role("button", name="Cancel").click()

    expect(page.locator("h1")).to_have_text("Refused")
    assert system.task(task_id)["status"] == "pending"


def test_keys_lead_everywhere(watched: Watched, system: System) -> None:
    system.insert("One", "Explain.")
    page = watched.open("/")

    page.keyboard.press("g")
    page.keyboard.press("t")
    expect(page.locator("h1")).to_have_text("Tasks")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("One")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")

    expect(page).to_have_url(re.compile("/tasks$"))


def _log_in(page: Page, token: str) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()


def _say(system: System, task_id: str, text: str) -> None:
    """What a worker does while somebody watches."""
    client = redis.Redis.from_url(system.environ["REDIS_URL"])
    system.wait(lambda: bool(client.exists(f"kos:live:watch:{task_id}")), what="a watch mark")
    client.set(f"kos:live:{task_id}", text, ex=10)
    client.close()


def _bury(system: System, message_id: str) -> None:
    client = redis.Redis.from_url(system.environ["REDIS_URL"])
    message = {
        "queue_name": "llm-ollama", "actor_name": "run_task", "args": [], "kwargs": {"epoch": 1},
        "options": {"traceback": f"Traceback\n{message_id}"}, "message_id": message_id,
        "message_timestamp": int(time.time() * 1000),
    }  # fmt: skip
    client.hset("kos:llm-ollama.XQ.msgs", message_id, json.dumps(message))
    client.zadd("kos:llm-ollama.XQ", {message_id: int(time.time() * 1000)})
    client.close()


def test_a_list_follows_what_happens_and_nothing_moves_under_the_pointer(
    watched: Watched, system: System
) -> None:
    first = system.insert("The first", "Wait.", status="cancelled")
    page = watched.open("/tasks?status=cancelled&q=Wait")
    rows = page.locator("#rows tbody tr")
    expect(rows).to_have_count(1)
    page.locator("#rows thead").hover()

    system.insert("The second", "Wait.", status="cancelled")
    system.sql("UPDATE tasks SET title = 'Its new name' WHERE id = %s", (first,))

    expect(page.locator("#fresh")).to_have_text("New: 1. Show", timeout=30_000)
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Its new name", timeout=30_000)
    page.locator("#fresh").click()
    expect(rows).to_have_count(2)
    expect(page.locator("#fresh")).to_be_hidden()

    page.mouse.move(5, 5)
    system.insert("The third", "Wait.", status="cancelled")
    expect(rows).to_have_count(3, timeout=30_000)
    assert "status=cancelled" in page.url
