"""Endpoints against a real server on this machine that misbehaves."""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genre.core.errors import ConfigError, ResourceError
from genre.language.base import Prompt, Sampling
from genre.language.endpoint import EndpointEncoderConfig, EndpointGeneratorConfig
from genre.language.fake import FakeEncoderConfig
from tests.language.server import SLOW, Server

SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1},
    },
    "required": ["title", "tags"],
    "additionalProperties": False,
}
SHORT = Sampling(max_tokens=50)


def settings(server: Server, **changed: Any) -> dict[str, Any]:
    return {"base_url": server.url, "model": "toy", "timeout": 0.5, "backoff": 0.01, **changed}


def generator(server: Server, **changed: Any):
    return EndpointGeneratorConfig(**settings(server, **changed)).build()


def prompts(count: int) -> list[Prompt]:
    return [Prompt(f"question {at}", system="be kind") for at in range(count)]


def test_completions_come_in_order_and_a_few_at_a_time() -> None:
    with Server(delay=0.02) as server:
        found = generator(server, concurrency=3).generate(prompts(12), sampling=SHORT)
    assert [one.text for one in found] == [f"You said: question {at}" for at in range(12)]
    assert server.most_at_once == 3
    assert {(one.prompt_tokens, one.completion_tokens, one.finish) for one in found} == {(4, 4, "stop")}


def test_sampling_is_passed_on() -> None:
    with Server() as server:
        sampling = Sampling(max_tokens=2, temperature=0.7, top_p=0.9, stop=("\n",), seed=5)
        (found,) = generator(server).generate(prompts(1), sampling=sampling)
    assert found.finish == "length"
    assert found.text == "You said:"
    sent = server.requests[0]
    assert sent["messages"] == [{"role": "system", "content": "be kind"}, {"role": "user", "content": "question 0"}]
    expected = {"max_tokens": 2, "temperature": 0.7, "top_p": 0.9, "stop": ["\n"], "seed": 5}
    assert {name: sent[name] for name in expected} == expected


@pytest.mark.parametrize("fault", ["slow", "busy", "broken", "overloaded", "cut", "garbage", "empty"])
def test_what_passes_is_tried_again(fault: str) -> None:
    with Server() as server:
        server.faults += [fault, fault]
        (found,) = generator(server).generate(prompts(1), sampling=SHORT)
    assert found.text == "You said: question 0"
    assert len(server.requests) == 3


@pytest.mark.parametrize(("fault", "seconds"), [("later", 1.0), ("dated", 1.0)])
def test_the_server_says_how_long_to_wait(fault: str, seconds: float) -> None:
    with Server() as server:
        server.faults.append(fault)
        (found,) = generator(server).generate(prompts(1), sampling=SHORT)
    assert found.finish == "stop"
    assert seconds <= server.times[1] - server.times[0] < seconds + 2


def test_the_pauses_grow() -> None:
    with Server() as server:
        server.faults += ["broken"] * 4
        generator(server, backoff=0.1).generate(prompts(1), sampling=SHORT)
    pauses = np.diff(server.times)
    for number, pause in enumerate(pauses):
        assert pause >= 0.05 * 2**number


@pytest.mark.parametrize(
    ("fault", "said"), [("slow", "took too long"), ("broken", "status 500"), ("garbage", "JSON"), ("cut", "Protocol")]
)
def test_one_prompt_that_fails_does_not_take_the_others_along(fault: str, said: str) -> None:
    with Server() as server:
        server.faults += ["fine", fault, fault]
        found = generator(server, retries=1, concurrency=1, timeout=0.3).generate(prompts(3), sampling=SHORT)
    assert [one.finish for one in found] == ["stop", "error", "stop"]
    assert said in (found[1].error or "")
    assert found[1].text == ""


def test_a_key_comes_from_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_KEY", "secret")
    monkeypatch.setenv("OPENAI_API_KEY", "of another server")
    with Server(key="secret") as server:
        (found,) = generator(server, api_key_env="TOY_KEY").generate(prompts(1), sampling=SHORT)
        assert found.finish == "stop"
        with pytest.raises(ConfigError, match="refuses a request without a key") as error:
            generator(server).generate(prompts(5), sampling=SHORT)
        assert "another server" not in json.dumps(server.headers)
    assert "Set api_key_env" in str(error.value)


