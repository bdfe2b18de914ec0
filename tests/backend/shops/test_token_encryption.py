"""Secrets at rest: what opens, what does not, and which keys will do."""

import base64

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backend.errors import ConfigurationError
from backend.shops.token_encryption import (
    TokenKeys,
    TokenUnreadable,
    UnknownKey,
    associated_data,
    generate_key,
)

SHOP, COLUMN = "north.myshopify.com", "access_token"
SECRET = "shpat_0123456789abcdef0123456789abcdef"
OLD, NEW = generate_key(), generate_key()


def key(size: int = 32, first: int = 0) -> str:
    """A key of that many bytes; always the same, for it names a test."""
    return base64.b64encode(bytes(range(first, first + size))).decode()


def encrypt(keys: str = NEW, shop: str = SHOP, column: str = COLUMN) -> str:
    """The secret, as stored there."""
    return TokenKeys(keys).encrypt(SECRET, shop=shop, column=column)


def decrypt(value: str, keys: str = NEW, shop: str = SHOP, column: str = COLUMN) -> str:
    """What is in it."""
    return TokenKeys(keys).decrypt(value, shop=shop, column=column)


def test_an_encrypted_value_decrypts_and_does_not_contain_the_secret() -> None:
    value = encrypt()
    assert decrypt(value) == SECRET
    assert SECRET not in value
    assert SECRET[6:] not in base64.urlsafe_b64decode(value.split(".")[2] + "==").decode("latin-1")


def test_the_same_secret_is_encrypted_differently_each_time() -> None:
    assert encrypt() != encrypt()


@pytest.mark.parametrize(
    "elsewhere", [{"shop": "south.myshopify.com"}, {"column": "refresh_token"}]
)
def test_a_value_moved_to_another_row_or_column_does_not_decrypt(elsewhere: dict[str, str]) -> None:
    with pytest.raises(TokenUnreadable):
        decrypt(encrypt(), **elsewhere)


def test_a_different_key_of_the_same_name_does_not_decrypt() -> None:
    with pytest.raises(TokenUnreadable):
        decrypt(encrypt(f"a:{key()}"), f"a:{key(first=1)}")


def test_a_renamed_key_does_not_decrypt_its_old_values() -> None:
    one = key()
    renamed = encrypt(f"a:{one}").replace("v1.a.", "v1.b.")
    with pytest.raises(TokenUnreadable):
        decrypt(renamed, f"b:{one}")


@given(st.integers(0, 10_000), st.sampled_from("Aa0_.-"))
def test_one_changed_character_prevents_decryption(at: int, other: str) -> None:
    value = encrypt()
    at = 3 + at % (len(value) - 4)  # the last one has bits that say nothing
    assume(other != value[at])
    with pytest.raises((TokenUnreadable, UnknownKey)):
        decrypt(value[:at] + other + value[at + 1 :])


@pytest.mark.parametrize(
    "value", ["v1.", "v1.a.b", "v1..", f"v2.a.{'A' * 60}", "v1.a.=" + "A" * 60]
)
def test_a_damaged_value_is_never_treated_as_plain_text(value: str) -> None:
    with pytest.raises(TokenUnreadable):
        decrypt(value)


def test_a_plain_value_is_read_unchanged() -> None:
    assert decrypt(SECRET) == SECRET


def test_every_key_decrypts_and_the_first_key_encrypts() -> None:
    both = f"{NEW},{OLD}"
    assert decrypt(encrypt(OLD), both) == SECRET
    assert encrypt(both).startswith(f"v1.{NEW.split(':')[0]}.")
    with pytest.raises(UnknownKey):
        decrypt(encrypt(OLD), NEW)


@given(st.lists(st.text(max_size=4), max_size=4), st.lists(st.text(max_size=4), max_size=4))
def test_associated_data_is_unique_for_each_shop_and_column(
    one: list[str], other: list[str]
) -> None:
    assert (associated_data(*one) == associated_data(*other)) is (one == other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " , ",
        "a",
        "a:",
        f":{key()}",
        f"a.b:{key()}",
        f"a:{key(16)}",
        f"a:{key(33)}",
        f"a:{base64.b64encode(bytes(32)).decode()}",
        "a:not base64 at all!",
        f"a:{key()},a:{key()}",
    ],
)
def test_unusable_keys_are_refused_without_showing_them(text: str) -> None:
    with pytest.raises(ConfigurationError, match="atelier keys new") as caught:
        TokenKeys(text)
    found = text.rpartition(":")[2]
    assert len(found) < 5 or found not in str(caught.value)


def test_both_base64_alphabets_and_spaces_are_accepted() -> None:
    raw = base64.b64decode(OLD.split(":")[1])
    spelt = f" a:{base64.urlsafe_b64encode(raw).decode()} , {NEW} "
    assert decrypt(encrypt(f"a:{base64.b64encode(raw).decode()}"), spelt) == SECRET


def test_no_key_appears_in_the_repr() -> None:
    assert NEW.split(":")[1] not in repr(TokenKeys(NEW))
