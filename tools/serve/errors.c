/* Error prefixes. The table is in errors.h. */
#include "errors.h"

#include <holdfast/holdfast.h>

const char *gateway_error_prefix(gateway_error error) {
    switch (error) {
#define X(name, prefix, when)                                                                                          \
    case GATEWAY_##name:                                                                                               \
        return prefix;
        GATEWAY_ERROR_MAP(X)
#undef X
    default:
        return "ERR";
    }
}

gateway_error gateway_error_of(int engine_error) {
    switch (engine_error) {
    case HF_EINVAL:
        return GATEWAY_ARGUMENT;
    case HF_EIDS:
    case HF_ESKUS:
    case HF_ESESSIONS:
    case HF_ENOMEM:
    case HF_EAGAIN:
        return GATEWAY_LIMIT;
    case HF_ERANGE:
        return GATEWAY_RANGE;
    case HF_EPOISONED:
        return GATEWAY_POISONED;
    case HF_ECLOSED:
        return GATEWAY_STOPPING;
    default:
        return GATEWAY_ENGINE;
    }
}
