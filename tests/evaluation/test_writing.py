"""The generation profile: measures against other implementations, verdicts on answers by hand, and budgets."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from genre.core.errors import ConfigError, DataError, DependencyError
from genre.evaluation._measures import WRITING, measure
from genre.evaluation._writing_lm_eval import lm_eval_scores
from genre.evaluation._writing_prompts import CHECKS, Instruction, instructions, tasks
from genre.evaluation._writing_texts import general_texts, labelled
from genre.evaluation.writing import Budget, WritingConfig, WritingProfile, compare, measure_writing, reference_of
from genre.language.decoding import LoadedModel
from genre.language.local import LocalGeneratorConfig
from genre.metrics.variety import distinct, grams, repetition, self_bleu, writing_words
from genre.training.passages import held_out_passages, passages
from tests.language.models import smollm, write_tiny

SMALL = WritingConfig(texts=6, max_text_tokens=40, max_answer_tokens=8, languages=("en",))


def ratio(pairs: np.ndarray[Any, Any]) -> float:
    return float(pairs[:, 0].sum() / pairs[:, 1].sum())


# Variety


def test_words_are_words_signs_and_chinese_characters() -> None:
    assert writing_words("Don't stop, René! 流浪 3.5") == ["don't", "stop", ",", "rené", "!", "流", "浪", "3", ".", "5"]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_distinct_counts_each_ngram_once(n: int) -> None:
    texts = [*passages()[:15], passages()[0], "", "one two one two one two"]
    every = [gram for text in texts for gram in grams(writing_words(text), n)]
    assert ratio(distinct(texts, n)) == pytest.approx(len(set(every)) / len(every))
    assert ratio(distinct(["a b c d"], n)) == 1


def test_repetition_is_the_share_of_runs_that_were_there_before() -> None:
    # Five runs of four words, of which a b a b stands three times and b a b a twice.
    assert repetition(["a b a b a b a b", "a b c d e", "short", ""])[:, 0].tolist() == pytest.approx([0.6, 0, 0, 0])


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_self_bleu_is_that_of_sacrebleu(lang: str) -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    texts = [*passages(lang)[:12], "the cat", "the the the the the", "x", passages(lang)[0][:80], ""]
    texts.append(texts[0])
    joined = [" ".join(writing_words(text)) for text in texts]
    expected = []
    for at, text in enumerate(joined):
        others = [other for place, other in enumerate(joined) if place != at]
        expected.append(sacrebleu.sentence_bleu(text, others, tokenize="none", use_effective_order=True).score / 100)
    found = self_bleu(texts)
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-9)
    assert found[0, 0] == pytest.approx(1)
    assert self_bleu(["alone"])[:, 0].tolist() == [0]


# Instructions

GOOD_AND_BAD: list[tuple[str, dict[str, Any], list[str], list[str]]] = [
    (
        "one_sentence",
        {},
        [
            "A film about facts.",
            "It tells, e.g. in pictures, what happened!",
            "Dr. Lee says “yes.”",
            "It costs 3.50 at most.",
            "纪录片是记录真实生活的影片。",
        ],
        ["", "  ", "A film. It has facts.", "A film about facts", "One.\nTwo", "是影片。也是艺术。", "Why? Because."],
    ),
    (
        "json",
        {"keys": ["title", "year"]},
        [
            '{"title": "A", "year": 1999}',
            '```json\n{"year": null, "title": ""}\n```',
            '\n{"title": "流", "year": "x"} ',
        ],
        [
            "",
            '{"title": "A"}',
            '{"title": "A", "year": 1, "more": 2}',
            'Here you are: {"title": "A", "year": 1}',
            "{'title': 'A', 'year': 1}",
            '[{"title": "A", "year": 1}]',
            '{"title": "A", "year": 1',
        ],
    ),
    (
        "mention",
        {"words": ["Salt and Snow", "ferry"]},
        ["Take the ferry and read Salt and Snow.", "SALT AND SNOW is about a Ferry!"],
        ["", "Take the ferry.", "Salt and Snow", "Salt and Snowfall on the ferry", "Salt & Snow, ferry"],
    ),
    ("mention", {"words": ["安静的港湾"]}, ["快去看《安静的港湾》吧"], ["快去看《港湾》吧"]),
    (
        "at_most_words",
        {"most": 5},
        ["Fresh bread, every single day!", "one", "well-known don't", "大海很蓝。"],
        ["", "...", "One two three four five six", "大海非常非常蓝"],
    ),
    (
        "list",
        {"count": 3},
        [
            "1. Map\n2. Water\n3. Hat",
            "Here they are:\n- Map\n- Water\n- Hat\n",
            "一、苹果\n二、梨\n三、桃",
            "1) a\n\n2) b\n\n3) c",
        ],
        ["", "Map, water, hat", "1. Map\n2. Water", "- a\n- b\n- c\n- d", "1. Map\n2. Map\n3. Map", "1.\n2.\n3."],
    ),
]


@pytest.mark.parametrize(("kind", "wanted", "good", "bad"), GOOD_AND_BAD)
def test_verdicts_on_answers(kind: str, wanted: dict[str, Any], good: list[str], bad: list[str]) -> None:
    instruction = Instruction("en", kind, "", wanted)
    assert [answer for answer in good if not instruction.follows(answer)] == []
    assert [answer for answer in bad if instruction.follows(answer)] == []


def test_prompts_are_different_and_of_every_kind() -> None:
    for languages, least in ((("en",), 30), (("zh",), 8), (("en", "zh"), 40)):
        assert len(set(tasks(languages))) == len(tasks(languages)) >= least
        assert {one.kind for one in instructions(languages)} == set(CHECKS)
    assert len(instructions(("en",))) == 25
    for one in instructions(("en", "zh")):
        assert one.follows("x") in (True, False)
    assert {kind for kind, *_ in GOOD_AND_BAD} == set(CHECKS)


# Texts


def test_general_texts_of_a_user(tmp_path: Path) -> None:
    plain, lines = tmp_path / "texts.txt", tmp_path / "texts.jsonl"
    plain.write_text("One text\nof two lines.\n\n\n流浪地球是一部电影。\n")
    assert [tuple(one) for one in general_texts(plain, ("en",))] == [
        ("One text\nof two lines.", "other"),
        ("流浪地球是一部电影。", "zh"),
    ]
    lines.write_text('{"text": "Un texte.", "lang": "fr"}\n\n{"text": "Other."}\n')
    assert [one.lang for one in general_texts(lines, ("en",))] == ["fr", "other"]
    assert labelled(["", " x "]) == labelled(["x"])


def test_general_texts_that_are_wrong(tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    with pytest.raises(ConfigError, match="cannot be read"):
        general_texts(file, ("en",))
    file.write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        general_texts(file, ("en",))
    for line in ("no json", "[1]", '{"title": "x"}', "3"):
        file.write_text('{"text": "x"}\n' + line)
        with pytest.raises(DataError, match=r"texts\.jsonl:2: .* is no JSON object with a `text`"):
            general_texts(file, ("en",))


def test_instructions_of_a_user(tmp_path: Path) -> None:
    file = tmp_path / "instructions.jsonl"
    file.write_text(
        '{"kind": "json", "prompt": "Name a day as JSON.", "keys": ["day"]}\n\n'
        '{"kind": "one_sentence", "prompt": "用一句话回答。", "lang": "zh"}\n',
        encoding="utf-8",
    )
    one, other = instructions(("en",), file)
    assert one == Instruction("en", "json", "Name a day as JSON.", {"keys": ["day"]})
    assert one.follows('{"day": "Monday"}')
    assert not one.follows('{"night": "Monday"}')
    assert other.kind == "one_sentence"


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[1]",
        '{"kind": "json", "prompt": "x"}',
        '{"kind": "rhyme", "prompt": "x"}',
        '{"kind": "one_sentence"}',
        '{"kind": "one_sentence", "prompt": 3}',
        '{"kind": "at_most_words", "prompt": "x", "most": "ten"}',
        '{"kind": "one_sentence", "prompt": "x", "keys": []}',
    ],
)
def test_instructions_that_are_wrong(tmp_path: Path, line: str) -> None:
    file = tmp_path / "instructions.jsonl"
    file.write_text('{"kind": "one_sentence", "prompt": "x"}\n' + line)
    with pytest.raises(DataError, match=r"instructions\.jsonl:2: .* json with keys; mention with words"):
        instructions(("en",), file)


def test_files_of_instructions_that_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "instructions.jsonl"
    with pytest.raises(ConfigError, match="cannot be read"):
        instructions(("en",), file)
    file.write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        instructions(("en",), file)


# The whole profile


def load(directory: Path, seed: int = 0) -> LoadedModel:
    write_tiny(directory, seed=seed)
    return LocalGeneratorConfig(model=str(directory), precision="fp32").build().load_own()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def profile(tiny: LoadedModel) -> WritingProfile:
    return measure_writing(tiny, SMALL, base=tiny, catalogue=["A red film.", "一部红色的电影。", " "])


def test_a_profile_has_every_measure(profile: WritingProfile) -> None:
    assert (
        set(profile.values)
        == set(profile.samples)
        == {
            "bits_per_byte",
            "bits_per_byte@catalogue",
            "bits_per_byte@catalogue/zh",
            "bits_per_byte@catalogue/other",
            "kl",
            "distinct_1",
            "distinct_2",
            "distinct_3",
            "self_bleu",
            "repetition",
            "instructions",
            *(f"instructions@{kind}" for kind in CHECKS),
        }
    )
    assert {name.partition("@")[0] for name in profile.values} == set(WRITING) - {"lm_eval"}
    assert all(measure(name).meaning for name in profile.values)
    assert profile.values == {name: pytest.approx(ratio(pairs)) for name, pairs in profile.samples.items()}
    assert len(profile.samples["bits_per_byte"]) == 6
    assert len(profile.answers) == len(profile.samples["kl"]) == len(tasks(("en",)))
    assert profile.values["kl"] == pytest.approx(0, abs=1e-6)


def test_a_profile_can_be_written_as_json(profile: WritingProfile) -> None:
    told = json.loads(json.dumps(profile.to_dict()))
    assert told["values"] == profile.values
    assert all((np.array(told["samples"][name]) == pairs).all() for name, pairs in profile.samples.items())


def test_the_same_model_measures_the_same(tiny: LoadedModel, profile: WritingProfile) -> None:
    reference = reference_of(tiny, SMALL)
    again = measure_writing(
        tiny, SMALL, reference=reference, base=tiny, catalogue=["A red film.", "一部红色的电影。", " "]
    )
    assert again.values == profile.values
    assert again.answers == profile.answers
    assert again.key == profile.key
    assert "kl" not in measure_writing(tiny, SMALL, reference=reference).values
    other = measure_writing(tiny, SMALL.model_copy(update={"seed": 1}), reference=reference)
    assert other.key != profile.key
    with pytest.raises(ConfigError, match="measured with different texts, prompts or sampling"):
        compare(profile, other)


def test_damaged_weights_are_noticed(tiny: LoadedModel, profile: WritingProfile, tmp_path: Path) -> None:
    damaged = load(tmp_path)
    with torch.no_grad():
        weight = damaged.model.get_output_embeddings().weight
        weight += 0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    damaged.model.train()
    after = measure_writing(damaged, SMALL, base=tiny, catalogue=["A red film.", "一部红色的电影。", " "])
    assert damaged.model.training
    assert after.values["bits_per_byte"] > profile.values["bits_per_byte"]
    assert after.values["kl"] > 0.01
    change = compare(profile, after)["bits_per_byte"]
    assert 0 < change.relative.low <= change.relative.mean <= change.relative.high
    assert change.relative.mean == pytest.approx(change.after / change.before - 1)
    assert Budget.of({"kl": 0.01, "bits_per_byte": 9}).breaches(profile, after)[0].startswith("distance from the base")


def test_own_prompts_and_texts(tiny: LoadedModel, tmp_path: Path) -> None:
    file = tmp_path / "general.txt"
    file.write_text("Only this one.")
    config = SMALL.model_copy(update={"general": file, "prompts": ("Say something.", "And again.")})
    found = measure_writing(tiny, config, base=tiny)
    assert found.samples["bits_per_byte"][:, 1].tolist() == [len("Only this one.")]
    assert len(found.answers) == len(found.samples["kl"]) == 2
    assert "bits_per_byte@catalogue" not in found.values


def test_chinese_is_measured_where_the_base_writes_it(tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    config = SMALL.model_copy(update={"languages": None, "texts": 99, "prompts": ("x",)})
    assert reference_of(tiny, config).languages == ("en",)
    monkeypatch.setattr("genre.evaluation.writing._WRITES_CHINESE", 99.0)
    found = measure_writing(tiny, config)
    assert len(found.samples["bits_per_byte"]) == len(held_out_passages())
    assert {"bits_per_byte@general/en", "bits_per_byte@general/zh"} <= set(found.values)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_embedded_model_in_words() -> None:
    loaded = smollm().load()
    found = measure_writing(loaded, WritingConfig(texts=12, max_text_tokens=128, max_answer_tokens=32), base=loaded)
    assert 0.8 < found.values["bits_per_byte"] < 1.7
    assert found.values["kl"] == pytest.approx(0, abs=1e-3)
    assert found.values["instructions"] > 0.2
    assert found.values["distinct_2"] > 0.5
    assert reference_of(loaded, SMALL.model_copy(update={"languages": None, "prompts": ("Hello.",)})).languages == (
        "en",
    )


# Comparison and budgets


def made(**changed: float) -> WritingProfile:
    values = {"bits_per_byte": 1.0, "distinct_2": 0.8, "repetition": 0.0, "instructions": 0.5, "kl": 0.0} | changed
    samples = {name: np.column_stack([np.full(4, value), np.ones(4)]) for name, value in values.items()}
    return WritingProfile.of("writing-x", samples, others={"lm_eval@x": 0.4})


def test_a_change_without_samples_or_from_nothing() -> None:
    changes = compare(made(), made(repetition=0.2, bits_per_byte=1.03))
    assert changes["bits_per_byte"].relative.mean == pytest.approx(0.03)
    assert np.isnan(changes["repetition"].relative.mean)
    assert changes["repetition"].difference.mean == pytest.approx(0.2)
    assert changes["lm_eval@x"].difference.mean == 0
    assert np.isnan(changes["lm_eval@x"].difference.low)


def test_a_budget_as_it_is_written() -> None:
    written = yaml.safe_load(
        "{bits_per_byte: +2%, distinct_2: -2%, instructions: -1%, instructions@json: -0.1, kl: 0.1}"
    )
    budget = Budget.of(written)
    limits = budget.limits
    assert {name: (limit.amount, limit.relative) for name, limit in limits.items()} == {
        "bits_per_byte": (0.02, True),
        "distinct_2": (-0.02, True),
        "instructions": (-0.01, True),
        "instructions@json": (-0.1, False),
        "kl": (0.1, False),
    }
    assert [str(limit) for limit in limits.values()] == ["+2 %", "−2 %", "−1 %", "−0.1", "+0.1"]
    assert Budget.model_validate(budget.model_dump(mode="json")) == budget


@pytest.mark.parametrize(
    ("limits", "after", "said"),
    [
        ({"bits_per_byte": "+2%"}, {"bits_per_byte": 1.02}, None),
        ({"bits_per_byte": "+2%"}, {"bits_per_byte": 0.5}, None),
        (
            {"bits_per_byte": "+2%"},
            {"bits_per_byte": 1.031},
            "bits per byte rose by 3.1 %, from 1.000 to 1.031; the budget allows +2 %",
        ),
        ({"distinct_2": "-2%"}, {"distinct_2": 0.785}, None),
        (
            {"distinct_2": "-2%"},
            {"distinct_2": 0.76},
            "distinct-2 fell by 5.0 %, from 0.800 to 0.760; the budget allows −2 %",
        ),
        ({"instructions": -0.1}, {"instructions": 0.4}, None),
        (
            {"instructions": -0.1},
            {"instructions": 0.3},
            "instructions followed fell by 0.2000, from 0.500 to 0.300; the budget allows −0.1",
        ),
        ({"repetition": 0}, {}, None),
        ({"repetition": "+50%"}, {"repetition": 0.1}, "repetition rose by 0.1000, from 0.000 to 0.100"),
        ({"kl": 0.1}, {"kl": 0.2}, "distance from the base rose by 0.2000"),
        ({"bits_per_byte": "+2%"}, {"bits_per_byte": float("nan")}, "bits per byte is no number any more, from 1.000"),
    ],
)
def test_breaches_in_words(limits: dict[str, Any], after: dict[str, float], said: str | None) -> None:
    breaches = Budget.of(limits).breaches(made(), made(**after))
    assert len(breaches) == (said is not None)
    assert said is None or breaches[0].startswith(said)
    assert (Budget.of(limits).excess(made(), made(**after)) > 0) == (said is not None)


def test_the_excess_is_that_of_the_limit_that_is_broken_most() -> None:
    budget = Budget.of({"bits_per_byte": "+2%", "instructions": -0.1})
    assert budget.excess(made(), made(bits_per_byte=1.03)) == pytest.approx(0.5)
    assert budget.excess(made(), made(bits_per_byte=1.03, instructions=0.3)) == pytest.approx(1.0)
    assert budget.excess(made(), made(bits_per_byte=1.01)) == pytest.approx(-0.5)
    assert budget.excess(made(), made(bits_per_byte=float("nan"))) == float("inf")


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"perplexity": "+2%"}, "there is no measure 'perplexity' of writing. Valid: bits_per_byte, kl, distinct_1"),
        ({"bits_per_byte": "-2%"}, "asks for an improvement"),
        ({"distinct_2": "+2%"}, "gets worse as it falls, so the limit begins with -"),
        ({"distinct_2": "-100%"}, "no model loses more than all"),
        ({"kl": "+2%"}, "a share of the base's own, which is 0: give nats"),
        ({"bits_per_byte": "two"}, "is no limit: write a percentage such as '[+]2%'"),
        ({"bits_per_byte": True}, "is no limit"),
        ({"bits_per_byte": None}, "is no limit"),
        ({"bits_per_byte": float("inf")}, "is no limit"),
        ({"instructions@poem": "-2%"}, "no kind of instruction. Valid after `@`: one_sentence, json"),
        ({"lm_eval": "-2%"}, "names no task"),
        (["bits_per_byte"], "is no budget: write limits by measure"),
    ],
)
def test_limits_that_mean_nothing(limits: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        Budget.of(limits, place="guard.budget")
    assert str(error.value).startswith("guard.budget: ")


def test_what_was_not_measured_cannot_be_kept() -> None:
    budget = Budget.of({"bits_per_byte@catalogue": "+1%"})
    with pytest.raises(ConfigError, match=r"was not measured before and after.*limit one of these: bits_per_byte, "):
        budget.breaches(made(), made())


# lm-eval


def test_lm_eval_is_asked_for_where_it_is_missing(tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genre.evaluation._writing_lm_eval.find_spec", lambda _: None)
    with pytest.raises(DependencyError, match=r"'lm_eval' for hellaswag.*pip install lm-eval"):
        lm_eval_scores(tiny, ["hellaswag"])


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ({"acc,none": 0.3, "acc_norm,none": 0.4}, 0.4),
        ({"alias": "x", "exact_match,none": 0.2}, 0.2),
        ({"bleu,none": 1}, None),
    ],
)
def test_scores_of_lm_eval(
    tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch, results: dict[str, Any], expected: float | None
) -> None:
    library, models, huggingface = (ModuleType(name) for name in ("lm_eval", "lm_eval.models", "huggingface"))
    library.simple_evaluate = lambda **given: {"results": dict.fromkeys(given["tasks"], results)}  # type: ignore[attr-defined]
    huggingface.HFLM = SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lm_eval", library)
    monkeypatch.setitem(sys.modules, "lm_eval.models", models)
    monkeypatch.setitem(sys.modules, "lm_eval.models.huggingface", huggingface)
    monkeypatch.setattr("genre.evaluation._writing_lm_eval.find_spec", lambda _: True)
    if expected is None:
        with pytest.raises(ConfigError, match="'x' has none of acc_norm,none"):
            lm_eval_scores(tiny, ["x"])
    else:
        assert lm_eval_scores(tiny, ["x"]) == {"x": expected}
