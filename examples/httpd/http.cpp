#include "http.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "lib/calendar.hpp"
#include "lib/format.hpp"
#include "lib/parse.hpp"

namespace httpd {

namespace {

constexpr char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
    return std::ranges::equal(a, b, {}, lower, lower);
}

std::string_view trim(std::string_view s) {
    while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
    while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
    return s;
}

/// Takes the part up to the next `separator` off the front of `rest`, trimmed.
std::string_view take_until(std::string_view& rest, char separator) {
    const usize at = rest.find(separator);
    const std::string_view part = rest.substr(0, at);
    rest.remove_prefix(at == rest.npos ? rest.size() : at + 1);
    return trim(part);
}

bool is_token(std::string_view s) {
    // The characters of a token (RFC 9110 §5.6.2) as one bit each: every name of every request comes here.
    static constexpr auto kBits = [] {
        std::array<u64, 4> bits{};
        for (unsigned c = 0; c < 128; ++c)
            if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos)
                bits[c / 64] |= u64{1} << c % 64;
        return bits;
    }();
    for (const char c : s)
        if ((kBits[static_cast<u8>(c) / 64] >> static_cast<u8>(c) % 64 & 1) == 0) return false;
    return !s.empty();
}

bool is_field_value(std::string_view s) {
    return std::ranges::all_of(s, [](char c) { return c == '\t' || (static_cast<u8>(c) >= 0x20 && c != 0x7f); });
}

std::optional<RangeSpec> parse_range(std::string_view value) {
    if (!equals_ignoring_case(value.substr(0, 6), "bytes=")) return std::nullopt;
    value = trim(value.substr(6));
    const usize dash = value.find('-');
    if (dash == value.npos || value.find(',') != value.npos) return std::nullopt;
    RangeSpec r;
    const std::string_view first = value.substr(0, dash), last = value.substr(dash + 1);
    if (!first.empty()) {
        r.first = parse_number<u64>(first);
        if (!r.first) return std::nullopt;
    }
    if (!last.empty()) {
        r.last = parse_number<u64>(last);
        if (!r.last) return std::nullopt;
    }
    if (!r.first && !r.last) return std::nullopt;
    if (r.first && r.last && *r.last < *r.first) return std::nullopt;
    return r;
}

/// What the fields have said so far; decides the framing at the end (RFC 9112 §6).
struct Fields {
    unsigned hosts = 0;
    bool close = false, keep_alive = false, transfer_encoding = false, expects = false;
    std::optional<u64> content_length;
    bool bad = false;
};

void connection_options(std::string_view value, Fields& f) {
    while (!value.empty()) {
        const std::string_view option = take_until(value, ',');
        if (equals_ignoring_case(option, "close")) f.close = true;
        if (equals_ignoring_case(option, "keep-alive")) f.keep_alive = true;
    }
}

void take_field(std::string_view name, std::string_view value, Fields& f, Request& out) {
    const auto is = [name](std::string_view other) { return equals_ignoring_case(name, other); };
    if (is("host"))
        ++f.hosts;
    else if (is("connection"))
        connection_options(value, f);
    else if (is("transfer-encoding"))
        f.transfer_encoding = true;
    else if (is("expect"))
        f.expects = true;
    else if (is("content-length")) {
        const auto n = parse_number<u64>(value);
        if (!n || (f.content_length && *f.content_length != *n)) f.bad = true;
        f.content_length = n;
    } else if (is("range"))
        out.range = parse_range(value);
    else if (is("if-range"))
        out.if_range = value;
    else if (is("if-none-match"))
        out.if_none_match = value;
    else if (is("if-modified-since"))
        out.if_modified_since = parse_date(value);
}

