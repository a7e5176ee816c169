"""The default processor: one call with the expert's persona."""

from __future__ import annotations

from jobs.attempt import prompts
from jobs.attempt.processors.base import CallModel, Checkpoint, ProcessorResult, TaskContext
from jobs.attempt.processors.steps import spoken_language

BRIEFLY = {
    "en": "An earlier answer was too long and was cut off. Answer briefly: only what was asked "
    "for, and end within the space you have.",
    "ru": "Прошлый ответ был слишком длинным и оборвался. Ответь кратко: только то, о чём просят, "
    "и закончи в пределах отведённого места.",
}


class ExpertProcessor:
    """Answers the task in one call, with its files and the results of its dependencies."""

    name = "expert"

    def run(self, task: TaskContext, call: CallModel, *, checkpoint: Checkpoint) -> ProcessorResult:
        prompt = prompts.build(
            task.persona,
            title=task.title,
            description=task.description,
            budget_tokens=task.prompt_budget_tokens,
            context=task.context,
            dependencies=task.dependencies,
            knowledge=task.knowledge,
            instructions=BRIEFLY[spoken_language(task.description)] if task.brief else "",
        )
        completion = call(
            prompt.messages,
            max_tokens=task.max_tokens,
            response_schema=task.options.response_schema,
            step="answer",
        )
        return ProcessorResult(
            text=completion.text,
            processor=self.name,
            prompt=prompt.user_text,
            notes=prompt.notes,
            completion=completion,
            finish_reason=completion.finish_reason,
        )
