"""``kos webhooks``, from being added to being removed."""

from __future__ import annotations

import pytest

from tests.integration.cli.command_line import Kos
from tests.support.receivers import receiver, saying


def test_a_webhook_is_added_listed_tested_and_removed(
    kos: Kos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOS_WEBHOOK_NETWORKS", "127.0.0.1/32")
    with receiver(saying("200 OK")) as good:
        added = kos("webhooks", "add", "ci", good.url, "--event", "task.failed", "--json").json
        assert added["secret"].startswith("whsec_")
        assert kos("webhooks", "test", "ci").out.strip() == "delivered: ci"
        assert len(good.requests) == 1
        good.answer = saying("500 Oops")
        refused = kos("webhooks", "test", "ci")
        assert (refused.code, "answered 500" in refused.err) == (2, True)

    [listed] = kos("webhooks", "--json").json
    assert (listed["name"], listed["events"]) == ("ci", ["task.failed"])
    assert "secret" not in listed
    assert "Nothing was sent" in kos("webhooks", "show", "ci").out
    kos("webhooks", "remove", "ci")
    assert kos("webhooks", "list", "--json").json == []


def test_a_wrong_webhook_is_refused_with_what_to_do(kos: Kos) -> None:
    for arguments, message in (
        (["add", "n", "http://10.0.0.1/"], "KOS_WEBHOOK_NETWORKS"),
        (["add", "n", "nowhere"], "is no URL"),
        (["add", "n", "http://8.8.8.8/", "--event", "task.ended"], "is unknown"),
        (["add", "KOS_WEBHOOK_URL", "http://8.8.8.8/"], "is a setting"),
        (["remove", "nobody"], "no webhook 'nobody'"),
        (["test", "nobody"], "no webhook 'nobody'"),
    ):
        refused = kos("webhooks", *arguments)
        assert refused.code == 2
        assert message in refused.err
