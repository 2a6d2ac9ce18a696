"""Every regularizer with every model: it trains or is refused with a reason, as docs/COMBINATIONS.md says."""

import pytest
from combinations import COMMAND, MODELS, PAGE, column, page, read


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_the_page_says_what_happens(model):
    assert read(PAGE.read_text()).get(model) == column(model), f"write docs/COMBINATIONS.md again: {COMMAND}"


def test_the_page_is_as_the_command_writes_it():
    columns = read(PAGE.read_text())
    assert list(columns) == MODELS
    assert page(columns) == PAGE.read_text()
