"""The service itself, which the handlers register with."""

from services.callme.rules import Caller
from services.callme.settings import Config
from vas import Context, Service

assert __package__ is not None
callme = Service(__package__, config=Config, state=Caller)

Ctx = Context[Config, Caller]
