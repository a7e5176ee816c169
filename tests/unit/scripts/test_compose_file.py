from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml

from jobs.process.http_origins import allowed_hosts
from jobs.settings.load import PROJECT, SETTING_NAMES
from jobs.settings.names import OTHER_PROGRAMS_NAMES, unknown_names


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
    assert isinstance(loaded, dict)
    return loaded


def test_the_services_are_those_of_the_documentation(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"postgres", "redis", "jobs", "prometheus", "grafana"}
    for name in ("prometheus", "grafana"):
        assert compose["services"][name]["profiles"] == ["monitoring"]


def test_every_port_is_published_on_the_loopback_interface(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for port in service.get("ports", []):
            assert str(port).startswith("127.0.0.1:")


def test_the_dashboard_and_the_gateway_are_reached_at_the_ports_that_they_listen_at(
    compose: dict[str, Any],
) -> None:
    jobs = compose["services"]["jobs"]

    for name, port in (("DASHBOARD", "11480"), ("GATEWAY", "11482")):
        assert jobs["environment"][f"KOS_{name}_HOST"] == "0.0.0.0"
        assert jobs["environment"][f"KOS_{name}_PORT"] == port
        assert f"127.0.0.1:${{KOS_{name}_PORT:-{port}}}:{port}" in jobs["ports"]
        assert "KOS_DASHBOARD_TOKEN" in jobs["environment"][f"KOS_{name}_TOKEN"]


def test_the_jobs_reach_the_host_and_wait_for_healthy_databases(compose: dict[str, Any]) -> None:
    jobs = compose["services"]["jobs"]

    assert "host.docker.internal:host-gateway" in jobs["extra_hosts"]
    for name in ("postgres", "redis"):
        assert jobs["depends_on"][name]["condition"] == "service_healthy"
        assert compose["services"][name]["healthcheck"]["test"]


def test_every_variable_given_to_the_jobs_is_a_setting(compose: dict[str, Any]) -> None:
    given = set(compose["services"]["jobs"]["environment"])

    assert given <= SETTING_NAMES | OTHER_PROGRAMS_NAMES


def test_every_setting_of_the_env_file_reaches_the_jobs_but_for_what_is_fixed(
    compose: dict[str, Any],
) -> None:
    jobs = compose["services"]["jobs"]

    assert jobs["env_file"] == [{"path": ".env", "required": False}]
    assert set(jobs["environment"]) == {
        "DATABASE_URL", "REDIS_URL", "KOS_HOME", "KOS_DASHBOARD_HOST", "KOS_DASHBOARD_PORT",
        "KOS_DASHBOARD_TOKEN", "KOS_GATEWAY_HOST", "KOS_GATEWAY_PORT", "KOS_GATEWAY_TOKEN",
    }  # fmt: skip
    assert jobs["environment"]["KOS_HOME"] in [v.split(":")[1] for v in jobs["volumes"]]


def test_what_the_file_itself_reads_of_ours_is_not_told_to_be_a_typo() -> None:
    text = (PROJECT / "docker-compose.yml").read_text()

    assert unknown_names(re.findall(r"\$\{(\w+)", text), SETTING_NAMES) == ()


def test_secrets_are_kept_out_of_git_and_out_of_the_image() -> None:
    for name in (".gitignore", ".dockerignore"):
        assert ".env" in (PROJECT / name).read_text().splitlines()


def test_every_named_volume_is_declared(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source.startswith("./") or source in compose["volumes"]


def test_prometheus_finds_the_dashboard_and_may_read_it(compose: dict[str, Any]) -> None:
    services = compose["services"]
    scraped = _scrape_configuration(services["prometheus"])
    (job,) = scraped["scrape_configs"]
    host, port = job["static_configs"][0]["targets"][0].split(":")

    given = services[host]["environment"]
    assert port == given["KOS_DASHBOARD_PORT"]
    assert allowed_hosts(given["KOS_DASHBOARD_HOST"], ()) is None
    (secret,) = services["prometheus"]["secrets"]
    assert job["authorization"]["credentials_file"] == f"/run/secrets/{secret}"
    assert compose["secrets"][secret] == {"environment": "KOS_DASHBOARD_TOKEN"}
    assert "KOS_DASHBOARD_TOKEN" in given


def test_the_image_drops_root_and_runs_the_supervision() -> None:
    text = (PROJECT / "Dockerfile").read_text()

    assert re.search(r"^USER 1000:1000$", text, re.MULTILINE)
    assert 'CMD ["python", "-m", "console.supervision", "run", "--logs"]' in text
    assert 'CMD ["python", "-m", "console.supervision", "healthy"]' in text
    assert text.count("\nFROM ") + text.startswith("FROM ") == 2


def _scrape_configuration(prometheus: dict[str, Any]) -> dict[str, Any]:
    """The file that Prometheus is started with; its rules lie beside it."""
    mounts = dict(volume.split(":")[:2] for volume in prometheus["volumes"])
    folder = next(PROJECT / source for source, at in mounts.items() if at == "/etc/prometheus")
    (option,) = (word for word in prometheus["command"] if word.startswith("--config.file="))
    inside = PurePosixPath(option.removeprefix("--config.file="))
    loaded = yaml.safe_load((folder / inside.relative_to("/etc/prometheus")).read_text())
    assert isinstance(loaded, dict)
    assert all((folder / name).is_file() for name in loaded["rule_files"])
    return loaded


def test_every_service_has_a_password_of_its_owner_and_an_exact_image(
    compose: dict[str, Any],
) -> None:
    services = compose["services"]

    assert "--requirepass" in services["redis"]["command"]
    assert services["redis"]["environment"]["REDISCLI_AUTH"] in services["redis"]["command"]
    password = services["redis"]["environment"]["REDISCLI_AUTH"]
    assert f":{password}@redis" in services["jobs"]["environment"]["REDIS_URL"]
    assert "GF_SECURITY_ADMIN_PASSWORD" in services["grafana"]["environment"]
    for service in services.values():
        assert "no-new-privileges:true" in service["security_opt"]
        if "image" in service:
            assert re.fullmatch(r"[\w/-]+:v?\d+\.\d+[\w.-]*", service["image"])


def test_what_needs_no_own_files_has_a_read_only_root(compose: dict[str, Any]) -> None:
    read_only = {n for n, service in compose["services"].items() if service.get("read_only")}

    assert read_only == {"redis", "jobs", "prometheus"}