std::optional<Status> parse_request_line(std::string_view line, Request& out) {
    const usize first = line.find(' '), last = line.rfind(' ');
    if (first == line.npos || first == last) return Status::bad_request;
    const std::string_view method = line.substr(0, first), version = line.substr(last + 1);
    out.target = line.substr(first + 1, last - first - 1);
    if (!is_token(method) || out.target.find_first_of(" \t") != out.target.npos) return Status::bad_request;
    if (version.size() != 8 || !version.starts_with("HTTP/") || version[6] != '.') return Status::bad_request;
    if (version[5] != '1') return Status::version_not_supported;
    if (version[7] < '0' || version[7] > '9') return Status::bad_request;
    out.http_1_1 = version[7] != '0';
    out.method = method == "GET" ? Method::get : method == "HEAD" ? Method::head : Method::other;
    if (out.target.size() > kMaxTarget) return Status::uri_too_long;
    if (out.method != Method::other && !decode_path(out.target, out)) return Status::bad_request;
    return std::nullopt;
}

std::optional<Status> check_framing(const Fields& f, Request& out) {
    if (f.bad || f.hosts > 1 || (out.http_1_1 && f.hosts == 0)) return Status::bad_request;
    if (f.transfer_encoding) return f.content_length ? Status::bad_request : Status::length_required;
    out.body_bytes = f.content_length.value_or(0);
    if (out.body_bytes > kMaxBody) return Status::content_too_large;
    out.keep_alive = !f.close && (out.http_1_1 || f.keep_alive);
    // Whoever waits for 100 (Continue) may or may not send the body after our final answer (RFC 9110 §10.1.1): what
    // comes next could be either, so nothing does.
    if (f.expects && out.body_bytes != 0) out.keep_alive = false;
    return std::nullopt;
}

/// The line at the front of `rest` without its CRLF (a bare LF is accepted, RFC 9112 §2.2); nothing if incomplete.
std::optional<std::string_view> take_line(std::string_view& rest) {
    const usize end = rest.find('\n');
    if (end == rest.npos) return std::nullopt;
    std::string_view line = rest.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    rest.remove_prefix(end + 1);
    return line;
}

std::optional<Status> parse_fields(std::string_view& rest, Request& out, bool& complete) {
    Fields fields;
    while (const auto line = take_line(rest)) {
        if (line->empty()) {
            complete = true;
            return check_framing(fields, out);
        }
        const usize colon = line->find(':');
        if (colon == line->npos || !is_token(line->substr(0, colon))) return Status::bad_request;
        const std::string_view value = trim(line->substr(colon + 1));
        if (!is_field_value(value)) return Status::bad_request;
        take_field(line->substr(0, colon), value, fields, out);
    }
    return std::nullopt;
}

int hex_value(char c) {
    const auto v = parse_number<u8>({&c, 1}, 16);
    return v ? *v : -1;
}

/// Appends one decoded segment to the normalised path. False: it leaves the root or does not fit.
bool append_segment(std::string_view segment, Request& out) {
    if (segment.empty() || segment == ".") return true;
    if (segment == "..") {
        if (out.path_length <= 1) return false;
        --out.path_length;  // the '/' after the last segment
        while (out.path[out.path_length - 1] != '/') --out.path_length;
        return true;
    }
    if (out.path_length + segment.size() + 2 > kMaxPath) return false;
    std::ranges::copy(segment, out.path + out.path_length);
    out.path_length += segment.size();
    out.path[out.path_length++] = '/';
    return true;
}

constexpr std::string_view kDays[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};  // 1970-01-01 was a Thursday
constexpr std::string_view kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

}  // namespace

Parsed parse_request(std::string_view received, Request& out) {
    out = Request{};
    std::string_view rest = received;
    while (rest.starts_with("\r\n") || rest.starts_with('\n')) rest.remove_prefix(rest[0] == '\r' ? 2 : 1);
    const auto refuse = [](Status s) { return Parsed{Parsed::State::refused, 0, s}; };
    const auto line = take_line(rest);
    if (!line) {
        if (received.size() > kMaxTarget + 64) return refuse(Status::uri_too_long);
        return {};
    }
    if (const auto status = parse_request_line(*line, out)) return refuse(*status);
    bool complete = false;
    if (const auto status = parse_fields(rest, out, complete)) return refuse(*status);
    const usize head = received.size() - rest.size();
    if ((complete ? head : received.size()) > kMaxHead) return refuse(Status::header_fields_too_large);
    if (!complete) return {};
    return {Parsed::State::complete, head, Status::ok};
}

