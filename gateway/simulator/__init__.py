"""An SMSC with phones attached: for tests, for benches, and to try a service by hand."""

from gateway.simulator.delivery import Attempt, Mo, Outcome
from gateway.simulator.phone import NoDialogue, NoNetwork, Phone, PhoneState, Received, Screen
from gateway.simulator.settings import Settings
from gateway.simulator.simulator import Simulator
from gateway.simulator.wire import Mt, State

__all__ = [
    "Simulator",
    "Settings",
    "Phone",
    "PhoneState",
    "NoDialogue",
    "NoNetwork",
    "Received",
    "Screen",
    "Mo",
    "Attempt",
    "Outcome",
    "Mt",
    "State",
]
