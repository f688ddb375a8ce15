// How much memory the parts of an image take, by its configuration and the machine's RAM. Pure.
#pragma once

#include <algorithm>

#include <ringlet/config.hpp>

#include "fs/block_cache.hpp"

namespace ringlet::boot {

/// Of net::PacketBuffer::kSize bytes each.
constexpr u32 packet_buffers(const ApplianceConfig& config, u64 ram_bytes) {
    if (config.packet_buffers != 0) return config.packet_buffers;
    return static_cast<u32>(std::clamp<u64>(ram_bytes / 16 / net::PacketBuffer::kSize, 128, 2048));
}

/// One takes 2 to 4 KiB while little is under way: a quarter of the memory at most, a word of it in the tables.
constexpr u32 most_connections(u64 ram_bytes) {
    return static_cast<u32>(std::clamp<u64>(ram_bytes / 16_KiB, 128, 65536));
}

/// Of each mounted filesystem; `configured`: 0, or what the appliance wants. A cache that a filesystem can be written
/// with is worth its memory, where there is some.
constexpr u64 cache_bytes(u64 configured, u64 ram_bytes) {
    if (configured != 0) return configured;
    return std::max(fs::recommended_cache_bytes(ram_bytes), ram_bytes >= 16_MiB ? 1_MiB : 0);
}

}  // namespace ringlet::boot
