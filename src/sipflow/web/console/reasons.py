"""What the words mean under which packets are turned away, and what to do about each."""

from typing import Final, NamedTuple


class Reason(NamedTuple):
    """Why something was not stored, and what helps."""

    meaning: str
    advice: str


_FORMAT = (
    "The sender and this port do not speak the same format: SipFlow frames (SF) and HEP are read, see `listening`."
)
REASONS: Final[dict[str, Reason]] = {
    "truncated": Reason("frames cut short", "Something between sender and server cuts datagrams: look at the MTU."),
    "bad_magic": Reason("neither SipFlow frames nor HEP", _FORMAT),
    "bad_version": Reason("frames of an unknown version", "The sender is newer than this server."),
    "bad_kind": Reason("frames neither SIP nor RTP", _FORMAT),
    "bad_family": Reason("frames of an unknown address family", _FORMAT),
    "bad_metadata": Reason("frames with broken metadata", _FORMAT),
    "bad_call_id": Reason("frames whose Call-ID is no text", _FORMAT),
    "bad_batch": Reason("batches with broken lengths", _FORMAT),
    "bad_hep": Reason(
        "HEP frames with broken lengths", "The sender, or a version of it, writes HEP wrongly; docs/HEP.md names some."
    ),
    "hep_key": Reason("HEP without the right key", "Give the sender the key that hep_key names under [sipflow]."),
    "hep_other": Reason(
        "HEP that carries neither SIP nor RTP", "Reports and log lines are not stored; nothing is wrong with them."
    ),
    "no_call_id": Reason("RTP that names no call", "The sender has to say which call the media is of."),
    "call_id_too_long": Reason("Call-IDs that are too long", "No phone sends such; the packets are hostile or broken."),
    "too_large": Reason("packets too large to store", "No phone sends such; the packets are hostile or broken."),
    "foreign_source": Reason(
        "senders outside `allow`", "Add their network to allow under [sipflow], or leave them out."
    ),
    "media_off": Reason("RTP while media is off", "Set media = true under [sipflow] to record it."),
    "pool_full_rtp": Reason("RTP for which the pool had no room", "Raise pool_mb, or find out why the disk is slow."),
    "pool_full_sip": Reason("SIP for which the pool had no room", "Raise pool_mb, or find out why the disk is slow."),
    "sip_first": Reason("RTP given up for SIP", "The pool was nearly full: raise pool_mb."),
    "disk_low_rtp": Reason("RTP for which the disk had no room", "Make room, or keep less: see retention."),
    "disk_low_sip": Reason("SIP for which the disk had no room", "Make room, or keep less: see retention."),
    "kernel": Reason("datagrams dropped by the kernel", "Raise recv_buffer_mb and net.core.rmem_max."),
}


def reason_of(word: str) -> Reason:
    """Explain a word; one that is not known stands for itself."""
    return REASONS.get(word, Reason(word.replace("_", " "), ""))
