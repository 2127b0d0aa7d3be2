"""How people say what they want, as patterns over clauses in which titles, labels, numbers and places are marked.

A mark is a letter and a number between two section signs: `§t0§` a title, `§u0§` a title that is not known, `§l0§` a
label, `§r0§` a range, `§p0§` places of the list.
"""

from __future__ import annotations

import re
from typing import Final

MARK: Final = re.compile(r"§([tulrp])(\d+)§")
_ITEM: Final = r"§[tup]\d+§"
_IT: Final = r"(?:it|this|that|these|those|them)"


def _cue(english: str, chinese: str) -> re.Pattern[str]:
    return re.compile(f"{english}|{chinese}")


SPLIT: Final = re.compile(
    r"(?P<mark>[,;!?。]+|\.+(?=\s|$)|\n+|\.\.+)|\b(?:(?<!anything )(?<!nothing )(?<!everything )(?<!all )but|"
    r"though|however|although)\b"
    r"|但是|但(?!丁)|不过|可是|然而"
    r"|\band (?=(?:that )?(?:i|we|what|show|give|tell|forget|remember|don'?t|do not|no|not|nothing|without|why|"
    r"compare|make|please|"
    r"hated?|loved?|liked?|disliked?|enjoyed|can'?t|cannot|didn'?t)\b)"
    r"|(?<=§)(?=(?:讨厌|不喜欢|喜欢)[^§]{0,4}§t)"
)
"""What ends a clause."""
_JOINS: Final = r"(?:,|/|&|\bor\b|\bnor\b|\band\b|或者?|和|、|还有|以及)"
_KIND_OF: Final = r"(?:片子?|电影|类的?|的)?(?: (?:films?|movies?|ones?|stuff))?"
LIST_GOES_ON: Final = re.compile(rf"^\s*§[lr]\d+§(?:\s*{_JOINS}\s*§[lr]\d+§)+\s*$")
"""A clause that goes on with the list that the one before began: "no horror, war or westerns"."""
ONE_GOES_ON: Final = re.compile(rf"^\s*(?:{_JOINS}\s*)?§l\d+§{_KIND_OF}(?:\s*{_JOINS}\s*§l\d+§{_KIND_OF})*\s*$")
"""One that goes on with a list of what is not wanted: "avoid war, crime, and horror"."""
ALONE: Final = re.compile(rf"^(?:the )?§[ltp]\d+§{_KIND_OF}$")
ONLY_NO: Final = _cue(
    r"^(?:no|nope|no way|no thanks|no thank you|never|nah|neither|not for me|(?:absolutely|definitely|certainly) not|"
    r"hell no|please no)$",
    r"^(?:算了|不要|免了|不行|就算了|还是算了|不看|绝对不要|不了|没兴趣)$",
)
"""A clause that turns down what the one before has named alone: "horror? no way"."""
ANY_BUT: Final = re.compile(
    r"(\b(?:any|every|all) \w+) but (?=(?:the )?§l)|(\b(?:any|every|all)(?:thing|one)?\b[^,;.!?]{0,40}) but "
    r"(?=(?:the )?§[tp])"
)
"""Here "but" means "except"."""

