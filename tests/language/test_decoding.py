"""What is remembered of prompts, by threads at once."""

from __future__ import annotations

import torch
from transformers import DynamicCache

from genre.language.decoding import Remembered


def cache_of(length: int) -> DynamicCache:
    cache = DynamicCache()
    cache.update(torch.zeros(1, 1, length, 2), torch.zeros(1, 1, length, 2), 0)
    return cache


def prompt(number: int, length: int = 40) -> tuple[int, ...]:
    return tuple(range(number * 10_000, number * 10_000 + length))


def known(remembered: Remembered, number: int, length: int = 40) -> int:
    """Return how many tokens of a prompt need not be read."""
    beginning, cache = remembered.beginning(prompt(number, length), DynamicCache())
    assert cache.get_seq_length() == len(beginning)
    return len(beginning)


def test_what_was_read_last_is_remembered() -> None:
    remembered = Remembered(2)
    for number in (1, 2, 1, 3):
        remembered.keep(prompt(number), cache_of(40))
    assert [known(remembered, number) for number in (1, 2, 3)] == [39, 0, 39]
    assert known(remembered, 1, 60) == 39
    assert known(remembered, 1, 30) == 29


def test_what_is_too_long_is_not_remembered() -> None:
    remembered = Remembered(longest=40)
    remembered.keep(prompt(1, 41), cache_of(41))
    remembered.keep(prompt(2, 40), cache_of(40))
    assert [known(remembered, 1, 41), known(remembered, 2)] == [0, 39]


def test_another_thread_may_read_prompts_in_the_meantime() -> None:
    remembered = Remembered(2)

    class Slow(tuple[int, ...]):
        """A prompt while which is compared, others are read."""

        def __lt__(self, other: tuple[int, ...]) -> bool:
            for number in (2, 3):
                remembered.keep(prompt(number), cache_of(40))
            return super().__lt__(other)

    remembered.keep(prompt(1), cache_of(40))
    found, cache = remembered.beginning(Slow(prompt(1, 60)), DynamicCache())
    assert (len(found), cache.get_seq_length()) == (39, 39)
    assert known(remembered, 1) == 0
