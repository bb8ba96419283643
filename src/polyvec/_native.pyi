# The extension module; native/bindings*.cpp say what is in it, and its callers in Python have the types.
from typing import Any

def __getattr__(name: str) -> Any: ...
