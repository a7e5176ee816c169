"""Wrong settings and the files they name: every command says which, and what to write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.integration.bad_input.doors import kos, says

SERVER = '[[backend]]\nname = "v"\nkind = "openai"\nurl = "http://127.0.0.1:9"\n'


@dataclass(frozen=True, slots=True)
class Bad:
    """A variable, its text (or that of the file it names), and what is said."""

    name: str
    text: str
    says: tuple[str, ...]
    others: Mapping[str, str] = field(default_factory=dict)


VARIABLES = (
    Bad("DATABASE_URL", "mysql://u@h/d", ("must start with postgresql://",)),
    Bad("DATABASE_URL", "postgresql://h:port/d", ("is not a URL",)),
    Bad("REDIS_URL", "http://127.0.0.1", ("must start with redis://",)),
    Bad("REDIS_URL", "redis://", ("names no host",)),
    Bad("OLLAMA_API_URL", "ftp://127.0.0.1", ("ftp",)),
    Bad("OLLAMA_API_URL", "http://127.0.0.1:99999", ("ort",)),
    Bad("MLX_API_URL", "http://", ("host",)),
    Bad("SMART_WORKER_BATCH_SIZE", "0", ("out of range", "1 to 100000")),
    Bad("SMART_WORKER_MAX_CONCURRENT", "ten", ("is not a whole number",)),
    Bad("SMART_WORKER_STUCK_MINUTES", "-5", ("out of range",)),
    Bad("SMART_WORKER_LLM_TIMEOUT", "5m", ("is not a number",)),
    Bad("SMART_WORKER_LLM_TIMEOUT", "nan", ("out of range",)),
    Bad("SMART_WORKER_HEAVY_MODEL_TIMEOUT_MULTIPLIER", "0.1", ("out of range",)),
    Bad("SMART_WORKER_BATCH_BY_MODEL", "maybe", ("write true or false",)),
    Bad("SMART_WORKER_RETRY_DELAY_SEC", "inf", ("out of range",)),
    Bad("ADAPTIVE_HOST_RAM_THRESHOLD", "85%", ("write a fraction",)),
    Bad("ADAPTIVE_HOST_CPU_THRESHOLD", "85", ("out of range",)),
    Bad("ADAPTIVE_RAM_CRITICAL", "0.2", ("is below ADAPTIVE_HOST_RAM_THRESHOLD",)),
    Bad("ADAPTIVE_MAX_HEAVY_MLX", "2.5", ("is not a whole number",)),
    Bad("MODEL_LOAD_BUFFER_SEC", "a while", ("is not a number",)),
    Bad("MLX_API_PORT", "70000", ("out of range", "65535")),
    Bad("MLX_MAX_CACHED_MODELS", "", (), {"KOS_HAND": "x"}),
    Bad("OLLAMA_KEEP_ALIVE", "long", ("is no duration", "5m")),
    Bad("VICTORIA_URL", "victoria", ("must start with http://",)),
    Bad("KOS_POLICY", "fastest", ("write one of",)),
    Bad("KOS_LEASE_SECONDS", "0", ("out of range",)),
    Bad("KOS_HEARTBEAT_SECONDS", "50", ("too slow for a lease",)),
    Bad("KOS_DASHBOARD_PORT", "eighty", ("is not a whole number",)),
    Bad("KOS_DASHBOARD_READ_ONLY", "si", ("write true or false",)),
    Bad("KOS_ATTEMPTS_KEEP_DAYS", "-1", ("out of range",)),
    Bad("KOS_LOG_FORMAT", "xml", ("write console or json",)),
    Bad("KOS_DOTENV", "/nowhere/.env", ("cannot be read",)),
)

BACKENDS = (
    Bad("KOS_BACKENDS_FILE", "[[backend", ("is not valid TOML",)),
    Bad("KOS_BACKENDS_FILE", "[[backends]]\n", ("unknown key 'backends'", "did you mean")),
    Bad("KOS_BACKENDS_FILE", "backend = 5", ("[[backend]]",)),
    Bad("KOS_BACKENDS_FILE", '[[backend]]\nname = "v"\n', ("backend 'v': kind is missing",)),
    Bad("KOS_BACKENDS_FILE", SERVER.replace('"v"', '"V W"'), ("a name has small letters",)),
    Bad("KOS_BACKENDS_FILE", SERVER.replace("openai", "olama"), ("did you mean 'ollama'",)),
    Bad("KOS_BACKENDS_FILE", SERVER.replace("http:", "ftp:"), ("backend 'v'", "ftp")),
    Bad("KOS_BACKENDS_FILE", SERVER + "max_concurrent = 0", ("max_concurrent must be",)),
    Bad("KOS_BACKENDS_FILE", SERVER + 'tokens_per_minute = "1k"', ("tokens_per_minute must be",)),
    Bad("KOS_BACKENDS_FILE", SERVER + 'api_key_env = "sk-123"', ("not the key itself",)),
    Bad("KOS_BACKENDS_FILE", SERVER + 'models = ["m"]', ("models is a table of lists",)),
    Bad("KOS_BACKENDS_FILE", SERVER + '[backend.models]\npoetry = ["m"]', ("'poetry'",)),
    Bad("KOS_BACKENDS_FILE", SERVER + '[backend.models]\ncoding = "m"', ("models.coding must be",)),
    Bad("KOS_BACKENDS_FILE", SERVER + SERVER, ("'v' is named twice",)),
    Bad("KOS_BACKENDS_FILE", SERVER + "max_concurent = 5", ("did you mean 'max_concurrent'",)),
)

CATALOGS = (
    Bad("KOS_CATALOG_FILE", "[priority", ("is not valid TOML",)),
    Bad("KOS_CATALOG_FILE", "[priorities]\n", ("unknown key 'priorities'",)),
    Bad("KOS_CATALOG_FILE", '[priority]\npoetry = ["m"]', ("priority.poetry is no category",)),
    Bad("KOS_CATALOG_FILE", '[classes]\nheavy_bytes = "big"', ("must be a whole number",)),
)

EXPERTS = (
    ("{broken", "line: is not JSON"),
    ('["Anna"]', "line: is not an object"),
    ('{"role": "x"}', "name: is missing"),
    ('{"name": 5, "system_prompt": "p"}', "name: must be text in quotes"),
    ('{"name": "A"}', "system_prompt: is missing"),
    ('{"name": "A", "system_prompt": "p", "department": 5}', "department: must be text"),
    ('{"name": "A", "system_prompt": "p", "is_active": "yes"}', "is_active: must be true or false"),
    ('{"name": "A", "system_prompt": "p", "metadata": [1]}', "metadata: must be an object"),
    ('{"name": "A", "system_prompt": "p", "rol": "x"}', "rol: is not a known key"),
    ('{"name": "A\\u0000", "system_prompt": "p"}', "NUL"),
    ('{"name": "' + "n" * 256 + '", "system_prompt": "p"}', "name: has 256 characters"),
)


def named(case: Bad) -> str:
    return f"{case.name}={case.text[:20]!r}"


@pytest.mark.parametrize("case", VARIABLES, ids=named)
def test_a_wrong_variable_is_named(environ: dict[str, str], case: Bad) -> None:
    ran = kos({**environ, **case.others, case.name: case.text}, "tasks", "--json")

    assert (ran.code, ran.out) == (2, "")
    assert len(ran.err.splitlines()) == 1
    says(ran.err, ("kos: settings: ", *(case.others or {case.name: ""}), *case.says))


def test_every_wrong_variable_is_named_at_once(environ: dict[str, str]) -> None:
    wrong = {"KOS_HAND": "x", "MLX_API_PORT": "0", "SMART_WORKER_BATCH_SIZE": "-1"}

    ran = kos({**environ, **wrong}, "status")

    assert ran.code == 2
    says(ran.err, tuple(wrong))


def test_a_secret_is_never_repeated(environ: dict[str, str]) -> None:
    ran = kos({**environ, "DATABASE_URL": "mysql://u:hunter2@h/d"}, "tasks")

    assert ran.code == 2
    assert "hunter2" not in ran.err


def test_a_misspelt_variable_is_a_warning_with_the_right_name(environ: dict[str, str]) -> None:
    ran = kos({**environ, "SMART_WORKER_BACH_SIZE": "5"}, "doctor")

    says(ran.out + ran.err, ("SMART_WORKER_BACH_SIZE", "did you mean SMART_WORKER_BATCH_SIZE?"))


@pytest.mark.parametrize("case", BACKENDS, ids=lambda case: case.says[0][:30])
def test_a_wrong_backends_file_is_told_by_entry_and_key(
    environ: dict[str, str], tmp_path: Path, case: Bad
) -> None:
    file = tmp_path / "backends.toml"
    file.write_text(case.text)

    ran = kos({**environ, case.name: str(file)}, "backends")

    assert (ran.code, ran.out) == (2, "")
    says(ran.err, ("kos: settings: KOS_BACKENDS_FILE: ", str(file), *case.says))


@pytest.mark.parametrize("case", CATALOGS, ids=lambda case: case.says[0][:30])
def test_a_wrong_catalog_is_told_by_its_key(
    environ: dict[str, str], tmp_path: Path, case: Bad
) -> None:
    file = tmp_path / "catalog.toml"
    file.write_text(case.text)

    ran = kos({**environ, case.name: str(file)}, "plan", "--dry-run")

    assert (ran.code, ran.out) == (2, "")
    says(ran.err, ("KOS_CATALOG_FILE", *case.says))


@pytest.mark.parametrize("variable", ["KOS_BACKENDS_FILE", "KOS_CATALOG_FILE"])
@pytest.mark.parametrize("kind", ["missing", "directory", "binary"])
def test_a_file_that_cannot_be_read_is_named(
    environ: dict[str, str], tmp_path: Path, variable: str, kind: str
) -> None:
    file = tmp_path / "it.toml"
    if kind == "directory":
        file.mkdir()
    elif kind == "binary":
        file.write_bytes(b"\xff\xfe\x00")

    ran = kos({**environ, variable: str(file)}, "plan", "--dry-run")

    assert (ran.code, ran.out) == (2, "")
    says(ran.err, (variable, str(file)))


def test_an_experts_file_that_cannot_be_read_is_named_before_anything_starts(
    environ: dict[str, str], tmp_path: Path
) -> None:
    ran = kos({**environ, "KOS_EXPERTS_FILE": str(tmp_path / "nobody.jsonl")}, "up")

    assert (ran.code, ran.out) == (2, "")
    says(ran.err, ("KOS_EXPERTS_FILE", "nobody.jsonl", "No such file"))
    assert not (Path(environ["KOS_HOME"]) / "run").exists()


def test_wrong_experts_are_refused_by_line_and_field(
    environ: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "experts.jsonl"
    good = '{"name": "Good One", "system_prompt": "You are good."}'
    file.write_text("\n".join([*(line for line, _ in EXPERTS), good]) + "\n")

    ran = kos(environ, "experts", "add", "--from", str(file), "--json")

    rejected = {entry["line"]: entry["error"] for entry in ran.json["rejected"]}
    assert (ran.code, ran.json["added"]) == (2, 1)
    assert list(rejected) == list(range(1, len(EXPERTS) + 1))
    for number, (_, message) in enumerate(EXPERTS, start=1):
        assert message in rejected[number]
