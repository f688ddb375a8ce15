// From a request to a response: which file, which status, which fields.
#include <algorithm>
#include <charconv>

#include <ringlet/system.hpp>

#include "connection.hpp"

namespace httpd {

namespace {

constexpr u64 kSmallBody = 2048;       // bytes of a file that are copied behind the head
constexpr usize kListingPiece = 2048;  // bytes of directory listing produced at a time

/// A number as text, for Text::append_all().
class Digits {
public:
    explicit Digits(u64 value, int base = 10) : end_(std::to_chars(text_, text_ + sizeof text_, value, base).ptr) {}
    operator std::string_view() const { return {text_, static_cast<usize>(end_ - text_)}; }

private:
    char text_[20];
    char* end_;
};

void begin_head(Text& out, Status s, bool keep_alive, DateText& date) {
    out.clear();
    out.append_all({"HTTP/1.1 ", Digits(static_cast<u16>(s)), " ", reason(s), "\r\nServer: Ringlet\r\n"});
    if (const u64 wall = wall_clock_ns(); wall != 0) out.append_all({"Date: ", date.of(wall / 1'000'000'000), "\r\n"});
    if (!keep_alive) out.append("Connection: close\r\n");
}

/// The validators of a file: they change when it does.
struct Validators {
    char etag_text[3 * 16 + 4];
    std::string_view etag;
    u64 modified;

    explicit Validators(const Stat& s) : modified(s.modified.seconds < 0 ? 0 : static_cast<u64>(s.modified.seconds)) {
        char* at = etag_text;
        char* const end = etag_text + sizeof etag_text;
        char separator = '"';
        for (const u64 part : {u64{s.inode}, u64{s.size}, modified * 1'000'000'000 + s.modified.nanoseconds}) {
            *at++ = separator;
            at = std::to_chars(at, end, part, 16).ptr;
            separator = '-';
        }
        *at++ = '"';
        etag = {etag_text, static_cast<usize>(at - etag_text)};
    }
    bool unchanged_for(const Request& r) const {
        if (!r.if_none_match.empty()) return etag_matches(r.if_none_match, etag);  // RFC 9110 §13.2.2: it decides alone
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
    case Error::too_many_links:
        return Status::not_found;
    case Error::no_memory:
        return Status::unavailable;
    case Error::unsupported:
        return Status::forbidden;
    default:
        return Status::internal_error;
    }
}

/// Joins the served root and a request path, which begins with '/'.
std::string_view join(std::string_view root, std::string_view path, std::span<char> to) {
    if (root.ends_with('/')) root.remove_suffix(1);
    const usize root_bytes = std::min(root.size(), to.size()),
                path_bytes = std::min(path.size(), to.size() - root_bytes);
    std::copy_n(root.data(), root_bytes, to.data());
    std::copy_n(path.data(), path_bytes, to.data() + root_bytes);
    return {to.data(), root_bytes + path_bytes};
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
    const bool asks_directory = r.decoded_path().ends_with('/');
    if (asks_directory && respond_index(c, r, path)) return;  // first, because it is what most of these ask for
    const auto stat = files().stat(path);
    if (!stat) return respond_error(c, status_of(stat.error()));
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
    const std::string_view modified = modified_.of(validators.modified);
    if (validators.unchanged_for(r)) {
        begin_head(c.out, Status::not_modified, c.keep_alive, date_);
        c.out.print("ETag: {}\r\nLast-Modified: {}\r\n\r\n", validators.etag, modified);
        return;
    }
    ByteRange range{0, stat.size};
    Status status = Status::ok;
    if (r.range && r.method == Method::get && validators.range_applies(r)) {
        const auto part = resolve(*r.range, stat.size);
        if (!part) {
            char field[64];
            return respond_error(c, Status::range_not_satisfiable,
                                 format_to(field, "Content-Range: bytes */{}\r\n", stat.size));
        }
        range = *part;
        status = Status::partial_content;
    }
    if (!c.head_only && range.bytes != 0) {
        // While nothing is sent, a disk that fails can still be told from a connection that fails.
        const auto first = file.map_at(range.first);
        if (!first) return respond_error(c, status_of(first.error()));
    }
    begin_head(c.out, status, c.keep_alive, date_);
    c.out.append_all({"Content-Type: ", content_type(r.decoded_path().ends_with('/') ? "index.html" : r.decoded_path()),
                      "\r\nContent-Length: ", Digits(range.bytes),
                      "\r\nAccept-Ranges: bytes\r\nETag: ", validators.etag, "\r\nLast-Modified: ", modified, "\r\n"});
    if (status == Status::partial_content)
        c.out.print("Content-Range: bytes {}-{}/{}\r\n", range.first, range.first + range.bytes - 1, stat.size);
    c.out.append("\r\n");
    if (c.head_only) return;
    c.file_offset = range.first;
    c.file_left = range.bytes;
    append_small_body(c, file);
    if (c.file_left != 0) c.file = std::move(file);
}

/// A small body goes to the socket together with the head: copying it costs less than a second write.
void Server::append_small_body(Connection& c, File& file) {
    if (c.file_left > kSmallBody || c.file_left == 0) return;
    const auto piece = file.map_at(c.file_offset);
    // What goes wrong here goes wrong again in send_body(), which knows what to do.
    if (!piece || piece->bytes().size() < c.file_left) return;
    const auto bytes = piece->bytes().first(static_cast<usize>(c.file_left));
    if (c.out.append_all({{reinterpret_cast<const char*>(bytes.data()), bytes.size()}})) c.file_left = 0;
}

void Server::respond_redirect(Connection& c, const Request& r) {
    begin_head(c.out, Status::moved_permanently, c.keep_alive, date_);
    c.out.append("Location: ");
    char escaped[3];
    for (const char ch : r.decoded_path()) c.out.append(ch == '/' ? std::string_view("/") : url_escape(ch, escaped));
    c.out.append("/");
    if (!r.query.empty()) c.out.print("?{}", r.query);
    c.out.append("\r\nContent-Length: 0\r\n\r\n");
}

/// The answer to "/some/directory/" when it has an index file. False: it has none, nothing was answered.
bool Server::respond_index(Connection& c, const Request& r, std::string_view path) {
    char storage[2 * kMaxPath];
    auto file = files().open(join(path, "/index.html", storage));
    if (!file) return false;
    const auto stat = file->stat();
    if (!stat)
        respond_error(c, status_of(stat.error()));
    else
        respond_file(c, r, std::move(*file), *stat);
    return true;
}

void Server::respond_directory(Connection& c, const Request& r, std::string_view path) {
    auto directory = files().open_directory(path);
    if (!directory) return respond_error(c, status_of(directory.error()));
    // The length of a listing is not known beforehand: chunks for HTTP/1.1, the end of the connection for 1.0.
    c.chunked = r.http_1_1;
    c.keep_alive = c.keep_alive && c.chunked;
    begin_head(c.out, Status::ok, c.keep_alive, date_);
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
    if (c.chunked)
        c.out.print("{:x}\r\n{}\r\n", page.size(), page.view());
    else
        c.out.append(page.view());
}

/// Puts the next piece of a listing into `out`. False: the connection must be closed.
bool Server::fill_listing(Connection& c) {
    Text piece;
    DirEntry entry;
    while (piece.size() < kListingPiece) {
        const auto more = c.listing.next(entry);
        if (!more || !*more) {
            if (more)
                piece.append("</ul></body></html>\n");
            else
                piece.append("<li>the rest of this directory cannot be read</li></ul></body></html>\n");
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
    const bool must_close =
        status == Status::request_timeout || (status >= Status::bad_request && c.state == Connection::State::reading &&
                                              status != Status::not_found && status != Status::method_not_allowed &&
                                              status != Status::range_not_satisfiable && status != Status::forbidden);
    if (must_close) c.keep_alive = false;
    char body[160];
    const std::string_view text =
        format_to(body, "<!DOCTYPE html><html><head><title>{} {}</title></head><body><h1>{} {}</h1></body></html>\n",
                  static_cast<u16>(status), reason(status), static_cast<u16>(status), reason(status));
    begin_head(c.out, status, c.keep_alive, date_);
    c.out.print("{}Content-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\r\n", extra_fields, text.size());
    if (!c.head_only) c.out.append(text);
}

}  // namespace httpd
