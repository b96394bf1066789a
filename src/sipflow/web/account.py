"""The account of the packets: everything that came is stored, waits in the pool, or was turned away for a reason."""

import msgspec

from sipflow.web.status import RecorderSnapshot


class Account(msgspec.Struct, frozen=True):
    """What became of what came, since the recorder started; in packets where nothing else is said.

    frames = taken + rejected + dropped, and taken + replayed = stored + known + damaged + in_pool: `unaccounted` is
    what is missing from the two, 0 whenever nothing is on its way between two counters.
    """

    datagrams: int  # received
    kernel_drops: int  # datagrams that the kernel dropped before they could be read
    refused_datagrams: int  # datagrams turned away whole
    frames: int  # found in the others
    rejected: int  # frames that do not follow the format
    dropped: int  # sound, but not taken: by setting, or for want of room
    taken: int  # put into the pool
    replayed: int  # found in the pool that an earlier process left
    stored: int  # committed to buckets
    known: int  # replayed, but committed before the crash already
    damaged: int  # of the pool, their checksums wrong
    in_pool: int  # on their way; can be asked for like what is stored
    unaccounted: int

    @property
    def visible(self) -> int:
        """Tell how many packets can be asked for."""
        return self.stored + self.in_pool


def account_of(snapshot: RecorderSnapshot) -> Account:
    """Draw the account of a snapshot."""
    count = snapshot.counters.get
    taken = count("packets_sip", 0) + count("packets_rtp", 0)
    stored = count("stored_sip", 0) + count("stored_rtp", 0)
    refused_datagrams, frames = count("refused_datagrams", 0), count("frames", 0)
    rejected = sum(snapshot.rejected.values()) - refused_datagrams
    dropped = sum(snapshot.dropped.values())
    replayed, known, damaged = count("replayed", 0), count("known_packets", 0), count("damaged_packets", 0)
    in_pool = count("pool_packets", 0)
    missing = (frames - taken - rejected - dropped) + (taken + replayed - stored - known - damaged - in_pool)
    return Account(
        datagrams=count("datagrams", 0),
        kernel_drops=count("kernel_drops", 0),
        refused_datagrams=refused_datagrams,
        frames=frames,
        rejected=rejected,
        dropped=dropped,
        taken=taken,
        replayed=replayed,
        stored=stored,
        known=known,
        damaged=damaged,
        in_pool=in_pool,
        unaccounted=missing,
    )
