// The bounds that linker/x86_64.ld sets. Internal to arch/ and boot/x86_64.
#pragma once

#include "lib/types.hpp"

extern "C" {
extern const char __image_start[], __image_end[];
extern const char __text_start[], __text_end[];
extern const char __string_text_start[], __string_text_end[];
extern const char __rodata_start[], __rodata_end[];
extern const char __data_start[], __data_end[];
extern const char __bss_start[], __bss_end[];
extern const char __boot_stack_guard[], __boot_stack_bottom[], __boot_stack_top[];
}

namespace ringlet::arch::x86 {

inline std::uintptr_t at(const char* symbol) {
    return reinterpret_cast<std::uintptr_t>(symbol);
}

}  // namespace ringlet::arch::x86
