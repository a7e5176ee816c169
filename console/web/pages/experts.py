"""The experts, and a page of each."""

from __future__ import annotations

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from console.operations import answers, experts
from console.operations.errors import InvalidInput
from console.web.numbers import small_number
from console.web.pages.plumbing import back_to, field, in_time, known_verb, page, site_of
from models.database import session

AUTHOR = "dashboard"


def experts_page(request: Request) -> Response:
    thumbs = in_time(request, "what people thought", answers.thumbs) or answers.Thumbs()
    return page(
        request,
        "experts.html",
        experts=in_time(request, "the experts", site_of(request).overviews.experts),
        by_expert={totals.name: totals for totals in thumbs.experts},
        by_model=thumbs.models,
    )


def expert_page(request: Request) -> Response:
    with session():
        expert = experts.details(request.path_params["expert"])
        thumbs = [one for one in answers.thumbs().experts if one.name == expert.name]
    return page(request, "expert.html", expert=expert, thumbs=thumbs)


def change(request: Request, form: FormData) -> Response:
    """Activate or deactivate an expert, or go back to a version of its prompt."""
    verb = known_verb(request, ("activate", "deactivate", "restore"))
    expert = request.path_params["expert"]
    with session():
        if verb == "restore":
            version = small_number(field(form, "version"), default=-1)
            if version < 1:
                raise InvalidInput("version: write the number of a version")
            experts.restore(expert, version, author=AUTHOR)
        else:
            experts.edit(expert, {"is_active": verb == "activate"}, author=AUTHOR)
    site_of(request).changed()
    return back_to(f"/experts/{expert}", "changed")