def test_a_wrong_key_ends_at_once_and_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_KEY", "guessed")
    with Server(key="secret") as server, pytest.raises(ConfigError, match="refuses the key in 'TOY_KEY'") as error:
        generator(server, api_key_env="TOY_KEY", concurrency=1).generate(prompts(5), sampling=SHORT)
    assert "guessed" not in str(error.value)
    assert len(server.requests) == 1


def test_a_key_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOY_KEY", raising=False)
    with Server() as server, pytest.raises(ConfigError, match="environment variable 'TOY_KEY' is not set"):
        generator(server, api_key_env="TOY_KEY").generate(prompts(1), sampling=SHORT)
    assert server.requests == []


def test_an_unknown_model_ends_at_once() -> None:
    with Server() as server, pytest.raises(ConfigError, match="knows no model 'nobody'"):
        generator(server, model="nobody", concurrency=1).generate(prompts(5), sampling=SHORT)
    assert len(server.requests) == 1


def test_a_spent_quota_ends_at_once() -> None:
    with Server() as server:
        server.faults.append("spent")
        with pytest.raises(ConfigError, match="quota of this key is spent"):
            generator(server, concurrency=1).generate(prompts(5), sampling=SHORT)
    assert len(server.requests) == 1


def test_no_server() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    config = EndpointGeneratorConfig(base_url=address, model="toy", retries=1, backoff=0.01)
    with pytest.raises(ConfigError, match=r"no server answers .* Start the server, or correct base_url"):
        config.build().generate(prompts(3), sampling=SHORT)


def test_a_server_that_goes_away_leaves_what_was_answered() -> None:
    with Server() as server:

        def answer(prompt: str) -> str:
            server.goes_away = True
            return prompt

        server.answer = answer
        found = generator(server, concurrency=1, retries=1).generate(prompts(50), sampling=SHORT)
    assert [one.finish for one in found] == ["stop"] + ["error"] * 49
    assert "Connect" in (found[1].error or "")
    assert found[2].error == "the server cannot be reached any more"


def test_structured_output_is_asked_for_and_checked() -> None:
    with Server() as server:
        (found,) = generator(server).generate(prompts(1), sampling=SHORT, schema=SCHEMA)
    assert set(json.loads(found.text)) == {"title", "tags"}
    assert server.requests[0]["response_format"]["json_schema"]["schema"] == SCHEMA