bool decode_path(std::string_view target, Request& out) {
    if (const usize scheme = target.find("://"); !target.starts_with('/') && scheme != target.npos) {
        const usize slash = target.find('/', scheme + 3);  // absolute-form, RFC 9112 §3.2.2
        target = slash == target.npos ? "/" : target.substr(slash);
    }
    if (!target.starts_with('/')) return false;
    const usize question = target.find('?');
    if (question != target.npos) out.query = target.substr(question + 1);
    std::string_view raw = target.substr(0, question);

    out.path[0] = '/';
    out.path_length = 1;
    const bool directory = raw.ends_with('/');
    char segment[256];
    usize length = 0;
    for (usize i = 1; i <= raw.size(); ++i) {
        if (i == raw.size() || raw[i] == '/') {
            if (!append_segment({segment, length}, out)) return false;
            length = 0;
            continue;
        }
        char c = raw[i];
        if (c == '%') {
            if (i + 2 >= raw.size()) return false;
            const int high = hex_value(raw[i + 1]), low = hex_value(raw[i + 2]);
            if (high < 0 || low < 0) return false;
            c = static_cast<char>(high * 16 + low);
            i += 2;
            if (c == '/') return false;  // an encoded slash is part of no file name
        }
        if (c == 0 || length == sizeof segment - 1) return false;
        segment[length++] = c;
    }
    if (!directory && out.path_length > 1) --out.path_length;  // the request named no directory
    out.path[out.path_length] = 0;
    return true;
}

std::optional<ByteRange> resolve(const RangeSpec& range, u64 size) {
    if (!range.first) {
        const u64 bytes = std::min(*range.last, size);
        if (bytes == 0) return std::nullopt;
        return ByteRange{size - bytes, bytes};
    }
    if (*range.first >= size) return std::nullopt;
    const u64 last = std::min(range.last.value_or(size - 1), size - 1);
    return ByteRange{*range.first, last - *range.first + 1};
}

bool etag_matches(std::string_view list, std::string_view etag) {
    if (trim(list) == "*") return true;
    while (!list.empty()) {
        std::string_view candidate = take_until(list, ',');
        if (candidate.starts_with("W/")) candidate.remove_prefix(2);
        if (candidate == etag) return true;
    }
    return false;
}

std::string_view format_date(u64 unix_seconds, std::span<char, kDateBytes> to) {
    constexpr u64 kLatest = u64{days_from_civil({9999, 12, 31})} * 86400;
    const u64 seconds = std::min(unix_seconds, kLatest);
    const u64 days = seconds / 86400, of_day = seconds % 86400;
    const CivilDate date = civil_from_days(static_cast<i64>(days));
    const u64 day = date.day, month = date.month, year = static_cast<u64>(date.year);
    // By hand, because each answer has two of them.
    std::memcpy(to.data(), "Thu, 01 Jan 1970 00:00:00 GMT", kDateBytes);
    const auto two_digits = [&](usize at, u64 v) {
        to[at] = static_cast<char>('0' + v / 10);
        to[at + 1] = static_cast<char>('0' + v % 10);
    };
    std::memcpy(&to[0], kDays[days % 7].data(), 3);
    two_digits(5, day);
    std::memcpy(&to[8], kMonths[month - 1].data(), 3);
    two_digits(12, year / 100);
    two_digits(14, year % 100);
    two_digits(17, of_day / 3600);
    two_digits(20, of_day / 60 % 60);
    two_digits(23, of_day % 60);
    return {to.data(), to.size()};
}