NEGATIVE: Final = _cue(
    r"\b(?:not (?:too|very|so|overly|particularly)|"
    r"\w+n't think (?:i|we) (?:want|need|like)|take (?:out|off)|no|not|nothing|never|"
    r"without|avoid|skip|except(?: for)?|excluding|exclude|hates?|dislikes?|enough|"
    r"(?:tired|sick|bored|scared|afraid|frightened|terrified) (?:of|by|with)|"
    r"anything but|everything but|all but|other than|different from|rather than|"
    r"instead of|apart from|leave out|less|fewer|"
    r"minus|nor|neither|too (?:many|much)|spare (?:me|us)|"
    r"stop (?:recommending|showing|suggesting|giving|offering|pushing|with)|steer clear of|had it with|done with|"
    r"none of|stay away from|fed up with|ditch|no more|weed out|non|dont|cant|wont|isnt|arent|rid of|\w+n't|cannot)\b"
    r"|\b(?:drop|remove|cut|lose) (?:all |any )?(?:the )?(?=§[lr]\d+§ (?:ones?|films?|movies?|stuff|titles?)\b)",
    r"(?:(?<!要)不要|别|不想)太(?=§|$)|(?<![要])不要|不像|不(?:太|怎么|大|很|是很|是特别|特别)(?:喜欢|爱看?|想看|看)|不想|不看|不用|(?<!特)(?<!分)(?<!区)(?<!类)别(?!的|人|致|有)|(?<!是)不是|不喜欢|不爱|讨厌|除了|"
    r"除开|(?<!有)没有|排除|去掉|不敢看?|不能看|(?<!不)害怕|(?<!不)(?<!恐)怕|"
    r"避开|拒绝|谢绝|受够|受不了|腻|非(?!常|洲)|少来|少点|少一[些点]|少给|少看|不含|不带|"
    r"不能有|不考虑|不想要|反感|(?<![要是好])不(?:那么|太|怎么|够)?(?=§|$)|没(?=§|$)",
)
DESCRIBES: Final = re.compile(r"(?<!有)没有|不是|不带|不含|除了|除开|没|(?:不要|别|不想)太|不(?:那么|太|怎么|够)?")
"""Those that say what an item is like, and end where that ends: 没有爱情的科幻片."""
ALL_OF_IT: Final = re.compile(r"都|也[行可]|以外|之外")
"""Behind a name, what has ended is not the end: 除了美国的喜剧都行."""
POSITIVE: Final = _cue(
    r"\b(?:nothing but|nothing other than|nothing except|only|just|exclusively|i want|i like|i love|prefer|make it|"
    r"give me|but|(?:can'?t|cannot|can not|never) (?:get|have) enough(?: of)?|never (?:get |grow )?tired of|"
    r"(?:isn't|aren't|is not|are not) there|(?:don't|haven't|didn't) you (?:have|got)|"
    r"have you no|you (?:don't|do not) have|"
    r"(?:haven't|have not|never|hardly) (?:\w+ )?(?:seen|watched)|(?:can't|cannot) (?:decide|choose)|"
    r"(?:\w+n't|cannot|never) say no to|who (?:doesn't|does not) (?:love|like|enjoy|want))\b",
    r"只要|只看|只想看|(?<![不只需用主必别])(?<!不想)(?<!不是)要(?!不)|(?<!不)想看|(?<!不)喜欢|(?<!少)来点|(?<!少)来部|换成|改成|而是|爱看|看不够|看不腻|还有",
)
"""What ends the reach of a negative, or turns it round."""
AFTER_NO: Final = _cue(
    r"^(?!.{0,8}\b(?:that|which|who)\b)(?:[^§]{0,16}\b(?:is|are|'s) (?:out|off|not)\b(?!.*§)|[^§]{0,12}"
    r"(?:isn't|aren't|no thanks|no way|"
    r"(?:bores?|scares?) (?:me|us)|not for (?:me|us)|don't)(?!.*§))"
    r"|^[^§]{0,12}\b(?:is|are) (?:\w+ )?(?:boring|awful|terrible|dull|horrible|rubbish|overrated|tedious|bad)\b"
    r"|^[^§]{0,10}\b(?:away from|out of) (?:me|us|my|our|here|it|this)\b|^[^§]{0,10} (?:no|nope|never|nah)$|"
    r"^(?:[^§]|§l\d+§)* neither$|^[^§]{0,10}\bmakes? me "
    r"(?:sick|ill|sad|cringe)\b",
    r"^(?:以外|之外|除外)|^(?:[^§]|§[lr]\d+§)*?(?:(?<!要)不要|别给|别来|都别|也别|不看|不想看|算了|免了|不喜欢|"
    r"不爱看|不行|不感兴趣|没(?:有|什么|啥)?兴趣|看够|没(?:有|什么|啥)?意思|无聊|太多|少一?[点些]|不敢看|不能看|(?<!不)怕$|"
    r"看腻|去掉|不考虑|受不了|受够|难看$|没劲|拒绝|免谈)(?!.*§[lr])",
)
"""Behind a label: it is not wanted."""
AFTER_NOT_BAD: Final = _cue(
    r"^[^§]{0,12}\b(?:(?:is|are|was|were)(?: not|n't)|'s not|not) (?:\w+ )?(?:bad|awful|terrible|a problem|out of the "
    r"question)\b",
    r"^[^§]{0,4}(?:我)?(?:也|倒|其实|并|又)?(?:不讨厌|不反感|不排斥|不怕|不难看|不介意|没意见|不是不(?:行|可以|能看|喜欢))",
)
"""Behind a label: it may be."""
AFTER_OK: Final = _cue(
    r"^ (?:is |are )?optional\b|^[^§]{0,14}\b(?:is|are|'s|would be) (?:\w+ )?(?:ok|okay|fine|alright|all "
    r"right|welcome|allowed|acceptable|no problem)\b",
    r"^[^§]{0,5}(?:其实|倒)?(?:可以|没关系|没问题|也行|都行|无妨|不介意|可有可无|无所谓)",
)
_NOT: Final = r"(?:\w+n'?t|not|never)"
BEFORE_OK: Final = _cue(
    rf"\b(?:{_NOT}|not that (?:i|we)) (?:really |actually |exactly |at all )?"
    r"(?:mind|dislike|hate|loathe|despise|object to)\b"
    rf"|\b{_NOT} (?:always |really )?(?:want |need |watch |like |see |show me |give me |recommend )?"
    r"(?:to (?:watch|see) )?(?:just|only|necessarily|exclusively)(?: (?:want|need|recommend|watch|show me|give me))?\b"
    rf"|\b{_NOT} (?:\w+ )?(?:scared|afraid|tired|sick|bored) of\b"
    rf"|\b(?:nothing|{_NOT}|no objections?) (?:against|opposed to)\b"
    r"|\bno (?:objections? to|problems? with)\b|\b(?:needn'?t|doesn'?t have to|does not have to|no need|"
    r"don'?t need(?! another| any| more)) (?:to )?(?:be)?\b|(?<!not )\bok with\b|(?<!not )\bfine with\b",
    r"不介意|不反对|不一定(?:非)?(?:要|得|是|看)?|不必(?:是|非得?|要)?|不仅|不只|不光|没有不喜欢|(?<!也)不是不喜欢|不讨厌|不反感|"
    r"不排斥|(?:不要|别|不想|不用)(?:总是?|老是?)?(?:只|光|仅)(?:要|看|想看|推荐|给我?|是|来)?|不害?怕",
)
"""Before a label: it need not be, or may be."""
BEFORE_ASIDE: Final = _cue(
    r"(?:\b(?:prefer|rather|like|love|enjoy)\b.*§l\d+§.* (?:to|over|than)|§l\d+§[^§]{0,10} over|"
    r"§l\d+§.*\b(?:more|better) than|§t\d+§,? by) (?:the |an? )?$",
    r"(?:比起|相比于?|相较于?|相对于?|与其(?:看|选)?)$|喜欢.*(?:胜过|多过|多于)$",
)
AFTER_ASIDE: Final = _cue(r"^'s (?:film |movie )?§t", r"^的(?:电影)?§t|^(?:[^§]{0,3})(?:相比|比起来)")
"""What is named to compare with, or to say whose a title is."""

