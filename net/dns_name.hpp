// A domain name as a value (RFC 1035 §3.1, §4.1.4), in wire form without compression and in lower case: names compare
// by their bytes (RFC 4343). Reading one out of a message trusts nothing in it. Context: any.
#pragma once

#include <array>
#include <cstring>
#include <optional>
#include <string_view>

#include "lib/bytes.hpp"
#include "lib/types.hpp"

namespace ringlet::net::dns {

class Name {
public:
    static constexpr usize kMaxWire = 255;  ///< bytes with all lengths and the root's
    static constexpr usize kMaxLabel = 63;
    static constexpr usize kMaxLabels = 127;  ///< what fits kMaxWire
    static constexpr usize kTextBytes = 256;  ///< holds the text of every host name

    /// The root.
    Name() { bytes_[0] = 0; }
    Name(const Name& o) : size_(o.size_) { std::memcpy(bytes_.data(), o.bytes_.data(), size_); }
    Name& operator=(const Name& o) {
        size_ = o.size_;
        std::memmove(bytes_.data(), o.bytes_.data(), size_);
        return *this;
    }

    /// "www.example.com", with or without a dot at the end. Letters, digits, '-' and '_' only; nothing when a label is
    /// empty or too long, or the whole is.
    static std::optional<Name> parse(std::string_view text);
    /// The name at `offset` of `message`; moves `offset` behind it. Nothing when it runs beyond the end, is too long or
    /// has a compression pointer that does not point to before the run of labels it ends: so it ends.
    static std::optional<Name> read(Bytes message, usize& offset);

    Bytes wire() const { return std::as_bytes(std::span(bytes_).first(size_)); }
    bool is_root() const { return size_ == 1; }
    usize dots() const;  ///< labels - 1, or 0
    /// Letters, digits, '-' and '_' in all labels: what may be printed and used as a host name.
    bool is_hostname() const;
    /// Is it `ancestor` or below it?
    bool is_within(const Name& ancestor) const;
    /// `suffix` behind it: "www" + "example.com". Nothing when that is too long.
    std::optional<Name> with_suffix(const Name& suffix) const;
    /// Without a dot at the end; other bytes than a host name's as '?'. The root is ".".
    std::string_view text(std::span<char, kTextBytes> to) const;

    friend bool operator==(const Name& a, const Name& b) {
        return a.size_ == b.size_ && std::memcmp(a.bytes_.data(), b.bytes_.data(), a.size_) == 0;
    }

private:
    bool add_label(Bytes label);  ///< in front of the root; false when it does not fit
    u8 size_ = 1;
    std::array<u8, kMaxWire> bytes_;  // labels, each behind its length, then 0; what is behind size_ means nothing
};

}  // namespace ringlet::net::dns