@pytest.mark.parametrize("schemas", ["refused", "ignored"])
def test_a_server_without_structured_output_sees_the_schema_in_the_prompt(schemas: str) -> None:
    def answer(prompt: str) -> str:
        return '```json\n{"title": "x", "tags": ["a"]}\n```' if '"minItems": 1' in prompt else "Sure! Here is"

    with Server(answer=answer, schemas=schemas) as server:
        model = generator(server, concurrency=1)
        found = model.generate(prompts(3), sampling=SHORT, schema=SCHEMA)
        assert [one.text for one in found] == ['{"title": "x", "tags": ["a"]}'] * 3
        # The first prompt was asked twice; what was learned holds for the others and for the next call.
        assert len(server.requests) == 4
        model.generate(prompts(1), sampling=SHORT, schema=SCHEMA)
        assert len(server.requests) == 5
        assert ("response_format" in server.requests[-1]) == (schemas == "ignored")


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ("not json", "no JSON"),
        ('{"title": NaN, "tags": ["a"]}', "NaN is no JSON number"),
        ('{"title": "x", "tags": ["c"]}', "'c' is not one of"),
        ('{"title": "x", "tags": []}', "should be non-empty|too short"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_a_server_that_lies_about_json(lie: str, said: str) -> None:
    with Server(answer=lambda _: lie, schemas="ignored") as server:
        (found,) = generator(server).generate(prompts(1), sampling=SHORT, schema=SCHEMA)
    assert found.finish == "error"
    assert found.text == lie
    assert re.search(said, found.error or "")


def test_a_cut_answer_with_a_schema_is_no_lie() -> None:
    with Server(answer=lambda _: '{"title": "a b c d"', schemas="ignored") as server:
        (found,) = generator(server).generate(prompts(1), sampling=Sampling(max_tokens=2), schema=SCHEMA)
    assert found.finish == "length"
    assert len(server.requests) == 1


def test_what_is_no_schema() -> None:
    with Server() as server, pytest.raises(ConfigError, match="no JSON Schema"):
        generator(server).generate(prompts(1), sampling=SHORT, schema={"type": "strang"})
    assert server.requests == []


def test_a_server_with_another_name_for_the_limit() -> None:
    with Server(limit_name="max_completion_tokens") as server:
        found = generator(server, concurrency=1).generate(prompts(2), sampling=SHORT)
    assert [one.finish for one in found] == ["stop", "stop"]
    assert len(server.requests) == 3


def test_a_refused_prompt_is_an_error_of_this_prompt_and_teaches_nothing() -> None:
    with Server() as server:
        model = generator(server, concurrency=1)
        found = model.generate([Prompt("x" * 10_001), Prompt("y")], sampling=SHORT, schema=SCHEMA)
    assert [one.finish for one in found] == ["error", "stop"]
    assert "status 400" in (found[0].error or "")
    assert "too long" in (found[0].error or "")
    assert "response_format" in server.requests[-1]


def test_tokens_are_estimated_where_the_server_does_not_count() -> None:
    with Server(has_usage=False) as server:
        (found,) = generator(server).generate([Prompt("x" * 40)], sampling=SHORT)
    assert found.prompt_tokens == 10
    assert found.completion_tokens == -(-len(found.text) // 4)


def test_a_stream_says_what_generate_says() -> None:
    with Server() as server:
        model = generator(server)
        pieces = list(model.stream(Prompt("one two three"), sampling=SHORT))
        (whole,) = model.generate([Prompt("one two three")], sampling=SHORT)
    assert len(pieces) > 3
    assert "".join(pieces) == whole.text


@pytest.mark.parametrize("fault", ["cut", "ended", "busy", "broken"])
def test_a_cut_stream_goes_on_where_it_was(fault: str) -> None:
    with Server() as server:
        server.faults += [fault, fault]
        pieces = list(generator(server).stream(Prompt("one two three four"), sampling=SHORT))
    assert "".join(pieces) == "You said: one two three four"
    assert len(server.requests) == 3


def test_a_stream_that_begins_anew_with_another_text_is_given_up() -> None:
    texts = iter(["the first answer of the two", "something else altogether"])
    with Server(answer=lambda _: next(texts)) as server:
        server.faults.append("cut")
        stream = generator(server).stream(Prompt("x"), sampling=SHORT)
        with pytest.raises(ResourceError, match="began anew with another text"):
            list(stream)


def test_a_stream_that_never_ends_well() -> None:
    with Server() as server:
        server.faults += ["cut"] * 3
        with pytest.raises(ResourceError, match="no answer that can be used"):
            list(generator(server, retries=2).stream(Prompt("one two three"), sampling=SHORT))
    assert len(server.requests) == 3


def test_a_stream_with_a_schema_on_a_server_that_refuses_it() -> None:
    with Server(schemas="refused") as server:
        text = "".join(generator(server).stream(Prompt("one"), sampling=SHORT, schema=SCHEMA))
    assert "JSON Schema" in text


@pytest.mark.slow
def test_an_interruption_ends_the_program_at_once(tmp_path: Path) -> None:
    script = tmp_path / "ask.py"
    script.write_text(
        "import sys\n"
        "from genre.language.base import Prompt, Sampling\n"
        "from genre.language.endpoint import EndpointGeneratorConfig\n"
        "model = EndpointGeneratorConfig(base_url=sys.argv[1], model='toy', timeout=60).build()\n"
        "model.generate([Prompt(str(at)) for at in range(50)], sampling=Sampling())\n"
    )
    with Server(delay=20) as server:
        source = Path(__file__).parents[2] / "src"
        environment = {**os.environ, "PYTHONPATH": str(source)}
        process = subprocess.Popen([sys.executable, str(script), server.url], stderr=subprocess.PIPE, env=environment)
        deadline = time.monotonic() + 60
        while not server.requests and time.monotonic() < deadline:
            time.sleep(0.05)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert b"KeyboardInterrupt" in errors
    assert time.monotonic() - began < 10
    assert process.returncode != 0


def test_inside_a_running_loop_as_in_a_notebook() -> None:
    import asyncio

    async def cell(server: Server) -> str:
        return generator(server).generate(prompts(1), sampling=SHORT)[0].text

    with Server() as server:
        assert asyncio.run(cell(server)) == "You said: question 0"


@pytest.mark.parametrize("fault", ["fine", "cut", "slow"])
@pytest.mark.filterwarnings("error::ResourceWarning")
@pytest.mark.slow
def test_no_connection_stays_open(fault: str) -> None:
    for _ in range(8):
        with Server() as server:
            server.faults += [fault, fault]
            generator(server, timeout=0.2 if fault == "slow" else 5).generate(prompts(3), sampling=SHORT)
    with pytest.MonkeyPatch.context() as patch:
        seen: list[Any] = []
        patch.setattr(sys, "unraisablehook", seen.append)
        gc.collect()
    assert seen == []


def test_no_prompts() -> None:
    with Server() as server:
        assert generator(server).generate([], sampling=SHORT) == []


def test_the_key_follows_model_and_address_alone() -> None:
    config = EndpointGeneratorConfig(base_url="https://a.example/v1/", model="m")
    same = config.model_copy(update={"timeout": 1.0, "concurrency": 2})
    other = config.model_copy(update={"model": "n"})
    assert config.build().key == same.build().key != other.build().key
    assert config.base_url == "https://a.example/v1"


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("http://localhost:1/v1", True),
        ("http://127.0.0.2:1/v1", True),
        ("http://[::1]:1/v1", True),
        ("https://api.example.com/v1", False),
        ("http://10.0.0.1/v1", False),
        ("http://localhost.example.com/v1", False),
    ],
)
def test_what_stays_on_this_machine(address: str, local: bool) -> None:
    assert EndpointGeneratorConfig(base_url=address, model="m").local is local
    assert EndpointEncoderConfig(base_url=address, model="m").local is local