std::optional<u64> parse_date(std::string_view t) {
    if (t.size() != kDateBytes || t.substr(3, 2) != ", " || t[7] != ' ' || t[11] != ' ' || t[16] != ' ' ||
        t[19] != ':' || t[22] != ':' || t.substr(25) != " GMT")
        return std::nullopt;
    const auto day = parse_number<u64>(t.substr(5, 2)), year = parse_number<u64>(t.substr(12, 4));
    const auto hour = parse_number<u64>(t.substr(17, 2)), minute = parse_number<u64>(t.substr(20, 2)),
               second = parse_number<u64>(t.substr(23, 2));
    const auto month = std::ranges::find(kMonths, t.substr(8, 3));
    if (!day || !year || !hour || !minute || !second || month == std::end(kMonths)) return std::nullopt;
    if (*day < 1 || *day > 31 || *year < 1970 || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
    const u64 days = static_cast<u64>(
        days_from_civil({static_cast<i64>(*year), static_cast<u32>(month - kMonths) + 1, static_cast<u32>(*day)}));
    return days * 86400 + *hour * 3600 + *minute * 60 + *second;
}

std::string_view content_type(std::string_view name) {
    struct Type {
        std::string_view extension, type;
    };
    static constexpr Type kTypes[] = {
        {"html", "text/html; charset=utf-8"},
        {"htm", "text/html; charset=utf-8"},
        {"css", "text/css; charset=utf-8"},
        {"js", "text/javascript; charset=utf-8"},
        {"mjs", "text/javascript; charset=utf-8"},
        {"json", "application/json"},
        {"txt", "text/plain; charset=utf-8"},
        {"md", "text/markdown; charset=utf-8"},
        {"xml", "application/xml"},
        {"csv", "text/csv; charset=utf-8"},
        {"svg", "image/svg+xml"},
        {"png", "image/png"},
        {"jpg", "image/jpeg"},
        {"jpeg", "image/jpeg"},
        {"gif", "image/gif"},
        {"webp", "image/webp"},
        {"avif", "image/avif"},
        {"ico", "image/x-icon"},
        {"pdf", "application/pdf"},
        {"wasm", "application/wasm"},
        {"zip", "application/zip"},
        {"gz", "application/gzip"},
        {"tar", "application/x-tar"},
        {"mp3", "audio/mpeg"},
        {"ogg", "audio/ogg"},
        {"mp4", "video/mp4"},
        {"webm", "video/webm"},
        {"woff", "font/woff"},
        {"woff2", "font/woff2"},
        {"ttf", "font/ttf"},
    };
    const std::string_view file = name.substr(name.rfind('/') + 1);
    const usize dot = file.rfind('.');
    if (dot != file.npos)
        for (const Type& t : kTypes)
            if (equals_ignoring_case(file.substr(dot + 1), t.extension)) return t.type;
    return "application/octet-stream";
}

std::string_view html_escape(char c, std::span<char, 1> plain) {
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        plain[0] = c;
        return {plain.data(), 1};
    }
}

std::string_view url_escape(char c, std::span<char, 3> to) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '_' || c == '.' || c == '~';
    if (plain) {
        to[0] = c;
        return {to.data(), 1};
    }
    return format_to(to, "%{}{}", "0123456789ABCDEF"[static_cast<u8>(c) >> 4],
                     "0123456789ABCDEF"[static_cast<u8>(c) & 15]);
}

std::string_view reason(Status s) {
    switch (s) {
    case Status::ok:
        return "OK";
    case Status::partial_content:
        return "Partial Content";
    case Status::moved_permanently:
        return "Moved Permanently";
    case Status::not_modified:
        return "Not Modified";
    case Status::bad_request:
        return "Bad Request";
    case Status::forbidden:
        return "Forbidden";
    case Status::not_found:
        return "Not Found";
    case Status::method_not_allowed:
        return "Method Not Allowed";
    case Status::request_timeout:
        return "Request Timeout";
    case Status::length_required:
        return "Length Required";
    case Status::content_too_large:
        return "Content Too Large";
    case Status::uri_too_long:
        return "URI Too Long";
    case Status::range_not_satisfiable:
        return "Range Not Satisfiable";
    case Status::header_fields_too_large:
        return "Request Header Fields Too Large";
    case Status::internal_error:
        return "Internal Server Error";
    case Status::not_implemented:
        return "Not Implemented";
    case Status::unavailable:
        return "Service Unavailable";
    case Status::version_not_supported:
        return "HTTP Version Not Supported";
    }
    return "Unknown";
}

}  // namespace httpd
