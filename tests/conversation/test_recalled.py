from __future__ import annotations

from genre.conversation.recalled import recalled


def test_wishes_are_known_again_in_other_words() -> None:
    wishes = ("robots in space", "爱情故事", "AI")
    assert recalled("forget the robot thing", wishes) == ["robots in space"]
    assert recalled("忘了爱情那个", wishes) == ["爱情故事"]
    assert recalled("forget the thing", wishes) == []
