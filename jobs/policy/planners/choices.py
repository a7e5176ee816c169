"""Where a task may run: keys with their expected seconds, and why the others may not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jobs.policy.types import BackendView, BlockKey, ModelView, Rejected, Snapshot, TaskView
from llm.kinds import traits_of
from llm.types import Category

COMPLEX_FROM = 0.7
"""From this complexity on only the best-ranked model of a category is good enough."""


@dataclass(frozen=True, slots=True)
class Option:
    """One key where a task may run; ``seconds`` is its expected service time there, which varies
    by ``variation`` of itself."""

    key: BlockKey
    seconds: float
    load_seconds: float
    heavy: bool
    preferred: bool
    rank: int
    variation: float = 0.5


@dataclass(frozen=True, slots=True)
class Choices:
    options: tuple[Option, ...]
    rejected: tuple[Rejected, ...] = ()
    note: str = ""


def asks_for(task: TaskView) -> tuple[object, ...]:
    """Everything that decides where a task may run: tasks of which this is equal are alike."""
    return (
        task.category,
        task.complexity >= COMPLEX_FROM,
        task.preferred_source,
        task.required_backend,
        task.preferred_model,
        task.num_ctx,
        task.avoid,
        task.only,
    )


def unservable(
    backends: Iterable[BackendView], models: Iterable[tuple[str, str]]
) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    """What a task may ask for in vain now, so that `Router` finds nothing for it.

    ``models`` are (backend, model). Names of backends where nothing runs, and pairs of a backend's
    name (empty where the task requires none) and a known model that nothing open of that name has.
    """
    views = {view.name: view for view in backends}
    models = list(models)
    runs_at: dict[str, set[str]] = {"": set()}
    for view in views.values():
        runs_at |= {view.name: set(), view.kind.value: set()}
    for backend, model in models:
        open_view = views.get(backend)
        if open_view is not None and _closed(open_view) is None:
            for name in {"", open_view.name, open_view.kind.value}:
                runs_at[name].add(model)
    known = {model for _, model in models}
    closed = frozenset(name for name, here in runs_at.items() if name and not here)
    pairs = frozenset(
        (name, model)
        for name, here in runs_at.items()
        if name not in closed
        for model in known - here
    )
    return closed, pairs


class Router:
    """Finds the choices of a task; tasks that ask for the same share one answer."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.backends = {view.name: view for view in snapshot.backends}
        self._models = sorted(snapshot.models, key=lambda m: (m.backend, m.rank, m.name))
        self._by_pair = {(m.backend, m.name): m for m in self._models}
        self._names = {m.name for m in self._models}
        self._known: dict[tuple[object, ...], Choices] = {}
        self._equal: dict[Choices, Choices] = {}

    def choices(self, task: TaskView) -> Choices:
        signature = asks_for(task)
        known = self._known.get(signature)
        if known is None:
            found = self._find(task)
            known = self._known[signature] = self._equal.setdefault(found, found)
        return known

    def model(self, key: BlockKey) -> ModelView | None:
        return self._by_pair.get((key.backend, key.model))

    def _find(self, task: TaskView) -> Choices:
        rejected: list[Rejected] = []
        asked, note = self._asked(task, rejected)
        fit = asked if task.only is not None else self._of_category(task, asked, rejected)
        fit = self._without_failed(task, fit, rejected)
        fit = self._reachable(fit, rejected)
        options = tuple(self._option(task, model) for model in fit)
        return Choices(options, tuple(rejected), note)

    def _asked(self, task: TaskView, rejected: list[Rejected]) -> tuple[list[ModelView], str]:
        """What the creator asked for is kept where it exists, and noted where it does not."""
        fit, notes = self._models, []
        if task.only is not None:
            fit = [m for m in fit if (m.backend, m.name) in (task.only or ())]
        if task.required_backend is not None:
            if any(_is_backend(view, task.required_backend) for view in self.backends.values()):
                fit = self._at(fit, task.required_backend, rejected)
            else:
                notes.append(f"asked-for backend {task.required_backend} is not configured")
        if task.preferred_model is not None:
            if task.preferred_model in self._names:
                fit = _keep(
                    fit,
                    [m for m in fit if m.name == task.preferred_model],
                    rejected,
                    f"the task asks for {task.preferred_model}",
                )
            else:
                notes.append(f"asked-for model {task.preferred_model} is on no server")
        return list(fit), "; ".join(notes)

    def _at(
        self, models: Iterable[ModelView], name: str, rejected: list[Rejected]
    ) -> list[ModelView]:
        models = list(models)
        kept = [m for m in models if _is_backend(self.backends.get(m.backend), name)]
        return _keep(models, kept, rejected, f"the task asks for {name}")

    def _of_category(
        self, task: TaskView, models: Sequence[ModelView], rejected: list[Rejected]
    ) -> list[ModelView]:
        if task.preferred_model is not None and task.preferred_model in self._names:
            return list(models)
        fit: list[ModelView] = []
        for backend in sorted({m.backend for m in models}):
            here = [m for m in models if m.backend == backend]
            able = _able(here, task.category)
            resident = self.backends[backend].resident if backend in self.backends else ()
            kept = [
                m
                for index, m in enumerate(able)
                if index == 0 or (m.name in resident and task.complexity < COMPLEX_FROM)
            ]
            rejected.extend(
                Rejected(f"{m.backend}/{m.name}", f"{able[0].name} ranks before it")
                for m in able
                if m not in kept
            )
            fit.extend(kept)
        return fit

    def _without_failed(
        self, task: TaskView, models: list[ModelView], rejected: list[Rejected]
    ) -> list[ModelView]:
        fresh = [m for m in models if (m.backend, m.name) not in task.avoid]
        if not fresh:
            return models
        return _keep(models, fresh, rejected, "failed on this task before")

    def _reachable(self, models: list[ModelView], rejected: list[Rejected]) -> list[ModelView]:
        kept: list[ModelView] = []
        for model in models:
            reason = _closed(self.backends.get(model.backend))
            if reason is None:
                kept.append(model)
            else:
                rejected.append(Rejected(f"{model.backend}/{model.name}", reason))
        return kept

    def _option(self, task: TaskView, model: ModelView) -> Option:
        view = self.backends[model.backend]
        num_ctx = task.num_ctx if traits_of(view.kind).takes_num_ctx else 0
        source = task.preferred_source
        return Option(
            key=BlockKey(model.backend, model.name, num_ctx),
            seconds=max(model.service_by_category.get(task.category, model.service_seconds), 1e-3),
            load_seconds=max(model.load_seconds, 0.0),
            heavy=model.heavy,
            preferred=source is None or _is_backend(view, source),
            rank=model.rank,
            variation=model.service_variation,
        )


def others(snapshot: Snapshot, task: TaskView, *, than: str) -> tuple[str, ...]:
    """The backends other than ``than`` that are up and may take ``task`` now."""
    options = Router(snapshot).choices(task).options
    return tuple(sorted({option.key.backend for option in options} - {than}))


def _able(models: Sequence[ModelView], category: Category) -> list[ModelView]:
    """Models of the category; else general ones; else whatever is there."""
    for wanted in (category, Category.DEFAULT):
        fit = [m for m in models if wanted in m.categories]
        if fit:
            return fit
    return list(models)


def _is_backend(view: BackendView | None, name: str) -> bool:
    return view is not None and name in (view.name, view.kind.value)


def _closed(view: BackendView | None) -> str | None:
    if view is None:
        return "backend is not configured"
    if view.unavailable is not None:
        return view.unavailable
    return None if view.slots > 0 else "its limit is 0 now"


def _keep(
    before: Iterable[ModelView], kept: list[ModelView], rejected: list[Rejected], reason: str
) -> list[ModelView]:
    chosen = set(map(id, kept))
    rejected.extend(
        Rejected(f"{m.backend}/{m.name}", reason) for m in before if id(m) not in chosen
    )
    return kept
