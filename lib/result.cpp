#include "lib/result.hpp"

namespace ringlet {

std::string_view to_string(Error e) {
    switch (e) {
    case Error::io:
        return "input/output error";
    case Error::no_memory:
        return "out of memory";
    case Error::no_space:
        return "no space left";
    case Error::not_found:
        return "not found";
    case Error::exists:
        return "already exists";
    case Error::invalid:
        return "invalid argument";
    case Error::would_block:
        return "would block";
    case Error::timed_out:
        return "timed out";
    case Error::connection_reset:
        return "connection reset";
    case Error::connection_refused:
        return "connection refused";
    case Error::unreachable:
        return "unreachable";
    case Error::not_connected:
        return "not connected";
    case Error::in_use:
        return "already in use";
    case Error::unsupported:
        return "not supported";
    case Error::device_broken:
        return "device broken";
    case Error::corrupt:
        return "corrupt data";
    case Error::read_only:
        return "read-only";
    case Error::not_directory:
        return "not a directory";
    case Error::is_directory:
        return "is a directory";
    case Error::name_too_long:
        return "name too long";
    case Error::too_many_links:
        return "too many links";
    case Error::cross_device:
        return "on different filesystems";
    case Error::too_large:
        return "too large";
    case Error::closed:
        return "closed";
    case Error::cancelled:
        return "cancelled";
    }
    return "unknown error";
}

}  // namespace ringlet
