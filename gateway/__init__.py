"""The SMPP 3.4 gateway: `SmppGateway` over the accounts that `AccountSettings` describe."""

from gateway.adapter import SmppGateway
from gateway.links.bind import BindStatus
from gateway.settings import AccountSettings

__all__ = ["AccountSettings", "BindStatus", "SmppGateway"]
