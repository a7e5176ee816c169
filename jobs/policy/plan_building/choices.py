"""Where a task may run: keys with their expected seconds, and why the others may not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from jobs.policy.fields import near
from jobs.policy.types import BackendView, BlockKey, ModelView, Rejected, Snapshot, TaskView
from llm.kinds import traits_of
from llm.types import Category

COMPLEX_FROM = 0.7
"""From this complexity on only the best-ranked model of a server is good enough."""
RESIDENT_DOUBLINGS = 2.0
"""A resident model this much weaker than the best of its server may take a task all the same."""
COMPLEX_DOUBLINGS = 2.0
"""A server whose best is this much weaker than the best of all takes no complex task,"""
UNABLE_DOUBLINGS = 20.0
"""and one this much weaker cannot do the work at all: it is blind, or does not fit."""
NOT_PREFERRED_FACTOR = 1.1
"""Work at a backend that is not the preferred one is counted this much longer."""
WEAKER_EXPONENT = 1.25
"""The service time of a model that is weaker by d doublings is multiplied by 2 ** (1.25 d). Half
the size is about twice as fast, so an exponent above 1 cancels that gain: a weaker model is chosen
to save a load or to share the work, never for its speed alone."""


@dataclass(frozen=True, slots=True)
class Option:
    """One key where a task may run; ``seconds`` is its expected service time there, which varies
    by ``variation`` of itself. The balance counts that time ``weight`` times: more where the model
    is weaker than the best by ``weaker_by`` doublings, or the source not ``preferred``."""

    key: BlockKey
    seconds: float
    load_seconds: float
    heavy: bool
    preferred: bool
    rank: int
    variation: float = 0.5
    weight: float = 1.0
    weaker_by: float = 0.0
    warm: bool = False


@dataclass(frozen=True, slots=True)
class Choices:
    options: tuple[Option, ...]
    rejected: tuple[Rejected, ...] = ()
    note: str = ""
    category: Category = Category.DEFAULT
    source: str | None = None


def asks_for(task: TaskView) -> tuple[object, ...]:
    """Everything that decides where a task may run: tasks of which this is equal are alike."""
    return (
        task.category,
        task.complexity >= COMPLEX_FROM,
        task.preferred_source,
        task.required_backend,
        task.required_model,
        task.num_ctx,
        task.needed_context,
        task.avoid,
        task.only,
    )


def unservable(
    backends: Iterable[BackendView], models: Iterable[tuple[str, str]]
) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    """Which requirements of tasks no open backend fulfils now, so that `Router` would find nothing.

    ``models`` are the known (backend, model). Returns the names of backends that take no task, and
    pairs of a required backend (empty: none) and a required model that no open backend has.
    """
    views = {view.name: view for view in backends}
    models = list(models)
    runs_at: dict[str, set[str]] = {"": set()}
    for view in views.values():
        runs_at |= {view.name: set(), view.kind.value: set()}
    for backend, model in models:
        open_view = views.get(backend)
        if open_view is not None and why_closed(open_view, model) is None:
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
        """Requirements first, then what is open, then what has not failed, then rank.

        The order matters: each later step picks among what the earlier ones left, so a closed or
        failed model never hides an admissible one behind it.
        """
        rejected: list[Rejected] = []
        fit, note = self._required(task, rejected)
        fit = self._open(fit, rejected)
        fit = _roomy(task, fit, rejected)
        fit = self._not_failed(task, fit, rejected)
        if task.only is None:
            fit = self._of_category(task, fit, rejected)
        best = max((_suits(m, task) for m in fit), default=0.0)
        options = tuple(
            self._option(task, model)
            for model in sorted(fit, key=lambda m: (m.backend, m.rank_for(task.category), m.name))
        )
        options = tuple(self._weighed(task, option, best) for option in options)
        return Choices(options, tuple(rejected), note, task.category, task.preferred_source)

    def _required(self, task: TaskView, rejected: list[Rejected]) -> tuple[list[ModelView], str]:
        """What the creator requires is kept where it exists, and noted where it does not."""
        fit, notes = self._models, []
        if task.only is not None:
            fit = [m for m in fit if (m.backend, m.name) in (task.only or ())]
        if task.required_backend is not None:
            if self._knows(task.required_backend):
                fit = self._at(fit, task.required_backend, rejected)
            else:
                notes.append(
                    f"there is no backend {task.required_backend}, which the task requires"
                )
                notes += self._meant(task.required_backend, self.backends)
        elif task.preferred_source is not None and not self._knows(task.preferred_source):
            notes += self._meant(task.preferred_source, self.backends)
        if self._has_required_model(task):
            fit = _keep(
                fit,
                [m for m in fit if m.name == task.required_model],
                rejected,
                f"the task requires {task.required_model}",
            )
        elif task.required_model is not None:
            notes.append(f"no server can run {task.required_model} now, which the task requires")
            notes += self._meant(task.required_model, self._names)
        return list(fit), "; ".join(notes)

    def _knows(self, backend: str) -> bool:
        return any(_is_backend(view, backend) for view in self.backends.values())

    def _meant(self, wanted: str, known: Iterable[str]) -> list[str]:
        """A known name that is near to one that is not."""
        return [f"perhaps {name} is meant" for name in near(wanted, known)]

    def _has_required_model(self, task: TaskView) -> bool:
        return task.required_model is not None and task.required_model in self._names

    def _at(
        self, models: Iterable[ModelView], name: str, rejected: list[Rejected]
    ) -> list[ModelView]:
        models = list(models)
        kept = [m for m in models if _is_backend(self.backends.get(m.backend), name)]
        return _keep(models, kept, rejected, f"the task requires {name}")

    def _open(self, models: list[ModelView], rejected: list[Rejected]) -> list[ModelView]:
        kept: list[ModelView] = []
        for model in models:
            reason = why_closed(self.backends.get(model.backend), model.name)
            if reason is None:
                kept.append(model)
            else:
                rejected.append(Rejected(f"{model.backend}/{model.name}", reason))
        return kept

    def _not_failed(
        self, task: TaskView, models: list[ModelView], rejected: list[Rejected]
    ) -> list[ModelView]:
        """The models without those where the task failed, unless none is left.

        A complex task, or one with two bad answers, prefers stronger models. Other servers come
        before other models of the same server.
        """
        fresh = [m for m in models if (m.backend, m.name) not in task.avoid]
        if not fresh or len(fresh) == len(models):
            return models
        kept = _keep(models, fresh, rejected, "failed on this task before")
        able = _able(kept, task.category)
        kept = _keep(kept, able, rejected, f"not made for {task.category.value} tasks")
        failed = max(
            m.strength_for(task.category) for m in models if (m.backend, m.name) in task.avoid
        )
        stronger = [m for m in kept if m.strength_for(task.category) > failed]
        if task.complexity >= COMPLEX_FROM and stronger:
            kept = _keep(kept, stronger, rejected, "no stronger than the model that failed")
        return self._on_other_servers(task, kept, rejected)

    def _on_other_servers(
        self, task: TaskView, models: list[ModelView], rejected: list[Rejected]
    ) -> list[ModelView]:
        """Servers where the task has not failed, if they can do the work: what hangs or echoes is
        mostly the server, and every model of it would spend an attempt."""
        failed = {backend for backend, _ in task.avoid}
        enough = max(_suits(m, task) for m in models) - _tolerance(task)
        others = [m for m in models if m.backend not in failed]
        if not any(_suits(m, task) >= enough for m in others):
            return models
        return _keep(models, others, rejected, "the task failed on this server before")

    def _of_category(
        self, task: TaskView, models: list[ModelView], rejected: list[Rejected]
    ) -> list[ModelView]:
        """Per server the best model for the category, and resident ones beside it that are good
        enough; servers whose best is far weaker than the best of all are left out."""
        if self._has_required_model(task):
            return models
        enough = max((_suits(m, task) for m in _able(models, task.category)), default=0.0)
        enough -= _tolerance(task)
        fit: list[ModelView] = []
        for backend in sorted({m.backend for m in models}):
            here = [m for m in models if m.backend == backend]
            best, kept = self._best_of_server(task, here, enough)
            fit.extend(kept)
            rejected.extend(_ranked_out(here, kept, best, task))
        return fit

    def _best_of_server(
        self, task: TaskView, models: Sequence[ModelView], enough: float
    ) -> tuple[ModelView, list[ModelView]]:
        """The first by rank, and what of the server's models may take the task."""
        ranked = sorted(
            _able(models, task.category),
            key=lambda m: (m.rank_for(task.category), m.rank, m.name),
        )
        best = ranked[0]
        # A first that is not the strongest was listed by the user: that settles it.
        listed = _suits(best, task) < max(_suits(m, task) for m in ranked)
        kept = [best] if listed or _suits(best, task) >= enough else []
        if kept and task.complexity < COMPLEX_FROM:
            resident = self.backends[best.backend].resident
            near = _suits(best, task) - RESIDENT_DOUBLINGS
            kept += [m for m in ranked[1:] if m.name in resident and _suits(m, task) >= near]
        return best, kept

    def _option(self, task: TaskView, model: ModelView) -> Option:
        view = self.backends[model.backend]
        num_ctx = task.num_ctx if traits_of(view.kind).takes_num_ctx else 0
        if model.context_tokens is not None:
            # Ollama loads no more than the model was trained for, and compares what is requested:
            # the same number must be in the request and in memory.
            num_ctx = min(num_ctx, model.context_tokens)
        source = task.preferred_source
        return Option(
            key=BlockKey(model.backend, model.name, num_ctx),
            seconds=max(model.service_by_category.get(task.category, model.service_seconds), 1e-3),
            load_seconds=max(model.load_seconds, 0.0),
            heavy=model.heavy,
            preferred=source is None or _is_backend(view, source),
            rank=model.rank_for(task.category),
            variation=model.service_variation,
            warm=model.name in view.resident,
        )

    def _weighed(self, task: TaskView, option: Option, best: float) -> Option:
        model = self.model(option.key)
        weaker_by = best - _suits(model, task) if model else 0.0
        source = 1.0 if option.preferred else NOT_PREFERRED_FACTOR
        weight = source * 2.0 ** min(WEAKER_EXPONENT * weaker_by, 10.0)
        return replace(option, weight=weight, weaker_by=weaker_by)


