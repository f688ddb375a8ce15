// Searching the symbol table; see symbols.hpp for its format. Context: any.
#include "kernel/symbols.hpp"

namespace ringlet::kernel {

namespace {

constexpr u32 kMagic = 0x4d59'5352;
constexpr u32 kGroup = 32;
constexpr usize kTokens = 16, kGroups = kTokens + 258 * 2;

struct Header {
    u32 magic, functions, text_bytes, stream_bytes;
};
struct Group {
    u32 text_offset, stream_offset;
};

class Table {
public:
    explicit Table(Bytes bytes) : bytes_(bytes), header_(read_at<Header>(bytes, 0).value_or(Header{})) {}
    bool usable() const { return header_.magic == kMagic && header_.functions != 0; }
    u32 text_bytes() const { return header_.text_bytes; }
    u32 groups() const { return header_.functions / kGroup + (header_.functions % kGroup != 0); }
    u32 in_group(u32 g) const { return g + 1 < groups() ? kGroup : header_.functions - g * kGroup; }
    Group group(u32 i) const {
        return read_at<Group>(bytes_, kGroups + u64{i} * sizeof(Group)).value_or(Group{~0u, ~0u});
    }
    u8 stream(u64 at) const {
        return at < header_.stream_bytes ? read_at<u8>(bytes_, stream_base() + at).value_or(0) : u8{0};
    }
    std::string_view token(u8 code) const {
        const u16 from = read_at<u16>(bytes_, kTokens + code * 2u).value_or(0);
        const u16 to = read_at<u16>(bytes_, kTokens + code * 2u + 2).value_or(0);
        const auto text = slice(bytes_, stream_base() + header_.stream_bytes + from, to >= from ? to - from : 0);
        return text ? std::string_view(reinterpret_cast<const char*>(text->data()), text->size()) : std::string_view();
    }

private:
    u64 stream_base() const { return kGroups + u64{groups()} * sizeof(Group); }
    Bytes bytes_;
    Header header_;
};

std::string_view decode(const Table& table, u64 at, std::span<char> buffer) {
    usize used = 0;
    const u64 end = at + 1 + table.stream(at);
    for (++at; at < end; ++at)
        for (char c : table.token(table.stream(at)))
            if (used < buffer.size()) buffer[used++] = c;
    return {buffer.data(), used};
}

}  // namespace

Symbol symbol_lookup(Bytes bytes, u64 offset, std::span<char> buffer) {
    const Table table(bytes);
    if (!table.usable() || offset >= table.text_bytes() || offset < table.group(0).text_offset) return {};
    u32 low = 0;
    for (u32 high = table.groups(); high - low > 1;) {
        const u32 middle = low + (high - low) / 2;
        (table.group(middle).text_offset <= offset ? low : high) = middle;
    }
    u64 start = table.group(low).text_offset, at = table.group(low).stream_offset;
    u64 name_at = at, function = start;
    for (u32 i = 0; i < table.in_group(low); ++i) {
        u64 distance = 0;
        for (unsigned shift = 0; shift < 35; shift += 7) {
            const u8 byte = table.stream(at++);
            distance |= u64{byte & 0x7fu} << shift;
            if ((byte & 0x80) == 0) break;
        }
        start += distance;
        if (start > offset) break;
        function = start;
        name_at = at;
        at += 1u + table.stream(at);
    }
    return {decode(table, name_at, buffer), offset - function};
}

extern "C" {
[[gnu::weak]] extern const std::byte __text_start[];
[[gnu::weak]] extern const std::byte ringlet_symbols[];
[[gnu::weak]] extern const std::byte ringlet_symbols_end[];
}

Symbol symbolize(std::uintptr_t address) {
    static char name[160];
    const auto text = reinterpret_cast<std::uintptr_t>(__text_start);
    const auto from = reinterpret_cast<std::uintptr_t>(ringlet_symbols);
    const auto to = reinterpret_cast<std::uintptr_t>(ringlet_symbols_end);
    if (text == 0 || from == 0 || to <= from || address < text) return {};
    return symbol_lookup({ringlet_symbols, to - from}, address - text, name);
}

}  // namespace ringlet::kernel
