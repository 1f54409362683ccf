from hypothesis import given
from hypothesis import strategies as st
from mms.context import Context, RequestProcessor

from serve.formats import replies
from tests.serve.worker import read

ANSWERS = st.tuples(
    st.binary(max_size=3000),
    st.sampled_from([(200, ""), (400, "Bad Request"), (415, "Unsupported Media Type")]),
    st.sampled_from(["application/json", "image/png", "text/csv; charset=utf-8"]),
)


@given(st.lists(ANSWERS, min_size=1, max_size=16), st.text(max_size=40))
def test_no_read_of_java_ends_before_or_inside_a_status(
    answers: list[tuple[bytes, tuple[int, str], str]], message: str
) -> None:
    """Java reads multiples of 16 bytes, and each status must be complete."""
    context = Context("model", "", None, 16, None, "")
    context.request_processor = [RequestProcessor({}) for _ in answers]
    for place, (_, (code, phrase), content_type) in enumerate(answers):
        context.set_response_status(code, phrase, place)
        context.set_response_content_type(place, content_type)
    ids = {place: f"{place:036}" for place in range(len(answers))}
    code, found = read(replies.encode([body for body, _, _ in answers], ids, context, message))
    assert code == 200
    for place, (reply, (body, status, content_type)) in enumerate(zip(found, answers, strict=True)):
        ends = range(0, reply.status_offset + 20, 16)
        assert not set(ends) & set(range(reply.status_offset, reply.status_offset + 4))
        assert reply.headers == 0
        assert reply.request_id == ids[place]
        assert (reply.body, reply.status, reply.phrase) == (body, *status)
        assert reply.content_type.rstrip(" ") == content_type
