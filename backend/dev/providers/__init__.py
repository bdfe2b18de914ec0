"""A stand-in for FASHN and fal on this machine: their HTTP, drawn pictures, and their faults."""

from backend.dev.providers.faults import ProviderFaultName
from backend.dev.providers.requests import AcceptedRequest
from backend.dev.providers.stand_in import FAL_KEY, FASHN_KEY, StandInProvider

__all__ = ["FAL_KEY", "FASHN_KEY", "AcceptedRequest", "ProviderFaultName", "StandInProvider"]
