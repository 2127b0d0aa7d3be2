"""Adapters beside each other on one base: each row gets its own, as if it stood alone."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from genre.core.errors import ArtifactError, ConfigError
from genre.language.adapters import Adapter, Adapters, check_adapter, read_adapter, save_adapter
from genre.language.base import Prompt, Sampling
from genre.language.local import LocalGenerator, LocalGeneratorConfig, base_key
from genre.language.tuning import TunedModel, TuningConfig
from tests.language.models import learn, write_tiny

TOKENS = torch.arange(2, 12)[None].repeat(4, 1)
PROMPTS = [Prompt("A film about a lighthouse."), Prompt("A course about bread."), Prompt("A film about rain.")]
GREEDY = Sampling(max_tokens=12)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tiny")
    write_tiny(directory)
    return directory


def config(tiny: Path, adapter: Path | None = None, **more: Any) -> LocalGeneratorConfig:
    return LocalGeneratorConfig(model=str(tiny), precision="fp32", adapter=adapter, **more)


def taught(tiny: Path, directory: Path, seed: int, **more: Any) -> torch.Tensor:
    """Write an adapter that has learned something at random, and return what peft says with it."""
    tuned = learn(tiny, directory, seed, **more)
    with torch.no_grad():
        found: torch.Tensor = tuned.language.eval()(TOKENS).logits
    return found


def test_each_row_has_its_own(tiny: Path, tmp_path: Path) -> None:
    alone = {
        "films": taught(tiny, tmp_path / "films", 1),
        "courses": taught(tiny, tmp_path / "courses", 2, rank=2, alpha=7),
        "news": taught(tiny, tmp_path / "news", 3, modules=["q_proj", "up_proj"]),
    }
    loaded = config(tiny).build().load_own()
    with torch.no_grad():
        base = loaded.model(TOKENS).logits
        adapters = Adapters(loaded.model)
        for name in alone:
            adapters.add(name, read_adapter(tmp_path / name))
        assert torch.equal(loaded.model(TOKENS).logits, base)
        rows = ["courses", None, "films", "news"]
        with adapters.chosen(rows):
            found = loaded.model(TOKENS).logits
        expected = torch.stack([(base if name is None else alone[name])[at] for at, name in enumerate(rows)])
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        for name, logits in alone.items():
            with adapters.chosen([name] * 4):
                torch.testing.assert_close(loaded.model(TOKENS).logits, logits, atol=1e-4, rtol=1e-4)
        assert torch.equal(loaded.model(TOKENS).logits, base)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks by the former name.
def test_peft_itself_reads_what_was_written(tiny: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    expected = taught(tiny, tmp_path / "films", 1)
    model: Any = PeftModel.from_pretrained(config(tiny).build().load_own().model, tmp_path / "films")
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(TOKENS).logits, expected, atol=1e-5, rtol=1e-5)


def test_the_scale_of_peft_is_taken_over(tiny: Path, tmp_path: Path) -> None:
    taught(tiny, tmp_path / "films", 1, rank=4, alpha=16)
    plain = read_adapter(tmp_path / "films")
    path = tmp_path / "films" / "adapter_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "use_rslora": True}))
    other = read_adapter(tmp_path / "films")
    for layer, (_, second) in plain.updates.items():
        torch.testing.assert_close(other.updates[layer][1], 2 * second)  # 16 / sqrt(4) for 16 / 4.


def generators(tiny: Path, tmp_path: Path) -> list[LocalGenerator]:
    for seed, name in enumerate(["films", "courses"]):
        taught(tiny, tmp_path / name, seed)
    return [config(tiny, place).build() for place in (tmp_path / "films", tmp_path / "courses", None)]


def test_generators_of_one_base_share_it(tiny: Path, tmp_path: Path) -> None:
    films, courses, plain = generators(tiny, tmp_path)
    alone = config(tiny).build()
    expected = alone.generate(PROMPTS, sampling=GREEDY)
    written = [one.generate(PROMPTS, sampling=GREEDY) for one in (films, courses, plain)]
    assert plain.load() is alone.load()
    weight = "model.layers.0.mlp.up_proj.base.weight"
    assert films.load().model.get_parameter(weight) is plain.load().model.get_parameter(weight)
    assert written[2] == expected
    assert len({completion.text for texts in written for completion in texts[:1]}) == 3
    assert len({films.key, courses.key, plain.key}) == 3
    assert plain.key == alone.key
    # What the model thinks of a text is asked with the adapter too, and the base's own answer stays.
    with torch.no_grad():
        assert not torch.allclose(films.load().model(TOKENS).logits, plain.load().model(TOKENS).logits, atol=1e-2)
    assert "".join(films.stream(PROMPTS[0], sampling=GREEDY)) == written[0][0].text


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks by the former name.
def test_an_adapter_writes_what_the_merged_model_writes(tiny: Path, tmp_path: Path) -> None:
    films, *_ = generators(tiny, tmp_path)
    from peft import PeftModel

    peft: Any = PeftModel.from_pretrained(config(tiny).build().load_own().model, tmp_path / "films")
    merged = peft.merge_and_unload()
    loaded = config(tiny).build().load_own()
    loaded.model = merged.eval()
    other = LocalGenerator.of(loaded, key="merged")
    assert [one.text for one in other.generate(PROMPTS, sampling=GREEDY)] == [
        one.text for one in films.generate(PROMPTS, sampling=GREEDY)
    ]


def test_callers_at_once_get_what_they_would_get_alone(tiny: Path, tmp_path: Path) -> None:
    found = generators(tiny, tmp_path)
    asked = [(one, prompt) for one in found for prompt in PROMPTS]
    alone = [one.generate([prompt], sampling=GREEDY)[0].text for one, prompt in asked]
    together: dict[int, str] = {}
    start = threading.Barrier(len(asked))

    def ask(at: int) -> None:
        start.wait()
        generator, prompt = asked[at]
        together[at] = generator.generate([prompt], sampling=GREEDY)[0].text

    threads = [threading.Thread(target=ask, args=(at,)) for at in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[at] for at in range(len(asked))] == alone


def test_what_prompts_begin_with_is_read_by_each_adapter(tiny: Path, tmp_path: Path) -> None:
    found = generators(tiny, tmp_path)
    same = [Prompt(f"All of these prompts begin in just the same way. {end}") for end in "abc"]
    alone = [[text.text for text in one.generate(same, sampling=GREEDY)] for one in found]
    base, rows = found[0]._shared(), []
    for one in found:
        one._shared()
        rows += one._rows(base, same, GREEDY, None)
    list(base.gathering.written(base, rows, GREEDY, 32))
    assert [[row.text for row in rows[3 * at : 3 * at + 3]] for at in range(3)] == alone


def test_an_adapter_of_another_base_is_refused(tiny: Path, tmp_path: Path) -> None:
    taught(tiny, tmp_path / "films", 1)
    write_tiny(tmp_path / "other", seed=9)
    other = LocalGeneratorConfig(model=str(tmp_path / "other"), adapter=tmp_path / "films")
    with pytest.raises(ConfigError, match=r"this adapter was learned on .* Name the language model"):
        other.check_installed()
    with pytest.raises(ConfigError, match="this adapter was learned on the language model"):
        other.build().load()
    config(tiny, tmp_path / "films").check_installed()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, "this adapter is a 'IA3'"),
        ({"use_dora": True}, "this adapter is a 'LORA' with use_dora"),
    ],
)
def test_only_plain_updates_stand_side_by_side(
    tiny: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    taught(tiny, tmp_path / "films", 1)
    path = tmp_path / "films" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ConfigError, match=message):
        check_adapter(tmp_path / "films", base_key(config(tiny)))


def test_what_is_no_adapter_is_told(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"there is no adapter here: adapter_config\.json is missing"):
        config(tiny, tmp_path).check_installed()
    taught(tiny, tmp_path / "films", 1)
    (tmp_path / "films" / "adapter_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ArtifactError, match="the adapter cannot be read"):
        config(tiny, tmp_path / "films").build().load()
    (tmp_path / "films" / "base.json").write_text("{}")
    with pytest.raises(ArtifactError, match="the adapter cannot be read"):
        config(tiny, tmp_path / "films").check_installed()


def test_layers_that_do_not_fit_are_named(tiny: Path) -> None:
    adapters = Adapters(config(tiny).build().load_own().model)
    wrong = Adapter({"model.layers.0.mlp.up_proj": (torch.ones(2, 31), torch.ones(2, 64))})
    with pytest.raises(ConfigError, match=r"of shape \(64, 31\), which is \(64, 32\) here"):
        adapters.add("films", wrong, "films")
    missing = Adapter({"model.layers.7.mlp.up_proj": (torch.ones(2, 32), torch.ones(2, 64))})
    with pytest.raises(ConfigError, match="which it has not"):
        adapters.add("films", missing, "films")
    assert "films" not in adapters


def test_only_low_rank_updates_are_written_as_adapters(tiny: Path, tmp_path: Path) -> None:
    tuned = TunedModel(config(tiny).build().load_own().model, TuningConfig(method="ia3"))
    with pytest.raises(ConfigError, match=r"tuning\.method: what 'ia3' has learned is no update"):
        save_adapter(tuned, tmp_path / "films", "base")
    assert not (tmp_path / "films").exists()


def test_models_beside_each_other_share_weights_and_no_layers(tiny: Path) -> None:
    first, second = (config(tiny).build().load_beside() for _ in range(2))
    assert first.model is not second.model
    assert all(one is other for one, other in zip(first.model.parameters(), second.model.parameters(), strict=True))
    with torch.no_grad():
        before = second.model(TOKENS).logits
        tuned = TunedModel(first.model, TuningConfig(method="lora", rank=2))
        for _, weight in tuned.learned():
            weight.add_(1.0)
        assert not torch.allclose(tuned.language.eval()(TOKENS).logits, before, atol=1e-2)
        assert torch.equal(second.model(TOKENS).logits, before)
        assert torch.equal(config(tiny).build().load_own().model(TOKENS).logits, before)


def test_what_is_in_memory_stays_what_it_is_whatever_becomes_of_the_files(tiny: Path, tmp_path: Path) -> None:
    learn(tiny, tmp_path / "films", seed=1)
    generator, prompts, sampling = config(tiny, tmp_path / "films").build(), [Prompt("A film.")], Sampling(max_tokens=8)
    before, key = generator.generate(prompts, sampling=sampling), generator.key
    learn(tiny, tmp_path / "films", seed=2)
    assert (generator.generate(prompts, sampling=sampling), generator.key) == (before, key)
    anew = config(tiny, tmp_path / "films").build()
    assert anew.key != key
    assert anew.generate(prompts, sampling=sampling) != before
    shutil.rmtree(tmp_path / "films")
    assert (generator.generate(prompts, sampling=sampling), generator.key) == (before, key)


def test_an_adapter_that_cannot_be_read_is_an_error_each_time(tiny: Path, tmp_path: Path) -> None:
    learn(tiny, tmp_path / "films", seed=1)
    (tmp_path / "films" / "adapter_model.safetensors").write_bytes(b"no weights")
    generator = config(tiny, tmp_path / "films").build()
    for _ in range(2):
        with pytest.raises(ArtifactError, match="the adapter cannot be read"):
            generator.generate([Prompt("A film.")], sampling=Sampling(max_tokens=8))