FORGET_ALL: Final = _cue(
    r"\bforget (?:everything|all|me\b|what (?:you|i)|my (?:history|likes|taste|data|profile))|\b(?:delete|erase|"
    r"wipe|clear) "
    r"(?:everything|all you know|my (?:data|history|memory|profile)|the memory|your memory)",
    r"(?:都|全部?|所有|一切|统统).{0,6}(?:忘|删)|(?:忘|删)(?:了|掉|除)?(?:一切|所有|全部|关于我)|清空(?:记忆|历史|"
    r"记录)|别再?记(?:我|住我)",
)
RESTART: Final = _cue(
    r"\bstart (?:over|again|afresh|anew|from scratch)\b|\breset\b|\bnew search\b|\b(?:clear|drop|remove|lift) "
    r"(?:all|every|the) "
    r"?(?:the |my |of the )?(?:filters?|constraints?|conditions?|rules?|everything)|\bdrop everything\b",
    r"重新(?:开始|来|搜)|重来|从头|重置|(?:取消|清除|去掉|清空)(?:所有|全部)?的?(?:条件|限制|筛选)",
)
SHOW: Final = _cue(
    r"\bwhat (?:do|did) you (?:know|remember)\b|\bwhat(?:'s| is| are)? (?:my|the|your)? ?(?:current |active "
    r")?(?:filters?|constraints?|conditions?|"
    r"preferences?|rules?)\b|\b(?:show|list) (?:me )?(?:my|the|all) (?:filters?|constraints?|conditions?|"
    r"preferences?|rules?)|"
    r"\bwhat did i (?:tell you|say)|\bwhat have (?:i|you) (?:said|told|noted|remembered|got on me)\b",
    r"(?:记得|(?<!不)知道|记住|记着)了?我?.{0,6}(?:什么|哪些|啥)|(?:条件|限制|偏好|喜好|筛选).{0,4}(?:哪些|什么|啥)|"
    r"(?:哪些|什么)(?:条件|限制|偏好)",
)
HELP: Final = _cue(
    r"^help\b(?! (?:me|us))|\bwhat can (?:you do|i (?:say|ask))\b|\bhow (?:does (?:this|it) work|do i use)\b",
    r"^帮助|怎么用|你会(?:什么|干|做)|你能(?:做|干|帮)|使用说明|我能说什么",
)
GREET: Final = _cue(
    r"^(?:hi|hello|hey|hiya|good (?:morning|evening|afternoon)|greetings)(?: there)?\W*$",
    r"^(?:你好|您好|嗨|哈喽|早上好|晚上好|下午好|在吗|在不在)[呀啊吗]?\W*$",
)
THANK: Final = _cue(
    r"^(?:(?:ok|okay|great|cool|nice|perfect|lovely|good|fine|thanks|thank you|thx|cheers|awesome|got it|"
    r"never ?mind|sure|yes|right)"
    r"(?: (?:so much|a lot|then|very much|again))?\W*)+$",
    r"^(?:好的?|可以|行|嗯|哦|谢谢|多谢|感谢|太好了|不错|就这样|知道了|明白了?)(?:你|您|啦|了|吧|哦)?\W*$",
)
BRIEF: Final = _cue(
    r"^(?:please |a bit |much |even |make (?:it|that) |keep it |too |can you (?:make|keep) (?:it|that) "
    r")*(?:shorter|briefer|brief|short|long|more concise|"
    r"in short|tl;?dr|in a word|in one sentence)(?: please| version| answer| explanation)?$",
    r"(?:说|讲|回答|写)(?:得|的)?(?:再)?(?:短|简短|简单|简洁)(?:点|一点|一些|些)?|^(?:再)?(?:短|简短|简单|"
    r"简洁)(?:点|一点|一些|些)?$|长话短说|太长了|一句话",
)
WANTS_ITEMS: Final = _cue(r"\b(?:films?|movies?|ones?|something|anything|any|some)\b", r"片|部|电影|有没有|的$|想|要")

