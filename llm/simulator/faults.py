"""Faults on demand: which fault strikes which request.

A fault is requested by a rule (`FaultBook.add`) or by the model name `fault-<name>`.
"""

from __future__ import annotations

import dataclasses
import difflib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FAULTS: dict[str, str] = {
    "refuse": "stop listening for `seconds`, drop every connection (at once, not per request)",
    "dead": "take the request and never say a word, while health stays green",
    "401": "HTTP 401 unauthorized",
    "404": "HTTP 404 model not found",
    "429": "HTTP 429 with Retry-After `retry_after_seconds`",
    "500": "HTTP 500",
    "503": "HTTP 503 with Retry-After `retry_after_seconds`",
    "load-failure": "the model fails to load: HTTP 500",
    "slow-load": "the load takes `factor` times as long",
    "hang-before": "send the head, then nothing",
    "hang-after": "stop sending after `after_tokens`",
    "drip": "one token every `seconds`",
    "fragment": "everything arrives in scraps of three bytes (the answer is right)",
    "reset": "TCP reset after `after_tokens`",
    "drop": "close the connection after `after_tokens`, chunked encoding unfinished",
    "truncate": "end the stream properly after `after_tokens`, without the terminal marker",
    "half-line": "end the stream in the middle of a line",
    "error-line": "an error as a line of a stream that began with 200",
    "invalid-utf8": "bytes that are not UTF-8 inside a line",
    "giant-line": "one line of `size_bytes`",
    "wrong-content-type": "HTTP 200 with an HTML page",
    "echo": "the prompt as the answer",
    "blank": "white space as the answer",
    "thinking-only": "thoughts and no answer",
    "repetition": "one sentence again and again",
    "whitespace": "line breaks and spaces without end",
    "runaway": "fluent text without end",
    "wrong-schema": "JSON that does not fit the schema asked for",
    "cut-prompt": "the prompt is cut to half, silently",
}
# These delay or split an answer that stays correct and whole.
HARMLESS = frozenset({"slow-load", "drip", "fragment"})
# These strike at a load; the others at a generation, or at once for any request.
LOAD_FAULTS = frozenset({"slow-load", "load-failure"})
AT_ONCE = frozenset({"dead", "401", "404", "429", "500", "503", "wrong-content-type"})
MODEL_PREFIX = "fault-"


class FaultError(ValueError):
    """A rule that cannot be used; the message names the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault with its parameters; `seconds` are real time, not scaled."""

    name: str
    seconds: float = 1.0
    after_tokens: int = 3
    retry_after_seconds: int = 1
    factor: float = 10.0
    size_bytes: int = 8_000_000


@dataclass(slots=True, kw_only=True)
class Rule:
    """Applies `fault` to a share `rate` of the matching requests, at most `count` times.

    A request matches if it is for `model` (any, when None) and its last user message contains
    `match`.
    """

    number: int
    fault: Fault
    rate: float = 1.0
    count: int | None = None
    model: str | None = None
    match: str = ""
    fired: int = 0

    def meets(self, *, model: str, prompt: str) -> bool:
        """True when the request matches and the count is not exhausted."""
        is_spent = self.count is not None and self.fired >= self.count
        return not is_spent and self.model in (None, model) and self.match in prompt

    def as_json(self) -> dict[str, Any]:
        """The rule as the control endpoint shows it."""
        measures = dataclasses.asdict(self.fault)
        name = measures.pop("name")
        own = ("number", "rate", "count", "model", "match", "fired")
        return {"fault": name, **{field: getattr(self, field) for field in own}, **measures}


class FaultBook:
    """The active rules. It has a random source of its own, so that the same seed gives the same
    faults."""

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        self.clear()

    def clear(self) -> None:
        """Remove every rule and restart the random source."""
        self.rules: list[Rule] = []
        self._number = 0
        self._dice = random.Random(self._seed)

    def add(self, body: Any) -> Rule:
        """The rule that `body` describes: {"fault", "rate"?, "count"?, "model"?, "match"?, and
        the measures of `Fault`}. Raises FaultError. `refuse` is not kept: the caller does it."""
        if not isinstance(body, dict):
            raise FaultError("a fault must be a JSON object")
        rule_fields = dict(body)
        fault = find(rule_fields.pop("fault", None))
        measures = {name: rule_fields.pop(name) for name in _MEASURES if name in rule_fields}
        for name, value in measures.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise FaultError(f"{name}: must be a number that is not negative")
        _check_rule(rule_fields)
        self._number += 1
        rule = Rule(
            number=self._number, fault=dataclasses.replace(fault, **measures), **rule_fields
        )
        if fault.name != "refuse":
            self.rules.append(rule)
        return rule

    def remove(self, number: int) -> bool:
        """Remove one rule; False when there is none of that number."""
        before = len(self.rules)
        self.rules = [rule for rule in self.rules if rule.number != number]
        return len(self.rules) < before

    def pick(
        self, *, model: str, prompt: str, can_happen: Callable[[str], bool] = lambda _name: True
    ) -> Fault | None:
        """The fault for this request: by its model's name, else by the first rule that fires.

        A rule whose fault `can_happen` denies is skipped without spending its count.
        """
        if model.startswith(MODEL_PREFIX):
            return _by_model(model)
        for rule in self.rules:
            if not rule.meets(model=model, prompt=prompt) or not can_happen(rule.fault.name):
                continue
            if self._dice.random() < rule.rate:
                rule.fired += 1
                return rule.fault
        return None


def find(name: Any) -> Fault:
    """The fault of that name; "_" counts as "-". Raises FaultError with the nearest name."""
    wanted = str(name).lower().replace("_", "-")
    if wanted not in FAULTS:
        near = difflib.get_close_matches(wanted, FAULTS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(FAULTS)}"
        raise FaultError(f"fault: {name!r} is unknown; {hint}")
    return Fault(name=wanted)


def _by_model(model: str) -> Fault | None:
    name = model.removeprefix(MODEL_PREFIX).partition(":")[0]
    return Fault(name=name) if name in FAULTS and name != "refuse" else None


_MEASURES = tuple(field.name for field in dataclasses.fields(Fault) if field.name != "name")


def _check_rule(rule_fields: dict[str, Any]) -> None:
    kinds: dict[str, tuple[type, ...]] = {
        "rate": (int, float),
        "count": (int,),
        "model": (str,),
        "match": (str,),
    }
    for name, value in rule_fields.items():
        if name not in kinds:
            near = difflib.get_close_matches(name, (*kinds, *_MEASURES, "fault"), n=1)
            raise FaultError(
                f"{name}: unknown field" + (f"; did you mean {near[0]!r}?" if near else "")
            )
        if value is not None and (isinstance(value, bool) or not isinstance(value, kinds[name])):
            raise FaultError(f"{name}: must be of type {kinds[name][-1].__name__}")
    if rule_fields.get("rate") is None:
        rule_fields.pop("rate", None)
    elif not 0 <= rule_fields["rate"] <= 1:
        raise FaultError("rate: must be between 0 and 1")
    if rule_fields.get("match") is None:
        rule_fields.pop("match", None)
