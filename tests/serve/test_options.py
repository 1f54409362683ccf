import pytest

from serve.errors import RequestError
from serve.formats.options import Wishes, read


def test_every_place_can_name_wishes_and_the_nearest_counts() -> None:
    assert read() == Wishes()
    assert read("top_k=3&threshold=0.25") == Wishes(top_k=3, threshold=0.25)
    assert read(attributes="top_k=3;explain=gradcam") == Wishes(top_k=3, explain="gradcam")
    assert read("top_k=3", "top_k=9,threshold=1", {"top_k": 2}) == Wishes(top_k=2, threshold=1)


def test_attributes_may_be_anything_else() -> None:
    assert read(attributes="c000b4f9-df62; trace=7, top_k") == Wishes()


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
        ("too_long=", "too_long"),
    ],
)
def test_an_unknown_or_impossible_wish_is_refused_by_name(query: str, name: str) -> None:
    with pytest.raises(RequestError) as refusal:
        read(query)
    assert refusal.value.code == 400
    assert name in refusal.value.message
    assert "top_k=5" in refusal.value.hint
