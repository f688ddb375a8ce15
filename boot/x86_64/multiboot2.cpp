// See multiboot2.hpp.
#include "boot/x86_64/multiboot2.hpp"

#include <algorithm>

namespace ringlet::boot {
namespace {

/// More than any loader has to say, and few enough tags to walk.
constexpr u32 kMaxBytes = 1_MiB;
constexpr usize kTagBytes = 8, kRsdpV1Bytes = 20, kRsdpV2Bytes = 36;

enum class Tag : u32 { end = 0, command_line = 1, module = 3, memory_map = 6, old_rsdp = 14, new_rsdp = 15 };

/// §3.6.8: the size of an entry is told, and may grow.
void memory_map(Bytes tag, LoaderInfo& out) {
    const auto entry_size = read_at<u32>(tag, 8);
    if (!entry_size || *entry_size < sizeof(MemoryMapEntry) || *entry_size % 8 != 0) return;
    for (usize at = 16; const auto entry = read_at<MemoryMapEntry>(tag, at); at += *entry_size) {
        if (out.memory.try_push_back(*entry)) continue;
        out.memory_cut = true;
        return;
    }
}

void module(Bytes tag, LoaderInfo& out) {
    const auto start = read_at<u32>(tag, 8), end = read_at<u32>(tag, 12);
    if (end && *start < *end && out.module.bytes == 0) out.module = {PhysAddr{*start}, *end - *start};
}

void visit(Tag type, Bytes tag, LoaderInfo& out) {
    const Bytes body = tag.subspan(kTagBytes);
    switch (type) {
    case Tag::command_line: {
        const auto text = reinterpret_cast<const char*>(body.data());
        out.command_line = {text, std::find(text, text + body.size(), '\0')};
        return;
    }
    case Tag::module:
        return module(tag, out);
    case Tag::memory_map:
        if (out.memory.empty()) memory_map(tag, out);
        return;
    case Tag::old_rsdp:
        if (body.size() >= kRsdpV1Bytes && out.rsdp_copy.empty()) out.rsdp_copy = body.first(kRsdpV1Bytes);
        return;
    case Tag::new_rsdp:
        if (body.size() >= kRsdpV2Bytes) out.rsdp_copy = body.first(kRsdpV2Bytes);
        return;
    default:
        return;
    }
}

}  // namespace

usize multiboot2_bytes(Bytes first_bytes) {
    const auto total = read_at<u32>(first_bytes, 0);
    return total && *total >= 2 * kTagBytes && *total <= kMaxBytes ? *total : 0;
}

Result<LoaderInfo> read_multiboot2(Bytes information) {
    LoaderInfo out;
    for (usize at = kTagBytes;;) {
        const auto type = read_at<u32>(information, at), size = read_at<u32>(information, at + 4);
        const auto tag = size ? slice(information, at, *size) : std::nullopt;
        if (!tag || tag->size() < kTagBytes) return fail(Error::corrupt);
        if (Tag{*type} == Tag::end) break;
        visit(Tag{*type}, *tag, out);
        at = align_up(at + *size, kTagBytes);
    }
    if (out.memory.empty()) return fail(Error::not_found);
    return out;
}

}  // namespace ringlet::boot
