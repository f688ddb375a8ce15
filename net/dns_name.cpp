// RFC 1035 §3.1 and §4.1.4. Context: any.
#include "net/dns_name.hpp"

#include "lib/parse.hpp"

namespace ringlet::net::dns {
namespace {

constexpr u8 lower(u8 c) {
    return c >= 'A' && c <= 'Z' ? static_cast<u8>(c + ('a' - 'A')) : c;
}

constexpr bool is_host_character(u8 c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

}  // namespace

bool Name::add_label(Bytes label) {
    if (label.empty() || label.size() > kMaxLabel || size_ + 1 + label.size() > kMaxWire) return false;
    u8* at = bytes_.data() + size_ - 1;
    *at++ = static_cast<u8>(label.size());
    for (const std::byte b : label) *at++ = lower(static_cast<u8>(b));
    *at = 0;
    size_ = static_cast<u8>(size_ + 1 + label.size());
    return true;
}

std::optional<Name> Name::parse(std::string_view text) {
    if (text.ends_with('.')) text.remove_suffix(1);
    Name name;
    while (true) {
        const usize dot = text.find('.');
        const std::string_view label = substring(text, 0, dot);
        for (const char c : label)
            if (!is_host_character(lower(static_cast<u8>(c)))) return std::nullopt;
        if (!name.add_label(std::as_bytes(std::span(label)))) return std::nullopt;
        if (dot == text.npos) return name;
        text.remove_prefix(dot + 1);
    }
}

std::optional<Name> Name::read(Bytes message, usize& offset) {
    Name name;
    usize at = offset, limit = offset;  // `limit`: where this run of labels began; pointers lead to before it
    bool jumped = false;
    while (at < message.size()) {
        const u8 length = static_cast<u8>(message[at]);
        if (length == 0) {
            if (!jumped) offset = at + 1;
            return name;
        }
        if (length >= 0xc0) {
            if (at + 1 == message.size()) return std::nullopt;
            const usize target = usize(length & 0x3f) << 8 | static_cast<u8>(message[at + 1]);
            if (target >= limit) return std::nullopt;
            if (!jumped) offset = at + 2;
            jumped = true;
            at = limit = target;
            continue;
        }
        const auto label = slice(message, at + 1, length);
        if (length > kMaxLabel || !label || !name.add_label(*label)) return std::nullopt;
        at += 1u + length;
    }
    return std::nullopt;
}

usize Name::dots() const {
    usize labels = 0;
    for (usize at = 0; bytes_[at] != 0; at += 1u + bytes_[at]) ++labels;
    return labels == 0 ? 0 : labels - 1;
}

bool Name::is_hostname() const {
    if (is_root()) return false;
    for (usize at = 0; bytes_[at] != 0; at += 1u + bytes_[at])
        for (usize i = 1; i <= bytes_[at]; ++i)
            if (!is_host_character(bytes_[at + i])) return false;
    return true;
}

bool Name::is_within(const Name& ancestor) const {
    for (usize at = 0;; at += 1u + bytes_[at]) {
        if (usize{size_} - at == ancestor.size_)
            return std::memcmp(bytes_.data() + at, ancestor.bytes_.data(), ancestor.size_) == 0;
        if (bytes_[at] == 0) return false;
    }
}

std::optional<Name> Name::with_suffix(const Name& suffix) const {
    if (size_ - 1u + suffix.size_ > kMaxWire) return std::nullopt;
    Name all = *this;
    std::memcpy(all.bytes_.data() + size_ - 1, suffix.bytes_.data(), suffix.size_);
    all.size_ = static_cast<u8>(size_ - 1u + suffix.size_);
    return all;
}

std::string_view Name::text(std::span<char, kTextBytes> to) const {
    if (is_root()) return ".";
    usize used = 0;
    for (usize at = 0; bytes_[at] != 0; at += 1u + bytes_[at]) {
        if (used != 0) to[used++] = '.';
        for (usize i = 1; i <= bytes_[at]; ++i)
            to[used++] = is_host_character(bytes_[at + i]) ? static_cast<char>(bytes_[at + i]) : '?';
    }
    return {to.data(), used};
}

}  // namespace ringlet::net::dns
