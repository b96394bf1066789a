#include "status.h"

static const char *const names[SF_STATUS_COUNT] = {
    [SF_OK] = "ok",
    [SF_TRUNCATED] = "truncated",
    [SF_BAD_MAGIC] = "bad_magic",
    [SF_BAD_VERSION] = "bad_version",
    [SF_BAD_KIND] = "bad_kind",
    [SF_BAD_FAMILY] = "bad_family",
    [SF_BAD_METADATA] = "bad_metadata",
    [SF_BAD_CALL_ID] = "bad_call_id",
    [SF_BAD_BATCH] = "bad_batch",
    [SF_BAD_HEP] = "bad_hep",
    [SF_HEP_KEY] = "hep_key",
    [SF_NO_CALL_ID] = "no_call_id",
    [SF_CALL_ID_TOO_LONG] = "call_id_too_long",
    [SF_TOO_LARGE] = "too_large",
    [SF_FOREIGN_SOURCE] = "foreign_source",
    [SF_HEP_OTHER] = "hep_other",
    [SF_MEDIA_OFF] = "media_off",
    [SF_POOL_FULL_RTP] = "pool_full_rtp",
    [SF_POOL_FULL_SIP] = "pool_full_sip",
    [SF_SIP_FIRST] = "sip_first",
    [SF_DISK_LOW_RTP] = "disk_low_rtp",
    [SF_DISK_LOW_SIP] = "disk_low_sip",
};

const char *sf_status_name(enum sf_status status)
{
    if ((unsigned)status >= SF_STATUS_COUNT) {
        return "unknown";
    }
    return names[status];
}
