// From a request to a response: which file, which status, which fields.
#include <algorithm>

#include <ringlet/system.hpp>

#include "connection.hpp"

namespace httpd {

namespace {

constexpr usize kListingPiece = 2048;   // bytes of directory listing produced at a time

void begin_head(Text& out, Status s, bool keep_alive) {
    out.clear();
    out.print("HTTP/1.1 {} {}\r\nServer: Ringlet\r\n", static_cast<u16>(s), reason(s));
    if (const u64 wall = wall_clock_ns(); wall != 0) {
        char date[kDateBytes];
        out.print("Date: {}\r\n", format_date(wall / 1'000'000'000, date));
    }
    if (!keep_alive) out.append("Connection: close\r\n");
}

/// The validators of a file: they change when it does.
struct Validators {
    char etag_text[48];
    std::string_view etag;
    u64 modified;

    explicit Validators(const Stat& s) : modified(s.modified.seconds < 0 ? 0 : static_cast<u64>(s.modified.seconds)) {
        etag = format_to(etag_text, "\"{:x}-{:x}-{:x}\"", s.inode, s.size, modified * 1'000'000'000 + s.modified.nanoseconds);
    }
    bool unchanged_for(const Request& r) const {
        if (!r.if_none_match.empty()) return etag_matches(r.if_none_match, etag);   // RFC 9110 §13.2.2: it decides alone
        return r.if_modified_since && modified <= *r.if_modified_since;
    }
    bool range_applies(const Request& r) const {
        if (r.if_range.empty()) return true;
        if (r.if_range.starts_with('"')) return r.if_range == etag;
        const auto date = parse_date(r.if_range);
        return date && *date == modified;
    }
};

Status status_of(Error e) {
    switch (e) {
    case Error::not_found:
    case Error::not_directory:
    case Error::name_too_long:
    case Error::too_many_links: return Status::not_found;
    case Error::no_memory: return Status::unavailable;
    case Error::unsupported: return Status::forbidden;
    default: return Status::internal_error;
    }
}

/// Joins the served root and a request path, which begins with '/'.
std::string_view join(std::string_view root, std::string_view path, std::span<char> to) {
    if (root.ends_with('/')) root.remove_suffix(1);
    return format_to(to, "{}{}", root, path);
}

void append_escaped_html(Text& out, std::string_view text) {
    char plain[1];
    for (const char c : text) out.append(html_escape(c, plain));
}

void append_escaped_url(Text& out, std::string_view text) {
    char escaped[3];
    for (const char c : text) out.append(url_escape(c, escaped));
}

}  // namespace

void Server::respond(Connection& c, const Request& r) {
    if (r.method == Method::other) return respond_error(c, Status::method_not_allowed, "Allow: GET, HEAD\r\n");
    char storage[2 * kMaxPath];
    const std::string_view path = join(options_.root, r.decoded_path(), storage);
    const auto stat = files().stat(path);
    if (!stat) return respond_error(c, status_of(stat.error()));
    const bool asks_directory = r.decoded_path().ends_with('/');
    if (stat->type == NodeType::directory) {
        if (!asks_directory) return respond_redirect(c, r);
        return respond_directory(c, r, path);
    }
    if (asks_directory) return respond_error(c, Status::not_found);
    auto file = files().open(path);
    if (!file) return respond_error(c, status_of(file.error()));
    respond_file(c, r, std::move(*file), *stat);
}

void Server::respond_file(Connection& c, const Request& r, File file, const Stat& stat) {
    const Validators validators(stat);
    char date[kDateBytes];
    const std::string_view modified = format_date(validators.modified, date);
    if (validators.unchanged_for(r)) {
        begin_head(c.out, Status::not_modified, c.keep_alive);
        c.out.print("ETag: {}\r\nLast-Modified: {}\r\n\r\n", validators.etag, modified);
        return;
    }
    ByteRange range{0, stat.size};
    Status status = Status::ok;
    if (r.range && r.method == Method::get && validators.range_applies(r)) {
        const auto part = resolve(*r.range, stat.size);
        if (!part) {
            char field[64];
            return respond_error(c, Status::range_not_satisfiable, format_to(field, "Content-Range: bytes */{}\r\n", stat.size));
        }
        range = *part;
        status = Status::partial_content;
    }
    begin_head(c.out, status, c.keep_alive);
    c.out.print("Content-Type: {}\r\nContent-Length: {}\r\nAccept-Ranges: bytes\r\nETag: {}\r\nLast-Modified: {}\r\n",
                content_type(r.decoded_path()), range.bytes, validators.etag, modified);
    if (status == Status::partial_content)
        c.out.print("Content-Range: bytes {}-{}/{}\r\n", range.first, range.first + range.bytes - 1, stat.size);
    c.out.append("\r\n");
    if (c.head_only) return;
    c.file = std::move(file);
    c.file_offset = range.first;
    c.file_left = range.bytes;
}

void Server::respond_redirect(Connection& c, const Request& r) {
    begin_head(c.out, Status::moved_permanently, c.keep_alive);
    c.out.append("Location: ");
    char escaped[3];
    for (const char ch : r.decoded_path()) c.out.append(ch == '/' ? std::string_view("/") : url_escape(ch, escaped));
    c.out.append("/");
    if (!r.query.empty()) c.out.print("?{}", r.query);
    c.out.append("\r\nContent-Length: 0\r\n\r\n");
}

void Server::respond_directory(Connection& c, const Request& r, std::string_view path) {
    char storage[2 * kMaxPath];
    const std::string_view index = format_to(storage, "{}index.html", path);
    if (auto file = files().open(index)) {
        const auto stat = file->stat();
        if (!stat) return respond_error(c, status_of(stat.error()));
        Request named = r;   // so that the type is the index file's
        std::ranges::copy(std::string_view("/index.html"), named.path);
        named.path_length = 11;
        return respond_file(c, named, std::move(*file), *stat);
    }
    auto directory = files().open_directory(path);
    if (!directory) return respond_error(c, status_of(directory.error()));
    // The length of a listing is not known beforehand: chunks for HTTP/1.1, the end of the connection for 1.0.
    c.chunked = r.http_1_1;
    c.keep_alive = c.keep_alive && c.chunked;
    begin_head(c.out, Status::ok, c.keep_alive);
    c.out.append("Content-Type: text/html; charset=utf-8\r\n");
    if (c.chunked) c.out.append("Transfer-Encoding: chunked\r\n");
    c.out.append("\r\n");
    if (c.head_only) return;
    c.listing = std::move(*directory);
    c.in_listing = true;
    Text page;
    page.append("<!DOCTYPE html><html><head><meta charset=\"utf-8\"><title>");
    append_escaped_html(page, r.decoded_path());
    page.append("</title></head><body><h1>");
    append_escaped_html(page, r.decoded_path());
    page.append("</h1><ul>\n");
    if (c.chunked) c.out.print("{:x}\r\n{}\r\n", page.size(), page.view());
    else c.out.append(page.view());
}

/// Puts the next piece of a listing into `out`. False: the connection must be closed.
bool Server::fill_listing(Connection& c) {
    Text piece;
    DirEntry entry;
    while (piece.size() < kListingPiece) {
        const auto more = c.listing.next(entry);
        if (!more || !*more) {
            if (more) piece.append("</ul></body></html>\n");
            else piece.append("<li>the rest of this directory cannot be read</li></ul></body></html>\n");
            c.in_listing = false;
            break;
        }
        const std::string_view name = entry.name();
        if (name == ".") continue;
        const std::string_view slash = entry.type == NodeType::directory ? "/" : "";
        piece.append("<li><a href=\"");
        append_escaped_url(piece, name);
        piece.append(slash);
        piece.append("\">");
        append_escaped_html(piece, name);
        piece.append(slash);
        if (!piece.append("</a></li>\n")) return false;
    }
    if (!c.in_listing) c.listing = Directory();
    if (!c.chunked) return c.out.append(piece.view());
    const bool fits = c.out.print("{:x}\r\n{}\r\n", piece.size(), piece.view());
    return fits && (c.in_listing || c.out.append("0\r\n\r\n"));
}

void Server::respond_error(Connection& c, Status status, std::string_view extra_fields) {
    const bool must_close = status == Status::request_timeout || (status >= Status::bad_request && c.state == Connection::State::reading &&
                                                                  status != Status::not_found && status != Status::method_not_allowed &&
                                                                  status != Status::range_not_satisfiable &&
                                                                  status != Status::forbidden);
    if (must_close) c.keep_alive = false;
    char body[160];
    const std::string_view text = format_to(body, "<!DOCTYPE html><html><head><title>{} {}</title></head><body><h1>{} {}</h1></body></html>\n",
                                            static_cast<u16>(status), reason(status), static_cast<u16>(status), reason(status));
    begin_head(c.out, status, c.keep_alive);
    c.out.print("{}Content-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\r\n", extra_fields, text.size());
    if (!c.head_only) c.out.append(text);
}

}  // namespace httpd
