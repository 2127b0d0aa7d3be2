"""What the studio says, in English and Chinese."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from genre.features.text import Language

LANGUAGES: Final[Sequence[tuple[str, Language]]] = [("English", "en"), ("中文", "zh")]
_WORDS: Final[dict[str, tuple[str, str]]] = {
    # The page.
    "subtitle": ("Try what is recommended, written and said; see how it goes.", "试推荐、试文案、试对话，看运行情况。"),
    "scenario": ("Scenario", "场景"),
    "place": ("Where texts are shown", "文案用在哪里"),
    "place_shop": ("Shop", "商城"),
    "place_news": ("News", "新闻"),
    "place_video": ("Video", "影视"),
    "place_music": ("Music", "音乐"),
    "place_social": ("Social", "社交"),
    "place_courses": ("Courses", "课程"),
    "tab_somebody": ("For somebody", "为某人推荐"),
    "tab_chat": ("Chat", "对话"),
    "tab_versions": ("Versions", "版本"),
    "tab_experiments": ("Experiments", "实验"),
    "tab_live": ("Live", "实况"),
    # For somebody.
    "mode": ("For whom", "为谁"),
    "mode_user": ("A user", "一位用户"),
    "mode_history": ("What I choose", "我选的历史"),
    "user": ("User", "用户"),
    "user_info": ("Choose one, or type any id", "选一位，或输入任意编号"),
    "search": ("Search titles", "搜索标题"),
    "search_info": ("Add what somebody has liked", "添加此人喜欢过的"),
    "found_none": ("No title has these words.", "没有含这些字的标题。"),
    "add": ("Add", "添加"),
    "remove": ("Remove", "移除"),
    "diversity": ("Diversity", "多样性"),
    "explore": ("Exploration", "探索"),
    "history": ("History, newest first", "历史，新的在前"),
    "no_history": ("Nothing is known yet: what most people like comes first.", "还没有历史：先推荐大家都喜欢的。"),
    "liked": ("liked", "喜欢"),
    "not_liked": ("not liked", "不喜欢"),
    "recommended": ("Recommended", "推荐"),
    "answered_by_model": ("by the model", "由模型给出"),
    "answered_by_memory": ("the last list: the model was too slow", "上次的列表：模型太慢"),
    "answered_by_popular": ("what is popular: the model was too slow", "热门内容：模型太慢"),
    "version": ("version", "版本"),
    "arm": ("experiment", "实验"),
    "nothing": ("Nothing is left to recommend.", "没有可推荐的了。"),
    "source_personal": ("personal", "个性化"),
    "source_content": ("by content", "按内容"),
    "source_segment": ("by group", "按人群"),
    "source_popular": ("popular", "热门"),
    "thumb_up": ("Like", "喜欢"),
    "thumb_down": ("Not for me", "不喜欢"),
    "write_about": ("Write about it", "写一段文案"),
    "thumbs_user": (
        "A thumb is an event of this user: the next list knows it.",
        "点赞或点踩会记为该用户的事件，下一份列表就会变。",
    ),
    "thumbs_history": (
        "A thumb changes what you have chosen; nothing is stored.",
        "点赞或点踩只改变你选的历史，不会保存。",
    ),
    "taken_up": ("Taken: liked", "已记下：喜欢"),
    "taken_down": ("Taken: not liked", "已记下：不喜欢"),
    "only_here": (
        "Events of this scenario cannot say that something is not liked: it is left out on this page only.",
        "该场景的事件无法表示不喜欢：只在本页不再显示。",
    ),
    # Texts.
    "texts": ("Text", "文案"),
    "kind": ("Kind of text", "文案种类"),
    "kind_synopsis": ("Synopsis", "简介"),
    "kind_summary": ("Summary", "摘要"),
    "kind_title": ("Title", "标题"),
    "kind_ad": ("Advertisement", "广告语"),
    "kind_reason": ("Reason", "推荐理由"),
    "kind_profile": ("Profile of the person", "用户画像"),
    "kind_path": ("Path through the list", "学习或观看路径"),
    "write": ("Write", "写"),
    "text_hint": ("Choose “Write about it” beside an item.", "点某一项旁边的“写一段文案”。"),
    "no_text": ("Nothing can be said that is in the facts.", "资料里没有可说的。"),
    "about": ("About", "关于"),
    # Chat.
    "chat_with": ("Talking as", "当前身份"),
    "chat_nobody": ("somebody new", "新用户"),
    "chat_chosen": ("somebody who likes what you have chosen", "喜欢你所选内容的人"),
    "chat_hint": (
        "Say what you feel like: “something from the 80s, not too long”, “why the first?”",
        "说说想看什么：“八十年代的，别太老套”，“为什么推荐第一部？”",
    ),
    "message": ("Message", "消息"),
    "send": ("Send", "发送"),
    "again": ("Start over", "重新开始"),
    # Versions.
    "state": ("State", "状态"),
    "state_candidate": ("candidate", "候选"),
    "state_canary": ("canary", "灰度"),
    "state_live": ("live", "在线"),
    "state_rejected": ("rejected", "已否决"),
    "state_retired": ("retired", "已下线"),
    "state_planned": ("planned", "计划中"),
    "state_running": ("running", "进行中"),
    "state_stopped": ("stopped", "已停止"),
    "share": ("Share of users", "用户占比"),
    "decision": ("Decision, and why", "决定与原因"),
    "created": ("Made, UTC", "创建，UTC"),
    "changed": ("Changed, UTC", "变更，UTC"),
    "in_memory": ("in memory", "已载入"),
    "choose_version": ("Version", "版本"),
    "reason": ("Why", "原因"),
    "reason_info": ("Kept in the audit log", "会记入审计日志"),
    "canary_share": ("Share for a canary", "灰度占比"),
    "go_live": ("Go live", "上线"),
    "try_it": ("Try on a share", "灰度试用"),
    "reject": ("Reject", "否决"),
    "go_back": ("Go back", "退回上一版本"),
    "no_before": ("No version was live before.", "之前没有在线过的版本。"),
    "done": ("Done", "完成"),
    "checks": ("What the gate found of", "门控检查："),
    "check": ("Check", "检查项"),
    "outcome": ("Outcome", "结果"),
    "found_by_gate": ("What was found", "检查所见"),
    "passed": ("passed", "通过"),
    "failed": ("failed", "未通过"),
    "no_checks": (
        "No checks lie beside it: it did not come through the gate, or was rejected, and then the decision above says "
        "why.",
        "没有检查记录：它没有经过门控，或已被否决，原因见上表的决定。",
    ),
    "check_questions": ("questions", "题目数量"),
    "check_sound": ("sound scores", "分数有效"),
    "check_answered": ("answered at all", "均有回答"),
    "check_variety": ("variety", "多样性"),
    "check_accuracy": ("accuracy", "准确度"),
    "check_exposure": ("exposure", "曝光变化"),
    "check_origin": ("origin of likes", "喜欢的来源"),
    "check_latency": ("latency", "延迟"),
    "check_writing": ("writing", "写作能力"),
    "frontier": ("What fine-tuning costs the writing", "微调对写作能力的代价"),
    "no_frontier": (
        "No model of this run was fine-tuned under guard, so there is no frontier of recommendation against writing.",
        "本次运行没有受保护的微调模型，所以没有“推荐与写作”的权衡曲线。",
    ),
    # Experiments.
    "experiment": ("Experiment", "实验"),
    "arms": ("Arms", "分组"),
    "no_experiments": ("No experiment yet.", "还没有实验。"),
    "new_experiment": ("Name of a new one", "新实验的名称"),
    "arm_first": ("First version", "第一个版本"),
    "arm_second": ("Second version", "第二个版本"),
    "share_second": ("Share of the second", "第二个版本的占比"),
    "start": ("Start", "开始"),
    "running_one": ("Running", "进行中的实验"),
    "stop": ("Stop", "停止"),
    "outcomes_of": ("What came of", "实验结果"),
    # Live.
    "requests_second": ("requests a second", "次请求/秒"),
    "lists_second": ("lists a second", "份列表/秒"),
    "events_second": ("events a second", "个事件/秒"),
    "waiting": ("waiting", "等待中"),
    "waits": ("Waiting", "等待中"),
    "p99": ("p99 of a list", "列表 p99"),
    "last_minute": ("Over the last minute; the line is lists a second.", "最近一分钟；曲线为每秒列表数。"),
    "route": ("Route or stage", "接口或阶段"),
    "a_second": ("a second", "次/秒"),
    "answers_from": ("Lists came from", "列表来源"),
    "from_model": ("the model", "模型"),
    "from_memory": ("the last list", "上次的列表"),
    "from_popular": ("what is popular", "热门"),
    "waits_answers": ("lists", "列表"),
    "waits_texts": ("texts", "文案"),
    "waits_events": ("events", "事件"),
    "since_start": ("Since the start", "自启动以来"),
    "events_new": ("new", "新增"),
    "events_known": ("sent again", "重复"),
    "events_conflicts": ("conflicts", "冲突"),
    "database": ("Database", "数据库"),
    "up": ("answers", "正常"),
    "down": ("away", "不可用"),
    "nothing_yet": ("Nothing yet.", "暂无。"),
    "stage_queue": ("waiting for the model", "等待模型"),
    "stage_model": ("the model", "模型"),
    "stage_store": ("events to the disk", "事件落盘"),
    "stage_write": ("texts and talk", "文案与对话"),
    # What goes wrong.
    "busy": ("Too much is going on; try again in a moment.", "当前太忙，请稍后再试。"),
    "late": ("It took too long; try again.", "用时过长，请重试。"),
    "limit": ("The key's limit is used up.", "密钥的额度已用完。"),
    # The door.
    "key": ("Key", "密钥"),
    "key_wrong": ("This key does not open the studio.", "此密钥不能打开本页。"),
    "key_which": (
        "A key with the scope admin, or with read, write and events. It is made with `genre keys create`.",
        "需要 admin 权限，或同时有 read、write、events 权限的密钥，用 `genre keys create` 创建。",
    ),
    "open": ("Open", "进入"),
    "leave": ("Leave", "退出"),
}


def say(key: str, language: Language) -> str:
    """Return the words for something; the key itself, without its prefix, where there are none."""
    found = _WORDS.get(key)
    return key.partition("_")[2] if found is None else found[language == "zh"]


def choices(prefix: str, values: Sequence[str], language: Language) -> list[tuple[str, str]]:
    """Return values to choose from, each with what it is called."""
    return [(say(f"{prefix}_{value}", language), value) for value in values]


def language_of(accepted: str) -> Language:
    """Return the language to begin with, from what a browser says it prefers: Chinese if that stands first."""
    return "zh" if accepted.strip().lower().startswith("zh") else "en"


class Labels:
    """Which part of the page is called what, so that all can be renamed when the language changes."""

    def __init__(self) -> None:
        """Know of no part yet."""
        self._parts: list[tuple[Any, dict[str, Any]]] = []

    def add(self, part: Any, **named: str | tuple[str, Sequence[str]]) -> Any:
        """Take a part: for each of its properties the key of its words, or the prefix and values of its choices."""
        self._parts.append((part, named))
        return part

    @property
    def parts(self) -> list[Any]:
        """All parts, in the order of `updates`."""
        return [part for part, _ in self._parts]

    def updates(self, language: Language) -> list[dict[str, Any]]:
        """Return what each part is called in a language."""
        return [
            {
                name: say(key, language) if isinstance(key, str) else choices(key[0], key[1], language)
                for name, key in named.items()
            }
            for _, named in self._parts
        ]
