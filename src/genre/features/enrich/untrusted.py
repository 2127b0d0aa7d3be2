"""Item text is written by strangers: what could pass for an order to a language model is left out of prompts.

An attack is met four times. Here, clauses that address a model are left out, and characters that could end the quoted
part are replaced. In the prompt, what is left stands between marks and is called data. The schema bounds the form of
the answer. And `checks` refuses an answer that is about something else.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

_TOKENS = re.compile(
    r"<\|[^|>]{0,40}\|>|\[/?INST\]|<</?SYS>>|</?s>|#{2,}\s*(?:system|instructions?|user|assistant|response)\b:?"
    r"|(?:^|[.!?。！？\n])\s*(?:system|assistant|user|human)\s*[:：]|</?(?:item|data|system|user|assistant|instructions?)>|>>>|<<<",
    re.IGNORECASE,
)
"""What marks turns in the formats of chat models, and what marks the quoted part in ours."""
_OBJECTS = r"instructions?|prompts?|directives?|guidelines|system messages?"
_BEFORE = r"(?:previous|prior|above|preceding|earlier|former)"
_OVERRIDES: Final = (
    rf"\b(?:ignor\w+|disregard\w*|forget\w*|overrid\w+|bypass\w*|discard\w*|neglect\w*)\b[^.]{{0,40}}"
    rf"\b(?:{_OBJECTS}|{_BEFORE} (?:text|message|context|rules?|commands?|tasks?|requests?)|"
    r"(?:the|everything|all|anything) above)\b",
    r"\b(?:new|real|actual|updated|hidden|secret) (?:system )?(?:instructions?|prompts?|directives?|task for you)\b",
    r"\bsystem (?:prompt|message|override|instruction)s?\b|\b(?:developer mode|do anything now|prompt injection)\b",
    r"\b(?:you are|you're) now\b|\bfrom now on,? (?:you|answer|respond|reply|write)\b|"
    r"\bpretend (?:that )?you(?: are|'re)\b",
    r"\b(?:dear|note to|attention|message to|instructions? (?:to|for)|hey|hello),?(?: the| all)? "
    r"(?:a\.?i\.?|ai models?|assistants?|language models?|models?|llms?|chatbots?|summari[sz]ers?|gpt)\b",
    r"\bend of (?:the )?(?:item|data|input|document|description)\b",
    r"(?:忽略|无视|忘记|忘掉|不要理会|不必理会|别管|绕过|抛开|不用遵守|不要遵守)[^。]{0,15}"
    r"(?:指令|指示|提示词?|要求|命令|规则|设定|上文|(?:以上|上述|之前的?)(?:内容|对话|任务|文字))",
    r"(?:新的?|真正的?|隐藏的?|最新的?)(?:系统)?(?:指令|指示|提示词)|系统(?:提示|消息|指令)|开发者模式|越狱模式",
    r"你现在是|从现在(?:起|开始)[,，]?\s*你|你将扮演|请扮演|假装你是",
    r"(?:致|告诉|提醒|注意)[,，:： ]?\s*(?:ai|人工智能|助手|语言模型|大模型|模型|聊天机器人)",
)
"""These say that all before is void; what follows them in a text is no better trusted than they are."""
_PARTS = r"(?:summary|title|answer|response|output|reply|profile)"
_ORDERS: Final = (
    r"\b(?:say|write|print|output|reply|respond|answer|return|repeat|display|emit|generate|include|insert|add|append)\b[^.]{0,30}"
    r"\b(?:only|exactly|nothing but|instead|the (?:word|phrase|text|sentence|following|string)s?|json|schema|"
    r"(?:in|to) (?:french|chinese|german|spanish|english|japanese|russian|base64|xml|html|yaml|markdown|plain text|"
    r"capital letters)|(?:in|to) (?:your|the) (?:summary|title|answer|response|output|reply|synopsis|text))\b",
    rf"\b(?:when|while|before|after) (?:you )?(?:summari[sz]|describ|answer|respond|reply)(?:e|ing)?\b|"
    rf"\b(?:the|your|this|every) {_PARTS} (?:must|should|has to|shall|needs to)\b",
    r"\b(?:translate|rewrite|summari[sz]e) (?:this|the|your|everything|all|it)\b|\binstead,? (?:write|say|output|"
    r"describe|tell|talk|give|return|summari[sz]e)\b|"
    r"\b(?:describe|talk about|write about|promote)\b[^.]{0,40}\binstead\b",
    r"\b(?:do not|don't|never|stop) (?:summari[sz]e|describ\w+|use json|output|writ\w+ (?:json|about|a summary))\b",
    r"\b(?:reveal|leak|show|print)\b[^.]{0,20}\b(?:prompt|instructions|api key|password)s?\b",
    r"\b(?:language model|llm|ai assistant|chatbot)s?\b[^.]{0,30}\b(?:must|should|shall|reading|will)\b",
    r"(?:输出|回复|回答|打印|返回|重复|写出)[^。]{0,12}(?:以下|[“\"「'‘]|[:：]|英文|英语|法语|日语|json|单词|这句话|[一二两三四五]个(?:字|词))",
    r"(?:只|仅|直接|务必)(?:需|能|要|会)?(?:输出|回复|回答|返回|说|写)",
    r"(?:用|以|使用|改用)(?:英文|英语|法语|日语|德语|韩语|纯文本|xml|html|yaml|markdown)[^。]{0,4}(?:回答|回复|输出|写|作答)",
    r"(?:摘要|标题|总结|简介|答案|输出|回答|画像)[里中]?(?:必须|应该|应当|只能|务必|一定要)",
    r"不要(?:总结|概括|摘要|描述|介绍|使用json|输出)|改为(?:推荐|介绍|描述|谈论|宣传|输出)|(?:请|把)[^。]{0,10}(?:翻译成|改写成)",
    r"(?:泄露|透露|显示|告诉我)[^。]{0,10}(?:提示词|系统提示|密码|密钥)",
)
"""These ask a model for something; only their own clause is left out."""
_OVERRIDE = re.compile("|".join(_OVERRIDES), re.IGNORECASE)
_ORDER = re.compile("|".join(_ORDERS), re.IGNORECASE)
_CLAUSE = re.compile(r"((?<=[.!?])\s+|[。！？；\n|()\[\]【】（）;]|\s[-–—]+\s|——)")
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_WIDE = {code: code - 0xFEE0 for code in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))}
_QUOTES = str.maketrans("<>`", "‹›'")


@dataclass(frozen=True)
class Neutral:
    """A text that may stand in a prompt."""

    text: str
    left_out: tuple[str, ...] = ()
    """The clauses that could pass for orders."""


def neutralise(text: str) -> Neutral:
    """Leave out what addresses a language model, links, and every character that could end a quotation.

    A clause that only asks for something goes alone. One that voids what was said before it, and a mark of a chat
    format, takes the rest of the text with it. Wide letters and invisible characters do not hide an order. What no
    pattern knows stays in; `checks` looks at the answer for that reason.
    """
    plain = "".join(
        mark for mark in text.translate(_WIDE) if mark in "\n\t" or unicodedata.category(mark) not in {"Cf", "Cc", "Co"}
    )
    left_out: list[str] = []
    mark = _TOKENS.search(plain)
    if mark is not None:
        left_out.append(plain[mark.start() :])
        plain = plain[: mark.start()]
    pieces = _CLAUSE.split(_ADDRESS.sub(" ", plain))
    kept: list[str] = []
    for at in range(0, len(pieces), 2):  # Behind each clause stands what ends it.
        if _OVERRIDE.search(pieces[at]):
            left_out.append("".join(pieces[at:]))
            break
        if _ORDER.search(pieces[at]):
            left_out.append(pieces[at])
        else:
            kept += pieces[at : at + 2]
    words = " ".join("".join(kept).split()).strip(" -–—|;；(（[【")
    return Neutral(words.translate(_QUOTES), tuple(part.strip() for part in left_out if part.strip()))


def gives_orders(text: str) -> bool:
    """Tell whether a text could pass for an order to a language model."""
    return any(pattern.search(text) for pattern in (_TOKENS, _OVERRIDE, _ORDER, _ADDRESS))
