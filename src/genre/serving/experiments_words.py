"""What the page of experiments says, in English and Chinese."""

from __future__ import annotations

from typing import Final

from genre.features.text import Language

_WORDS: Final[dict[str, tuple[str, str]]] = {
    "none": ("No experiments yet.", "还没有实验。"),
    "planned": ("planned", "计划中"),
    "running": ("running", "进行中"),
    "stopped": ("stopped", "已停止"),
    "made": ("planned {date} UTC", "计划于 {date} UTC"),
    "since": ("{state} since {date} UTC", "自 {date} UTC 起{state}"),
    # What can be concluded.
    "not_divided": (
        "The users are not divided as planned, so that no difference between the arms can be trusted.",
        "用户没有按计划分组，因此各组之间的差异都不可信。",
    ),
    "more": ("{arm} is clicked more often than {first}", "{arm} 的点击率高于 {first}"),
    "less": ("{arm} is clicked less often than {first}", "{arm} 的点击率低于 {first}"),
    "and": ("; ", "；"),
    "stop": (".", "。"),
    "no_difference": ("No difference so far that may not be chance.", "目前的差异都可能出于偶然。"),
    "mismatch": (
        "The arms have {users} users, and {shares} were planned: by chance this happens with probability {chance}. "
        "Look for lost events, for users who are answered without an arm, and for arms that were switched off for "
        "some.",
        "各组用户数为 {users}，计划占比为 {shares}：出于偶然的概率只有 {chance}。"
        "请检查是否有事件丢失、有用户未分组就得到回答，或某个组对部分用户被关闭。",
    ),
    "moved": (
        "{count} users were seen in several arms, and are counted in none.",
        "有 {count} 位用户出现在多个组中，不计入任何一组。",
    ),
    # Plots.
    "clicked": ("What was clicked", "点击情况"),
    "axis_rate": ("clicks for each shown item", "每次展示的点击数"),
    "rate_caption": (
        "Dots are clicks for each shown item, lines are {confidence} intervals over users.",
        "点为每次展示的点击数，线为按用户计算的 {confidence} 置信区间。",
    ),
    "difference_to": ("Difference to {first}", "与 {first} 的差异"),
    "axis_difference": ("difference to {first}", "与 {first} 的差异"),
    "difference_caption": (
        "Hollow dots: perhaps no difference. The dashed line is none.",
        "空心点：可能没有差异。虚线表示无差异。",
    ),
    # The table.
    "arms_of": ("Arms of {name}", "{name} 的各组"),
    "table_caption": ("Users, what they were shown and what they clicked", "用户、展示与点击"),
    "arm": ("Arm", "组"),
    "share": ("Planned", "计划占比"),
    "users": ("Users", "用户"),
    "shown": ("Shown items", "展示数"),
    "clicks": ("Clicks", "点击数"),
    "rate": ("Rate", "点击率"),
    "difference": ("Difference, points", "差异（百分点）"),
    "bounds": ("{low} to {high}", "{low} 至 {high}"),
    "note": (
        "Counted by user: intervals and p-values are of the delta method over users, p adjusted for the number of "
        "arms. Whoever stops as soon as p falls below 0.05 finds differences that are none: decide beforehand how "
        "long it runs.",
        "按用户统计：区间与 p 值由用户层面的 delta 方法得出，p 已按组数校正。"
        "若 p 一低于 0.05 就停止，会得到并不存在的差异：请事先决定实验时长。",
    ),
}


def said(key: str, language: Language, **given: object) -> str:
    """Return the words for something, with what is given in their places."""
    return _WORDS[key][language == "zh"].format(**given)
