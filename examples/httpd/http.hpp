// HTTP/1.1 as a server of files needs it: one request head in, plain values out. Pure: no sockets, no files, no clock.
// RFC 9112 (syntax), RFC 9110 (semantics; §13 conditional requests, §14 ranges). Context: any.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "lib/types.hpp"

namespace httpd {

using namespace ringlet;

enum class Status : u16 {
    ok = 200,
    partial_content = 206,
    moved_permanently = 301,
    not_modified = 304,
    bad_request = 400,
    forbidden = 403,
    not_found = 404,
    method_not_allowed = 405,
    request_timeout = 408,
    length_required = 411,
    content_too_large = 413,
    uri_too_long = 414,
    range_not_satisfiable = 416,
    header_fields_too_large = 431,
    internal_error = 500,
    not_implemented = 501,
    unavailable = 503,
    version_not_supported = 505,
};
std::string_view reason(Status s);

inline constexpr usize kMaxHead = 8192;    ///< request line and fields together; more is 431
inline constexpr usize kMaxTarget = 2048;  ///< more is 414
inline constexpr usize kMaxPath = 1024;    ///< decoded
inline constexpr u64 kMaxBody = 65536;     ///< a request body that is read and ignored; more is 413

enum class Method : u8 { get, head, other };

/// A byte range of a representation: [first, last], or the last `suffix` bytes.
struct RangeSpec {
    std::optional<u64> first, last;  ///< first empty: suffix length in `last`
};

/// Points into the buffer that was parsed, except `path`.
struct Request {
    Method method = Method::other;
    bool http_1_1 = false;
    bool keep_alive = false;
    u64 body_bytes = 0;       ///< to be read and dropped after the head
    std::string_view target;  ///< as sent, query included
    std::string_view query;   ///< after '?', without it
    char path[kMaxPath];      ///< decoded and normalised, begins with '/', NUL-terminated
    usize path_length = 0;
    std::optional<RangeSpec> range;  ///< a single range; several or malformed: none (the whole is sent)
    std::string_view if_none_match, if_range;
    std::optional<u64> if_modified_since;  ///< seconds since 1970

    std::string_view decoded_path() const { return {path, path_length}; }
};

/// The outcome of looking at the bytes received so far.
struct Parsed {
    enum class State : u8 { incomplete, complete, refused } state = State::incomplete;
    usize head_bytes = 0;        ///< complete: length of the head including its empty line
    Status status = Status::ok;  ///< refused: what to answer before closing
};

/// Parses one request head at the front of `received`. Never reads past it; never accepts what RFC 9112 §2-§6 forbids.
/// `refused` means the connection must be closed after the answer.
Parsed parse_request(std::string_view received, Request& out);

/// Decodes %XX, drops the query, resolves "." and "..". False: malformed, NUL, or a ".." that leaves the root.
bool decode_path(std::string_view target, Request& out);

/// The satisfiable part of `range` in a representation of `size` bytes; nothing: 416.
struct ByteRange {
    u64 first = 0, bytes = 0;
};
std::optional<ByteRange> resolve(const RangeSpec& range, u64 size);

/// RFC 9110 §13.1.2: does a comma-separated list of entity tags (or "*") contain `etag`? Weak comparison.
bool etag_matches(std::string_view list, std::string_view etag);

/// "Sun, 06 Nov 1994 08:49:37 GMT" into `to`.
inline constexpr usize kDateBytes = 29;
std::string_view format_date(u64 unix_seconds, std::span<char, kDateBytes> to);
/// The date formatted last: most answers of a second have the same, and so do those about one file.
class DateText {
public:
    std::string_view of(u64 unix_seconds) {
        if (unix_seconds != seconds_) format_date(seconds_ = unix_seconds, text_);
        return {text_, kDateBytes};
    }

private:
    u64 seconds_ = ~u64{0};  ///< no date: format_date() would make the year 9999 of it
    char text_[kDateBytes];
};
/// Accepts that form only (RFC 9110 §5.6.7 asks senders for it); nothing for anything else.
std::optional<u64> parse_date(std::string_view text);

/// By the name's extension; application/octet-stream when unknown.
std::string_view content_type(std::string_view name);

/// One character of a name, safe inside HTML text and attributes / inside a URL path.
std::string_view html_escape(char c, std::span<char, 1> plain);
std::string_view url_escape(char c, std::span<char, 3> to);

}  // namespace httpd