EXPLAIN: Final = _cue(
    r"\bwhy\b|\bhow come\b|\bwhat makes you\b|\breasons? (?:for|behind)\b|\bwhat(?:'s| is) the reason\b|"
    r"\bexplain\b|\bjustify\b",
    r"为什么|为啥|为何|凭什么|理由|怎么会推荐|解释",
)
IS_IT: Final = re.compile(
    r"^(?:and |so |but |hm+ |ok |well )*(?:is|was|are|were|isn't|wasn't|aren't) (?:the )?"
    r"(?:§[tp]\d+§|it\b|that\b|this\b)"
    r"|(?:§[tp]\d+§|它|[这那](?:部|个|片)).{0,4}(?:是|算|属于|拍于|出自|来自).*(?:吗|么|是不是|没有)$"
    r"|(?:§[tp]\d+§|它|[这那](?:部|个|片))(?:(?:是不是|算不算)|[^§]{0,2}§l\d+§(?:片|电影)?(?:吗|么)$)"
)
"""A question that facts answer with yes or no, if labels or numbers are named."""
IS_THAT: Final = re.compile(r"^(?:那么?)?(?:是不是|算不算|是.*(?:吗|么)$)")
"""The same about what was spoken of last, which Chinese need not name."""
COMPARE: Final = _cue(
    rf"\bcompar\w*|(?<!something )(?<!anything )\bdifferen(?:ce|t)\b|"
    rf"\bdiffer\b|\bversus\b|\bvs\b|\bbetter than\b|{_ITEM},? or {_ITEM}"
    r"|\bwhich (?:one |of (?:them|these|those|the two) )?(?:is|would be|would you|should i|do you|looks?|fits?|"
    r"suits?) ",
    rf"比较(?:一下|{_ITEM})|比一比|比一下|对比|区别|不同|不一样|哪[个部一]+(?:更|比较)?(?:好|适合|值得|"
    rf"推荐)|{_ITEM}还是{_ITEM}|相比",
)
WHICH: Final = _cue(r"\b(?:which|what|who)\b", r"哪")

