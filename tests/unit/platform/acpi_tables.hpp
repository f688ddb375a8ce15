// Tables that QEMU 7.2 made. data/acpi-*.bin: records of (address u64, length u32, bytes), RSDP first, saved
// from the memory of q35 (2 CPUs), pc, microvm, microvm with a NIC and a disk ("microvm-virtio"), and the
// same with pcie=on ("microvm-pcie"); of virt with GICv2 and with GICv3 ("virt", "virt-gicv3"), as UEFI firmware leaves
// them.
#pragma once

#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "lib/bytes.hpp"

namespace ringlet::boot {

struct Tables {
    std::vector<std::pair<u64, std::vector<std::byte>>> all;
    u64 rsdp() const { return all[0].first; }
    std::vector<std::byte>& named(std::string_view signature) {
        for (auto& [at, bytes] : all)
            if (std::string_view(reinterpret_cast<const char*>(bytes.data()), 4) == signature) return bytes;
        throw std::runtime_error("no such table");
    }
};

inline Tables load(const std::string& machine) {
    std::ifstream in(std::string(RINGLET_TEST_DATA) + "/acpi-" + machine + ".bin", std::ios::binary);
    if (!in) throw std::runtime_error("no such file");
    const std::string s((std::istreambuf_iterator<char>(in)), {});
    Tables t;
    for (usize at = 0; at + 12 <= s.size();) {
        u64 address;
        u32 length;
        std::memcpy(&address, &s[at], 8);
        std::memcpy(&length, &s[at + 8], 4);
        const auto* p = reinterpret_cast<const std::byte*>(&s[at + 12]);
        t.all.push_back({address, {p, p + length}});
        at += 12 + length;
    }
    return t;
}

/// Makes the sum of the bytes zero again, so that damage gets past the checksum.
inline void fix(std::vector<std::byte>& table, usize at = 9) {
    u8 sum = 0;
    for (std::byte b : table) sum = static_cast<u8>(sum + static_cast<u8>(b));
    if (at < table.size()) table[at] = static_cast<std::byte>(static_cast<u8>(table[at]) - sum);
}

}  // namespace ringlet::boot
