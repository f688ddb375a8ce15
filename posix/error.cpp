#include "posix/error.hpp"

namespace ringlet::posix {

int errno_of(Error error) {
    switch (error) {
    case Error::io:
    case Error::device_broken:
        return EIO;
    case Error::no_memory:
        return ENOMEM;
    case Error::no_space:
        return ENOSPC;
    case Error::not_found:
        return ENOENT;
    case Error::exists:
        return EEXIST;
    case Error::invalid:
        return EINVAL;
    case Error::would_block:
        return EAGAIN;
    case Error::timed_out:
        return ETIMEDOUT;
    case Error::connection_reset:
        return ECONNRESET;
    case Error::connection_refused:
        return ECONNREFUSED;
    case Error::unreachable:
        return EHOSTUNREACH;
    case Error::not_connected:
        return ENOTCONN;
    case Error::in_use:
        return EBUSY;
    case Error::unsupported:
        return ENOTSUP;
    case Error::corrupt:
        return EIO;
    case Error::read_only:
        return EROFS;
    case Error::not_directory:
        return ENOTDIR;
    case Error::is_directory:
        return EISDIR;
    case Error::name_too_long:
        return ENAMETOOLONG;
    case Error::too_many_links:
        return ELOOP;
    case Error::cross_device:
        return EXDEV;
    case Error::too_large:
        return EFBIG;
    case Error::closed:
        return EBADF;
    case Error::cancelled:
        return ECANCELED;
    }
    return EIO;
}

}  // namespace ringlet::posix
