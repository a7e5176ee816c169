"""A converted GGUF file computes and tokenizes as the file says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from gguf import RopeScalingType
from mlx.utils import tree_map
from mlx_lm.utils import dequantize_model, load_model, load_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from llm.model_files.conversion import convert
from llm.model_files.errors import ModelFileError
from llm.model_files.gguf_file import read_gguf
from llm.model_files.tokenizer import tokenizer_files
from tests.support.gguf_models import CORPUS, TEMPLATE, reference_logits, write_gguf
from tests.support.real_model import real_gguf

TEXTS = (
    "What is the capital of France? It's 1234567 km away, isn't it?",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n\n\t# done\r\n",
    "🙂 👩‍👩‍👧 naïve café — “quoted” … ½ 漢字",
    CORPUS,
)


def converted(gguf: Path, folder: Path) -> Path:
    folder.mkdir()
    convert(gguf, folder)
    return folder


def logits(folder: Path, tokens: list[int]) -> Any:
    """In float32, as the server computes on a processor."""
    model: Any = load_model(folder, lazy=True)[0]
    model.update(
        tree_map(
            lambda a: a.astype(mx.float32) if mx.issubdtype(a.dtype, mx.floating) else a,
            model.parameters(),
        )
    )
    return np.array(dequantize_model(model)(mx.array([tokens]))[0])


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0", "F16", "F32"])
def test_logits_equal_those_of_the_dequantised_weights(tmp_path: Path, kind: str) -> None:
    gguf = write_gguf(tmp_path / "tiny.gguf", kind=kind)
    tokens = [5, 17, 200, 31, 5, 80]

    ours = logits(converted(gguf, tmp_path / "model"), tokens)

    reference = reference_logits(gguf, tokens)
    assert np.abs(ours - reference).max() < 2e-3 * np.abs(reference).max()


@pytest.mark.parametrize(
    "stretched",
    [
        {"rope_factors": [1.0, 1.0, 1.7, 2.9, 5.0, 8.0, 8.0, 8.0]},  # as Llama 3.1 and later
        {"rope_scaling": (RopeScalingType.LINEAR, 4.0)},
        {"rope_scaling": (RopeScalingType.NONE, 1.0)},
    ],
)
def test_a_stretched_rotary_embedding_turns_as_the_file_says(
    tmp_path: Path, stretched: dict[str, Any]
) -> None:
    plain = write_gguf(tmp_path / "plain.gguf")
    gguf = write_gguf(tmp_path / "tiny.gguf", **stretched)
    tokens = [5, 17, 200, 31, 5, 80] * 20

    ours = logits(converted(gguf, tmp_path / "model"), tokens)

    reference = reference_logits(gguf, tokens)
    assert np.abs(ours - reference).max() < 2e-3 * np.abs(reference).max()
    is_plain = stretched.get("rope_scaling") == (RopeScalingType.NONE, 1.0)
    assert np.allclose(reference, reference_logits(plain, tokens)) == is_plain


def test_the_real_model_computes_as_its_file_says(tmp_path: Path) -> None:
    gguf = real_gguf()
    folder = converted(gguf, tmp_path / "model")
    tokenizer = load_tokenizer(folder)
    tokens = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}], add_generation_prompt=True
    )

    ours = logits(folder, tokens)

    reference = reference_logits(gguf, tokens)
    assert np.abs(ours - reference).max() < 2e-3 * np.abs(reference).max()
    assert list(ours.argmax(axis=-1)) == list(reference.argmax(axis=-1))
    assert tokenizer.decode([int(ours[-1].argmax())]) == "The"


def test_the_tokenizer_is_byte_level_bpe_of_the_files_own_merges() -> None:
    gguf = read_gguf(real_gguf())
    tokens, merges = (gguf.value(f"tokenizer.ggml.{name}", list) for name in ("tokens", "merges"))
    plain = Tokenizer(
        models.BPE({t: n for n, t in enumerate(tokens)}, [tuple(m.split(" ", 1)) for m in merges])
    )
    plain.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    plain.decoder = decoders.ByteLevel()

    ours = Tokenizer.from_str(tokenizer_files(gguf)["tokenizer.json"])

    for text in TEXTS:
        assert ours.encode(text).ids == plain.encode(text).ids
        assert ours.decode(ours.encode(text).ids) == text


def test_template_and_end_come_from_the_files_metadata(tmp_path: Path) -> None:
    folder = converted(write_gguf(tmp_path / "tiny.gguf"), tmp_path / "model")

    settings = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    assert settings["chat_template"] == TEMPLATE
    assert settings["eos_token"] == "<|end|>"
    assert tokenizer.encode("<|user|>hi<|end|>").tokens[0] == "<|user|>"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"architecture": "qwen2"}, "unsupported architecture 'qwen2'"),
        ({"tokenizer": "llama"}, "not byte-level BPE"),
        ({"rope_scaling": (RopeScalingType.YARN, 4.0)}, "is stretched as 'yarn'"),
        ({"rope_factors": [1.0, 2.0]}, "does not fit heads of 16"),
        ({"leave_out": "blk.1.ffn_up.weight"}, "one part of several files: it has no blk.1.ffn_up"),
    ],
)
def test_what_cannot_be_converted_is_refused_by_name(
    tmp_path: Path, asked: dict[str, Any], reason: str
) -> None:
    gguf = write_gguf(tmp_path / "other.gguf", **asked)

    with pytest.raises(ModelFileError, match=reason):
        converted(gguf, tmp_path / "model")


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = write_gguf(tmp_path / "whole.gguf").read_bytes()
    cut = tmp_path / "cut.gguf"

    for share in (0.0, 0.001, 0.05, 0.2, 0.5, 0.9, 0.999):
        cut.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ModelFileError):
            convert(cut, tmp_path)