def _suits(model: ModelView, task: TaskView) -> float:
    """The model's strength for the task. Of fast work only the time counts, so all are equal."""
    return 0.0 if task.category is Category.FAST else model.strength_for(task.category)


def _tolerance(task: TaskView) -> float:
    """Doublings by which a server's best may be weaker than the best of all."""
    return COMPLEX_DOUBLINGS if task.complexity >= COMPLEX_FROM else UNABLE_DOUBLINGS


def others(snapshot: Snapshot, task: TaskView, *, than: str) -> tuple[str, ...]:
    """The backends other than ``than`` that are up and may take ``task`` now."""
    options = Router(snapshot).choices(task).options
    return tuple(sorted({option.key.backend for option in options} - {than}))


def has_other_place(snapshot: Snapshot, task: TaskView, *, than: tuple[str, str]) -> bool:
    """Whether another (backend, model) than the one that failed may take ``task`` now: another
    model of the same server is another place, too."""
    tried = replace(task, avoid=task.avoid | {than})
    places = {(o.key.backend, o.key.model) for o in Router(snapshot).choices(tried).options}
    return bool(places - {than})


def _able(models: Sequence[ModelView], category: Category) -> list[ModelView]:
    """Models of the category; else general ones; else whatever is there.

    With strengths known a general model may rank before a specialist, except at vision.
    """
    if category is not Category.VISION and all(m.strengths for m in models):
        return list(models)
    for wanted in (category, Category.DEFAULT):
        fit = [m for m in models if wanted in m.categories]
        if fit:
            return fit
    return list(models)