FORGET: Final = _cue(r"\b(?:forget|unlike|erase|delete|don'?t remember)\b", r"忘[了掉记]?|别记|删[掉除]?")
REMEMBER: Final = _cue(rf"\b{_NOT} forget\b", r"(?:别|不要|没有?)忘")
DROP: Final = _cue(
    r"\b(?:any|whatever|whichever|(?:don'?t|do not) (?:really )?care|(?:doesn'?t|does not) matter|no matter|"
    r"never ?mind|drop|forget(?: about)?|remove|"
    r"lift|clear|ignore|cancel|no (?:limit|restriction)s?|open to)\b",
    r"无所谓|随便|不限|都行|都可以|都好|不管|取消|去掉|不在乎|没关系|忘[了掉]|不要求|不挑|放宽",
)
FORGETS_RULE: Final = _cue(
    r"\b(?:forget|drop|remove|lift|never ?mind|cancel)\b(?!.*§[lr]\d+§ (?:ones?|films?|movies?|stuff|titles?)\b)",
    r"忘|取消|不限|去掉|别管",
)
"""Together with what a constraint is about, it no longer holds; "drop the French ones" is about films."""
DEMAND: Final = _cue(r"\b(?:condition|constraint|filter|wish|request)\b", r"要求|条件|限制")
UNDO: Final = _cue(
    r"^(?:undo|go back|back|take that back|undo that|revert)\W*$|\bdrop (?:that|the last (?:one|filter|condition|"
    r"constraint))$",
    r"^(?:撤销|撤回|返回|回到上一步)|去掉(?:上|刚才|最后)(?:一)?个?(?:条件|限制)",
)

