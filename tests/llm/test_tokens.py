import pytest

from cleartrace.llm.tokens import count_tokens, token_counter


def test_the_estimate_grows_with_the_text_and_is_zero_for_none() -> None:
    assert count_tokens("") == 0
    assert count_tokens("a" * 400) >= 100
    assert count_tokens("12345") == 5
    assert count_tokens("模型") == 2
    assert count_tokens("half \ud800 a character") > 0


def test_a_real_tokenizer_is_read_from_its_file(tmp_path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    vocabulary = {"[UNK]": 0, "look": 1, "first": 2}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    for place in (tmp_path, tmp_path / "tokenizer.json"):
        assert token_counter(f"tokenizer:{place}")("look first look again") == 4


def test_the_default_downloads_nothing_and_other_specs_say_what_is_wrong(tmp_path) -> None:
    assert token_counter() is count_tokens
    with pytest.raises(ValueError, match="tokenizer:PATH"):
        token_counter("gpt2")
    with pytest.raises(FileNotFoundError, match="tokenizer.json"):
        token_counter(f"tokenizer:{tmp_path}")
