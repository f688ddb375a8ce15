// Frame pointers, checked before they are followed: a smashed stack must not fault in the panic that reports
// it.
#include "arch/backtrace.hpp"

#include "arch/registers.hpp"
#include "arch/x86_64/image.hpp"
#include "arch/x86_64/page_tables.hpp"

namespace ringlet::arch {

usize backtrace(std::uintptr_t frame, std::span<std::uintptr_t> return_addresses) {
    usize found = 0;
    while (found < return_addresses.size()) {
        // A frame is two words that never straddle a page: 16-byte aligned by the ABI.
        if (frame == 0 || (frame & 15) != 0 || !x86::is_mapped(frame)) break;
        const auto* words = reinterpret_cast<const std::uintptr_t*>(frame);
        const std::uintptr_t next = words[0], address = words[1];
        if (address < x86::at(__text_start) || address >= x86::at(__text_end)) break;
        return_addresses[found++] = address;
        if (next <= frame) break;
        frame = next;
    }
    return found;
}

std::uintptr_t Registers::return_address() const {
    if ((rsp & 7) != 0 || !x86::is_mapped(rsp)) return 0;
    return *reinterpret_cast<const std::uintptr_t*>(rsp);
}

}  // namespace ringlet::arch
