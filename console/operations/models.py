"""Models: what every server has, what lies in the folder of the MLX API server, and moving both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from console.operations.backends import checked_name
from console.operations.connections import Connections
from console.operations.errors import (
    InvalidInput,
    OperationError,
    ServiceUnreachable,
    UnknownName,
    near,
)
from jobs.planning.learned_figures import LearnedFigures
from jobs.process.extras import install_command
from jobs.runtime import model_servers
from jobs.settings.load import Settings
from llm.errors import LLMError
from llm.mlx_server import settings as mlx_settings
from llm.model_files.errors import ModelFileError
from llm.model_files.known import KNOWN, folder_of
from llm.scanner import Scanner
from llm.types import BackendKind, Deadlines, ServerScan

if TYPE_CHECKING:
    from llm.model_files.folder import ModelsFolder

LOAD_SECONDS = 600.0

T = TypeVar("T")
Rate = Callable[[str, str], float | None]


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model of a server; ``backend`` is None for one on disk that no server offers. ``ranks``
    count from 1 for each category; ``tokens_per_second`` is None until an answer was measured;
    ``broken`` is why it cannot be used."""

    backend: str | None
    model: str
    parameters: int | None = None
    quantization: str | None = None
    size_bytes: int | None = None
    context_tokens: int | None = None
    categories: list[str] = field(default_factory=list)
    heavy: bool = False
    broken: str | None = None
    ranks: dict[str, int] = field(default_factory=dict)
    resident: bool = False
    tokens_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class AddedModel:
    """``added`` is False for a known model that was there already."""

    model: str
    path: Path
    added: bool


@dataclass(frozen=True, slots=True)
class RemovedModel:
    model: str
    removed: bool = True


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """``seconds`` is how long the load took."""

    model: str
    backend: str
    seconds: float


@dataclass(frozen=True, slots=True)
class UnloadedModel:
    """``backends`` are those that held it."""

    model: str
    backends: list[str]


def listed(connections: Connections) -> tuple[list[ListedModel], dict[str, str]]:
    """Every model of every server that answers, then those only in our folder; and the error of
    every other server by its name."""
    settings = connections.settings
    servers, scanner = model_servers(settings, None)
    try:
        scan = scanner.scan(refresh=True)
    finally:
        servers.close()
    rate = _measured(connections, scanner) if settings.database_url else _unknown
    found = [model for server in scan.servers for model in _models(server, rate)]
    ours = [spec.name for spec in settings.backends if spec.kind is BackendKind.MLX]
    offered = {one.model for one in found if one.backend in ours}
    on_disk = (name for name in _names_on_disk(settings) if name not in offered)
    found += [ListedModel(backend=None, model=name) for name in on_disk]
    return found, {server.backend: server.error for server in scan.servers if server.error}


def add(
    settings: Settings,
    source: str,
    *,
    name: str | None,
    sha256: str | None,
    on_progress: Callable[[float], None],
) -> AddedModel:
    """``source`` is a known name, a GGUF file or a folder of mlx-lm. Raises InvalidInput for what
    cannot be used, OperationError where it cannot be fetched or written.
    """
    folder = _folder(settings)
    path = Path(source).expanduser()
    if sha256 is not None and not path.is_file():
        raise InvalidInput(
            "--sha256 is the checksum of a GGUF file; what is known by name has its own"
        )
    if source in KNOWN and not path.exists():
        if name is not None:
            raise InvalidInput(f"{source} is called {KNOWN[source].folder}; --name is for files")
        present = folder.has(KNOWN[source].folder)
        done = KNOWN[source].folder if present else _try(
            lambda: folder.add_known(source, on_progress=on_progress)
        )  # fmt: skip
        return AddedModel(done, folder.path / done, added=not present)
    if path.is_dir():
        done = _try(lambda: folder.add_folder(path, name=name))
    elif path.is_file():
        done = _try(
            lambda: folder.add_file(path, name=name, sha256=sha256, on_progress=on_progress)
        )
    else:
        raise InvalidInput(
            f"{source!r} is no file, no folder and no known model: {near(source, KNOWN)}"
        )
    return AddedModel(done, folder.path / done, added=True)


def remove(settings: Settings, name: str) -> RemovedModel:
    """Delete a model from our folder; where an MLX server holds it, it leaves memory too, after
    the answers that run. Raises InvalidInput, OperationError."""
    folder = _folder(settings)
    model = folder_of(name)
    if not folder.has(model):
        raise UnknownName(f"{model!r} is not in {folder.path}: {near(model, folder.names())}")
    for spec in settings.backends:
        if spec.kind is BackendKind.MLX:
            _leave_memory(settings, model, spec.name)
    _try(lambda: folder.remove(model))
    return RemovedModel(model)


