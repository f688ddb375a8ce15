// newlib's formatted output, on posix/printf.hpp: what printf(), fprintf(), snprintf(), asprintf() and the others come
// down to. Wide streams (wprintf) are newlib's own. Context: thread.
#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <reent.h>

#include "lib/types.hpp"
#include "posix/printf.hpp"

using namespace ringlet;
using ringlet::posix::print_formatted;

namespace {

/// Pieces for a stream, gathered: an unbuffered one gets few writes.
class Gathered {
public:
    explicit Gathered(FILE* stream) : stream_(stream) {}
    void put(std::string_view piece) {
        while (!piece.empty()) {
            const usize n = std::min(piece.size(), sizeof text_ - size_);
            std::memcpy(text_ + size_, piece.data(), n);
            size_ += n;
            piece.remove_prefix(n);
            if (size_ == sizeof text_) flush();
        }
    }
    /// False: the stream did not take everything; errno says why.
    bool flush() {
        good_ = good_ && fwrite_unlocked(text_, 1, size_, stream_) == size_;
        size_ = 0;
        return good_;
    }

private:
    FILE* const stream_;
    usize size_ = 0;
    bool good_ = true;
    char text_[256];
};

int print_to(FILE* stream, const char* format, va_list arguments) {
    flockfile(stream);
    Gathered gathered(stream);
    const int count = print_formatted([&](std::string_view piece) { gathered.put(piece); }, format, arguments);
    const bool written = gathered.flush();
    funlockfile(stream);
    return written ? count : -1;
}

/// Room for `more` characters and the end in a string that grows: asprintf()'s, which is on the heap (__SMBF), or
/// asnprintf()'s, which is as long as it fits where the caller had it (__SOPT). False, and ENOMEM.
bool grow(FILE* string, usize more) {
    const usize used = static_cast<usize>(string->_p - string->_bf._base);
    const usize size = std::max(static_cast<usize>(string->_bf._size) * 3 / 2, used + more + 1);
    void* const old = (string->_flags & __SMBF) != 0 ? string->_bf._base : nullptr;
    auto* const fresh = size > INT_MAX ? nullptr : static_cast<unsigned char*>(std::realloc(old, size));
    if (fresh == nullptr) return errno = ENOMEM, false;
    if (old == nullptr) std::memcpy(fresh, string->_bf._base, used);
    string->_flags = static_cast<short>((string->_flags & ~__SOPT) | __SMBF);
    string->_bf._base = fresh;
    string->_bf._size = static_cast<int>(size);
    string->_p = fresh + used;
    string->_w = static_cast<int>(size - used);
    return true;
}

}  // namespace

extern "C" {

int _vfprintf_r(_reent*, FILE* stream, const char* format, va_list arguments) {
    return print_to(stream, format, arguments);
}
int vfprintf(FILE* stream, const char* format, va_list arguments) {
    return print_to(stream, format, arguments);
}

/// Into a string that looks like a stream: _p is where the next character goes, _w how many have room. The caller
/// appends the end.
int _svfprintf_r(_reent*, FILE* string, const char* format, va_list arguments) {
    const bool grows = (string->_flags & (__SMBF | __SOPT)) != 0;
    bool good = true;
    const auto put = [&](std::string_view piece) {
        if (grows && piece.size() >= static_cast<usize>(string->_w)) good = good && grow(string, piece.size());
        const usize n = good ? std::min(piece.size(), static_cast<usize>(string->_w)) : 0;
        std::memcpy(string->_p, piece.data(), n);
        string->_p += n;
        string->_w -= static_cast<int>(n);
    };
    if (grows && string->_bf._base == nullptr && !grow(string, 0)) return -1;
    const int count = print_formatted(put, format, arguments);
    return good ? count : -1;
}

}  // extern "C"
