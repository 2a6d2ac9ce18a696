"""torchmetrics without what it imports for metrics that are not used; in a process of its own, as imports stay."""

import subprocess
import sys

import pytest

from gan_lab.deferred import deferred_attribute


def said(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_lightning_loads_without_them_and_others_get_the_real_ones():
    pytest.importorskip("transformers")
    code = """
import sys, gan_lab, pytorch_lightning
print([name for name in ("transformers", "scipy.signal") if name in sys.modules])
import torchmetrics.functional.text.bert as bert
import scipy.signal, transformers
print(type(scipy.signal.butter).__name__, isinstance(transformers.AutoModel, type))
print(bert.AutoModel.from_pretrained == transformers.AutoModel.from_pretrained, isinstance(3, bert.AutoModel))
class Derived(bert.AutoModel): pass
print(issubclass(Derived, transformers.AutoModel))
"""
    assert said(code).splitlines() == ["[]", "function True", "True False", "True"]


def test_what_is_imported_before_stays():
    code = "import scipy.signal as first, gan_lab, torchmetrics, sys; print(sys.modules['scipy.signal'] is first)"
    assert said(code) == "True\n"


def test_an_attribute_is_looked_up_when_it_is_used():
    join = deferred_attribute("os.path", "join")
    assert join("a", "b") == "a/b"
    assert join.__name__ == "join"
    assert isinstance({}, deferred_attribute("builtins", "dict"))
    missing = deferred_attribute("os.path", "no_such_thing")
    with pytest.raises(AttributeError, match="no_such_thing"):
        missing()