SIMILAR: Final = _cue(
    rf"\b(?:like|similar to|along the lines of|in the (?:style|vein|spirit) of|close to|remind\w* me of|akin to|"
    rf"resembl\w+|more of)"
    rf" (?:the |a |film |movie )*(?:{_ITEM}|{_IT}\b)|\bsimilar\b|\blike {_IT}\b|\balong (?:those|these|the same) "
    rf"lines\b|\bin (?:that|the same) vein\b|\bmore of (?:the same|that)\b",
    rf"类似|相似|差不多|[那这]样的|像(?:{_ITEM}|[这那它])|同类|同一类|[这那]种|一个风格|{_ITEM}(?:那种|这种|风格|那样)",
)
LIKE: Final = _cue(
    r"\b(?:liked?|loved?|enjoy(?:ed)?|adored?|fan of|fond of|into)\b|\bfavou?rites?\b|\b(?:is|was|were|are) "
    r"(?:\w+ )?(?:great|amazing|wonderful|brilliant|"
    r"fantastic|excellent|awesome|good|lovely|terrific|fun|perfect|a masterpiece|superb)\b",
    r"喜欢|[最超很]爱|爱看|好看|不错|精彩|好棒|神作|经典",
)
LIKE_IS_A_VERB: Final = re.compile(
    r"\b(?:i|we|he|she|they|kids?|son|daughter|wife|husband|friend)(?:'ve)?(?: (?:do|did|does|don'?t|didn'?t|"
    r"doesn'?t|not|never|really|"
    r"also|quite|much|just|absolutely|particularly|always|kind of)){0,3} liked? (?:the )?§"
)
NO_LIKE: Final = re.compile(r"(?:would|'d|might|will|'ll) (?:\w+ )?like\b|\b(?:looks?|sounds?|seems?) (?:like|good)\b")
DISLIKE: Final = _cue(
    r"\b(?:hated?|dislike[ds]?|can'?t stand|cannot stand|couldn'?t stand|not a fan|loathed?|despised?)\b|\b(?:is|"
    r"was|were|are) (?:\w+ )?(?:boring|awful|terrible|bad|"
    r"dull|horrible|rubbish|overrated|disappointing|too \w+|not (?:good|great|for me))\b|\bbored me\b"
    r"|\b(?:did ?n'?t|do ?n'?t|never|did not|do not|not really) (?:\w+ )?(?:like|love|enjoy)",
    r"不喜欢|不(?:太|怎么|大|很|是很|是特别|特别)(?:喜欢|爱)|讨厌|不爱|受不了|无聊|难看|不好看|没意思|烂|失望|不感冒|看不下去|没劲|不咋样",
)
SEEN: Final = _cue(
    r"\b(?:seen|saw|watched|read|heard|own|bought) (?:\w+ )?(?:§|it|that|both|them|all)|\balready (?:seen|watched|"
    r"know|own|have|read)\b|\bi know (?:§|it\b)",
    r"看过|看了|听过|读过|买过|已经有|看完",
)
UNSEEN: Final = _cue(
    rf"\b(?:(?:{_NOT}) (?:\w+ )?(?:seen|saw|watched|heard of)|(?:yet to|did(?:n't| not|nt)) (?:see|watch|read)) "
    r"(?:\w+ )?(?:§|it\b|that\b|both\b|them\b)"
    r"(?! (?:again|any ?more|ever))",
    r"(?:没有?|未曾?)(?:看|听|读|买)(?:过|完)?(?!片|电影)",
)
"""It is not known to the person."""
NOT_DISLIKED: Final = _cue(
    rf"\b{_NOT} (?:really |actually |exactly )?(?:dislike|hate|loathe|despise|mind|object to)\b|"
    r"\b(?:is|was)(?: not|n't) (?:bad|awful|terrible|boring)\b|\bnothing against\b",
    r"没有不喜欢|不讨厌|不反感|不排斥|不难看|不是不喜欢",
)
HIDE: Final = _cue(
    rf"\bnot (?:the )?{_ITEM}|\b(?:remove|drop|skip|hide|without|no more) (?:the )?{_ITEM}|\bnot (?:that|this) "
    rf"one\b|\bnot interested in {_ITEM}",
    rf"(?:不要|别|去掉|不看|不想看)(?:给我)?(?:看)?{_ITEM}|{_ITEM}(?:就)?(?:不要|算了|去掉|不想看)",
)