@pytest.mark.parametrize(
    ("address", "said"), [("api.example.com", "is not an address"), ("https://me:pw@example.com", "user or a password")]
)
def test_wrong_addresses(address: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        EndpointGeneratorConfig(base_url=address, model="m")


def test_vectors_come_in_order_and_at_length_one() -> None:
    texts = ["a", "流浪地球", "", "b", " \n", "a"]
    with Server() as server:
        found = EndpointEncoderConfig(**settings(server), batch_size=2).build().encode(texts)
    expected = FakeEncoderConfig(dimensions=8).build().encode(texts)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == np.float32
    assert sorted(len(one["input"]) for one in server.requests) == [2, 2]


def test_roles_dimensions_and_long_texts() -> None:
    with Server() as server:
        config = EndpointEncoderConfig(
            **settings(server), dimensions=4, query_prefix="query: ", max_characters=5, concurrency=1
        )
        found = config.build().encode(["流浪地球二三四"], role="query")
        config.build().encode(["cat"])
    assert found.shape == (1, 4)
    assert [one["input"] for one in server.requests] == [["query: 流浪地球二"], ["cat"]]


@pytest.mark.parametrize("fault", ["slow", "busy", "broken", "cut", "garbage", "empty"])
def test_vectors_are_asked_for_again(fault: str) -> None:
    with Server() as server:
        server.faults.append(fault)
        found = EndpointEncoderConfig(**settings(server)).build().encode(["a"])
    assert found.shape == (1, 8)
    assert len(server.requests) == 2


def test_vectors_that_do_not_come() -> None:
    with Server() as server:
        server.faults += ["broken"] * 2
        with pytest.raises(ResourceError, match="status 500"):
            EndpointEncoderConfig(**settings(server, retries=1)).build().encode(["a"])
        with pytest.raises(ConfigError, match="knows no model"):
            EndpointEncoderConfig(**settings(server, model="nobody")).build().encode(["a"])


def test_only_blank_texts_ask_nobody() -> None:
    with Server() as server:
        assert EndpointEncoderConfig(**settings(server), dimensions=3).build().encode(["", " "]).shape == (2, 3)
    assert server.requests == []


def test_the_slow_answer_is_slower_than_the_time_out() -> None:
    with Server() as server:
        server.faults.append("slow")
        began = time.monotonic()
        generator(server, timeout=0.2).generate(prompts(1), sampling=SHORT)
        assert time.monotonic() - began < SLOW
