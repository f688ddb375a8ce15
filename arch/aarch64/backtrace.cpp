// Frame records: x29 points to {previous x29, return address}. See backtrace.hpp. Context: any.
#include "arch/backtrace.hpp"

#include "arch/context.hpp"
#include "arch/cpu.hpp"
#include "internal.hpp"
#include "sysreg.hpp"

extern "C" void ringlet_thread_start();

namespace ringlet::arch {

bool is_mapped(std::uintptr_t va) {
    u64 par;
    {
        const IrqGuard guard;  // PAR_EL1 is shared with whoever interrupts
        asm volatile("at s1e1r, %1\n\tisb\n\tmrs %0, par_el1" : "=r"(par) : "r"(va) : "memory");
    }
    return (par & 1) == 0;
}

usize backtrace(std::uintptr_t frame, std::span<std::uintptr_t> return_addresses) {
    usize found = 0;
    std::uintptr_t previous = 0;
    while (found < return_addresses.size()) {
        // A record is 16 bytes at a 16-byte boundary, so it never straddles a page.
        if (frame == 0 || frame % 16 != 0 || frame <= previous || !is_mapped(frame)) break;
        if (previous != 0 && frame - previous > 1_MiB) break;
        std::uintptr_t record[2];
        __builtin_memcpy(record, reinterpret_cast<const void*>(frame), sizeof record);
        if (record[1] < address_of(__text_start) || record[1] >= address_of(__text_end)) break;
        return_addresses[found++] = record[1];
        previous = frame;
        frame = record[0];
    }
    return found;
}

void context_init(Context& c, MutableBytes stack, void (*entry)(void*), void* arg) {
    // The layout is ringlet_context_switch's: x29, x30, x19, x20, ..., FPCR at word 20.
    auto top = reinterpret_cast<std::uintptr_t>(stack.data()) + stack.size();
    auto* frame = reinterpret_cast<u64*>(align_down<std::uintptr_t>(top, 16) - 176);
    for (int i = 0; i < 22; ++i) frame[i] = 0;
    frame[1] = reinterpret_cast<u64>(&ringlet_thread_start);
    frame[2] = reinterpret_cast<u64>(entry);
    frame[3] = reinterpret_cast<u64>(arg);
    c.stack_pointer = reinterpret_cast<u64>(frame);
}

}  // namespace ringlet::arch