def _ranked_out(
    models: Sequence[ModelView], kept: Sequence[ModelView], best: ModelView, task: TaskView
) -> list[Rejected]:
    first = f"{best.name} is better at {task.category.value} tasks"
    weak = f"another server has a much better model for {task.category.value} tasks"
    return [
        Rejected(f"{m.backend}/{m.name}", first if m is not best else weak)
        for m in models
        if m not in kept
    ]


def _is_backend(view: BackendView | None, name: str) -> bool:
    return view is not None and name in (view.name, view.kind.value)


def why_closed(view: BackendView | None, model: str) -> str | None:
    """Why no task may be sent to ``model`` there now, or None."""
    if view is None:
        return "there is no such backend"
    if view.unavailable is not None:
        return view.unavailable
    if view.slots <= 0:
        return "it takes no tasks now: its limit is 0"
    return view.closed_models.get(model)


def _roomy(task: TaskView, models: list[ModelView], rejected: list[Rejected]) -> list[ModelView]:
    """Those whose context holds the task; where none does, all: the worker counts precisely, and
    gives the reason."""
    need = task.needed_context
    kept = [m for m in models if m.context_tokens is None or m.context_tokens >= need]
    if not kept:
        return models
    return _keep(models, kept, rejected, f"its context is too small: the task needs {need} tokens")


def _keep(
    before: Iterable[ModelView], kept: list[ModelView], rejected: list[Rejected], reason: str
) -> list[ModelView]:
    chosen = set(map(id, kept))
    rejected.extend(
        Rejected(f"{m.backend}/{m.name}", reason) for m in before if id(m) not in chosen
    )
    return kept
