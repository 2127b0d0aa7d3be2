"""Fakes: the same for the same, and valid by what is asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Literal

import jsonschema
import numpy as np
import pytest
from pydantic import BaseModel, Field

from genre.core.errors import ConfigError
from genre.language.base import Prompt, Sampling
from genre.language.fake import FakeEncoderConfig, FakeGeneratorConfig, filled

PROMPTS = [Prompt("tell me of the red cat"), Prompt("流浪地球 是 什么"), Prompt("")]


class Part(BaseModel):
    name: str = Field(min_length=3, max_length=5)
    weight: float = Field(gt=0, le=1)


class Whole(BaseModel):
    parts: list[Part] = Field(min_length=2, max_length=4)
    tone: Literal["calm", "loud", "静"]
    count: int = Field(ge=3, multiple_of=2)
    year: int | None
    nothing: None
    is_new: bool
    far: int = Field(lt=-5)
    long: str = Field(min_length=30)


SCHEMAS: list[dict[str, Any]] = [
    Whole.model_json_schema(),
    {"type": "array", "items": {"type": "array", "items": {"enum": [1, "two", None]}}, "minItems": 5},
    {"type": ["integer", "null"], "minimum": 7, "maximum": 7},
    {"type": "number", "maximum": -3},
    {"const": {"a": 1}},
    {"type": "object"},
    {"allOf": [{"type": "string", "maxLength": 2}]},
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_filled_schemas_are_valid(schema: dict[str, Any]) -> None:
    for seed in range(20):
        jsonschema.validate(filled(schema, np.random.default_rng(seed)), schema)


def test_answers_by_a_schema_differ_between_prompts_and_not_between_calls() -> None:
    model = FakeGeneratorConfig().build()
    schema = Whole.model_json_schema()
    found = model.generate(PROMPTS, sampling=Sampling(), schema=schema)
    assert found == model.generate(PROMPTS, sampling=Sampling(), schema=schema)
    assert found[1] == model.generate(PROMPTS[1:2], sampling=Sampling(), schema=schema)[0]
    assert len({one.text for one in found}) == 3
    for one in found:
        jsonschema.validate(json.loads(one.text), schema)


@pytest.mark.parametrize("schema", [{"type": "string", "pattern": "^a"}, {"type": "string", "format": "date"}])
def test_what_cannot_be_filled_is_said(schema: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"cannot fill .* Give it `answers`"):
        FakeGeneratorConfig().build().generate(PROMPTS, sampling=Sampling(), schema=schema)


def test_an_echo_has_the_words_of_the_prompt() -> None:
    (found,) = FakeGeneratorConfig().build().generate(PROMPTS[:1], sampling=Sampling())
    assert sorted(found.text.split()) == sorted(PROMPTS[0].user.split())


def test_the_seed_counts_above_temperature_zero() -> None:
    model = FakeGeneratorConfig().build()

    def said(temperature: float, seed: int) -> str:
        return model.generate(PROMPTS[:1], sampling=Sampling(temperature=temperature, seed=seed))[0].text

    assert said(0, 1) == said(0, 2)
    assert said(1, 1) == said(1, 1) != said(1, 2)


def test_told_answers_come_in_turn() -> None:
    model = FakeGeneratorConfig(answers=("not json", "{}")).build()
    found = model.generate(PROMPTS, sampling=Sampling(), schema={"type": "object"})
    assert [one.text for one in found] == ["not json", "{}", "not json"]
    assert model.generate(PROMPTS[:1], sampling=Sampling())[0].text == "{}"


def test_answers_are_cut_and_stopped() -> None:
    model = FakeGeneratorConfig(answers=("one two|three",)).build()
    stopped, cut = (model.generate(PROMPTS[:1], sampling=s)[0] for s in (Sampling(stop=("|",)), Sampling(max_tokens=1)))
    assert (stopped.text, stopped.finish) == ("one two", "stop")
    assert (cut.text, cut.finish, cut.completion_tokens) == ("one ", "length", 1)
    chinese = FakeGeneratorConfig(answers=("流浪地球",)).build().generate(PROMPTS[:1], sampling=Sampling(max_tokens=1))
    assert chinese[0].text == "流"


def test_a_stream_says_what_generate_says() -> None:
    model = FakeGeneratorConfig().build()
    pieces = list(model.stream(PROMPTS[0], sampling=Sampling()))
    assert len(pieces) > 1
    assert "".join(pieces) == model.generate(PROMPTS[:1], sampling=Sampling())[0].text


def test_vectors_are_of_length_one_and_follow_the_text() -> None:
    encoder = FakeEncoderConfig(dimensions=16).build()
    found = encoder.encode(["a", "b", "", "a", " \n"])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 1, 0, 1, 0], rtol=1e-6)
    np.testing.assert_array_equal(found[0], found[3])
    np.testing.assert_array_equal(found[:1], encoder.encode(["a"], role="query"))
    assert abs(found[0] @ found[1]) < 0.9
    assert found.dtype == np.float32


def test_keys_follow_the_settings() -> None:
    keys = [FakeEncoderConfig(dimensions=size).build().key for size in (4, 5)]
    keys += [FakeGeneratorConfig(answers=answers).build().key for answers in ((), ("a",))]
    assert len(set(keys)) == 4


def test_fakes_need_no_heavy_library() -> None:
    code = (
        "import sys, genre.language.generators, genre.language.fake as fake\n"
        "from genre.language.base import Prompt, Sampling\n"
        "fake.FakeGeneratorConfig().build().generate([Prompt('x')], sampling=Sampling())\n"
        "heavy = ('torch', 'transformers', 'openai', 'llguidance', 'jsonschema')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
