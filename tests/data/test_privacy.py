"""Privacy: pseudonyms that hold together, and masks that find personal data and nothing else."""

from __future__ import annotations

import hashlib
import hmac
import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from genre.core.errors import ConfigError
from genre.data._personal import KINDS, luhn
from genre.data.privacy import PrivacyConfig, mask_texts, protect
from genre.data.tables import Tables

KEY = "a key that is long enough"
HASH = PrivacyConfig(hash_users=True)
MASK_ALL = PrivacyConfig(mask_text=("email", "phone", "card", "address"))


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the key."""
    monkeypatch.setenv("GENRE_PRIVACY_KEY", KEY)


with_key = pytest.mark.usefixtures("key")


def tables_of(users: list[str]) -> Tables:
    return Tables(
        pl.DataFrame({"user_id": users, "item_id": ["x"] * len(users), "timestamp": [1] * len(users)}),
        items=pl.DataFrame({"item_id": ["x"]}),
        users=pl.DataFrame({"user_id": sorted({*users, "silent"})}),
        impressions=pl.DataFrame({"list_id": ["l", "l"], "user_id": [users[0], None], "item_id": ["x", "x"]}),
    )


def masked(text: str) -> str:
    """Return the text with everything masked."""
    texts = pl.Series([text])
    for kind in KINDS:
        texts, _, _ = mask_texts(texts, kind)
    return texts[0]


# Pseudonyms


@with_key
def test_a_user_has_one_pseudonym_in_all_tables() -> None:
    raw = tables_of(["anna", "bob", "anna"])
    hashed, report = protect(raw, HASH)
    names = hashed.interactions["user_id"].to_list()
    assert names[0] == names[2] != names[1]
    assert hashed.impressions["user_id"].to_list() == [names[0], None]
    assert set(names) < set(hashed.users["user_id"])
    assert report.users_hashed == 3
    assert raw.interactions["user_id"].to_list() == ["anna", "bob", "anna"]
    assert hashed.items is raw.items


@with_key
@pytest.mark.parametrize("bits", [64, 128, 256])
def test_a_pseudonym_is_a_truncated_hmac(bits: int) -> None:
    hashed, _ = protect(tables_of(["安娜"]), PrivacyConfig(hash_users=True, hash_bits=bits))
    expected = hmac.new(KEY.encode(), "安娜".encode(), hashlib.sha256).hexdigest()[: bits // 4]
    assert hashed.interactions["user_id"].to_list() == [expected]


@with_key
def test_another_key_gives_other_pseudonyms(monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = protect(tables_of(["anna"]), HASH)
    monkeypatch.setenv("OTHER_KEY", "another key, long enough")
    two, _ = protect(tables_of(["anna"]), PrivacyConfig(hash_users=True, key_env="OTHER_KEY"))
    assert one.interactions["user_id"][0] != two.interactions["user_id"][0]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "'GENRE_PRIVACY_KEY' is not set.*secrets.token_hex"),
        ("short", "has 5 characters, at least 16 are needed"),
    ],
)
def test_without_a_good_key_nothing_is_hashed(monkeypatch: pytest.MonkeyPatch, value: str | None, message: str) -> None:
    monkeypatch.delenv("GENRE_PRIVACY_KEY", raising=False)
    if value:
        monkeypatch.setenv("GENRE_PRIVACY_KEY", value)
    with pytest.raises(ConfigError, match=message) as caught:
        protect(tables_of(["anna"]), HASH)
    assert value is None or value not in str(caught.value)


@with_key
def test_the_key_is_not_in_what_is_stored() -> None:
    hashed, report = protect(tables_of(["anna"]), HASH)
    assert KEY not in json.dumps(report.to_dict()) + HASH.model_dump_json() + str(hashed) + str(report)


@settings(max_examples=30)
@given(st.lists(st.text(min_size=1), min_size=1, max_size=20))
def test_different_ids_stay_different(users: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENRE_PRIVACY_KEY", KEY)
        hashed, _ = protect(tables_of(users), HASH)
    pairs = set(zip(users, hashed.interactions["user_id"], strict=True))
    assert len(pairs) == len(set(users)) == len({name for _, name in pairs})


# What is masked


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to jane.doe+x@mail.example.co.uk.", "write to [email]."),
        ("邮箱abc@qq.com联系", "邮箱[email]联系"),
        ("A@B.io,c_d@e-f.org", "[email],[email]"),
        ("发到test＠163.com，谢谢", "发到[email]，谢谢"),
    ],
)
def test_emails_are_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4111 1111 1111 1111", "[card]"),
        ("卡号4111111111111111请", "卡号[card]请"),
        ("3782 822463 10005", "[card]"),
        ("3056 930902 5904", "[card]"),
        ("pay 4111-1111-1111-1111 123 now", "pay [card] 123 now"),
        ("4111 1111 1111 1111 123", "[card] 123"),
        ("5 5555555555554444", "5 [card]"),
        ("6222020000000000000?", "[card]?"),
        ("card: 4012888888881881.", "card: [card]."),
        ("４１１１１１１１１１１１１１１１", "[card]"),
    ],
)
def test_cards_are_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("电话13812345678请", "电话[phone]请"),
        ("13812345678/13912345678", "[phone]/[phone]"),
        ("13812345678，13912345678", "[phone]，[phone]"),
        ("13812345678 13912345678", "[phone] [phone]"),
        ("138-1234-5678", "[phone]"),
        ("+86 138 1234 5678", "[phone]"),
        ("+8613812345678", "[phone]"),
        ("0086-13812345678", "[phone]"),
        ("１３８１２３４５６７８", "[phone]"),
        ("010-12345678", "[phone]"),
        ("(0755) 1234567-8001", "[phone]"),
        ("（021）87654321", "[phone]"),
        ("手机号：12345678", "手机号：[phone]"),
        ("(555) 123-4567", "[phone]"),
        ("call 555-123-4567!", "call [phone]!"),
        ("555.123.4567", "[phone]"),
        ("1-800-555-0199", "[phone]"),
        ("+1 (555) 123-4567", "[phone]"),
        ("+44 20 7946 0958", "[phone]"),
        ("+33 1 42 68 53 00", "[phone]"),
        ("+49 (0)30 901820", "[phone]"),
        ("+4930901820", "[phone]"),
        ("020 7946 0958", "[phone]"),
        ("tel: 5551234567", "tel: [phone]"),
        ("call me at 1234567 today", "call me at [phone] today"),
    ],
)
def test_phones_are_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("123 Main Street", "[address]"),
        ("at 350 Fifth Avenue, New York, NY 10118 since", "at [address] since"),
        ("221B Baker Street, London NW1 6XE", "[address]"),
        ("742 Evergreen Terrace, Apt 3", "[address]"),
        ("500 Elm Street, Springfield, IL 62704", "[address]"),
        ("12 Hard Drive Court, Boston, MA 02110", "[address]"),
        ("2001 Market Street, Unit 5", "[address]"),
        ("42 W. 10th St.", "[address]."),
        ("123 MAIN ROAD", "[address]"),
        ("P.O. Box 1234", "[address]"),
        ("我住在北京市海淀区中关村大街27号。", "我住在[address]。"),
        ("上海市浦东新区世纪大道100号5楼", "[address]"),
        ("朝阳区建国路88号院3号楼2单元501室", "[address]"),
        ("公司在建国路88号", "公司在[address]"),
        ("广东省深圳市南山区科技园南区3栋501室", "[address]"),
        ("地址：杭州市西湖区文三路 478 号，谢谢", "地址：[address]，谢谢"),
        ("成都市武侯区人民南路四段11号", "[address]"),
        ("南京东路３００号", "[address]"),
        ("广西壮族自治区南宁市民族大道一百号", "[address]"),
        ("离开上海辗转至台湾，在台北市重庆南路一段49号", "离开上海辗转至台湾，在[address]"),
    ],
)
def test_addresses_are_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        # years, dates, sizes, prices, counts
        *("in 1984 and 2019-2020", "2020-01-02 12:00:00", "1920x1080 144Hz", "10-20-30 and 1000-2000", "1,234,567,890"),
        *("price $12999.00", "￥13812345678", "13000000000元", "13800000000 美元", "13812345678人", "0.13812345678"),
        *("phone 128 256 512", "iPhone 12 128 256 512", "100 200 3000", "1538352000000", "1.2.3.4 and 192.168.100.200"),
        # books and product codes
        *("ISBN 978-0-306-40615-7", "ISBN 9787111128069", "ISBN: 0-306-40615-2", "ISBN-13: 978 0 306 40615 7"),
        *("XR-555-1234", "SKU 4111111111111111", "model 13812345678", "货号：13812345678", "order no. 13812345678"),
        *("https://item.jd.com/13812345678.html", "4006381333931", "B004ZT0SSG", "12345678", "5551234567", "0046-0916"),
        *("4111111111111112", "订单号 6222020000000000000", "A4111111111111111", "9111111111111111"),
        # no mail
        *("icon@2x.png", "3@5.99", "@handle", "a @ b.com"),
        # streets in titles, drives and measures
        *("Mad Max: Fury Road", "2015 Mad Max Fury Road", "2018-2023 Farewell Yellow Brick Road", "the 39 Steps"),
        *(
            "16 GB Flash Drive",
            "500 GB Hard Drive, Black",
            "24 Milky Way",
            "Set of 4 Sesame Street DVDs",
            "8 Mile Road",
        ),
        *(
            "100 Best St. Patrick songs",
            "3 Pure St. Ives Scrubs",
            "12 Dr. Seuss Books",
            "21 Jump Street",
            "4 Way Street",
        ),
        *("90 Degree Street Elbow", "5 times down the street", "Highway 61", "The Road", "Pack of 3 Court Shoes"),
        # Chinese numbers that are no houses, and places that are no addresses
        *("地铁2号线", "上海市地铁2号线", "我知道3号出发", "2023年第5号文件", "深圳市第3号文件", "走路3号", "一路2号"),
        *("国道318号", "竹东镇中正路与县道122号", "今年一月3号", "海南省8号台风", "神舟5号飞船", "北京市2022年3号场馆"),
        *(
            "广东省",
            "中关村大街",
            "北京路",
            "南京路步行街",
            "西安市区",
            "辽宁地理位置最好的城市是哪一座？",
            "全国重点寺院有14座",
        ),
    ],
)
def test_what_is_not_personal_survives(text: str) -> None:
    assert masked(text) == text


def luhn_by_table(digits: list[int]) -> bool:
    """Return the same by another way: a table of doubled digits."""
    doubled = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]
    odd = len(digits) % 2
    return sum(doubled[digit] if place % 2 == odd else digit for place, digit in enumerate(digits)) % 10 == 0


@settings(max_examples=100)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=20))
def test_luhn_agrees_with_a_table(digits: list[int]) -> None:
    assert luhn(digits) == luhn_by_table(digits)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 9), min_size=14, max_size=14), st.integers(0, 15), st.integers(1, 9))
def test_a_card_is_told_by_its_check_digit(middle: list[int], place: int, change: int) -> None:
    body = [4, *middle]
    check = next(digit for digit in range(10) if luhn_by_table([*body, digit]))
    card = [*body, check]
    wrong = card.copy()
    wrong[place] = (wrong[place] + change) % 10
    texts = ["".join(map(str, digits)) for digits in (card, wrong)]
    out, rows, places = mask_texts(pl.Series(texts), "card")
    assert out.to_list() == ["[card]", texts[1]]
    assert rows == places == 1


@settings(max_examples=50)
@given(st.text())
def test_any_text_can_be_masked_once_and_for_all(text: str) -> None:
    once = masked(text)
    assert masked(once) == once


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "text",
    [
        "市" * 5000 + "路1号",
        "北京市区县路街" * 1000 + "1号",
        "1 Main " * 1000 + "Street",
        "+1 234 " * 1000,
        "a@" * 5000,
    ],
)
def test_hostile_text_takes_no_long_time(text: str) -> None:
    masked(text)


# Tables


def test_only_what_is_asked_is_masked_where_it_is_asked() -> None:
    text = "mail a@b.com, call 555-123-4567"
    items = pl.DataFrame({"item_id": ["x", "y"], "title": [text, None], "description": [text, "none"]})
    raw = Tables(pl.DataFrame({"user_id": ["u"], "item_id": ["x"], "review": [text]}), items)
    out, report = protect(raw, PrivacyConfig(mask_text=("email",)), {"items": ["description"]})
    assert out.items["description"].to_list() == ["mail [email], call 555-123-4567", "none"]
    assert out.items["title"].to_list() == [text, None]
    assert out.interactions["review"].to_list() == [text]
    assert [(one.table, one.column, one.kind, one.rows, one.places) for one in report.masked] == [
        ("items", "description", "email", 1, 1)
    ]
    assert raw.items["description"][0] == text


def test_all_strings_but_ids_are_looked_at_by_default() -> None:
    mail = "a@b.com"
    raw = Tables(
        pl.DataFrame({"user_id": [mail], "item_id": [mail], "event": [mail], "review": [f"{mail} {mail}"]}),
        users=pl.DataFrame({"user_id": [mail], "about": [mail], "age": [3]}),
    )
    out, report = protect(raw, PrivacyConfig(mask_text=("email", "card")))
    assert out.interactions.row(0) == (mail, mail, mail, "[email] [email]")
    assert out.users.row(0) == (mail, "[email]", 3)
    assert str(report) == "interactions.review: 2 x [email] in 1 rows\nusers.about: 1 x [email] in 1 rows"
    assert report.to_dict()["masked"][1] == {
        "table": "interactions",
        "column": "review",
        "kind": "card",
        "rows": 0,
        "places": 0,
    }


def test_kinds_do_not_disturb_each_other() -> None:
    text = "a@b.com 4111111111111111 13812345678 123 Main Street 建国路88号"
    assert masked(text) == "[email] [card] [phone] [address] [address]"


def test_nothing_is_hidden_by_default() -> None:
    raw = tables_of(["anna"])
    out, report = protect(raw, PrivacyConfig())
    assert out is raw
    assert str(report) == "nothing hidden"


@pytest.mark.parametrize("columns", [{"items": ["title"]}, {"interactions": ["timestamp"]}, {"nothing": ["title"]}])
def test_a_text_column_that_is_none_is_an_error(columns: dict[str, list[str]]) -> None:
    with pytest.raises(ConfigError, match=r"is not a column of strings\. Choose from \[\]"):
        protect(tables_of(["anna"]), MASK_ALL, columns)


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(ValidationError, match="'email', 'phone', 'card' or 'address'"):
        PrivacyConfig(mask_text=("name",))
