import pytest

from serve.errors import RequestError
from serve.formats.options import Options, read_options


def test_the_body_overrides_the_query_and_the_query_the_attributes() -> None:
    assert read_options() == Options()
    assert read_options("top_k=3&threshold=0.25") == Options(top_k=3, threshold=0.25)
    assert read_options(attributes="top_k=3;explain=gradcam") == Options(top_k=3, explain="gradcam")
    assert read_options("top_k=3", "top_k=9,threshold=1", {"top_k": 2}) == Options(
        top_k=2, threshold=1
    )


def test_attributes_can_have_other_contents() -> None:
    assert read_options(attributes="c000b4f9-df62; trace=7, top_k") == Options()


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("topk=3", "topk"),
        ("top_k=0", "top_k"),
        ("top_k=many", "top_k"),
        ("threshold=2", "threshold"),
        ("threshold=nan", "threshold"),
        ("explain=why", "explain"),
        ("explain=", "explain"),
        ("=3", "''"),
    ],
)
def test_the_error_names_an_unknown_or_invalid_option(query: str, name: str) -> None:
    with pytest.raises(RequestError) as refusal:
        read_options(query)
    assert refusal.value.code == 400
    assert name in refusal.value.message
    assert "top_k=5" in refusal.value.hint
