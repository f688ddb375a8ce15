// The bounds that the linker scripts set.
#include "arch/code_owner.hpp"

extern "C" const char __system_text_start[], __system_text_end[], __library_text_start[], __library_text_end[];

namespace ringlet::arch {

namespace {

bool inside(std::uintptr_t address, const char* start, const char* end) {
    return address >= reinterpret_cast<std::uintptr_t>(start) && address < reinterpret_cast<std::uintptr_t>(end);
}

bool is_system(std::uintptr_t address) {
    return inside(address, __system_text_start, __system_text_end);
}

}  // namespace

CodeOwner code_owner(std::uintptr_t address) {
    if (is_system(address) || !is_system(reinterpret_cast<std::uintptr_t>(&code_owner))) return CodeOwner::system;
    return inside(address, __library_text_start, __library_text_end) ? CodeOwner::library : CodeOwner::application;
}

}  // namespace ringlet::arch
