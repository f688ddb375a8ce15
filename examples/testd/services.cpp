// The services themselves. Each does what it can without waiting and says what it waits for.
#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <string_view>

#include <ringlet/system.hpp>

#include "lib/calendar.hpp"
#include "services.hpp"

namespace testd {

namespace {

constexpr usize kPiece = 16384;
constexpr int kPieces = 8;  ///< then others have their turn
constinit std::byte buffer[kPiece];

Wants after(Error e, Wants blocked) {
    return e == Error::would_block ? blocked : Wants::to_close;
}

/// Writes; keeps what could not be written. False: something was kept, or the client is to be closed.
bool put(Client& c, Bytes bytes, Wants& wants) {
    while (!bytes.empty()) {
        const auto n = c.stream.try_write(bytes);
        if (n) {
            bytes = bytes.subspan(*n);
            continue;
        }
        wants = after(n.error(), Wants::to_write);
        if (wants == Wants::to_write && !c.out.keep(bytes)) wants = Wants::to_close;
        return false;
    }
    return true;
}

/// What was kept goes first. False: it is still there.
bool flushed(Client& c, Wants& wants) {
    while (!c.out.rest().empty()) {
        const auto n = c.stream.try_write(c.out.rest());
        if (!n) return wants = after(n.error(), Wants::to_write), false;
        c.out.drop(*n);
    }
    return true;
}

}  // namespace

Wants echo(Client& c) {
    Wants wants;
    if (!flushed(c, wants)) return wants;
    for (int i = 0; i < kPieces; ++i) {
        const auto n = c.stream.try_read(buffer);
        if (!n) return after(n.error(), Wants::to_read);
        if (*n == 0) return Wants::to_close;
        if (!put(c, std::span(buffer).first(*n), wants)) return wants;
        if (*n < sizeof buffer) break;
    }
    return Wants::to_read;
}

Wants discard(Client& c) {
    for (int i = 0; i < kPieces; ++i) {
        auto received = c.stream.try_take();  // nobody looks at it: not even a copy
        if (!received && received.error() == Error::no_memory) {
            if (const auto n = c.stream.try_read(buffer); !n) return after(n.error(), Wants::to_read);
            continue;
        }
        if (!received) return after(received.error(), Wants::to_read);
        if (received->size() == 0) return Wants::to_close;
    }
    return Wants::to_read;
}

Wants daytime(Client& c) {
    const u64 seconds = wall_clock_ns() / 1'000'000'000;
    const CivilDate d = civil_from_days(i64(seconds / 86400));
    char text[40];
    const std::string_view line = format_to(text, "{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC\r\n", d.year, d.month, d.day,
                                            seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    (void)c.stream.try_write(std::as_bytes(std::span(line)));
    return Wants::to_close;
}

namespace {

// The 95 printable characters, in lines of 72, each line one further: the whole repeats after 95 lines.
constexpr usize kLine = 74, kPattern = 95 * kLine;
constinit Bytes all_text;  // the pattern, again and again

/// What comes next, at most `most` bytes.
Bytes next_text(const Client& c, usize most) {
    return all_text.subspan(c.at, std::min(most, all_text.size() - c.at));
}

}  // namespace

bool prepare_text() {
    constexpr usize kTimes = 32;
    auto* all = new (std::nothrow) std::byte[kTimes * kPattern];
    if (all == nullptr) return false;
    for (usize i = 0; i < kTimes * kPattern; ++i) {
        const usize line = i / kLine, column = i % kLine;
        all[i] = std::byte(column == 72 ? '\r' : column == 73 ? '\n' : ' ' + (line + column) % 95);
    }
    all_text = {all, kTimes * kPattern};
    return true;
}

Wants chargen(Client& c) {
    for (int i = 0; i < kPieces; ++i) {
        const auto n = c.stream.try_write(next_text(c, 64 * 1024));
        if (!n) return after(n.error(), Wants::to_write);
        c.at = (c.at + *n) % all_text.size();
    }
    return Wants::to_write;
}

Wants lent(Client& c) {
    for (int i = 0; i < kPieces; ++i) {
        const auto n = c.stream.try_lend(next_text(c, all_text.size()));
        if (!n) return after(n.error(), Wants::to_write);
        c.at = (c.at + *n) % all_text.size();
    }
    return Wants::to_write;
}

Wants deaf(Client&) {
    return Wants::nothing;
}

namespace {

/// As many bytes as the first page of a well-known server has, so that figures can be compared.
constexpr auto kBody = [] {
    constexpr std::string_view kTitle = "<!DOCTYPE html><title>testd</title><p>This page comes from memory.\n";
    std::array<char, 612> all{};
    std::ranges::fill(all, '.');
    std::ranges::copy(kTitle, all.begin());
    all.back() = '\n';
    return all;
}();

template <bool kLast> constexpr auto make_answer() {
    constexpr std::string_view kHead =
        kLast ? "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 612\r\n"
                "Connection: close\r\n\r\n"
              : "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 612\r\n\r\n";
    std::array<char, kHead.size() + kBody.size()> all{};
    std::ranges::copy(kBody, std::ranges::copy(kHead, all.begin()).out);
    return all;
}
constexpr auto kAnswer = make_answer<false>();
constexpr auto kLastAnswer = make_answer<true>();
constexpr std::string_view kNoAnswer = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Answers the requests in `text`, which becomes what is left of it. False: wait as `wants` says, then go on.
bool answer_all(Client& c, std::string_view& text, Wants& wants) {
    for (usize end; !c.last && (end = text.find("\r\n\r\n")) != text.npos;) {
        const std::string_view head = text.substr(0, end);
        text.remove_prefix(end + 4);
        c.last = head.find("HTTP/1.0") != head.npos || head.find("Connection: close") != head.npos;
        const std::span<const char> answer = c.last ? std::span<const char>(kLastAnswer) : kAnswer;
        if (!put(c, std::as_bytes(answer), wants)) return false;
    }
    return true;
}

/// Says no and reads on to the client's end: closing with unread bytes is a reset, which overtakes the answer.
Wants refuse(Client& c) {
    static constexpr Service kRest{80, "http", discard};
    Wants wants;
    (void)put(c, std::as_bytes(std::span(kNoAnswer)), wants);
    (void)c.stream.shutdown_write();
    c.service = &kRest;
    return discard(c);
}

}  // namespace

// Every request, of at most kHeadBytes and without a body, is answered with the same page.
Wants http(Client& c) {
    static constexpr usize kHeadBytes = 4096;
    Wants wants;
    if (!flushed(c, wants)) return wants;
    if (c.last) return Wants::to_close;
    usize have = c.in.rest().size();
    if (have != 0) std::memcpy(buffer, c.in.rest().data(), have);
    c.in.drop(have);
    for (bool more = true;;) {
        std::string_view text(reinterpret_cast<const char*>(buffer), have);
        const bool answered = answer_all(c, text, wants);
        if (answered && c.last) return Wants::to_close;
        const Bytes rest = std::as_bytes(std::span(text));
        if (!answered) return c.in.keep(rest) ? wants : Wants::to_close;
        if (rest.size() == kHeadBytes) return refuse(c);
        if (!more) return c.in.keep(rest) ? Wants::to_read : Wants::to_close;
        std::memmove(buffer, rest.data(), have = rest.size());
        const auto room = std::span(buffer).subspan(have, kHeadBytes - have);
        const auto n = c.stream.try_read(room);
        if (!n && n.error() != Error::would_block) return Wants::to_close;
        if (n && *n == 0) return Wants::to_close;
        have += n.value_or(0);
        more = n && *n == room.size();
    }
}

}  // namespace testd