def load(settings: Settings, name: str, *, backend: str | None) -> LoadedModel:
    """Bring a model into memory: at ``backend``, else at the first server that has it. Raises
    UnknownName and ServiceUnreachable."""
    model = folder_of(name)
    servers, scanner = model_servers(settings, None)
    try:
        place = _place(scanner.scan(refresh=True).servers, settings, model, backend)
        server = servers.get(place.backend)
        deadlines = Deadlines(load_seconds=LOAD_SECONDS, total_seconds=LOAD_SECONDS)
        seconds = server.preload(model, deadlines=deadlines)
    except LLMError as error:
        raise OperationError(f"{model} could not be loaded: {error}") from error
    finally:
        servers.close()
    return LoadedModel(model, place.backend, seconds)


def unload(settings: Settings, name: str, *, backend: str | None) -> UnloadedModel:
    """Drop a model from memory; running answers end first. Raises UnknownName and
    ServiceUnreachable."""
    model = folder_of(name)
    servers, scanner = model_servers(settings, None)
    try:
        scanned = scanner.scan(refresh=True).servers
        _place(scanned, settings, model, backend)
        holders = [
            server.backend
            for server in scanned
            if backend in (None, server.backend)
            and model in {resident.name for resident in server.resident}
        ]
        for holder in holders:
            servers.get(holder).unload(model)
    except LLMError as error:
        raise OperationError(f"{model} could not be unloaded: {error}") from error
    finally:
        servers.close()
    return UnloadedModel(model, holders)


def _leave_memory(settings: Settings, model: str, backend: str) -> None:
    """Once its folder is gone, nobody could name it to the server any more."""
    with suppress(ServiceUnreachable, UnknownName):
        unload(settings, model, backend=backend)


def _place(
    scanned: tuple[ServerScan, ...], settings: Settings, model: str, backend: str | None
) -> ServerScan:
    wanted = checked_name(settings, backend) if backend else None
    listed = [server for server in scanned if wanted in (None, server.backend)]
    answering = [server for server in listed if server.models is not None]
    if not answering:
        raise ServiceUnreachable("no model server answers: start one, or see `kos doctor`")
    for server in answering:
        if model in {each.name for each in server.models or ()}:
            return server
    names = [each.name for server in answering for each in server.models or ()]
    raise UnknownName(f"no server has a model {model!r}; {near(model, names)}")


def _measured(connections: Connections, scanner: Scanner) -> Rate:
    connections.use_database()
    figures = LearnedFigures(connections.settings.backends, scanner)
    return lambda backend, model: figures.for_deadlines(backend, model).tokens_per_second


def _unknown(backend: str, model: str) -> None:
    return None


def _models(server: ServerScan, rate: Rate) -> Iterator[ListedModel]:
    resident = {model.name for model in server.resident}
    places = server.places()
    for model in server.models or ():
        info = model.info
        yield ListedModel(
            backend=server.backend,
            model=model.name,
            parameters=info.parameters,
            quantization=info.quantization,
            size_bytes=info.size_bytes,
            context_tokens=info.context_tokens,
            categories=[category.value for category in model.categories],
            heavy=model.heavy,
            broken=model.broken,
            ranks={
                category.value: places[category][model.name] + 1
                for category in model.categories
                if model.name in places.get(category, ())
            },
            resident=model.name in resident,
            tokens_per_second=rate(server.backend, model.name),
        )


def _names_on_disk(settings: Settings) -> Iterator[str]:
    try:
        yield from _folder(settings).names()
    except InvalidInput:
        return


def models_path(settings: Settings) -> Path:
    """MLX_MODELS_DIR. Raises InvalidInput for an MLX_ variable that cannot be used."""
    try:
        return mlx_settings.ServerSettings.from_environment(
            settings.environ
        ).models_dir.expanduser()
    except mlx_settings.ServerSettingsError as error:
        raise InvalidInput(str(error)) from error


def _folder(settings: Settings) -> ModelsFolder:
    try:
        from llm.model_files.folder import ModelsFolder
    except ModuleNotFoundError as error:
        raise InvalidInput(f"{error.name} is missing; run: {install_command('mlx')}") from error
    return ModelsFolder(models_path(settings))


def _try(action: Callable[[], T]) -> T:
    try:
        return action()
    except ModelFileError as error:
        raise InvalidInput(str(error)) from error