ASK: Final = _cue(
    r"^(?:so |and |ok |okay |hm+ |then |well |also )*(?:who|what|what's|whats|when|where|how|is|was|are|were|does|"
    r"did|has|which|can you tell|tell me|"
    r"describe|say|details)\b",
    r"谁|什么|哪[一年国里个部]|几年|多[长久少]|是不是|吗$|怎么|如何|介绍|讲讲|说说|讲的|了解|剧情|简介|呢$",
)
ABOUT: Final = _cue(
    r"\b(?:tell|say|know)\b.*\b(?:about|more)\b|\b(?:what|how) about\b|\bwhat(?:'s| is| was|s)?\b.*\babout\b|"
    r"\bdescribe\b|\bmore (?:about|on|info|details)\b|"
    r"\bplot\b|\bsynopsis\b|\bsummar|\bdetails\b|\b(?:any|is it|are they) good\b|\bthe story\b",
    r"介绍|讲讲|讲(?:的)?(?:是)?(?:些)?(?:什么|啥)|说说|怎么样|什么(?:故事|内容|剧情)|剧情|简介|了解|如何|呢$|说的是",
)
RECOMMEND: Final = _cue(
    r"\b(?:recommend\w*|suggest\w*|what (?:should|can|could|do|would|shall) (?:i|we)|what to (?:watch|read|buy|"
    r"listen|see)|show me|give me|surprise me|something|"
    r"anything|pick|find|looking for|look for|in the mood|i want|i need|i'd like|got any|have you|do you have|any|"
    r"what else|tonight|list)\b",
    r"推荐|来[点几部个些]|有什么|看什么|看点|看一?[部个]|想看|找[几点部个些]?|介绍几|给我|随便|求|有没有|挑|有吗|"
    r"看啥|拍过",
)
MORE: Final = _cue(
    r"^(?:ok |and |please |show (?:me )?|give (?:me )?|let'?s see |any |some |a few |got |i want )*(?:more|others?|"
    r"another(?: one)?|next(?: page)?|something else|"
    r"different ones|the next ones)(?: please| of (?:these|those|them)| films?| movies?| options| suggestions| "
    r"recommendations| ideas)*$|\b(?:what|anything|something) else\b",
    r"换(?:一?[批换组下]|几[个部])(?!成)|还有(?:别的|其他|没有|更多)|还有吗|再来(?:几|一些|点|一批|"
    r"[一两三]?[个部])|更多|其他的|别的|下一[批页]|多来几",
)
FEWER: Final = _cue(
    r"\bfewer\b|^less(?: of them| please| films?| movies?| items?)*$|\btoo many\b",
    r"少(?:来|给)?[一几]?[点些部个]|太多了",
)
INSTEAD: Final = _cue(
    r"\binstead\b(?! of)|\brather\b(?! than| not)|\bswitch to\b|\bchange to\b", r"换成|改成|改看|换点|改为"
)
ALSO: Final = _cue(r"\b(?:also|too(?! (?:many|much))|as well|either|additionally|plus)\b", r"也(?!不)|还要|另外|加上")

_NUMERALS: Final = "one|two|three|four|five|six|seven|eight|nine|ten|twelve|fifteen|twenty"
COUNT: Final = _cue(
    rf"\b(?:just|only|give me|show me|show|list|recommend|suggest|find me|find|i want|i need|need|want|pick|top|"
    rf"get me|(?:no|not) more than|at most|maximum)(?: me| us)? "
    rf"(?P<asked>\d{{1,2}}|{_NUMERALS}|a couple(?: of)?|a few)\b(?! (?:years?|decades?|hours?|minutes?|of the))"
    rf"|^(?P<alone>\d{{1,2}}|{_NUMERALS})(?: please| is enough| are enough| will do)?$"
    rf"|\b(?P<before>\d{{1,2}}|two|three|four|five|six|seven|eight|nine|ten)(?: \w+)? (?:films|movies|items|books|"
    rf"songs|products|suggestions|recommendations|ideas)\b",
    r"(?P<chinese>\d{1,2}|[一二两三四五六七八九十]{1,3})[部个首本款件条门篇](?!小时|世纪|人|月)",
)

WISH: Final = _cue(
    r"\b(?:about|featuring|involving|dealing with|set (?:in|during|on|at)|taking place in|exploring|on the subject "
    r"of|where|with)\s+(?P<english>.+)",
    r"(?:关于|有关(?!于)|讲述?|描写)(?P<chinese>.{1,20}?)(?:的(?:电影|片子?|故事|东西)?|$)|"
    r"(?P<subject>[^§想要看来点有没]{2,10})(?:题材|主题)",
)
LOOSE_WISH: Final = re.compile(
    r"\b(?:something|anything|films?|movies?|a|some|ones?)\s+(?P<english>(?:[a-z'-]+ ?){1,8})$"
)
PRONOUN: Final = _cue(
    r"\b(?:it|its|this|that|this one|that one|this film|that film|this movie|that movie|he|she)\b(?! (?:century|"
    r"decade|year|i\b|you\b|are|is\b.*§))",
    r"它|[这那](?:部|个|片|一部|一个|本|首)",
)
PLURAL_PRONOUN: Final = _cue(r"\b(?:them|these|those|they|the two)\b", r"它们|这些|那些|两部|两个")
AGE: Final = re.compile(
    r"\b(?:\d+|[a-z]+)[- ]years?[- ]olds?\b|\byears? old\b|\bold enough\b|\b(?:good|same|any) old\b|\b\d+ ?yo\b"
)
"""How old somebody is, which is no bound."""
